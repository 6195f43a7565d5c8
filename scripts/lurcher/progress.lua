--- lurcher.progress: the callback behind on.progress: a line per epoch, and within an epoch its place, images per
-- second and remaining time. On a terminal a line takes no more than its width: what matters least is left out first.
-- It also says, in one line, where training accuracy is high and validation accuracy that of guessing. lurcher.ticker
-- has the options, and decides how lines appear on a terminal and elsewhere.

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"
local ticker = require "lurcher.ticker"

--- Ranks of a line's parts: the largest are left out first.
local rank <const> = { place = 1, loss = 2, acc = 3, val_loss = 3, val_acc = 3, eta = 4, time = 5, rate = 6, bar = 7,
  other_acc = 8, lr = 9, other = 10 }

local function value_text(name, value)
  if name == "lr" then return lurcher.format("lr %.3g", value) end
  return lurcher.format("%s %.4f", name, value)
end

--- The accuracy that matters most among names of logs: the only one, that of two backbones together, or the first
-- category's of a model of pairs.
local function main_accuracy(names)
  local is_there = {}
  for _, name in ipairs(names) do is_there[name] = true end
  for _, name in ipairs{ "acc", "ctg_out_acc", "ctg_out_1_acc" } do if is_there[name] then return name end end
  for _, name in ipairs(names) do
    if name:find "acc$" and not name:find "^val_" then return name end
  end
end

local function rank_of(name, main)
  if name == main then return rank.acc end
  if main and name == "val_" .. main then return rank.val_acc end
  return rank[name] or (name:find "acc$" and rank.other_acc or rank.other)
end

--- Adds the parts "loss 0.5123", "acc 0.8125", ... of logs, without counters and times.
local function add_logs(parts, logs, outputs)
  local names = logs_of.names(logs, outputs)
  local main = main_accuracy(names)
  for _, name in ipairs(names) do
    if name ~= "epoch" and not name:find "seconds$" then
      parts[#parts + 1] = { value_text(name, logs[name]), rank_of(name, main) }
    end
  end
end

--- Number of steps per epoch where the loader has its number of batches, else nil.
local function steps_of(loader, accumulate)
  if type(loader) == "function" then return nil end
  local ok, count = pcall(function() return #loader end)
  return ok and type(count) == "number" and count > 0 and math.ceil(count / accumulate) or nil
end

local progress = {}
progress.__index = progress

function progress:on_train_begin(state)
  self.started, self.first = lurcher.time(), state.epoch
  self.batches = steps_of(state.loader, state.accumulate or 1)
  if self.batches and state.steps then self.batches = math.min(self.batches, state.steps) end
  self.guessing, self.warned = 0, false
  local digits = #tostring(state.epochs)
  self.head = "epoch %" .. digits .. "d/%d"
end

function progress:on_epoch_begin(_, _, state)
  self.epoch_started, self.ticker.shown = lurcher.time(), lurcher.time()
  self.first_step = state.step
end

--- The parts of the line within an epoch: place, means so far, images per second, time until its end.
function progress:running(step, logs, state)
  local total = self.batches
  local place = total and ("%d/%d"):format(step, total) or ("batch %d"):format(step)
  local parts = { { self.head:format(state.epoch + 1, state.epochs), rank.place }, { place, rank.place } }
  if total and self.ticker.terminal then parts[#parts + 1] = { ticker.bar(step, total), rank.bar } end
  add_logs(parts, logs, state.model and state.model.outputs)
  parts[#parts + 1] = { ticker.rate(state.samples, state.seconds), rank.rate }
  if total and step > self.first_step then
    local left = (lurcher.time() - self.epoch_started) / (step - self.first_step) * (total - step)
    parts[#parts + 1] = { "ETA " .. logs_of.duration(left), rank.eta }
  end
  return parts
end

function progress:on_batch_end(step, logs, state)
  if self.ticker:is_due() then self.ticker:show(self:running(step, logs, state)) end
end

-- ---- validation like guessing ----

local HIGH <const>, EPOCHS <const> = 0.8, 3 -- training accuracy; epochs in a row before it is said

--- The output whose training accuracy is high while its validation accuracy is at most half as much again as that of
-- guessing, and the number of its classes; nil for none.
local function guessed_output(logs, model)
  for _, output in ipairs(model and model.outputs or {}) do
    local one = #model.outputs == 1
    local acc, val = logs[one and "acc" or output .. "_acc"], logs[one and "val_acc" or "val_" .. output .. "_acc"]
    local known, shape = pcall(function() return model:node(output).shape end)
    local classes = known and #shape == 1 and shape[1] or 0
    if acc and val and classes > 1 and acc >= math.max(HIGH, 3 / classes) and val <= 1.5 / classes then
      return output, classes
    end
  end
end

--- Whether a batch norm of the model learns, whose moving statistics may be the cause.
local function has_batchnorm(model)
  for _, layer in ipairs(model.layers) do
    if layer.kind == "batchnorm" and layer.trainable then return true end
  end
  return false
end

function progress:watch(logs, state, is_last)
  local output, classes = guessed_output(logs, state.model)
  self.guessing = output and self.guessing + 1 or 0
  if not output or self.warned or not (is_last or self.guessing >= EPOCHS) then return end
  self.warned = true
  local prefix = #state.model.outputs == 1 and "" or output .. "_"
  self.ticker:finish(lurcher.format("training accuracy is %.2f, but validation is as good as guessing (%.2f of %d "
    .. "classes): the images are memorised (more of them, or augmentation)%s, or validation has other labels",
    logs[prefix .. "acc"], logs["val_" .. prefix .. "acc"], classes, has_batchnorm(state.model)
    and ", the batch norms' moving statistics are of too few steps (lower bn_momentum, or train longer)" or ""))
end

function progress:on_epoch_done(epoch, logs, state)
  local now = lurcher.time()
  local parts = { { self.head:format(epoch + 1, state.epochs), rank.place } }
  add_logs(parts, logs, state.model and state.model.outputs)
  parts[#parts + 1] = { logs_of.duration(now - self.epoch_started), rank.time }
  parts[#parts + 1] = { ticker.rate(state.samples, state.seconds), rank.rate }
  local left = state.epochs - epoch - 1
  if left > 0 and not state.stop then
    parts[#parts + 1] = { "ETA " .. logs_of.duration((now - self.started) / (epoch + 1 - self.first) * left), rank.eta }
  end
  self.ticker:finish(parts)
  for _, loader in ipairs{ state.loader, state.valid } do
    for _, line_of_damage in ipairs(logs_of.damage(loader, self.named)) do self.ticker:finish(line_of_damage) end
  end
  self:watch(logs, state, left <= 0 or state.stop)
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
