--- lurcher.progress: the callback behind on.progress: a line per epoch, and within an epoch its place, images per
-- second and remaining time. lurcher.ticker has the options, and decides how lines appear on a terminal and elsewhere.

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"
local ticker = require "lurcher.ticker"

local function value_text(name, value)
  if name == "lr" then return lurcher.format("lr %.3g", value) end
  return lurcher.format("%s %.4f", name, value)
end

--- "loss 0.5123  acc 0.8125", without counters and times.
local function logs_text(logs, outputs)
  local parts = {}
  for _, name in ipairs(logs_of.names(logs, outputs)) do
    if name ~= "epoch" and not name:find "seconds$" then parts[#parts + 1] = value_text(name, logs[name]) end
  end
  return table.concat(parts, "  ")
end

--- Number of steps per epoch where the loader has its number of batches, else nil.
local function steps_of(loader, accumulate)
  if type(loader) == "function" then return nil end
  local ok, count = pcall(function() return #loader end)
  return ok and type(count) == "number" and count > 0 and math.ceil(count / accumulate) or nil
end

local function bar(done, total)
  local width = 20
  local filled = math.min(width, width * done // total)
  return ("[%s%s]"):format(("="):rep(filled), (" "):rep(width - filled))
end

local progress = {}
progress.__index = progress

function progress:on_train_begin(state)
  self.started, self.first = lurcher.time(), state.epoch
  self.batches = steps_of(state.loader, state.accumulate or 1)
  local digits = #tostring(state.epochs)
  self.head = "epoch %" .. digits .. "d/%d"
end

function progress:on_epoch_begin(_, _, state)
  self.epoch_started, self.ticker.shown = lurcher.time(), lurcher.time()
  self.first_step = state.step
end

--- The line within an epoch: place, means so far, images per second, time until its end.
function progress:running(step, logs, state)
  local now = lurcher.time()
  local total = self.batches
  local parts = { self.head:format(state.epoch + 1, state.epochs) }
  parts[#parts + 1] = total and ("%d/%d"):format(step, total) or ("batch %d"):format(step)
  if total and self.ticker.terminal then parts[#parts + 1] = bar(step, total) end
  parts[#parts + 1] = logs_text(logs, state.model and state.model.outputs)
  parts[#parts + 1] = ticker.rate(state.samples, state.seconds)
  if total and step > self.first_step then
    local left = (now - self.epoch_started) / (step - self.first_step) * (total - step)
    parts[#parts + 1] = "ETA " .. logs_of.duration(left)
  end
  return table.concat(parts, "  ")
end

function progress:on_batch_end(step, logs, state)
  if self.ticker:is_due() then self.ticker:show(self:running(step, logs, state)) end
end

function progress:on_epoch_done(epoch, logs, state)
  local now = lurcher.time()
  local line = { self.head:format(epoch + 1, state.epochs), logs_text(logs, state.model and state.model.outputs),
    logs_of.duration(now - self.epoch_started), ticker.rate(state.samples, state.seconds) }
  local left = state.epochs - epoch - 1
  if left > 0 and not state.stop then
    line[#line + 1] = "ETA " .. logs_of.duration((now - self.started) / (epoch + 1 - self.first) * left)
  end
  self.ticker:finish(table.concat(line, "  "))
  for _, loader in ipairs{ state.loader, state.valid } do
    for _, line_of_damage in ipairs(logs_of.damage(loader, self.named)) do self.ticker:finish(line_of_damage) end
  end
end

function progress:on_train_end(state)
  if state.interrupted then
    self.ticker:break_line()
    self.ticker:finish(("interrupted in epoch %d after %d batches"):format(state.epoch + 1,
      state.step * (state.accumulate or 1)))
  elseif state.stop and state.epoch < state.epochs then
    self.ticker:finish(("stopped early after epoch %d: no improvement"):format(state.epoch))
  end
end

return function(given)
  return setmetatable({ kind = "progress", ticker = ticker(given), named = {} }, progress)
end
