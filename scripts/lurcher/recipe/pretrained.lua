--- lurcher.recipe.pretrained: backbones of lurcher.models with weights from a file, for recipes that build heads on
-- them. Where a file lacks layers, the first of them and all after it get fresh weights: the file's batch norms behind
-- it hold statistics of features that no longer exist.
--
--     local backbone, report = pretrained.backbone{ size = 299, feature_layer = "add_12", weights = "xception.h5" }
--     backbone:freeze()
--     pretrained.check_frozen(backbone, report, "xception.h5")

local lfs = require "lfs"
local imagenet, options = require "lurcher.recipe.imagenet", require "lurcher.recipe.options"
local preprocessing = require "lurcher.preprocessing"
local run_folder = require "lurcher.recipe.run_folder"

local pretrained = {}

--- The networks of lurcher.models that can be a backbone, in the order of the help. title; mark: a layer that only this
-- one has; features: the layer of its pooled output; tune_from: the first layer that a fine-tuning trains, from 0: of
-- the last stage. pooling: where it is not "avg".
pretrained.networks = {
  { name = "xception", title = "Xception", mark = "block1_conv1", features = "avg_pool", tune_from = 105 },
  { name = "inception_v3", title = "InceptionV3", mark = "mixed0", features = "avg_pool", tune_from = 262 },
  { name = "resnet50", title = "ResNet-50", mark = "conv2_block1_out", features = "avg_pool", tune_from = 143 },
  { name = "densenet121", title = "DenseNet-121", mark = "conv2_block1_concat", features = "avg_pool", tune_from = 313 },
  { name = "mobilenet_v2", title = "MobileNetV2", mark = "expanded_conv_depthwise", features = "avg_pool",
    tune_from = 116 },
  { name = "efficientnet_b0", title = "EfficientNet-B0", mark = "block1a_dwconv", features = "avg_pool",
    tune_from = 163 },
  { name = "convnext_tiny", title = "ConvNeXt-Tiny", mark = "convnext_tiny_stem_conv", features = "layer_normalization",
    tune_from = 128 },
  { name = "vit_s16", title = "ViT-S/16", mark = "patch_embed.proj", features = "fc_norm", pooling = "token",
    tune_from = 237 },
}
for _, network in ipairs(pretrained.networks) do pretrained.networks[network.name] = network end

--- Their names, for the choices of an option.
function pretrained.names()
  local names = {}
  for i, network in ipairs(pretrained.networks) do names[i] = network.name end
  return names
end

--- The default of an option --size, for options that hold the name of a backbone as `backbone`.
function pretrained.size_of(backbone)
  return (preprocessing.networks[backbone] or preprocessing.networks.xception).size
end

--- Command-line options of recipes that build a backbone, for options.join.
pretrained.options = {
  { "weights", "path", value = "FILE|imagenet",
    help = "weights of an Xception, or of another --backbone, to start from: Keras .h5, or .safetensors; imagenet: those "
      .. "found on this machine (see lurcher weights)" },
  { "partial-weights", "flag", help = "accept files with weights for fewer than half of the backbone's layers; the "
      .. "first layer that a file lacks and all after it get fresh ones" },
  { "feature-layer", "string", value = "NAME", help = "last layer of the backbone that is used, e.g. add_12" },
  { "size", "integer", default = 299, min = 32, max = 4096, help = "height and width of the network's input" },
  { "width", "number", default = 1, min = 0.01, max = 8, help = "multiplier of every layer's number of channels" },
  { "middle", "integer", default = 8, min = 0, max = 64, help = "number of blocks in the middle flow of an Xception" },
  { "bn-momentum", "number", default = 0.99, min = 0, max = 1,
    help = "momentum of the batch norms' moving statistics; lower it for trainings of a few hundred steps" },
}

--- Command-line options of recipes that may build an InceptionV3 beside or instead of it, besides those above.
pretrained.inception_options = {
  { "inception-weights", "path", value = "FILE|imagenet",
    help = "weights of an InceptionV3 to start from, as of --weights" },
  { "inception-feature-layer", "string", value = "NAME",
    help = "last layer of the InceptionV3 that is used, e.g. mixed7" },
}

--- Puts the file of weights that are on this machine in place of the word imagenet. values: of the options above. With
-- --backbone inception_v3, --weights imagenet means that backbone's. Raises where there is none.
function pretrained.resolve(values)
  local named = values.backbone ~= "both" and pretrained.networks[values.backbone]
  if named and values.weights == "imagenet" and not imagenet.knows(named.name) then
    error(("--weights imagenet: only those of %s are known; give the file of the %s's"):format(
      table.concat(imagenet.backbones, " and "), named.title), 0)
  end
  if values.backbone == "inception_v3" and values.weights == "imagenet" then
    values.weights, values.inception_weights = nil, values.inception_weights or "imagenet"
  elseif values.backbone == "both" and values.weights == "imagenet" then
    values.inception_weights = values.inception_weights or "imagenet"
  end
  for _, key in ipairs{ "weights", "inception_weights" } do
    if values[key] == "imagenet" then
      values[key] = imagenet.file(key == "weights" and "xception" or "inception_v3", "--" .. key:gsub("_", "-"))
    end
  end
end

