--- lurcher.pair_stage: one stage of the recipes that train the multi-loss model in several: a folder of its own,
-- trained once, resumed where it was stopped, and left with a model that the next stage and the tests start from.
-- A stage's folder holds history.csv, checkpoints/{last,best}.safetensors and, once it is done, model.safetensors (the
-- classifier), pairs.safetensors (the whole model of pairs) and stage.json (epochs, seconds, validation). The run's
-- folder gets the newest stage's two models, and a history.csv of all its stages, unless the stage lies elsewhere.
-- What a stage trains, for how long and by which rule, is the recipe's.

local lfs = require "lfs"
local lurcher = require "lurcher"
local augmentations = require "lurcher.augmentations"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local logs_of, run_folder = require "lurcher.logs", require "lurcher.recipe.run_folder"
local report = require "lurcher.report"
local pair_data, siamese = require "lurcher.recipe.pairs", require "lurcher.siamese"
local temperature = require "lurcher.temperature"

local pair_stage = {}

local function read_json(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local value, message = lurcher.json.decode(file:read "a")
  file:close()
  if value == nil then error(("'%s' is damaged: %s"):format(path, message), 0) end
  return value
end

--- The stages that a run has finished, in order: { name, number, path, epochs, seconds, validation, history }.
function pair_stage.list(path)
  local found = {}
  for name in lfs.dir(path) do
    local record = name:sub(1, 1) ~= "." and read_json(path .. "/" .. name .. "/stage.json")
    if record then
      record.path = path .. "/" .. name
      found[#found + 1] = record
    end
  end
  table.sort(found, function(a, b) return a.number < b.number end)
  return found
end

--- A run's model of pairs and what was saved with it. Raises where there is none.
function pair_stage.open_model(path)
  local file = lfs.attributes(path, "mode") == "directory" and path .. "/pairs.safetensors" or path
  local model, extra = lurcher.nn.load(file)
  if not model then error(("%s (a run of froze_fine_tune with a finished stage expected)"):format(extra), 0) end
  local about = lurcher.json.decode(extra)
  if type(about) ~= "table" or type(about.classes) ~= "table" then
    error(("'%s' has weights but no classes: expected the pairs.safetensors of a run"):format(file), 0)
  end
  return model, about
end

--- Options that a resumed run may change: no result depends on them.
pair_stage.may_change = { device = true, workers = true, memory = true, report = true,
  cache = true, ["cache-limit"] = true }

--- For options.main's `adjust`, of a recipe that continues a run (--run): its images and its folder follow from that
-- run where they are not given. Returns values, or nil and a message.
function pair_stage.adjusted(spec, values, given)
  local adjusted, message = run_folder.resumed(spec, values, given, pair_stage.may_change)
  if not adjusted or values.resume then return adjusted, message end
  if not values.run then return nil, "option --run RUN is missing: the run folder to continue from" end
  local settings = read_json(values.run .. "/settings.json")
  if not settings then return nil, ("'%s' is no run folder: it has no settings.json"):format(values.run) end
  values.data = values.data or settings.options.data
  if not values.data then return nil, "option --data is missing: the run does not say what it was trained on" end
  values.out = values.out or values.run .. "/" .. spec.name
  return values
end

--- Writes the run's history.csv: those of its stages one after the other, epochs counted through, with a column
-- `stage`, their number.
local function join_histories(whole)
  local history = {}
  for _, record in ipairs(pair_stage.list(whole.path)) do
    for _, logs in ipairs(record.history) do
      local row = { stage = record.number }
      for name, value in pairs(logs) do row[name] = value end
      row.epoch = #history
      history[#history + 1] = row
    end
  end
  whole:write("history.csv", logs_of.csv(history, siamese.outputs))
end

local function save_models(model, folder, about, device)
  local extra = lurcher.json.encode(about)
  for name, part in pairs{ pairs = model, model = siamese.classifier(model) } do
    local run <close> = part:compile{ device = device }
    assert(run:save(folder:file(name .. ".safetensors"), extra))
  end
end

--- Whether a stage's folder lies in its run's: one that was put elsewhere by --out leaves the run as it is.
local function is_within(folder, whole) return folder.path:match "^(.*)/[^/]*$" == whole.path end

local function put_back(model, folder, name)
  local report, message = model:load(folder:file "pairs.safetensors")
  if not report then error(message, 0) end
  print(("stage '%s' is done already: %s"):format(name, folder:file "pairs.safetensors"))
  return read_json(folder:file "stage.json")
end

local function callbacks_of(o, s, folder)
  local era = o.era == "2017" and "2017" or nil
  local list = { on.checkpoint{ folder:file "checkpoints/last.safetensors" }, on.csv(folder:file "history.csv"),
    on.nan_guard{} }
  if s.ema and s.ema > 0 then table.insert(list, 1, on.ema{ decay = s.ema }) end
  if s.schedule then list[#list + 1] = on.schedule(s.schedule) end
  if not s.schedule and o.reduce_patience > 0 then
    list[#list + 1] = on.reduce_lr{ patience = o.reduce_patience, factor = o.reduce_factor, era = era }
  end
  list[#list + 1] = on.early_stop{ patience = s.patience and s.patience > 0 and s.patience or math.huge, era = era,
    restore_best = o.era ~= "2017" and folder:file "checkpoints/best.safetensors" }
  return list
end

local function compiled(learner, o, s)
  local loss = "categorical_crossentropy"
  return learner:compile{ device = o.device, optimizer = s.optimizer, batchnorm = o.era == "2017" and "batch" or nil,
    loss = { ctg_out_1 = loss, ctg_out_2 = loss, bin_out = loss },
    weight = { ctg_out_1 = 1, ctg_out_2 = 1, bin_out = s.pair_weight },
    label_smoothing = { ctg_out_1 = s.label_smoothing or 0, ctg_out_2 = s.label_smoothing or 0 } }
end

--- What the category heads say about the images of a loader: { [head] = { probabilities, ids } }; nil after Ctrl-C.
local function say(learning, learner, loader)
  local said = { ctg_out_1 = { {}, {} }, ctg_out_2 = { {}, {} } }
  for batch in loader:epoch(0) do
    local inputs = {}
    for _, name in ipairs(learner.inputs) do inputs[name] = batch[name] end
    local good, outputs = pcall(learning.predict, learning, inputs)
    if lurcher.interrupted() or not good and tostring(outputs):find "interrupted$" then return nil end
    if not good then error(outputs, 0) end
    for head, lists in pairs(said) do
      table.insert(lists[1], outputs[head])
      table.insert(lists[2], batch[head])
    end
  end
  for head, lists in pairs(said) do said[head] = { lurcher.concat(lists[1]), lurcher.concat(lists[2]) } end
  return said
end

--- Divides the logits of each category head by the temperature that suits the validation images. Returns the
-- temperatures by head; nil after Ctrl-C.
local function calibrate(learning, learner, valid)
  local said, fitted = say(learning, learner, valid), {}
  for head, lists in pairs(said or {}) do
    fitted[head] = temperature.fit(lists[1], lists[2])
    temperature.apply(learner:layer(head), fitted[head])
  end
  return said and fitted
end

--- Trains what is trainable of a model of pairs in the folder run.path/s.name, or puts back what was trained there.
-- sets: of pair_data.sets. o: the recipe's options (those of pair_data.options, and reduce_patience, reduce_factor
-- where there is no schedule). run: { path, about }, about being saved with the models (reading.about). s, the stage:
--   name           its folder
--   augment, views see pair_data.open
--   epochs         at most
--   steps          steps an epoch                                                              (o.steps)
--   optimizer
--   pair_weight    of bin_out's loss; the categories' weigh 1 each
--   patience       epochs without gain of val_loss before it stops                                (never early)
--   schedule       learning rate by epoch; without one it is cut on a plateau
--   ema            decay of the averaged weights that are validated and kept                     (0: none)
--   label_smoothing of the categories' losses                                                   (0)
--   mixup          alpha of mixup; of features where the backbone's frozen part is computed once     (0: none)
--   temperature    true: at the end divide the categories' logits by what suits the validation images (false)
--   prepare        function(run, model) before training: layers' own learning rates
--   folder         its run folder, where it is not run.path/s.name
-- The result is the epoch of the least val_loss; in era 2017 the last one. Returns the stage's record; nil after
-- Ctrl-C.
function pair_stage.train(model, sets, o, run, s)
  local whole = setmetatable({ path = run.path }, run_folder)
  local folder = setmetatable({ path = s.folder or run.path .. "/" .. s.name }, run_folder)
  assert(folders.make(folder:file "checkpoints"))
  if folder:existing "stage.json" then return put_back(model, folder, s.name) end
  local started = lurcher.time()
  local learner, train, valid = pair_data.open(model, sets, o, s)
  local learning <close> = compiled(learner, o, s)
  if s.prepare then s.prepare(learning, learner) end
  local options = callbacks_of(o, s, folder)
  options.epochs, options.valid = s.epochs, valid
  options.resume = folder:existing "checkpoints/last.safetensors"
  local history = fit(learning, train, options)
  if history.interrupted then return nil end
  if history.failed then error(("stage '%s' is not done: its training went bad"):format(s.name), 0) end

  local fitted = s.temperature and calibrate(learning, learner, valid)
  local results = (fitted or not s.temperature) and fit.evaluate(learning, valid)
  if not results then return nil end -- Ctrl-C: the last checkpoint brings a resume back to here
  local record = { name = s.name, number = #pair_stage.list(run.path) + 1, epochs = #history, validation = results,
    temperature = fitted or nil, seconds = lurcher.time() - started, history = lurcher.json.array(history) }
  save_models(model, folder, run.about, o.device)
  if is_within(folder, whole) then save_models(model, whole, run.about, o.device) end
  folder:write("stage.json", lurcher.json.encode(record, true) .. "\n")
  if is_within(folder, whole) then join_histories(whole) end
  print(("stage '%s': %d epochs in %s; validation: loss %.4f, ctg_out_1_acc %.4f"):format(s.name, #history,
    logs_of.duration(record.seconds), results.loss, results.ctg_out_1_acc))
  return record
end

--- The option that says which run a recipe continues; pair_stage.adjusted looks for it.
pair_stage.run_option = { "run", "path", value = "RUN",
  help = "run folder of froze_fine_tune to continue from (required, but for --resume)" }

--- Command-line options of a recipe that is one more stage of a run, for options.join behind pair_data.options. given:
-- the defaults of batch, augment, epochs, lr and pair_weight, and the help of lr.
function pair_stage.options(given)
  return {
    { "data", "path", value = "DIR", help = "folder with train/ and valid/ (default: that of the run)" },
    { "batch", "integer", default = given.batch, min = 2, help = "pairs a step" },
    { "pairs", "choice", default = "swap", choices = siamese.pairings,
      help = "how pairs are drawn; see froze_fine_tune" },
    { "tune-from", "integer", default = 105, min = 0, help = "first layer of the backbone to learn, from 0" },
    { "augment", "choice", default = given.augment, choices = augmentations.names, help = augmentations.help },
    { "views", "integer", default = 0, min = 0, max = 1000,
      help = "draw from this many augmented views of an image, computed once; 0: a new view each time" },
    { "epochs", "integer", default = given.epochs, min = 1, help = "passes over the training images" },
    { "lr", "number", default = given.lr, min = 0, help = given.lr_help or "of SGD" },
    { "momentum", "number", default = 0.9, min = 0, max = 1, help = "of SGD" },
    { "pair-weight", "number", default = given.pair_weight, min = 0, help = "of the loss of pairs" },
    { "out", "path", value = "DIR", help = "folder of this stage (default: a folder of its name in RUN)" },
    { "resume", "path", value = "DIR", help = "go on with the stage in this folder, with its settings" },
  }
end

--- Opens what a recipe with pair_stage.options continues: the model of o.run, ready to learn from layer o.tune_from,
-- what is saved with it, and the images.
function pair_stage.open(o)
  lurcher.seed(o.seed)
  if not o.resume then run_folder.check_free(o.out) end
  local model, about = pair_stage.open_model(o.run)
  siamese.tune_from(model, o.tune_from)
  return model, about, pair_data.sets(o, about)
end

--- The stage's folder, made or with o.resume opened; what is saved with the model from now on names it. To be called
-- when nothing can go wrong any more that another option would mend: a folder that is there is not made again.
function pair_stage.open_folder(spec, o, about)
  local folder = o.resume and assert(run_folder.open(o.resume, spec.name)) or run_folder.create(spec, o)
  print("run folder: " .. folder.path)
  about.recipe, about.settings = spec.name, folder.settings
  return folder
end

--- Reports a recipe's last stage and says how to go on, or after Ctrl-C (done: nil) how to resume; returns the exit
-- code. further: a recipe that may come before the test, or nil.
function pair_stage.close(spec, o, folder, done, further)
  if not done then
    print(("continue with: lurcher %s --resume %s"):format(spec.name, folder.path))
    return 130
  end
  print("model: " .. folder:file "model.safetensors")
  if o.report then print("report: " .. report.write(folder, { device = o.device, workers = o.workers })) end
  local run = o.run or folder.path
  if further then further = ("lurcher %s --run %s; "):format(further, run) end
  print(("next: %slurcher baidu_dog_test --run %s --data DIR"):format(further or "", run))
end

return pair_stage
