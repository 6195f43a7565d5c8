--- lurcher.callbacks.nan_guard: the callback behind on.nan_guard: ends training at the first loss or weight that is not
-- finite, names the layer where that began, and puts the last finite weights back. It never continues by itself: what
-- to change (learning rate, clipping, an image) is the user's decision.
--
-- The layer is found by repeating the step from the weights before it: the first layer whose output is not finite, in
-- forward order; else the first gradient that is not, in backward order; else the update itself.
-- Until then the host reads results only: the step itself checks whether the weights are finite (run.watch), and the
-- last finite ones are kept on the device that trains.

local lurcher = require "lurcher"
local common = require "lurcher.callbacks.common"
local nn = lurcher.nn

local guard = { kind = "nan_guard" }
guard.__index = guard

local function is_finite(number) return number - number == 0 end

--- The mean is computed in double, where finite f32 cannot overflow: it is finite exactly if every element is.
local function all_finite(tensor) return is_finite(common.on_host(tensor):mean()) end

--- The first result, by name, that is not finite: "loss is nan"; or nil.
local function bad_result(results)
  local names = {}
  for name, value in pairs(results) do
    if type(value) == "number" and not is_finite(value) then names[#names + 1] = name end
  end
  table.sort(names)
  return names[1] and ("%s is %s"):format(names[1], (tostring(results[names[1]]):gsub("^%-nan", "nan")))
end

--- The first weight that is not finite, or nil.
local function bad_weight(list)
  for _, entry in ipairs(list) do
    if not all_finite(entry.value) then return entry end
  end
end

-- ---- where it began ----

local function bad_input(model, batch)
  for _, name in ipairs(model.inputs) do
    local value = batch[name]
    if type(value) == "userdata" and value.dtype ~= "i32" and not all_finite(value) then
      return ("the batch itself has values in '%s' that are not finite."):format(name)
    end
  end
end

--- The first of these layers, in their order, whose output for the batch is not finite.
local function bad_output(model, names, batch, device)
  local nodes = {}
  for _, name in ipairs(names) do nodes[name] = model:node(name) end
  local run <close> = nn.model(nodes):compile{ device = device }
  local outputs = run:forward(batch, { training = true })
  for _, name in ipairs(names) do
    if not all_finite(outputs[name]) then return name end
  end
end

--- A few layers at a time, so that the search needs little more memory than the step.
local function bad_layer(model, batch, device)
  local few <const>, names = 8, {}
  for i, layer in ipairs(model.layers) do
    if layer.kind ~= "input" and layer.kind ~= "index" then names[#names + 1] = layer.name end
    if #names == few or i == #model.layers and #names > 0 then
      local name = bad_output(model, names, batch, device)
      if name then return ("the output of layer '%s' is the first that is not finite"):format(name) end
      names = {}
    end
  end
end

--- From the last layer to the first, as gradients are made.
local function bad_gradient(run, batch, list)
  local by_layer = {}
  for _, entry in ipairs(list) do
    local name = entry.layer.name
    by_layer[name] = by_layer[name] or {}
    table.insert(by_layer[name], entry.name)
  end
  run:zero_gradients()
  run:accumulate(batch)
  local layers = run.model.layers
  for i = #layers, 1, -1 do
    for _, weight in ipairs(layers[i].trainable and by_layer[layers[i].name] or {}) do
      local known, gradient = pcall(run.gradient, run, layers[i].name, weight) -- moving statistics have none
      if known and not all_finite(gradient) then
        run:zero_gradients()
        return ("outputs are finite, but the gradient of layer '%s' (%s) is not, the first in backward order"):format(
          layers[i].name, weight)
      end
    end
  end
  run:zero_gradients()
end

--- Where it began, and what to try. weight: the one that is not finite, if any.
local function find_fault(self, state, weight)
  local model, batch = state.model, state.batch
  local fault = bad_input(model, batch)
  if fault then return fault end
  fault = bad_layer(model, batch, state.run.device) or bad_gradient(state.run, batch, self.list) or weight
    and ("outputs and gradients are finite, but '%s' after the update is not"):format(weight.key)
  return (fault or "when the step is repeated, everything is finite")
    .. ". Lower the learning rate, or set the optimizer's clip_norm."
end

-- ---- the callback ----

function guard:on_train_begin(state)
  self.list = common.learned(state.model, state.run)
  local bad = bad_weight(self.list)
  if bad then error(("on.nan_guard: '%s' is not finite before training begins"):format(bad.key), 0) end
  self.good, self.values = {}, {}
  for i, entry in ipairs(self.list) do
    entry.good = entry.value:clone()
    self.good[i], self.values[i] = entry.good, entry.value
  end
  state.run.watch = true
end

function guard.on_train_end(_, state) state.run.watch = false end

--- Puts the last finite state back. Returns a sentence about it.
local function restore(self, state)
  for _, entry in ipairs(self.list) do entry.layer:set_weight(entry.name, entry.good) end
  if not self.path then return "The weights from before that step have been restored." end
  local text, message = state.run:restore(self.path)
  if text then return ("The weights of '%s' have been restored."):format(self.path) end
  return ("The weights from before that step have been restored (%s)."):format(message)
end

local function fail(self, state, what, fault)
  state.failed = ("on.nan_guard: %s in step %d of epoch %d: %s %s"):format(what, state.step, state.epoch + 1,
    fault, restore(self, state))
  self.out:write(state.failed, "\n")
end

function guard:on_batch_end(step, logs, state)
  local result = bad_result(logs.batch)
  local looks = step % self.every == 0
  local sound = not result and state.run.finite -- nil: a run that does not check by itself
  local weight = not sound and (result or looks) and bad_weight(self.list)
  if result or weight then
    for _, entry in ipairs(self.list) do entry.layer:set_weight(entry.name, entry.good) end
    fail(self, state, result or ("'%s' is not finite"):format(weight.key), find_fault(self, state, weight))
  elseif looks then
    lurcher.lerp(self.good, self.values, 1)
  end
end

function guard:on_epoch_end(_, logs, state)
  local result = bad_result(logs)
  if result then fail(self, state, result, "losses and weights of the training steps are finite.") end
end

--- on.nan_guard{ restore =, every = }; see callbacks.lua.
return function(given)
  local o = common.settings("nan_guard", given or {}, { restore = false, every = 1, out = io.stderr })
  if math.type(o.every) ~= "integer" or o.every < 1 then
    error(lurcher.format("bad option 'every' to 'on.nan_guard' (integer of at least 1 expected, got %s)", o.every),
      2)
  end
  return setmetatable({ path = o.restore, every = o.every, out = o.out }, guard)
end
