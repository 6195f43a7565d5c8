--- single_model.lua - trains a softmax classifier on class folders DIR/train/CLASS/*.jpg and DIR/valid/CLASS/*.jpg
-- On Xception, on InceptionV3, or on both at once as the founding model does: a softmax on each backbone's features, one
-- on the features of both, and the larger of the first two, element by element; the losses of all four count 1.
-- With pretrained weights a backbone is frozen by default and only the softmaxes learn. Where the frozen part is the same
-- for an image in every epoch (no augmentation, or a few fixed views), its output is computed once, and kept for the
-- runs to come.
-- Defaults are the values of the founding recipe's first phase (single_model.py; keras.md section 10). One is not, on a
-- single backbone: no augmentation (there `strong`), so that the backbone is computed once and not in every epoch.
-- Leaves a run folder with the best epoch's model, and everything needed to repeat or resume the training.
-- Then: lurcher single_model_tune --run RUN, lurcher single_model_test --model RUN.

local lurcher = require "lurcher"
local class_folders = require "lurcher.recipe.class_folders"
local options, run_folder = require "lurcher.recipe.options", require "lurcher.recipe.run_folder"
local pretrained, single = require "lurcher.recipe.pretrained", require "lurcher.recipe.single"
local nn, optim = lurcher.nn, lurcher.optim

local spec = options.join({
  name = "single_model",
  summary = "Trains a softmax classifier on the images in DIR/train/CLASS/, validated on DIR/valid/CLASS/.",
  notes = "Defaults are the founding recipe's. On a single backbone one is not: it had --augment strong, with which the\n"
    .. "backbone is computed in every epoch, or once for each of --views.",
  { "data", "path", required = true, value = "DIR", help = "folder with train/ and valid/, a folder a class in each" },
  { "backbone", "choice", default = "xception", choices = { "xception", "inception_v3", "both" },
    help = "backbone of the network" },
}, pretrained.options, pretrained.inception_options, {
  { "batch", "integer", default = 48, min = 1, help = "images a step" },
  { "epochs", "integer", default = 30, min = 1, help = "passes over the training images at most" },
  { "optimizer", "choice", default = "nadam", choices = { "sgd", "adam", "adamw", "nadam" }, help = "update rule" },
  { "lr", "number", min = 0, help = "learning rate (default: the optimizer's own, 0.002 of nadam)" },
  { "dropout", "number", default = 0.5, min = 0, max = 0.99, help = "share of features dropped before the softmax" },
  { "freeze", "string", value = "all|none|NAME",
    help = "what does not learn: the backbones, nothing, or layers up to NAME (default: backbones with weights)" },
  { "patience", "integer", default = 3, min = 0, help = "epochs without gain before stopping; 0: never stop early" },
}, single.options, {
  { "out", "path", value = "RUN", help = "run folder to make (default: runs/single_model-NNN)" },
  { "resume", "path", value = "RUN", help = "go on with the training of this run folder, with its settings" },
})

function spec.adjust(values, given)
  if values.resume then return run_folder.resumed(spec, values, given, single.may_change) end
  if values.backbone == "both" then
    values.augment = given.augment or "strong"
    if values.freeze and values.freeze ~= "all" and values.freeze ~= "none" then
      return nil, ("bad value '%s' for --freeze (all or none expected with --backbone both)"):format(values.freeze)
    end
  end
  local other = { xception = "inception_weights", inception_v3 = "weights" }
  if values[other[values.backbone]] then
    return nil, ("--%s: there is no such backbone with --backbone %s"):format(other[values.backbone]:gsub("_", "-"),
      values.backbone)
  end
  return values
end

--- The backbones that --backbone asks for: a list of { model, report, weights, option that cuts it }.
local function trunks_of(o)
  local backbones = {}
  if o.backbone ~= "inception_v3" then
    local model, report = pretrained.backbone(o)
    backbones[1] = { model = model, report = report, weights = o.weights, cut = "--feature-layer" }
  end
  if o.backbone ~= "xception" then
    local model, report = pretrained.inception_backbone{ size = o.size, width = o.width, bn_momentum = o.bn_momentum,
      inception_feature_layer = o.inception_feature_layer, inception_weights = o.inception_weights,
      beside_xception = o.backbone == "both" }
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

--- The founding model of two backbones and four outputs.
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

--- Freezes what --freeze says.
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
    if backbone.report then
      pretrained.describe(backbone.report, backbone.weights, folder, i == 2 and "load_report_inception_v3.txt" or nil)
    end
  end
  folder:write("model.txt", tostring(model) .. "\n")
  folder:write("model.json", model:json() .. "\n")
  print("run folder: " .. folder.path)
end

local function optimizer_of(o)
  local is_adaptive = o.optimizer ~= "sgd"
  return optim[o.optimizer]{ lr = o.lr, weight_decay = o.weight_decay > 0 and o.weight_decay or nil,
    momentum = not is_adaptive and o.momentum or nil, epsilon = is_adaptive and o.era == "2017" and 1e-8 or nil }
end

local function main(o)
  lurcher.seed(o.seed)
  local sets = class_folders.open(o)
  local backbones, classes = trunks_of(o), #sets.train.classes
  local model = backbones[2] and two_backbones(backbones[1].model, backbones[2].model, o, classes)
    or one_backbone(backbones[1].model, o, classes)
  freeze(model, backbones, o)
  local folder = o.resume and assert(run_folder.open(o.resume, spec.name)) or run_folder.create(spec, o)
  describe(model, backbones, folder)

  local results, rest = single.train(model, sets, o, folder, { optimizer = optimizer_of(o) })
  return single.finish(results, rest, model, sets, folder, o)
end

options.main(spec, arg, main)
