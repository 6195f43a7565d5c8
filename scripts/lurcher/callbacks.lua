--- lurcher.callbacks: what fit calls between steps and epochs: early stopping, reduction of the learning rate,
-- checkpoints, schedules, a CSV of the logs, TensorBoard, progress lines. Each is a table of methods (see lurcher.fit);
-- a user's own works the same way.
-- Counters follow current Keras; `era = "2017"` follows Keras 2.0.6 (keras/callbacks.py), where patience and epoch
-- numbers in file names are off by one.
-- To add one: a function that returns a table with a `kind`, methods, and save/load if a resume needs its state.
--
--     local on = require "lurcher.callbacks"
--     fit(run, train, { epochs = 30, valid = valid, on.early_stop{ patience = 3 }, on.reduce_lr{ factor = 0.1 },
--       on.checkpoint{ "dog-{epoch:02d}-{val_acc:.2f}.safetensors", every = 2 }, on.csv "history.csv" })

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"
local suggest = require "lurcher.suggest"
local common = require "lurcher.callbacks.common"
local settings, monitored, improved = common.settings, common.monitored, common.improved

local on = {}

--- Keeps the best weights so far: in memory, or in a file that outlives the process.
local function remember(o, state)
  if type(o.restore_best) == "string" then
    assert(state.run:save(o.restore_best, lurcher.json.encode{ epoch = state.epoch }))
    return o.restore_best
  end
  local weights = {}
  for _, layer in ipairs(state.model.layers) do
    for name, tensor in pairs(layer:weights()) do weights[#weights + 1] = { layer, name, tensor:clone() } end
  end
  return weights
end

--- A value of a checkpoint where it is a number, else nil.
local function number(value) return type(value) == "number" and value or nil end

local function bring_back(best, state)
  if type(best) == "string" then
    assert(state.model:load(best))
    return
  end
  for _, entry in ipairs(best) do entry[1]:set_weight(entry[2], entry[3]) end
end

--- Ends training after `patience` epochs without improvement.
-- Options: monitor ("val_loss"), patience (0), min_delta (0), restore_best (false; true: put the best epoch's weights
-- back at the end; a path: the same through a checkpoint there, which a resumed training also has), era.
-- Without improvement, Keras 2.0.6 stops at epoch patience + 1, later versions at epoch patience (at least the first).
function on.early_stop(given)
  local o = settings("early_stop", given or {}, { monitor = "val_loss", patience = 0, min_delta = 0,
    restore_best = false })
  local callback = { kind = "early_stop", wait = 0 }

  function callback:on_epoch_end(epoch, logs, state)
    local value = monitored(self.kind, o.monitor, logs)
    if improved(o.monitor, value, self.best, o.min_delta) then
      self.best, self.best_epoch, self.wait = value, epoch, 0
      if o.restore_best then self.weights = remember(o, state) end
      return
    end
    if o.era == "2017" then
      if self.wait >= o.patience then state.stop = true end
      self.wait = self.wait + 1
    else
      self.wait = self.wait + 1
      if self.wait >= o.patience then state.stop = true end
    end
    if state.stop then self.stopped_epoch = epoch end
  end

  function callback:on_train_end(state)
    if not o.restore_best or state.interrupted then return end
    local best = self.weights or (type(o.restore_best) == "string" and self.best and o.restore_best)
    if best then bring_back(best, state) end
  end

  function callback:save() return { best = self.best, best_epoch = self.best_epoch, wait = self.wait } end
  function callback:load(saved)
    self.best, self.best_epoch, self.wait = number(saved.best), number(saved.best_epoch), number(saved.wait) or 0
  end
  return callback
end

--- Puts the best epoch's weights back at the end, without early stopping.
-- Options: monitor ("val_loss"), min_delta (0), path (nil: kept in memory; a path: in a checkpoint there, which a
-- resumed training also has).
function on.best(given)
  local o = settings("best", given or {}, { monitor = "val_loss", min_delta = 0, path = false })
  local callback = on.early_stop{ monitor = o.monitor, min_delta = o.min_delta, patience = math.huge,
    restore_best = o.path or true }
  callback.kind = "best"
  return callback
end

--- Keeps an exponential moving average of the weights: it is validated, kept as the best and left in the model at the
-- end (lurcher.callbacks.ema has the formula). A resumed training gives the same bits.
-- Options: decay (0.999), the weight of the old average at each step; warmup (10): after step t the decay is at most
-- (1 + t) / (warmup + t), so that the first steps are soon forgotten; 0: no such limit.
function on.ema(given)
  return require "lurcher.callbacks.ema"(given)
end

--- Ends training at the first loss or weight that is not finite, and names the layer where that began; the reason is in
-- history.failed and on the error stream. The epoch does not count, so that no checkpoint is overwritten.
-- Options: restore (nil: the weights from before the step come back; a path: the checkpoint there does, with the
-- optimizer's state, if it can be read), every (1: steps between two checks of the weights, and between two copies of
-- them, which stay on the device; the loss is checked in every step), out (io.stderr; any object with write).
-- Put it before on.checkpoint{ steps = }, and before whatever else must not see such weights.
function on.nan_guard(given)
  return require "lurcher.callbacks.nan_guard"(given)
end

--- Multiplies the learning rate by `factor` after `patience` epochs without improvement.
-- Options: monitor ("val_loss"), factor (0.1), patience (10), min_delta (1e-4), cooldown (0), min_lr (0), era.
-- Keras 2.0.6 first reduces it after patience + 1 epochs without improvement and then after every `patience`; 2.1.6 and
-- later after every `patience`.
function on.reduce_lr(given)
  local o = settings("reduce_lr", given or {}, { monitor = "val_loss", factor = 0.1, patience = 10, min_delta = 1e-4,
    cooldown = 0, min_lr = 0 })
  if o.factor >= 1 or o.factor <= 0 then
    error(("bad option 'factor' to 'on.reduce_lr' (number between 0 and 1 expected, got %s)"):format(o.factor), 2)
  end
  local callback = { kind = "reduce_lr", wait = 0, cooldown = 0 }

  local function cut(self, state)
    state.run.lr = math.max(state.run.lr * o.factor, o.min_lr)
    self.cooldown, self.wait = o.cooldown, 0
  end

  function callback:on_epoch_end(_, logs, state)
    local value = monitored(self.kind, o.monitor, logs)
    logs.lr = state.run.lr
    if self.cooldown > 0 then self.cooldown, self.wait = self.cooldown - 1, 0 end
    if improved(o.monitor, value, self.best, o.min_delta) then
      self.best, self.wait = value, 0
    elseif self.cooldown == 0 then
      if o.era ~= "2017" then self.wait = self.wait + 1 end
      if self.wait >= o.patience and state.run.lr > o.min_lr * 1.0001 then cut(self, state) end
      if o.era == "2017" then self.wait = self.wait + 1 end
    end
  end

  function callback:save() return { best = self.best, wait = self.wait, cooldown = self.cooldown } end
  function callback:load(saved)
    self.best, self.wait, self.cooldown = number(saved.best), number(saved.wait) or 0, number(saved.cooldown) or 0
  end
  return callback
end

--- Writes a checkpoint that a resume continues from, bit for bit: on.checkpoint{ PATTERN, ... }.
-- PATTERN may hold {epoch:02d} and any log, {val_acc:.2f}; an unknown name ends training with an error.
-- Options: every (1: after each epoch; 2: after the 2nd, 4th, ...), steps (0; n: also after every n batches),
-- best_only (false), monitor ("val_loss", for best_only), interrupted (true: also when Ctrl-C stops training, unless
-- best_only), era ("2017": epochs in the file name count from 0, else from 1).
-- With on.ema, best_only writes the averaged weights that were validated; other checkpoints have those and the latest.
function on.checkpoint(given)
  local o = settings("checkpoint", given, { every = 1, steps = 0, best_only = false, monitor = "val_loss",
    interrupted = true }, "file name pattern")
  if type(o[1]) ~= "string" then error("on.checkpoint: a file name pattern expected as first option", 2) end
  local callback = { kind = "checkpoint", count = 0 }

  local function write(self, logs, state)
    local values = setmetatable({ epoch = o.era == "2017" and state.epoch or state.epoch + 1 }, { __index = logs })
    local path = logs_of.fill(o[1], values, logs)
    local extra = {}
    for key, value in pairs(state.extra) do extra[key] = value end
    local tensors
    extra.fit, tensors = state.snapshot()
    local ok, message = state.run:save(path, lurcher.json.encode(extra), tensors)
    if not ok then error("on.checkpoint: " .. message, 0) end
    self.last_path = path
  end

  function callback:on_train_begin() common.check_folder(self.kind, o[1]) end

  function callback:on_batch_end(step, logs, state)
    if o.steps > 0 and step % o.steps == 0 and not o.best_only then write(self, logs, state) end
  end

  function callback:on_epoch_done(_, logs, state)
    self.count = self.count + 1
    if self.count < o.every then return end
    self.count = 0
    if o.best_only then
      local value = monitored(self.kind, o.monitor, logs)
      if not improved(o.monitor, value, self.best, 0) then return end
      self.best = value
      return state.in_use(function() write(self, logs, state) end)
    end
    write(self, logs, state)
  end

  function callback:on_train_end(state)
    if state.interrupted and o.interrupted and not o.best_only and not state.done then
      write(self, state.sums:into({}, ""), state)
    end
  end

  function callback:save() return { best = self.best, count = self.count } end
  function callback:load(saved) self.best, self.count = number(saved.best), number(saved.count) or 0 end
  return callback
end

--- Sets the learning rate at the beginning of each epoch: on.schedule(function(epoch) return 1e-3 end), epochs from 0.
-- lurcher.schedules has some.
function on.schedule(f)
  if type(f) == "table" and f[1] then f = f[1] end
  local meta = getmetatable(f)
  if type(f) ~= "function" and not (type(meta) == "table" and meta.__call) then
    error(("on.schedule: a function of the epoch expected, got %s (lurcher.schedules has some)"):format(type(f)), 2)
  end
  local callback = { kind = "schedule" }
  function callback.on_epoch_begin(_, epoch, _, state)
    local lr = f(epoch)
    if type(lr) ~= "number" then
      error(("on.schedule: the schedule gave %s for epoch %d (a number expected)"):format(type(lr), epoch), 0)
    end
    state.run.lr = lr
  end
  return callback
end

--- Writes the history as CSV, whole, after each epoch: on.csv "history.csv". The file is replaced, never half-written;
-- a resumed training first writes the earlier epochs again, the last of which may have been lost when the process died.
function on.csv(given)
  local o = settings("csv", given, {}, "file name")
  if type(o[1]) ~= "string" then error("on.csv: a file name expected", 2) end
  local function write(state)
    local ok, message = lurcher.write_file(o[1], logs_of.csv(state.history, state.model.outputs))
    if not ok then error("on.csv: " .. message, 0) end
  end
  local callback = { kind = "csv" }
  function callback:on_train_begin(state)
    common.check_folder(self.kind, o[1])
    if #state.history > 0 then write(state) end
  end
  function callback.on_epoch_done(_, _, _, state) write(state) end
  return callback
end

--- Writes what TensorBoard shows (tensorboard --logdir DIR): on.tensorboard "DIR", or on.tensorboard{ "DIR", ... }.
-- Losses, metrics and the learning rate by epoch, from 1, in DIR/train and DIR/validation, with the names of Keras's
-- callback: epoch_loss, epoch_acc, epoch_OUTPUT_loss, epoch_learning_rate. A resumed training continues them.
-- Options: steps (0; n: also batch_loss, ... of every n-th step, in DIR/steps), images (0; n: the first n images of the
-- last batch, as the network saw them), histograms (false; true: of the weights that learn), gradients (false; true: of
-- the last step's gradients, too), every (1: epochs between two of these images and histograms), hparams (nil; a table
-- of numbers, booleans and strings, for TensorBoard's table of hyperparameters).
function on.tensorboard(given)
  return require "lurcher.callbacks.tensorboard"(given)
end

--- Progress lines with images per second and remaining time. See lurcher.progress.
function on.progress(given)
  given = given == nil and {} or given
  if type(given) ~= "table" then error("on.progress: a table of options expected, got " .. type(given), 2) end
  suggest.check(given, { "every", "out", "terminal", "columns" }, "on.progress", 2)
  return require "lurcher.progress"(given)
end

return suggest.guard(on, "lurcher.callbacks", "callback")
