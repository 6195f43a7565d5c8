--- lurcher.stage: one stage of a recipe that trains in several: a folder of its own, trained once, resumed where it was
-- stopped, and left with a model that the next stage and the tests start from.
-- A stage's folder holds history.csv, checkpoints/{last,best}.safetensors and, once it is done, model.safetensors (the
-- classifier), pairs.safetensors (the whole model of pairs) and stage.json (epochs, seconds, best epoch, validation).
-- The run's folder gets the newest stage's two models, and a history.csv of all its stages.
-- What is trained, on what and by which rules, is the recipe's.

local lfs = require "lfs"
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local logs_of = require "lurcher.logs"
local run_folder = require "lurcher.run_folder"
local siamese = require "lurcher.siamese"

local stage = {}

local function read_json(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local value, message = lurcher.json.decode(file:read "a")
  file:close()
  if value == nil then error(("'%s' is damaged: %s"):format(path, message), 0) end
  return value
end

--- The stages that a run has finished, in order: { name, path, epochs, seconds, best_epoch, validation = {...} }.
function stage.list(path)
  local found = {}
  for name in lfs.dir(path) do
    local about = name:sub(1, 1) ~= "." and read_json(path .. "/" .. name .. "/stage.json")
    if about then
      about.path = path .. "/" .. name
      found[#found + 1] = about
    end
  end
  table.sort(found, function(a, b) return a.number < b.number end)
  return found
end

--- Writes the run's history.csv: those of its stages one after the other, epochs counted through, with a column
-- `stage`, their number.
local function join_histories(folder)
  local history, epoch = {}, 0
  for _, done in ipairs(stage.list(folder.path)) do
    for _, logs in ipairs(done.history) do
      local row = {}
      for name, value in pairs(logs) do row[name] = value end
      row.epoch, row.stage, epoch = epoch, done.number, epoch + 1
      history[#history + 1] = row
    end
  end
  folder:write("history.csv", logs_of.csv(history, siamese.outputs))
end

--- Writes the model of pairs and the classifier inside it into a folder. `about`: what goes with them: recipe,
-- classes, size, preprocess, settings.
local function save_models(model, folder, about, device)
  local extra = lurcher.json.encode(about)
  for name, part in pairs{ pairs = model, model = siamese.classifier(model) } do
    local run <close> = part:compile{ device = device }
    assert(run:save(folder:file(name .. ".safetensors"), extra))
  end
end

--- A run's model of pairs and what was saved with it. Raises where there is none.
function stage.open_model(path)
  local file = lfs.attributes(path, "mode") == "directory" and path .. "/pairs.safetensors" or path
  local model, extra = lurcher.nn.load(file)
  if not model then error(("%s (a run of froze_fine_tune that has finished a stage expected)"):format(extra), 0) end
  local about = lurcher.json.decode(extra)
  if type(about) ~= "table" or type(about.classes) ~= "table" then
    error(("'%s' has weights but no classes: expected pairs.safetensors of a run"):format(file), 0)
  end
  return model, about
end

--- Where the weights of a stage that is done are put back from.
local function restore(model, folder, name)
  local report, message = model:load(folder:file "pairs.safetensors")
  if not report then error(message, 0) end
  print(("stage '%s' is done already: %s"):format(name, folder:file "pairs.safetensors"))
end

local function callbacks_of(options, folder)
  local list = { on.checkpoint{ folder:file "checkpoints/last.safetensors" }, on.csv(folder:file "history.csv"),
    table.unpack(options.callbacks or {}) }
  local best = folder:file "checkpoints/best.safetensors"
  list[#list + 1] = on.early_stop{ patience = options.patience or math.huge, restore_best = options.restore_best and best,
    era = options.era == "2017" and "2017" or nil }
  return list
end

--- Trains `model` in the folder run_path/name, or puts back what was trained there. Options:
--   name, number    of the stage in its run; stages are listed by number
--   learner         what is compiled: the model, or the head of prefix.split
--   loader, valid   for fit
--   compile         for learner:compile
--   prepare         function(run), called before training: layer scales
--   epochs          at most
--   patience        epochs without gain of val_loss before stopping                              (never stop early)
--   restore_best    the epoch of the least val_loss is the stage's result, not the last            (true)
--   callbacks       more of them, before those of the stage
--   era             "2017" for Keras 2.0.6's counters
--   about           saved with the models: recipe, classes, size, preprocess, settings
-- `open` (a function that returns these options) is not called for a stage that is done: it may have pictures to
-- compute. Returns the stage's record, or nil after Ctrl-C.
function stage.train(model, run_path, name, open)
  assert(run_folder.make_folders(run_path .. "/" .. name .. "/checkpoints"))
  local whole = setmetatable({ path = run_path }, run_folder)
  local folder = setmetatable({ path = run_path .. "/" .. name }, run_folder)
  if folder:existing "stage.json" then
    restore(model, folder, name)
    return read_json(folder:file "stage.json")
  end
  local o = open()
  local started, run <close> = lurcher.time(), o.learner:compile(o.compile)
  if o.prepare then o.prepare(run) end
  local options = callbacks_of(o, folder)
  options.epochs, options.valid = o.epochs, o.valid
  options.resume = folder:existing "checkpoints/last.safetensors"
  local history = fit(run, o.loader, options)
  if history.interrupted then return nil end
  local results = fit.evaluate(run, o.valid)
  for _, target in ipairs{ folder, whole } do save_models(model, target, o.about, run.device) end
  local record = { name = name, number = o.number, epochs = #history, validation = results,
    seconds = lurcher.time() - started, history = lurcher.json.array(history) }
  folder:write("stage.json", lurcher.json.encode(record, true) .. "\n")
  join_histories(whole)
  print(("stage '%s': %d epochs in %s; validation: loss %.4f, ctg_out_1_acc %.4f"):format(name, #history,
    logs_of.duration(record.seconds), results.loss, results.ctg_out_1_acc))
  return record
end

return stage
