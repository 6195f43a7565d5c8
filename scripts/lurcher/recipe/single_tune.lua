--- lurcher.recipe.single_tune: the recipe behind tune and single_model_tune, which differ in their name and the default
-- of --preset. Loads the model of a run; the last stage of its backbones (layers[105:] of an Xception, layers[262:] of an
-- InceptionV3) and the softmaxes learn by SGD with momentum.
-- In preset original, defaults are those of the original's single_model_tune.py: no augmentation, batches of 96, and
-- ten epochs at a small learning rate that falls, rises once and falls again. The original fits a model of one output;
-- here every output counts, and in era 2017 ctg_out_1 alone. The second phase of the original's single_model.py is
-- `--schedule plateau --epochs 30 --batch 36`.
-- Leaves a run folder of its own.

local lurcher = require "lurcher"
local class_folders, options = require "lurcher.recipe.class_folders", require "lurcher.recipe.options"
local layer_decay, presets = require "lurcher.recipe.layer_decay", require "lurcher.recipe.presets"
local kept_path, prediction = require "lurcher.kept_path", require "lurcher.prediction"
local pretrained = require "lurcher.recipe.pretrained"
local run_folder, single = require "lurcher.recipe.run_folder", require "lurcher.recipe.single"

--- The declaration of the recipe `name`, whose --preset is `preset` where it is not given.
local function spec_of(name, preset)
  return options.join({
    name = name,
    summary = "Trains the model of a train or single_model run further: the last layers of its backbones and its "
      .. "softmaxes.",
    { "run", "path", value = "RUN", help = "run folder of train or single_model, or of this recipe, to continue from" },
    { "model", "path", value = "FILE", help = "model.safetensors to continue from, instead of --run" },
    { "data", "path", value = "DIR", help = "folder with train/CLASS/ and valid/CLASS/ (default: the run's)" },
    presets.choice(preset),
  }, {
    { "tune-from", "integer", min = 0,
      help = "index of the first layer of the backbone that learns, from 0 (default: that of its last stage; 105 of an "
        .. "Xception)" },
    { "inception-tune-from", "integer", default = 262, min = 0,
      help = "index of the first layer of an InceptionV3 that learns, from 0" },
    { "output", "string", value = "NAME",
      help = "the only output whose loss counts (default: all count; in era 2017 ctg_out_1, if there is one)" },
    presets.option({ "batch", "integer", min = 1, help = "images per step" }, 32, 96),
    presets.option({ "epochs", "integer", min = 1, help = "number of epochs" }, 8, 10),
    presets.option({ "schedule", "choice", choices = { "cosine", "trick", "plateau" },
      help = "learning rate by epoch; cosine: rises to --lr and falls to 0; trick: --lr in epochs 1 and 2, then --lr "
        .. "times 0.1, 0.01, 0.01, 0.1, and 0.01 four times; plateau: --lr, reduced after epochs without improvement" },
      "cosine", "trick"),
    presets.option({ "lr", "number", min = 0, max = 1e9, help = "learning rate (SGD)" }, 1e-2, 1e-4),
    presets.option({ "layer-decay", "number", min = 0.01, max = 1,
      help = "ratio of the learning rates of successive blocks, the earlier to the later" }, 0.8, 1),
    { "patience", "integer", default = 0, min = 0,
      help = "epochs without improvement before training stops; 0: never stop early" },
  }, single.options, {
    { "out", "path", value = "RUN", help = ("run folder to make (default: runs/%s-NNN)"):format(name) },
    { "resume", "path", value = "RUN", help = "continue the training of this run folder, with its settings" },
  })
end

--- For options.main: completes and checks the values.
local function adjusted(spec, values, given)
  if values.resume then
    local resumed, message = run_folder.resumed(spec, values, given, single.may_change)
    if not resumed then return nil, message end
  elseif (values.run == nil) == (values.model == nil) then
    return nil, "one of --run and --model is expected"
  end
  return single.checked(spec, values)
