--- lurcher.callbacks.tensorboard: the callback behind on.tensorboard: logs, images and histograms for TensorBoard.
-- Folders and tags are those of Keras's callback: DIR/train and DIR/validation have epoch_loss, epoch_acc, ... by epoch
-- (from 1, as in history.csv), DIR/train also epoch_learning_rate; DIR/steps has batch_loss, ... by step, where asked
-- for. Each folder has one meaning of "step". Each start makes new files, and says from which step on earlier ones do
-- not count: the epochs of a training that was killed are there once, and a new training in the folder replaces the
-- earlier one.

local lurcher = require "lurcher"
local common = require "lurcher.callbacks.common"
local logs_of = require "lurcher.logs"
local tensorboard = require "lurcher.tensorboard"

local board = { kind = "tensorboard" }
board.__index = board

local skipped <const> = { epoch = true, lr = true, seconds = true, wait_seconds = true, check_seconds = true }

--- The writer of a subfolder, made at its first use. from: the first step that this start of the training writes.
local function writer_of(self, name, from)
  if not self.writers[name] then
    local folder = name == "" and self.folder or self.folder .. "/" .. name
    -- also at the first start: TensorBoard takes the second such event of a folder for a restart
    self.writers[name] = tensorboard.writer{ folder, from_step = self.resumed and from or 1 }
  end
  return self.writers[name]
end

--- What `hparams` lists beside its values.
local metrics <const> = { { group = "validation", tag = "epoch_loss" }, { group = "validation", tag = "epoch_acc" },
  { group = "train", tag = "epoch_loss" }, { group = "train", tag = "epoch_acc" } }

function board:on_train_begin(state)
  self.writers, self.state, self.epoch = {}, state, state.epoch
  self.resumed = self.loaded ~= nil or state.epoch > 0
  self.before, self.loaded = self.loaded or 0, nil
  writer_of(self, "train", state.epoch + 1)
  if self.hparams then
    self.writers[""] = tensorboard.writer{ self.folder } -- has no steps
    self.writers[""]:hparams(self.hparams, metrics):flush()
  end
end

function board:on_epoch_begin(epoch)
  if epoch ~= self.epoch then self.before, self.epoch = self.before + (self.last or 0), epoch end
  self.last = nil
end

function board:on_batch_end(step, logs)
  self.last = step
  if self.steps == 0 or step % self.steps ~= 0 then return end
  local at = self.before + step
  local writer = writer_of(self, "steps", at)
  for _, name in ipairs(logs_of.names(logs.batch)) do
    if name ~= "samples" then writer:scalar("batch_" .. name, logs.batch[name], at) end
  end
  writer:scalar("batch_learning_rate", self.state.run.lr, at)
end

--- An image that a network was given, as values from 0 to 255: from -1 to 1, from 0 to 1, or whatever its range is.
local function viewable(image)
  local low, high = image:min(), image:max()
  if low - low ~= 0 or high - high ~= 0 then return nil end
  if low >= -1.001 and high <= 1.001 then
    return low < -0.001 and (image + 1) * 127.5 or image * 255
  end
  if low >= 0 and high <= 255.5 then return image end
  return (image - low) * (255 / math.max(high - low, 1e-12))
end

--- The first images of the last training batch, in every input that is a batch of images.
local function add_images(self, writer, epoch, state)
  for _, input in ipairs(self.images > 0 and state.model.inputs or {}) do
    local value = state.batch and state.batch[input]
    local shape = type(value) == "userdata" and value.shape or {}
    if #shape == 4 and (shape[4] == 3 or shape[4] == 1) then
      local host = common.on_host(value:rows(1, math.min(self.images, shape[1]))):cast "f32"
      for i = 1, #host do
        local shown = viewable(host[i])
        if shown then writer:image(("%s/%d"):format(input, i), shown, epoch) end
      end
    end
  end
end

--- The weights that learn, and with `gradients` those of the last step.
local function add_histograms(self, writer, epoch, state)
  for _, entry in ipairs(common.learned(state.model, state.run)) do
    writer:histogram(entry.key, entry.value, epoch)
    if self.gradients and entry.layer.trainable then
      local known, gradient = pcall(state.run.gradient, state.run, entry.layer.name, entry.name)
      if known then writer:histogram("gradients/" .. entry.key, gradient, epoch) end
    end
  end
end

function board:on_epoch_done(epoch, logs, state)
  local number = epoch + 1
  for _, name in ipairs(logs_of.names(logs, state.model.outputs)) do
    local base = name:match "^val_(.+)$"
    if base then writer_of(self, "validation", number):scalar("epoch_" .. base, logs[name], number)
    elseif not skipped[name] then self.writers.train:scalar("epoch_" .. name, logs[name], number) end
  end
  if logs.lr then self.writers.train:scalar("epoch_learning_rate", logs.lr, number) end
  if number % self.every == 0 then
    add_images(self, self.writers.train, number, state)
    if self.histograms then add_histograms(self, self.writers.train, number, state) end
  end
  for _, writer in pairs(self.writers) do writer:flush() end
end

function board:on_train_end(state)
  local root = self.writers[""]
  if root and not state.interrupted then root:finish(state.failed and "failure" or "success") end
  for _, writer in pairs(self.writers) do writer:close() end
end

--- The number of steps before the epoch that a resume continues.
function board:save()
  local state = self.state
  return { before = self.before + (state.done and state.step or 0) }
end

function board:load(saved)
  self.loaded = math.tointeger(type(saved.before) == "number" and saved.before) or 0
end

--- on.tensorboard{ DIR, steps =, images =, histograms =, gradients =, every =, hparams = }; see callbacks.lua.
return function(given)
  local o = common.settings("tensorboard", given, { steps = 0, images = 0, histograms = false, gradients = false,
    every = 1, hparams = false }, "folder")
  if type(o[1]) ~= "string" then error("on.tensorboard: a folder expected as first option", 3) end
  for name, least in pairs{ steps = 0, images = 0, every = 1 } do
    if math.type(o[name]) ~= "integer" or o[name] < least then
      error(lurcher.format("bad option '%s' to 'on.tensorboard' (integer of at least %d expected, got %s)", name, least,
        o[name]), 3)
    end
  end
  return setmetatable({ folder = o[1], steps = o.steps, images = o.images, histograms = o.histograms or o.gradients,
    gradients = o.gradients, every = o.every, hparams = o.hparams }, board)
end