--- Gives fresh weights to the first layer that the file has none for, and to every layer after it. Returns that layer's
-- name, or nil where nothing is missing.
local function reset_missing(backbone, report)
  local first
  for name in report.text:gmatch "([^\n:]+): missing in the file" do
    local index = backbone:index(name)
    if index and (not first or index < first) then first = index end
  end
  for i = (first or #backbone.layers) + 1, #backbone.layers do
    if next(backbone.layers[i]:weights()) then backbone.layers[i]:reset() end
  end
  return first and backbone.layers[first + 1].name
end

--- options.called, with the command line's name of the option that a failed load of weights asks for.
local function built(network, given, flags)
  local results = table.pack(pcall(options.called, network, given, flags))
  if results[1] then return table.unpack(results, 2, results.n) end
  error((tostring(results[2]):gsub("with partial = true", "with --partial-weights")), 0)
end

--- A network without its top, averaged over height and width. Options: those of pretrained.options, with "_" for "-",
-- `backbone` (its name; "xception") and `input` ("image"). Returns the model and, with weights, the load report;
-- report.fresh is the name of the first layer that has fresh weights.
function pretrained.backbone(o)
  local network = pretrained.networks[o.backbone] or pretrained.networks.xception
  local backbone, report = built(require("lurcher.models." .. network.name), { size = o.size, width = o.width,
    middle = network.name == "xception" and o.middle or nil, top = false, pooling = network.pooling or "avg",
    bn_momentum = o.bn_momentum, feature_layer = o.feature_layer, weights = o.weights or nil,
    partial = o.partial_weights, input = o.input or "image" }, { feature_layer = "feature-layer" })
  if report then report.fresh = reset_missing(backbone, report) end
  return backbone, report
end

--- The same of InceptionV3. Options: those of pretrained.options and inception_options, `input` ("image"), and
-- beside_xception (true: for a model of both backbones, where its layers' numbers continue from Xception's, and it ends
-- before avg_pool, a name that Xception has).
function pretrained.inception_backbone(o)
  local backbone, report = built(require "lurcher.models.inception_v3", { size = o.size, width = o.width,
    top = false, bn_momentum = o.bn_momentum, pooling = not o.beside_xception and "avg" or nil,
    first = o.beside_xception and 5 or 1, feature_layer = o.inception_feature_layer,
    weights = o.inception_weights or nil, partial = o.partial_weights, input = o.input or "image" },
    { feature_layer = "inception-feature-layer" })
  if report then report.fresh = reset_missing(backbone, report) end
  return backbone, report
end

--- Raises where a frozen layer of `model` did not get its weights from `file`: it would never learn any. option: the
-- one that cuts this backbone ("--feature-layer").
function pretrained.check_frozen(model, report, file, option)
  for line in report.text:gmatch "[^\n]+" do
    local name, trouble = line:match "^([^:]+): (.*)$"
    if name and model:index(name) and not model:layer(name).trainable then
      error(("layer '%s' is frozen, but '%s' does not give its weights (%s): cut before it with %s"):format(name,
        file, trouble, option or "--feature-layer"), 0)
    end
  end
end

--- The file that has the weights of a resumed run's whole model, and the recipe's values for making that model without
-- the files of the first weights, which may be gone; nil and the same values where the run is new or has no such file.
-- names: files of the run folder that may have them, beside those of the start. Raises where the weights are nowhere.
function pretrained.begun(o, names)
  if not o.resume or not (o.weights or o.inception_weights) then return nil, o end
  local start = run_folder.start_of(o.resume, table.unpack(names))
  for _, key in ipairs(start and {} or { "weights", "inception_weights" }) do
    if o[key] and not lfs.attributes(o[key]) then
      local option = key:gsub("_", "-")
      start = run_folder.start_of(o.resume, "checkpoints/last.safetensors") -- of earlier versions: perhaps all layers
      if not start then
        error(("there is no '%s', and the run in '%s' has no checkpoint yet: name the file with --%s"):format(o[key],
          o.resume, option), 0)
      end
    end
  end
  if not start then return nil, o end
  return start, setmetatable({ weights = false, inception_weights = false }, { __index = o })
end

--- Puts the weights of `start`, of begun, into the model of a resumed run.
function pretrained.put_back(model, start)
  local report, message = model:load(start, { strict = true })
  if not report then
    error(("'%s' does not have the weights that the run began with (%s): the file of --weights is needed"):format(
      start, message), 0)
  end
end

--- Prints what was loaded, in a line or two, and writes the load report into the run folder, as `name`
-- ("load_report.txt").
function pretrained.describe(report, file, folder, name)
  name = name or "load_report.txt"
  if not report and file then return print "weights: those that the run began with" end
  if not report then
    print "no --weights: the backbone has random weights, which its frozen layers keep"
    return
  end
  folder:write(name, report.text .. "\n")
  print(("weights: %d layers loaded, %d missing, %d unused, %d of another shape (%s)"):format(report.loaded,
    report.missing, report.unused, report.mismatched, file))
  if report.fresh then print(("  '%s' and the layers after it have fresh weights"):format(report.fresh)) end
  if report.missing + report.mismatched > 0 then print(("  see %s in the run folder"):format(name)) end
end

return pretrained
