--- lurcher.recipe.stage: one training of what is trainable of a model, in a folder from which it resumes: it compiles,
-- calls fit with the callbacks that all recipes have, and writes the model. A recipe is one stage or several.
-- The folder gets history.csv, training.json (training_record) and checkpoints/{last,best}.safetensors.

local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local files, image_list = require "lurcher.files", require "lurcher.recipe.image_list"
local learner = require "lurcher.recipe.learner"
local training_record = require "lurcher.recipe.training_record"

local stage = {}

--- Every output is a softmax over classes.
local function compiled(model, o, s)
  local loss = {}
  for _, output in ipairs(model.outputs) do loss[output] = "categorical_crossentropy" end
  return model:compile{ device = o.device, optimizer = s.optimizer, loss = loss, weight = s.weight,
    label_smoothing = s.label_smoothing, batchnorm = o.era == "2017" and "batch" or nil }
end

--- Restores the best epoch's weights at the end; not in era 2017.
local function callbacks(o, s, folder, sets)
  local era, patience = o.era == "2017" and "2017" or nil, s.patience or 0
  local last = folder:file "checkpoints/last.safetensors"
  local list = { on.nan_guard{ restore = last },
    on.early_stop{ patience = patience > 0 and patience or math.huge, era = era,
      restore_best = not era and folder:file "checkpoints/best.safetensors" },
    on.checkpoint{ last }, on.csv(folder:file "history.csv"), image_list.callback(sets) }
  if s.ema and s.ema > 0 then table.insert(list, 1, on.ema{ decay = s.ema }) end
  if s.schedule then
    list[#list + 1] = on.schedule(s.schedule)
  elseif o.reduce_patience > 0 then
    list[#list + 1] = on.reduce_lr{ patience = o.reduce_patience, factor = o.reduce_factor, era = era }
  end
  return list
end

--- on.tensorboard in o.tensorboard, or in the folder there of the stage s.name, with the recipe's options.
local function board(o, s)
  local options = {}
  for name, value in pairs(o) do
    if type(value) ~= "table" then options[name] = value end
  end
  return on.tensorboard{ s.name and o.tensorboard .. "/" .. s.name or o.tensorboard, images = 4, histograms = true,
    hparams = options }
end

local trained = {}

function trained.__close(self) self.run:close() end

--- Trains in a folder (of run_folder), from its last checkpoint where there is one. sets: of class_folders.open. o: the
-- recipe's values, those of common.training, and of common.reduce where there is no schedule. s: the fields of
-- learner.open, and
--   epochs           at most
--   optimizer
--   weight           of each output's loss, by name
--   label_smoothing  of each output's loss, by name                                            (none)
--   schedule         learning rate by epoch                                (reduced on a plateau)
--   patience         epochs without improvement of val_loss before training stops     (0: never early)
--   ema              decay of the averaged weights that are validated and kept                (0: none)
--   bn_ramp          true: the momentum of batch norms that have seen no batch yet rises in the first steps     (false)
--   prepare          function(run, model) before training
--   validation       function(valid, train) -> the loader to validate on                     (valid)
-- Returns a table to be closed: run, model (what learns), valid (its loader) and history. Or nil and an exit code: 130
-- after Ctrl-C, 1 where training diverged.
function stage.train(model, sets, o, folder, s)
  assert(files.make_folders(folder:file "checkpoints"))
  sets.named = sets.named or {}
  local record = training_record.begin(folder)
  local learns, train, valid = learner.open(model, sets, o, s)
  if s.validation then valid = s.validation(valid, train) end
  local self = setmetatable({ run = compiled(learns, o, s), model = learns, valid = valid }, trained)
  if s.prepare then s.prepare(self.run, learns) end
  record:ready(self.run, learns)
  local settings = callbacks(o, s, folder, sets)
  table.insert(settings, record:callback())
  if o.tensorboard then table.insert(settings, board(o, s)) end
  settings.progress = on.progress{}
  settings.progress.named = sets.named -- an image that cannot be read is named once, not in every stage
  settings.epochs, settings.valid, settings.interrupt = s.epochs, valid, "return"
  settings.bn_ramp = s.bn_ramp or false
  settings.resume = folder:existing "checkpoints/last.safetensors"
  self.history = fit(self.run, train, settings)
  record:write(self.history.failed and "diverged" or self.history.interrupted and "interrupted" or "finished")
  if not self.history.interrupted and not self.history.failed then return self end
  self.run:close()
  return nil, self.history.failed and 1 or 130
end

--- Writes a model without its optimizer's state into a folder, as `name`.safetensors with metadata. Returns the path.
function stage.save(model, folder, name, metadata, device)
  local path = folder:file(name .. ".safetensors")
  local run <close> = model:compile{ device = device }
  assert(run:save(path, lurcher.json.encode(metadata)))
  return path
end

return stage
