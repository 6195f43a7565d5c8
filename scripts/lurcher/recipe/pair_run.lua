--- lurcher.recipe.pair_run: runs of the recipes that train the multi-loss model in stages. Each stage has a folder, is
-- trained once, resumes where it was interrupted, and leaves a model that the next stage and the tests start from.
-- Beside the files of recipe.stage, a stage's folder gets, once it is finished, model.safetensors (the classifier),
-- pairs.safetensors (the whole model of pairs) and stage.json (epochs, seconds, validation). The run's folder gets the
-- newest stage's two models, and a history.csv of all its stages, except from a stage that --out put elsewhere.
-- The recipe decides what a stage trains, for how long, and with which optimizer.

local lfs = require "lfs"
local lurcher = require "lurcher"
local common, pair_batches = require "lurcher.recipe.common", require "lurcher.recipe.pair_batches"
local augmentations = require "lurcher.augmentations"
local files, fit = require "lurcher.files", require "lurcher.fit"
local kept_path, shell = require "lurcher.kept_path", require "lurcher.shell"
local logs_of, prediction = require "lurcher.logs", require "lurcher.prediction"
local options, run_folder = require "lurcher.recipe.options", require "lurcher.recipe.run_folder"
local preprocessing, pretrained = require "lurcher.preprocessing", require "lurcher.recipe.pretrained"
local report, siamese = require "lurcher.report", require "lurcher.siamese"
local stage, temperature = require "lurcher.recipe.stage", require "lurcher.temperature"

local pair_run = {}

-- ---- one stage ----

--- Raises where the record of a stage is not what train writes.
local function check_record(record, path)
  local good = math.tointeger(record.number) and type(record.history) == "table"
  for _, logs in ipairs(good and record.history or {}) do good = good and type(logs) == "table" end
  if not good then
    error(("'%s' is damaged: a stage's number and history are expected (remove its folder to train the stage again)")
      :format(path), 0)
  end
end

