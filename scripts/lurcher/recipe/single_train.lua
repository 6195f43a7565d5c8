--- lurcher.recipe.single_train: the recipe behind train and single_model, which differ in their name and the default of
-- --preset. A softmax classifier is trained on the images of DIR/train/CLASS/, validated on DIR/valid/CLASS/: on
-- Xception, on InceptionV3, on another network of lurcher.models, or on the first two at once as in the original: a
-- softmax on each backbone's features, one on the features of both, and the larger of the first two, element by
-- element; each of the four losses has weight 1.
-- A backbone with pretrained weights is frozen by default, and only the softmaxes learn. Where its output is the same
-- for an image in every epoch (no augmentation, or a few fixed views), it is computed once and cached for later runs.
-- In preset original, defaults are those of the first phase of the original's single_model.py, except for --augment on
-- a single backbone: none instead of strong, so that the backbone is computed once and not in every epoch.
-- Leaves a run folder with the best epoch's model, and everything needed to repeat or resume the training.

local lurcher = require "lurcher"
local class_folders, common = require "lurcher.recipe.class_folders", require "lurcher.recipe.common"
local options = require "lurcher.recipe.options"
local presets = require "lurcher.recipe.presets"
local pretrained, run_folder = require "lurcher.recipe.pretrained", require "lurcher.recipe.run_folder"
local single = require "lurcher.recipe.single"
local nn, optim = lurcher.nn, lurcher.optim

