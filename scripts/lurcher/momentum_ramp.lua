--- lurcher.momentum_ramp: the first steps of batch norms in a training from nothing.
-- Moving statistics begin at mean 0 and variance 1, and after n updates of momentum m still hold m^n of that: at 0.99,
-- 55 % after 60 steps, so that a short training is validated with statistics of nothing. Here update n + 1 has momentum
-- min(m, 1 - 1 / (n + 1)): the statistics are the plain mean over the first 1 / (1 - m) batches, as of PyTorch's
-- BatchNorm with momentum = None (torch/nn/modules/batchnorm.py), and then what m makes of them.
-- It concerns batch norms that learn and have seen no batch yet; trained ones, from a file or an earlier training, stay
-- as they are. It computes nothing from images: an update is linear in 1 - m, so that it is scaled after the step.
--
--     local ramp = momentum_ramp.new(model)
--     ramp:before() run:train(batch) ramp:after()

local lurcher = require "lurcher"

local momentum_ramp = {}
momentum_ramp.__index = momentum_ramp

--- Momentums by layer name of the batch norms that are applied once.
local function momentums_of(model)
  local definition, uses, found = lurcher.json.decode(model:json()), {}, {}
  for _, node in ipairs(definition.nodes) do uses[node.layer] = (uses[node.layer] or 0) + 1 end
  for i, layer in ipairs(definition.layers) do
    if layer.kind == "batchnorm" and uses[i - 1] == 1 then found[layer.name] = layer.options.momentum end
  end
  return found
end

--- Whether the statistics are those of a new layer.
local function is_fresh(weights)
  local mean, variance = weights.moving_mean, weights.moving_variance
  if mean.device ~= "cpu" then mean, variance = mean:to "cpu", variance:to "cpu" end
  return mean:abs():max() == 0 and (variance - 1):abs():max() == 0
end

local function add(self, name, momentum, weights)
  local group = self.groups[momentum]
  if not group then
    group = { momentum = momentum, values = {}, before = {} }
    self.groups[momentum] = group
  end
  for _, statistic in ipairs{ "moving_mean", "moving_variance" } do
    group.values[#group.values + 1] = weights[statistic]
    group.before[#group.before + 1] = weights[statistic]:clone()
  end
  self.names[#self.names + 1] = name
end

--- The ramp of a model's batch norms. saved: of save, in a training that is resumed; nil: all that are fresh.
function momentum_ramp.new(model, saved)
  local self = setmetatable({ steps = saved and saved.steps or 0, names = {}, groups = {} }, momentum_ramp)
  local momentums, chosen = momentums_of(model), {}
  for _, name in ipairs(saved and saved.layers or {}) do chosen[name] = true end
  for _, layer in ipairs(model.layers) do
    local momentum = layer.kind == "batchnorm" and layer.trainable and momentums[layer.name]
    if momentum and momentum < 1 and momentum > 0 then
      local weights = layer:weights()
      local is_meant = chosen[layer.name] or not saved and is_fresh(weights)
      if is_meant then add(self, layer.name, momentum, weights) end
    end
  end
  return self
end

--- The momentum of the next update, at most m.
function momentum_ramp:momentum(m) return math.min(m, 1 - 1 / (self.steps + 1)) end

--- Whether any batch norm is still ramped.
function momentum_ramp:is_active()
  for m in pairs(self.groups) do
    if self:momentum(m) < m then return true end
  end
  return false
end

--- Keeps the statistics as they are before a step.
function momentum_ramp:before()
  for _, group in pairs(self.groups) do lurcher.lerp(group.before, group.values, 1) end
end

--- Corrects what the step made of them: old + (new - old) * (1 - ramped) / (1 - m).
function momentum_ramp:after()
  for m, group in pairs(self.groups) do
    local ramped = self:momentum(m)
    if ramped < m then
      lurcher.lerp(group.before, group.values, (1 - ramped) / (1 - m))
      lurcher.lerp(group.values, group.before, 1)
    end
  end
  self.steps = self.steps + 1
end

--- What a resume needs, fit for JSON; nil where nothing is ramped any more.
function momentum_ramp:save()
  if #self.names == 0 or not self:is_active() then return nil end
  return { steps = self.steps, layers = lurcher.json.array(self.names) }
end

--- Whether a value is what save gives.
function momentum_ramp.is_saved(value)
  if type(value) ~= "table" or type(value.layers) ~= "table" then return false end
  for _, name in ipairs(value.layers) do if type(name) ~= "string" then return false end end
  return (math.tointeger(type(value.steps) == "number" and value.steps) or -1) >= 0
end

return momentum_ramp
