--- lurcher.single: what single_model and single_model_tune share: images of class folders one by one, the training of
-- what learns of a classifier, and the model file at the end. Which model, and by which rule, is the recipes'.
-- A classifier has one softmax output, or several that all tell the same classes.

local lurcher = require "lurcher"
local augmentations = require "lurcher.augmentations"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local fixed_features, options = require "lurcher.fixed_features", require "lurcher.recipe.options"
local prediction, prefix = require "lurcher.prediction", require "lurcher.prefix"
local reading, report = require "lurcher.preprocessing", require "lurcher.report"
local data, nn = lurcher.data, lurcher.nn

local single = {}

--- Command-line options of both recipes, for options.join.
single.options = options.join({
  { "label-smoothing", "number", default = 0, min = 0, max = 0.99, help = "of the training and validation loss" },
  { "weight-decay", "number", default = 0, min = 0, help = "pull of the weights towards zero" },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "of sgd" },
  { "augment", "choice", default = "none", choices = augmentations.names, help = augmentations.help },
  { "views", "integer", default = 0, min = 0, max = 1000,
    help = "draw from this many augmented views of an image, computed once; 0: a new view each time" },
  { "reduce-patience", "integer", default = 3, min = 0, help = "epochs without gain before lr is cut; 0: never" },
  { "reduce-factor", "number", default = 0.1, min = 0.001, max = 0.999, help = "what lr is then multiplied by" },
  { "era", "choice", default = "current", choices = { "current", "2017" },
    help = "2017: images from 0 to 1 and resized by nearest neighbour, batch norms of a frozen backbone, augmentation "
      .. "and callbacks as they were then, and the last epoch's model instead of the best one's" },
  { "seed", "integer", default = 1, min = 0, help = "fresh weights, dropout and order of images follow from it" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read images" },
  { "memory", "integer", default = 2048, min = 0, value = "MB",
    help = "most that the frozen part's outputs may take where they are not cached" },
  { "report", "flag", default = true, help = "end with report.html in the run folder; --no-report: do not" },
}, fixed_features.options)

--- What of them may differ in a resumed run.
single.may_change = { epochs = true, device = true, workers = true, memory = true, patience = true, report = true,
  cache = true, ["cache-limit"] = true }

--- The backbones of a classifier, models that share its layers: { xception = , inception_v3 = }, those that it has.
function single.backbones(model)
  local backbones = {}
  if model:index "block1_conv1" then backbones.xception = nn.model(model:node "avg_pool") end
  if model:index "mixed0" then
    backbones.inception_v3 = nn.model(model:node(backbones.xception and "inception_avg_pool" or "avg_pool"))
  end
  return backbones
end

--- How the network's images are made of the files': options of data.loader.
local function images_of(sets, o)
  local how = sets.reading
  return { size = how.size, resize = how.resize, preprocess = how.preprocess, batch = o.batch, workers = o.workers,
    seed = o.seed }
end

--- What learns, and loaders that feed it: the whole model on images, or its unfrozen rest on what the frozen part
-- gives for each image, where that is the same in every epoch (or in one of o.views) and there is room for it.
local function learner(model, sets, o)
  local function targets(batch)
    local all = {}
    for _, output in ipairs(model.outputs) do all[output] = batch.class end
    return all
  end
  local augment, images = augmentations.of(o.augment, o.era), images_of(sets, o)
  local part = prefix.split(model, "image")
  local why = part and (o.era == "2017" and "its batch norms see batches, as in 2017" or augment and o.views == 0
    and ("every image is new each time (--augment %s without --views)"):format(o.augment))
  if why then
    print("the frozen part is computed in every epoch: " .. why)
    part = nil
  end
  if part then
    images.device = lurcher.device(o.device)
    local fixed = fixed_features.load_sets(part, { { sets.train, augment = augment, views = augment and o.views },
      { sets.valid } }, images, o)
    if fixed then
      return part.head, fixed[1]:loader{ batch = o.batch, seed = o.seed, targets = targets },
        fixed[2]:loader{ batch = o.batch, shuffle = false, targets = targets }
    end
  end
  local train, valid = images_of(sets, o), images_of(sets, o)
  train[1], train.augment, train.targets = sets.train, augment, targets
  valid[1], valid.shuffle, valid.targets = sets.valid, false, targets
  return model, data.loader(train), data.loader(valid)