--- The stages that a run has finished, in order: { name, number, path, epochs, seconds, validation, history }.
function pair_run.list(path)
  local found = {}
  if lfs.attributes(path, "mode") ~= "directory" then return found end
  for name in lfs.dir(path) do
    local record = name:sub(1, 1) ~= "." and files.read_json(path .. "/" .. name .. "/stage.json")
    if record then
      check_record(record, path .. "/" .. name .. "/stage.json")
      record.path = path .. "/" .. name
      found[#found + 1] = record
    end
  end
  table.sort(found, function(a, b) return a.number < b.number end)
  return found
end

--- Writes the run's history.csv: those of its stages one after the other, epochs counted through, with a column
-- `stage`, their number.
local function join_histories(whole)
  local history = {}
  for _, record in ipairs(pair_run.list(whole.path)) do
    for _, logs in ipairs(record.history) do
      local row = { stage = record.number }
      for name, value in pairs(logs) do row[name] = value end
      row.epoch = #history
      history[#history + 1] = row
    end
  end
  whole:write("history.csv", logs_of.csv(history, siamese.outputs))
end

local function save(model, folder, metadata, device)
  stage.save(model, folder, "pairs", metadata, device)
  stage.save(siamese.classifier(model), folder, "model", metadata, device)
end

--- Makes the models of a finished stage those of its run.
local function publish(folder, whole)
  for _, name in ipairs{ "pairs.safetensors", "model.safetensors" } do
    local text, message = files.read(folder:file(name))
    if not text then error(message, 0) end
    if text ~= files.read(whole:file(name)) then whole:write(name, text) end
  end
end

--- Loads what a finished stage left. Returns its record. The run of the newest stage gets its models, unless it has
-- them: the stage may have been resumed by a version that did not find its run.
local function put_back(model, folder, whole, name)
  local loaded, message = model:load(folder:file "pairs.safetensors")
  if not loaded then error(message, 0) end
  print(("stage '%s' is already finished: %s"):format(name, folder:file "pairs.safetensors"))
  local record, stages = files.read_json(folder:file "stage.json"), pair_run.list(whole.path)
  if #stages > 0 and files.same(stages[#stages].path, folder.path) then
    publish(folder, whole)
    join_histories(whole)
  end
  return record
end

--- Predictions and targets of the category heads for the images of a loader: { [head] = { probabilities, ids } }; nil
-- after Ctrl-C.
local function predict_heads(run, model, loader)
  local found = { ctg_out_1 = { {}, {} }, ctg_out_2 = { {}, {} } }
  for batch in loader:epoch(0) do
    local inputs = {}
    for _, name in ipairs(model.inputs) do inputs[name] = batch[name] end
    local good, outputs = pcall(run.predict, run, inputs)
    if lurcher.interrupted() or not good and tostring(outputs):find "interrupted$" then return nil end
    if not good then error(outputs, 0) end
    for head, lists in pairs(found) do
      table.insert(lists[1], outputs[head])
      table.insert(lists[2], batch[head])
    end
  end
  for head, lists in pairs(found) do found[head] = { lurcher.concat(lists[1]), lurcher.concat(lists[2]) } end
  return found
end

--- Divides the logits of each category head by the temperature that fits the validation images. Returns the
-- temperatures by head; nil after Ctrl-C.
local function calibrate(trained)
  local found, fitted = predict_heads(trained.run, trained.model, trained.valid), {}
  for head, lists in pairs(found or {}) do
    fitted[head] = temperature.fit(lists[1], lists[2])
    temperature.apply(trained.model:layer(head), fitted[head])
  end
  return found and fitted
end

--- Trains what is trainable of a model of pairs in the folder run.path/s.name, or loads what was trained there before.
-- sets: of pair_batches.sets. o: the recipe's values. run: { path, metadata }, the metadata being saved with the
-- models. s, the stage: the fields of stage.train (augment, views, mixup, epochs, optimizer, schedule, patience, ema,
-- prepare), and
--   name             its folder
--   folder           the folder, where it is not run.path/s.name
--   steps            steps per epoch                                                            (o.steps)
--   pair_weight      weight of the loss of pairs; those of the categories are 1
--   label_smoothing  of the categories' losses                                                        (0)
--   temperature      true: at the end fit the categories' temperatures on the validation images   (false)
--   leaky            true: in era 2017, training images are among those of validation             (false)
-- The model left is that of the epoch with the least val_loss; in era 2017, of the last one. Returns the stage's
-- record; nil after Ctrl-C.
function pair_run.train(model, sets, o, run, s)
  local whole = run_folder.at(run.path)
  local folder = run_folder.at(s.folder or run.path .. "/" .. s.name)
  if folder:existing "stage.json" then return put_back(model, folder, whole, s.name) end
  local started, smoothing = lurcher.time(), s.label_smoothing or 0
  s = pair_batches.add(s, sets, o)
  s.weight = { ctg_out_1 = 1, ctg_out_2 = 1, bin_out = s.pair_weight }
  s.label_smoothing = { ctg_out_1 = smoothing, ctg_out_2 = smoothing }
  s.validation = s.leaky and o.era == "2017" and pair_batches.with_training_pairs or nil
  local trained <close>, code = stage.train(model, sets, o, folder, s)
  if code == 1 then error(("stage '%s' is not finished: its training diverged"):format(s.name), 0) end
  local fitted = trained and s.temperature and calibrate(trained)
  local results = trained and (fitted or not s.temperature) and fit.evaluate(trained.run, trained.valid, nil, "return")
  if not results then return nil end -- Ctrl-C: the last checkpoint brings a resume back to here

  local record = { name = s.name, number = #pair_run.list(run.path) + 1, epochs = #trained.history,
    validation = results, temperature = fitted or nil, seconds = lurcher.time() - started,
    history = lurcher.json.array(trained.history) }
  local is_within = files.same(files.parent(folder.path), whole.path)
  save(model, folder, run.metadata, o.device)
  if is_within then save(model, whole, run.metadata, o.device) end
  folder:write("stage.json", lurcher.json.encode(record, true) .. "\n")
  if is_within then join_histories(whole) end
  folder:forget_start()
  print(lurcher.format("stage '%s': %d epochs in %s; validation: loss %.4f, ctg_out_1_acc %.4f", s.name, record.epochs,
    logs_of.duration(record.seconds), results.loss, results.ctg_out_1_acc))
  return record
end

-- ---- recipes that begin a run ----

--- The run's folder, made or, with o.resume, opened, and what train takes as its run. load_report: of the weights that
-- were loaded, or nil.
function pair_run.start(spec, o, model, load_report, sets)
  local folder = run_folder.start(spec, o, sets)
  if not o.resume and o.weights then folder:keep_start(model) end
  folder:write("model.txt", tostring(model) .. "\n")
  pretrained.describe(load_report, o.weights, folder)
  print("run folder: " .. folder.path)
  return folder, { path = folder.path,
    metadata = preprocessing.metadata(sets.preprocessing, sets.train.classes, folder.settings) }
end

-- ---- recipes that are one more stage of a run ----

--- Their command-line options, in front of others of their own, for options.join. given: the defaults of batch,
-- augment, epochs, lr and pair_weight, and lr_help.
function pair_run.options(given)
  return options.join({
    { "run", "path", value = "RUN",
      help = "run folder of froze_fine_tune to continue from (required unless --resume is given)" },
  }, pair_batches.options, common.augment, {
    { "data", "path", value = "DIR", help = "folder with train/CLASS/ and valid/CLASS/ (default: the run's)" },
    { "batch", "integer", default = given.batch, min = 2, help = "pairs per step" },
    { "pairs", "choice", default = "swap", choices = siamese.pairings,
      help = "how pairs are drawn; see froze_fine_tune --help" },
    { "tune-from", "integer", default = 105, min = 0,
      help = "index of the first layer of the backbone that learns, from 0" },
    { "augment", "choice", default = given.augment, choices = augmentations.names, help = augmentations.help },
    { "epochs", "integer", default = given.epochs, min = 1, help = "number of epochs" },
    { "lr", "number", default = given.lr, min = 0, max = 1e9, help = given.lr_help or "learning rate (SGD)" },
    { "momentum", "number", default = 0.9, min = 0, max = 1, help = "momentum of SGD" },
    { "pair-weight", "number", default = given.pair_weight, min = 0, max = 1e9, help = "weight of the loss of pairs" },
    { "out", "path", value = "DIR", help = "folder of this stage (default: a folder of the recipe's name in RUN)" },
    { "resume", "path", value = "DIR", help = "continue the stage in this folder, with its settings" },
  })
end

--- The run of a resumed stage, `run` by its settings. Earlier versions kept it from the root: where the run's folder
-- was moved or copied, with the stage in it, the run is that which the stage is in now.
local function run_of(stage_folder, run)
  local above = files.parent(stage_folder)
  local name = files.absolute(stage_folder):match "[^/]*$"
  local was_within = not lfs.attributes(run) or lfs.attributes(run .. "/" .. name .. "/settings.json") ~= nil
  local is_run = lfs.attributes(above .. "/settings.json") and lfs.attributes(above .. "/pairs.safetensors")
  return was_within and is_run and above or run
end

--- For options.main's `adjust`: images and folder follow from the run where they are not given. Returns values, or nil
-- and a message.
function pair_run.adjusted(spec, values, given)
  local adjusted, message = run_folder.resumed(spec, values, given, common.may_change)
  if not adjusted then return nil, message end
  if values.resume then
    if not values.run then return nil, ("the settings in '%s' name no run: give --run RUN"):format(values.resume) end
    if not given.run then values.run = run_of(values.resume, values.run) end
    if values.data then return values end
  end
  if not values.run then return nil, "option --run RUN is missing: the run folder to continue from" end
  local settings = files.read_json(values.run .. "/settings.json")
  if not settings then return nil, ("'%s' is not a run folder: it has no settings.json"):format(values.run) end
  local before = type(settings.options) == "table" and settings.options.data
  values.run = files.trimmed(values.run)
  if type(before) == "string" and not values.data then values.data = kept_path.resolved(before, values.run) end
  if not values.data then return nil, "option --data is missing: the run's settings name no folder of images" end
  values.out = values.resume or values.out or values.run .. "/" .. spec.name
  return values
end

--- Opens what the recipe continues: the model of o.run, ready to learn from layer o.tune_from on, its metadata, and the
-- images.
function pair_run.open(o)
  lurcher.seed(o.seed)
  if not o.resume then run_folder.check_free(o.out) end
  local start = o.resume and run_folder.start_of(o.resume, "pairs.safetensors")
  local model, metadata = prediction.open_model(start or o.run, "pairs.safetensors")
  siamese.tune_from(model, o.tune_from)
  return model, metadata, pair_batches.sets(o, metadata)
end

--- The stage's folder, made or, with o.resume, opened; the metadata names it from now on. sets: of open. To be called
-- when all options have been checked: a folder that exists is not made again.
function pair_run.open_folder(spec, o, metadata, sets)
  local folder = run_folder.start(spec, o, sets)
  if not o.resume then folder:keep_start(prediction.model_file(o.run, "pairs.safetensors")) end
  print("run folder: " .. folder.path)
  metadata.recipe, metadata.settings = spec.name, folder.settings
  return folder
end

--- Reports a recipe's last stage and prints the next command, or after Ctrl-C (done: nil) the one that resumes; returns
-- the exit code. further: a recipe that may come before the test, or nil.
function pair_run.close(spec, o, folder, done, further)
  if not done then
    print(shell.command("continue with: lurcher %s --resume %s", spec.name, folder.path))
    return 130
  end
  folder:forget_start()
  print("model: " .. folder:file "model.safetensors")
  if o.report then print("report: " .. report.write(folder, { device = o.device, workers = o.workers })) end
  local run = o.run or folder.path
  if further then further = shell.command("lurcher %s --run %s; ", further, run) end
  print(("next: %s%s"):format(further or "", shell.command("lurcher baidu_dog_test --run %s --data DIR", run)))
end

return pair_run