end

--- The folder with the images: --data, or the one that the model was trained on.
local function data_of(o, metadata)
  local before = type(metadata.settings) == "table" and metadata.settings.options
  local kept = type(before) == "table" and type(before.data) == "string" and before.data
  local path = o.data or (kept and kept_path.resolved(kept, o.run or "."))
  return path or error("option --data is missing: the model's metadata names no folder of images", 0)
end

--- Freezes the layers of a backbone below number `from`, all of them where it has no more. option: that names it.
local function freeze_below(backbone, from, title, option)
  if from < #backbone.layers then return backbone:freeze{ below = from } end
  print(("the %s has %d layers: none of them learns (%s %d)"):format(title, #backbone.layers, option, from))
  backbone:freeze()
end

--- Unfreezes what --tune-from and --inception-tune-from name, and every layer outside the backbones.
local function unfreeze(model, o)
  local backbones = single.backbones(model)
  if not next(backbones) then
    error("the model has no backbone of lurcher.models: there is nothing to tune", 0)
  end
  model:unfreeze()
  for name, backbone in pairs(backbones) do
    local network = pretrained.networks[name]
    if name == "inception_v3" then
      freeze_below(backbone, o.inception_tune_from, network.title, "--inception-tune-from")
    else
      freeze_below(backbone, o.tune_from or network.tune_from, network.title, "--tune-from")
    end
  end
  local total, trainable = model:parameters()
  print(("%d layers, %d parameters, %d of them trainable"):format(#model.layers, total, trainable))
end

--- The name of the only output whose loss counts, or nil where all do.
local function counting_output(model, o, classes)
  if o.output then return prediction.output(model, classes, o.output) end
  return o.era == "2017" and #model.outputs > 1 and prediction.output(model, classes, "ctg_out_1") or nil
end

--- Says where training changed next to nothing.
local function print_if_unmoved(history, o)
  local first, last = history[1], history[#history]
  if #history < 2 or not (first.loss > 0) or math.abs(last.loss - first.loss) > 0.02 * first.loss then return end
  print(lurcher.format("the training loss stayed where it was (%.4f in the first epoch, %.4f in the last): for so few "
    .. "steps the learning rate is too small (--lr %g); %s", first.loss, last.loss, o.lr, o.preset == "original"
    and "raise it, or use --preset modern" or "raise it"))
end

local function main(spec, o)
  local optimizer = lurcher.optim.sgd{ lr = o.lr, momentum = o.momentum,
    weight_decay = o.weight_decay > 0 and o.weight_decay or nil }
  lurcher.seed(o.seed)
  local first = prediction.model_file(o.run or o.model)
  local model, metadata = prediction.open_model(o.resume and run_folder.start_of(o.resume, "model.safetensors")
    or first)
  o.data = data_of(o, metadata)
  local sets = class_folders.open(o, metadata)
  unfreeze(model, o)
  local only = counting_output(model, o, metadata.classes)
  local folder = run_folder.start(spec, o, sets)
  if not o.resume then folder:keep_start(first) end
  folder:write_model(model)
  print("run folder: " .. folder.path)
  presets.print(spec, o)

  local is_output = {}
  for _, output in ipairs(model.outputs) do is_output[output] = true end
  local results, rest, rows, history = single.train(model, sets, o, folder, { only = only, optimizer = optimizer,
    schedule = single.schedule(o, o.lr), prepare = o.layer_decay < 1 and function(run, learner)
      layer_decay(run, learner, o.layer_decay, function(name) return is_output[name] end)
    end or nil })
  if results then print_if_unmoved(history, o) end
  return single.finish(results, rest, rows, model, sets, folder, o)
end

--- Runs the recipe `name` with the command line `args`. preset: the default of --preset.
return function(name, preset, args)
  local spec = spec_of(name, preset)
  function spec.adjust(values, given) return adjusted(spec, values, given) end
  options.main(spec, args, function(o) return main(spec, o) end)
end
