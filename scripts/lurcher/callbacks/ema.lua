--- lurcher.callbacks.ema: the callback behind on.ema: an exponential moving average of the weights, which is validated,
-- kept as the best, and left in the model when training ends; training itself continues with the live weights.
--
-- After update t (from 1), average += (1 - d) * (weight - average), d = min(decay, (1 + t) / (warmup + t)): Polyak and
-- Juditsky, "Acceleration of stochastic approximation by averaging" (1992), with the warm-up of TensorFlow 1.x's
-- ExponentialMovingAverage (num_updates, warmup 10). The first average is the weights that training begins with.
-- Batch norms' moving statistics are averaged like weights, as in timm's ModelEmaV2 and the EfficientNet code: the live
-- ones belong to features of the live weights. Layers that do not learn are left out.
-- Averages are kept on the device that trains, and take as many bytes as the weights that learn; a step updates all of
-- them in one call without waiting for the device. A checkpoint of on.checkpoint holds them.

local lurcher = require "lurcher"
local common = require "lurcher.callbacks.common"

local function check_range(name, value, low, high)
  if type(value) ~= "number" or not (value >= low and value < high) then
    error(lurcher.format("bad option '%s' to 'on.ema' (number of at least %g%s expected, got %s)", name, low,
      high < math.huge and lurcher.format(" and under %g", high) or "", value), 3)
  end
end

local ema = { kind = "ema" }
ema.__index = ema

--- The averages by LAYER/WEIGHT, for a checkpoint.
function ema:tensors()
  local named = {}
  for _, entry in ipairs(self.list) do named[entry.key] = entry.average end
  return named
end

function ema:save() return { updates = self.updates } end

function ema:load(saved, tensors)
  if not tensors then
    error("on.ema: resume needs the path of a checkpoint: its text alone has no averages", 0)
  end
  self.updates, self.loaded = math.tointeger(saved.updates) or 0, tensors
end

--- The average that training continues from: a checkpoint's, or the current weights.
local function first_average(entry, loaded)
  if not loaded then return entry.value:clone() end
  local average = loaded[entry.key]
  if not average then error(("on.ema: the checkpoint has no average of '%s'"):format(entry.key), 0) end
  return average:to(entry.value.device)
end

function ema:on_train_begin(state)
  self.list, self.live = common.learned(state.model, state.run), nil
  self.averages, self.values = {}, {}
  for i, entry in ipairs(self.list) do
    entry.average = first_average(entry, self.loaded)
    self.averages[i], self.values[i] = entry.average, entry.value
  end
  self.updates, self.loaded = self.loaded and self.updates or 0, nil
end

function ema:on_batch_end()
  self.updates = self.updates + 1
  local decay = math.min(self.decay, (1 + self.updates) / (self.warmup + self.updates))
  lurcher.lerp(self.averages, self.values, 1 - decay)
end

--- The model is about to be used for inference: the averages replace the live weights, which are kept.
function ema:on_use_begin()
  if self.live then return end
  self.live = {}
  for i, entry in ipairs(self.list) do
    self.live[i] = entry.value:clone()
    entry.layer:set_weight(entry.name, entry.average)
  end
end

--- Training continues: the live weights come back.
function ema:on_use_end()
  if not self.live then return end
  for i, entry in ipairs(self.list) do entry.layer:set_weight(entry.name, self.live[i]) end
  self.live = nil
end

--- on.ema{ decay = 0.999, warmup = 10 }; see callbacks.lua.
return function(given)
  local o = common.settings("ema", given or {}, { decay = 0.999, warmup = 10 }, "decay")
  if o[1] ~= nil then o.decay = o[1] end
  check_range("decay", o.decay, 0, 1)
  check_range("warmup", o.warmup, 0, math.huge)
  return setmetatable({ decay = o.decay, warmup = o.warmup, updates = 0 }, ema)
end