local backbone_choices = pretrained.names()
backbone_choices[#backbone_choices + 1] = "both"

local function has_weights(values) return values.weights or values.inception_weights end

--- The declaration of the recipe `name`, whose --preset is `preset` where it is not given.
local function spec_of(name, preset)
  return options.join({
    name = name,
    summary = "Trains a softmax classifier on the images in DIR/train/CLASS/, validated on DIR/valid/CLASS/.",
    notes = "In preset original, defaults are those of the original, except for --augment on a single backbone: its "
      .. "`strong` needs the backbone in every epoch, or once for each of --views.",
  }, common.data, {
    presets.choice(preset),
    { "backbone", "choice", default = "xception", choices = backbone_choices,
      help = "backbone of the network; both: Xception and InceptionV3; the default of --size is that of its published "
        .. "weights" },
  }, pretrained.options, pretrained.inception_options, {
    { "batch", "integer", default = 48, min = 1, help = "images per step" },
    presets.option({ "epochs", "integer", min = 1, help = "number of epochs at most" },
      function(values) return has_weights(values) and 12 or 30 end, 30, "12 with weights, else 30"),
    presets.option({ "optimizer", "choice", choices = { "sgd", "adam", "adamw", "nadam" }, help = "optimizer" },
      "adamw", "nadam"),
    presets.option({ "schedule", "choice", choices = { "cosine", "plateau" },
      help = "learning rate by epoch; cosine: rises to --lr and falls to 0; plateau: --lr, reduced after epochs "
        .. "without improvement" }, "cosine", "plateau"),
    presets.option({ "lr", "number", min = 0, max = 1e9, help = "learning rate" },
      function(values) return has_weights(values) and 0.003 or 0.002 end, nil, "0.003 with weights, else 0.002",
      "the optimizer's own, 0.002 for nadam"),
    { "dropout", "number", default = 0.5, min = 0, max = 0.99,
      help = "fraction of the features dropped before a softmax" },
    { "freeze", "string", value = "all|none|NAME",
      help = "layers to freeze: the backbones, none, or all up to layer NAME (default: backbones with weights)" },
    presets.option({ "patience", "integer", min = 0,
      help = "epochs without improvement before training stops; 0: never stop early" }, 0, 3),
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
    return single.checked(spec, values)
  end
  if values.backbone == "both" then
    if values.preset == "original" then values.augment = given.augment or "strong" end
    if values.freeze and values.freeze ~= "all" and values.freeze ~= "none" then
      return nil, ("bad value '%s' for --freeze (all or none expected with --backbone both)"):format(values.freeze)
    end
  end
  values.size = given.size or pretrained.size_of(values.backbone)
  local wrong = values.backbone == "inception_v3" and "weights" or values.backbone ~= "both" and "inception_weights"
  if wrong and values[wrong] then
    return nil, ("--%s: there is no such backbone with --backbone %s"):format(wrong:gsub("_", "-"), values.backbone)
  end
  return single.checked(spec, values)
end

--- The backbones that --backbone asks for: a list of { model, report, weights, option that cuts it }. how: of
-- pretrained.begun.
local function backbones_of(o, how)
  local backbones = {}
  if o.backbone ~= "inception_v3" then
    local model, report = pretrained.backbone(how)
    backbones[1] = { model = model, report = report, weights = o.weights, cut = "--feature-layer" }
  end
  if o.backbone == "inception_v3" or o.backbone == "both" then
    local model, report = pretrained.inception_backbone{ size = o.size, width = o.width, bn_momentum = o.bn_momentum,
      inception_feature_layer = o.inception_feature_layer, inception_weights = how.inception_weights,
      partial_weights = o.partial_weights, beside_xception = o.backbone == "both" }
    backbones[#backbones + 1] = { model = model, report = report, weights = o.inception_weights,
      cut = "--inception-feature-layer" }
  end
  return backbones
end

--- One softmax on one backbone.
local function one_backbone(backbone, o, classes)
  local x = backbone:node(backbone.outputs[1])
  if o.dropout > 0 then x = nn.dropout{ o.dropout, name = "dropout" }(x) end
  return nn.model(nn.dense{ classes, activation = "softmax", name = "predictions" }(x))
end

--- The original's model of two backbones and four outputs.
local function two_backbones(xception, inception, o, classes)
  local image = nn.input("image", o.size, o.size, 3)
  local one, two = xception(image), nn.global_avg_pool{ name = "inception_avg_pool" }(inception(image))
  local function softmax(name, x) return nn.dense{ classes, activation = "softmax", name = name }(x) end
  local ctg_out_1 = softmax("ctg_out_1", nn.dropout{ o.dropout, name = "dropout_1" }(one))
  local ctg_out_2 = softmax("ctg_out_2", nn.dropout{ o.dropout, name = "dropout_2" }(two))
  return nn.model{
    ctg_out_1 = ctg_out_1,
    ctg_out_2 = ctg_out_2,
    ctg_out = softmax("ctg_out", nn.concat{ name = "concatenate_3" }(one, two)),
    maximum_1 = nn.maximum{ name = "maximum_1" }(ctg_out_1, ctg_out_2),
  }
end

--- Freezes what --freeze names.
local function freeze(model, backbones, o)
  for _, backbone in ipairs(backbones) do
    if o.freeze == "all" or (o.freeze == nil and backbone.weights ~= nil) then backbone.model:freeze() end
  end
  if o.freeze and o.freeze ~= "all" and o.freeze ~= "none" then model:freeze{ to = o.freeze } end
  for _, backbone in ipairs(backbones) do
    if backbone.report then pretrained.check_frozen(backbone.model, backbone.report, backbone.weights, backbone.cut) end
  end
end

local function describe(model, backbones, folder)
  local total, trainable = model:parameters()
  print(("%d layers, %d parameters, %d of them trainable"):format(#model.layers, total, trainable))
  for i, backbone in ipairs(backbones) do
    if backbone.weights then
      pretrained.describe(backbone.report, backbone.weights, folder, i == 2 and "load_report_inception_v3.txt" or nil)
    end
  end
  folder:write_model(model)
  print("run folder: " .. folder.path)
end

local function optimizer_of(o)
  local is_adaptive = o.optimizer ~= "sgd"
  return optim[o.optimizer]{ lr = o.lr, weight_decay = o.weight_decay > 0 and o.weight_decay or nil,
    momentum = not is_adaptive and o.momentum or nil, epsilon = is_adaptive and o.era == "2017" and 1e-8 or nil }
end

local function main(spec, o)
  local optimizer = optimizer_of(o)
  lurcher.seed(o.seed)
  local sets = class_folders.open(o)
  local start, how = pretrained.begun(o, { "model.safetensors" })
  local backbones, classes = backbones_of(o, how), #sets.train.classes
  local model = backbones[2] and two_backbones(backbones[1].model, backbones[2].model, o, classes)
    or one_backbone(backbones[1].model, o, classes)
  freeze(model, backbones, o)
  if start then pretrained.put_back(model, start) end
  local folder = run_folder.start(spec, o, sets)
  if not o.resume and (o.weights or o.inception_weights) then folder:keep_start(model) end
  describe(model, backbones, folder)
  presets.print(spec, o)

  local results, rest, rows = single.train(model, sets, o, folder, { optimizer = optimizer,
    schedule = single.schedule(o, o.lr) })
  return single.finish(results, rest, rows, model, sets, folder, o)
end

--- Runs the recipe `name` with the command line `args`. preset: the default of --preset.
return function(name, preset, args)
  local spec = spec_of(name, preset)
  function spec.adjust(values, given)
    pretrained.resolve(values)
    return adjusted(spec, values, given)
  end
  options.main(spec, args, function(o) return main(spec, o) end)
end
