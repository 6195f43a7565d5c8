---@meta
-- momentum_ramp.lua - require "lurcher.momentum_ramp"; see lurcher.lua for the conventions.

---The first steps of batch norms in a training from nothing.
---Moving statistics begin at mean 0 and variance 1, and after n updates of momentum m still hold m^n of that: at 0.99,
---55 % after 60 steps, so that a short training is validated with statistics of nothing. Here update n + 1 has momentum
---min(m, 1 - 1 / (n + 1)): the statistics are the plain mean over the first 1 / (1 - m) batches, as of PyTorch's
---BatchNorm with momentum = None (torch/nn/modules/batchnorm.py), and then what m makes of them.
---It concerns batch norms that learn and have seen no batch yet; trained ones, from a file or an earlier training, stay
---as they are. It computes nothing from images: an update is linear in 1 - m, so that it is scaled after the step.
---
---    local ramp = momentum_ramp.new(model)
---    ramp:before() run:train(batch) ramp:after()
---@class lurcher.momentum_ramp
local momentum_ramp = {}
---The ramp of a model's batch norms. saved: of save, in a training that is resumed; nil: all that are fresh.
function momentum_ramp.new(model, saved) end
---The momentum of the next update, at most m.
function momentum_ramp:momentum(m) end
---Whether any batch norm is still ramped.
function momentum_ramp:is_active() end
---Keeps the statistics as they are before a step.
function momentum_ramp:before() end
---Corrects what the step made of them: old + (new - old) * (1 - ramped) / (1 - m).
function momentum_ramp:after() end
---What a resume needs, fit for JSON; nil where nothing is ramped any more.
function momentum_ramp:save() end
---Whether a value is what save gives.
function momentum_ramp.is_saved(value) end
