--- single_model.lua - trains an Xception softmax classifier on class folders
-- DIR/train/CLASS/*.jpg and DIR/valid/CLASS/*.jpg.
-- With pretrained weights the trunk is frozen by default and only the head learns. Where the frozen part is the same
-- for a picture in every epoch (no augmentation, or a few fixed views), its output is computed once, and kept for the
-- runs to come.
-- Leaves a run folder with the best epoch's model, and everything needed to repeat or resume the training.

local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local fixed_features, prefix = require "lurcher.fixed_features", require "lurcher.prefix"
local options, run_folder = require "lurcher.options", require "lurcher.run_folder"
local report = require "lurcher.report"
local xception = require "lurcher.models.xception"
local nn, data, optim = lurcher.nn, lurcher.data, lurcher.optim

local spec = options.join({
  name = "single_model",
  summary = "Trains an Xception softmax classifier on the pictures in DIR/train/CLASS/, validated on DIR/valid/CLASS/.",
  { "data", "path", required = true, value = "DIR", help = "folder with train/ and valid/, a folder a class in each" },
  { "weights", "path", value = "FILE", help = "weights to start from: Keras .h5, or .safetensors" },
  { "feature-layer", "string", value = "NAME", help = "cut the trunk after this layer, e.g. add_12" },
  { "size", "integer", default = 299, min = 32, max = 4096, help = "side of the pictures as the network sees them" },
  { "width", "number", default = 1, min = 0.01, max = 8, help = "multiplier of every layer's channels" },
  { "middle", "integer", default = 8, min = 0, max = 64, help = "blocks in the middle of the network" },
  { "bn-momentum", "number", default = 0.99, min = 0, max = 1,
    help = "of the batch norms' moving statistics; less for trainings of a few hundred steps" },
  { "batch", "integer", default = 32, min = 1, help = "pictures a step" },
  { "epochs", "integer", default = 40, min = 1, help = "passes over the training pictures at most" },
  { "optimizer", "choice", default = "adam", choices = { "sgd", "adam", "adamw", "nadam" }, help = "update rule" },
  { "lr", "number", min = 0, help = "learning rate (default: 0.003 for a frozen trunk, else the optimizer's own)" },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "of sgd" },
  { "weight-decay", "number", default = 0, min = 0, help = "pull of the weights towards zero" },
  { "dropout", "number", default = 0.5, min = 0, max = 0.99, help = "share of features dropped before the softmax" },
  { "label-smoothing", "number", default = 0, min = 0, max = 0.99, help = "of the training and validation loss" },
  { "freeze", "string", value = "all|none|NAME",
    help = "what does not learn: the trunk, nothing, or layers up to NAME (default: all with --weights, else none)" },
  { "augment", "choice", default = "none", choices = { "none", "flip" }, help = "random changes of training pictures" },
  { "views", "integer", default = 0, min = 0, max = 1000,
    help = "draw from this many augmented views of a picture, computed once; 0: a new view each time" },
  { "patience", "integer", default = 8, min = 0, help = "epochs without gain before stopping; 0: never stop early" },
  { "reduce-patience", "integer", default = 3, min = 0, help = "epochs without gain before lr is cut; 0: never" },
  { "reduce-factor", "number", default = 0.1, min = 0.001, max = 0.999, help = "what lr is then multiplied by" },
  { "seed", "integer", default = 1, min = 0, help = "fresh weights, dropout and order of pictures follow from it" },
  { "device", "string", default = "auto", help = "where to compute: auto, cpu, ref, cuda:0" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read pictures" },
  { "memory", "integer", default = 2048, min = 0, value = "MB",
    help = "most that the frozen part's outputs may take where they are not cached" },
  { "report", "flag", default = true, help = "end with report.html in the run folder; --no-report: do not" },
  { "out", "path", value = "RUN", help = "run folder to make (default: runs/single_model-NNN)" },
  { "resume", "path", value = "RUN", help = "go on with the training of this run folder, with its settings" },
}, fixed_features.options)

local may_change = { epochs = true, device = true, workers = true, memory = true, patience = true, report = true,
  cache = true, cache_limit = true }

function spec.adjust(values, given) return run_folder.resumed(spec, values, given, may_change) end

local function open_sets(o)
  local train = assert(data.folder{ o.data .. "/train" })
  local valid = assert(data.folder{ o.data .. "/valid", classes = train.classes })
  print(("%d training and %d validation pictures of %d classes"):format(#train, #valid, #train.classes))
  if o.batch > #train then
    error(("--batch %d: more than the %d pictures of '%s/train' (at most as many expected: lower --batch)"):format(o.batch,
      #train, o.data), 0)
  end
  return train, valid
end

--- What --freeze says: "all", "none" or a layer's name.
local function frozen_part(o) return o.freeze or (o.weights and "all" or "none") end

--- Raises where a frozen layer did not get its weights: it would never learn any.
local function check_frozen(model, report, o)
  for line in report.text:gmatch "[^\n]+" do
    local name, trouble = line:match "^([^:]+): (.*)$"
    if name and model:index(name) and not model:layer(name).trainable then
      error(("layer '%s' is frozen, but '%s' does not give its weights (%s): cut before it with --feature-layer, "
        .. "or let it learn with --freeze"):format(name, o.weights, trouble), 0)
    end
  end
end

--- Draws anew the first layer that the file has no weights for, and every layer after it: batch norms there may have
-- been loaded, but with statistics of other features. Returns that layer's name, or nil where nothing is missing.
local function start_afresh(trunk, report)
  local first
  for name in report.text:gmatch "([^\n:]+): missing in the file" do
    local index = trunk:index(name)
    if index and (not first or index < first) then first = index end
  end
  for i = (first or #trunk.layers) + 1, #trunk.layers do
    if next(trunk.layers[i]:weights()) then trunk.layers[i]:reset() end
  end
  return first and trunk.layers[first + 1].name
end

--- Trunk and head. Returns the model and the text of the weights' load report, if any.
local function build(o, classes)
  local trunk, report = xception{ size = o.size, width = o.width, middle = o.middle, top = false, pooling = "avg",
    momentum = o.bn_momentum, feature_layer = o.feature_layer, weights = o.weights, input = "image" }
  local x = trunk:node(trunk.outputs[1])
  if o.dropout > 0 then x = nn.dropout{ o.dropout, name = "dropout" }(x) end
  local model = nn.model(nn.dense{ classes, activation = "softmax", name = "predictions" }(x))
  local freeze = frozen_part(o)
  if freeze == "all" then trunk:freeze() elseif freeze ~= "none" then model:freeze{ to = freeze } end
  if report then
    check_frozen(model, report, o)
    report.fresh = start_afresh(trunk, report)
  end
  return model, report
end

local function describe(model, report, o)
  local total, trainable = model:parameters()
  print(("%d layers, %d parameters, %d of them trainable"):format(#model.layers, total, trainable))
  if report then
    print(("weights: %d layers loaded, %d missing, %d unused, %d of another shape (%s)"):format(report.loaded,
      report.missing, report.unused, report.mismatched, o.weights))
    if report.fresh then print(("  '%s' and what comes after it start afresh"):format(report.fresh)) end
    if report.missing + report.mismatched > 0 then print("  see load_report.txt in the run folder") end
  end
end

--- What learns, and loaders that feed it: the whole model on pictures, or its unfrozen rest on what the frozen part
-- gives for each picture.
local function training(model, train, valid, o)
  local pictures = { size = o.size, batch = o.batch, workers = o.workers, seed = o.seed }
  local function with(more)
    for key, value in pairs(pictures) do more[key] = value end
    return more
  end
  local targets = function(batch) return { predictions = batch.class } end
  local augment = o.augment == "flip" and data.augment{ hflip = true } or nil
  local part = (not augment or o.views > 0) and prefix.split(model, "image")
  local fixed = part and fixed_features.load_sets(part, { { train, augment = augment, views = augment and o.views },
    { valid } }, with{ device = lurcher.device(o.device) }, o)
  if fixed then
    return part.head, fixed[1]:loader{ batch = o.batch, seed = o.seed, output = "predictions" },
      fixed[2]:loader{ batch = o.batch, shuffle = false, output = "predictions" }
  end
  return model, data.loader(with{ train, augment = augment, targets = targets }),
    data.loader(with{ valid, shuffle = false, targets = targets })
end

local function callbacks_of(o, folder)
  local list = {
    on.nan_guard{ restore = folder:file "checkpoints/last.safetensors" },
    on.early_stop{ patience = o.patience > 0 and o.patience or math.huge,
      restore_best = folder:file "checkpoints/best.safetensors" },
    on.checkpoint{ folder:file "checkpoints/last.safetensors" },
    on.csv(folder:file "history.csv"),
  }
  if o.reduce_patience > 0 then
    list[#list + 1] = on.reduce_lr{ patience = o.reduce_patience, factor = o.reduce_factor }
  end
  return list
end

--- Writes the whole model with what a test needs to know, without the optimizer's state.
local function save_model(model, folder, o, classes)
  local path = folder:file "model.safetensors"
  local run <close> = model:compile{ device = o.device }
  assert(run:save(path, lurcher.json.encode{ recipe = spec.name, classes = classes, size = { o.size, o.size },
    preprocess = "tf", settings = folder.settings }))
  return path
end

local function optimizer_of(o)
  local lr = o.lr
  if not lr and frozen_part(o) == "all" and o.optimizer ~= "sgd" then lr = 0.003 end
  return optim[o.optimizer]{ lr = lr, weight_decay = o.weight_decay > 0 and o.weight_decay or nil,
    momentum = o.optimizer == "sgd" and o.momentum or nil }
end

local function main(o)
  lurcher.seed(o.seed)
  local train, valid = open_sets(o)
  local model, load_report = build(o, #train.classes)
  local folder = o.resume and assert(run_folder.open(o.resume, spec.name)) or run_folder.create(spec, o)
  describe(model, load_report, o)
  folder:write("model.txt", tostring(model) .. "\n")
  folder:write("model.json", model:json() .. "\n")
  if load_report then folder:write("load_report.txt", load_report.text .. "\n") end
  print("run folder: " .. folder.path)

  local learner, batches, checks = training(model, train, valid, o)
  local run <close> = learner:compile{ device = o.device, optimizer = optimizer_of(o),
    loss = "categorical_crossentropy", label_smoothing = o.label_smoothing }
  local fit_options = callbacks_of(o, folder)
  fit_options.epochs, fit_options.valid = o.epochs, checks
  fit_options.resume = o.resume and folder:existing "checkpoints/last.safetensors"
  local history = fit(run, batches, fit_options)
  if history.failed then return 1 end
  if history.interrupted then
    print("continue with: lurcher single_model --resume " .. folder.path)
    return 130
  end
  local results = fit.evaluate(run, checks)
  local path = save_model(model, folder, o, train.classes)
  if o.report then
    print("report: " .. report.write(folder, { set = valid, scores = report.scores(run, checks), device = o.device }))
  end
  print(("best epoch on the validation pictures: loss %.4f, accuracy %.4f"):format(results.loss, results.acc))
  print("model: " .. path)
  print(("next: lurcher single_model_test --model %s --data DIR"):format(path))
end

options.main(spec, arg, main)