end

--- The losses' options of compile: every output tells the class, and counts 1; or only the one named `only` does.
local function losses(model, o, only)
  local loss, weight, smoothing = {}, {}, {}
  for _, output in ipairs(model.outputs) do
    loss[output], smoothing[output] = "categorical_crossentropy", o.label_smoothing
    weight[output] = (only == nil or only == output) and 1 or 0
  end
  return loss, weight, smoothing
end

--- With a schedule, or cutting the rate on a plateau. The best epoch's weights come back at the end; not in 2017.
local function callbacks(o, folder, schedule)
  local era = o.era == "2017" and "2017" or nil
  local list = {
    on.nan_guard{ restore = folder:file "checkpoints/last.safetensors" },
    on.early_stop{ patience = (o.patience or 0) > 0 and o.patience or math.huge, era = era,
      restore_best = not era and folder:file "checkpoints/best.safetensors" },
    on.checkpoint{ folder:file "checkpoints/last.safetensors" },
    on.csv(folder:file "history.csv"),
  }
  if schedule then
    list[#list + 1] = on.schedule(schedule)
  elseif o.reduce_patience > 0 then
    list[#list + 1] = on.reduce_lr{ patience = o.reduce_patience, factor = o.reduce_factor, era = era }
  end
  return list
end

--- Trains what is trainable of a classifier, in a run folder; with o.resume from where its last checkpoint left it.
-- sets: of class_folders.open. o: the options above, batch, epochs, patience. rule: optimizer, schedule (see
-- lurcher.schedules; else lr is cut on a plateau), only (name of the one output whose loss counts). Returns the results
-- on the validation images and, with o.report, their probabilities; or nil and the exit code: 130 after a Ctrl-C, 1
-- where the training went bad.
function single.train(model, sets, o, folder, rule)
  local learning, train, valid = learner(model, sets, o)
  local loss, weight, smoothing = losses(model, o, rule.only)
  local run <close> = learning:compile{ device = o.device, optimizer = rule.optimizer, loss = loss, weight = weight,
    label_smoothing = smoothing, batchnorm = o.era == "2017" and "batch" or nil }
  local how = callbacks(o, folder, rule.schedule)
  how.epochs, how.valid = o.epochs, valid
  how.resume = o.resume and folder:existing "checkpoints/last.safetensors"
  local history = fit(run, train, how)
  if history.failed then return nil, 1 end
  local results = not history.interrupted and fit.evaluate(run, valid)
  if not results then return nil, 130 end
  return results, o.report and report.scores(run, valid, prediction.output(model, sets.train.classes)) or nil
end

--- Writes the whole model with what a test needs to know, without the optimizer's state.
local function save(model, folder, o, sets)
  local path = folder:file "model.safetensors"
  local run <close> = model:compile{ device = o.device }
  assert(run:save(path, lurcher.json.encode(reading.about(sets.reading, sets.train.classes, folder.settings))))
  return path
end

--- What comes after single.train, whose results these are: the model and its report written, the results said, and what
-- to do next. rest: the probabilities, or the exit code where there are no results. Returns the program's exit code.
function single.finish(results, rest, model, sets, folder, o)
  if not results then
    if rest == 130 then print(("continue with: lurcher %s --resume %s"):format(folder.settings.recipe, folder.path)) end
    return rest
  end
  local path, figures = save(model, folder, o, sets), {}
  if o.report then
    print("report: " .. report.write(folder, { set = sets.valid, scores = rest, device = o.device }))
  end
  for _, output in ipairs(model.outputs) do
    figures[#figures + 1] = ("%s %.4f"):format(output, results[output .. "_acc"] or results.acc)
  end
  if #model.outputs == 1 then figures = { ("%.4f"):format(results.acc) } end
  print(("%s epoch on the validation images: loss %.4f, accuracy %s"):format(o.era == "2017" and "last" or "best",
    results.loss, table.concat(figures, ", ")))
  print("model: " .. path)
  print(("next: %slurcher single_model_test --model %s --data DIR"):format(folder.settings.recipe == "single_model"
    and ("lurcher single_model_tune --run %s; "):format(folder.path) or "", folder.path))
  return 0
end

return single
