--- lurcher.pretrained: backbones with weights from a file, Xception or InceptionV3, for recipes that build heads on them.
-- It decides what a partial weight file means: layers it lacks start afresh, and with them everything after them, whose
-- batch norms would else hold statistics of features that no longer exist.
--
--     local backbone, report = pretrained.backbone{ size = 299, feature_layer = "add_12", weights = "xception.h5" }
--     backbone:freeze()
--     pretrained.check_frozen(backbone, report, "xception.h5")

local inception_v3, xception = require "lurcher.models.inception_v3", require "lurcher.models.xception"

local pretrained = {}

--- Command-line options of recipes that build a backbone, for options.join.
pretrained.options = {
  { "weights", "path", value = "FILE", help = "weights to start from: Keras .h5, or .safetensors" },
  { "feature-layer", "string", value = "NAME", help = "cut the backbone after this layer, e.g. add_12" },
  { "size", "integer", default = 299, min = 32, max = 4096, help = "side of the images as the network sees them" },
  { "width", "number", default = 1, min = 0.01, max = 8, help = "multiplier of every layer's channels" },
  { "middle", "integer", default = 8, min = 0, max = 64, help = "blocks in the middle of the network" },
  { "bn-momentum", "number", default = 0.99, min = 0, max = 1,
    help = "of the batch norms' moving statistics; less for trainings of a few hundred steps" },
}

--- Command-line options of recipes that may build an InceptionV3 beside or instead of it: those above say size, width
-- and momentum.
pretrained.inception_options = {
  { "inception-weights", "path", value = "FILE", help = "weights of an InceptionV3 to start from" },
  { "inception-feature-layer", "string", value = "NAME", help = "cut the InceptionV3 after this layer, e.g. mixed7" },
}

--- Draws anew the first layer that the file has no weights for, and every layer after it. Returns that layer's name, or
-- nil where nothing is missing.
local function start_afresh(backbone, report)
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

--- Xception without its top, averaged over height and width. Options: those of pretrained.options, with "_" for "-",
-- and `input` ("image"). Returns the model and, with weights, the load report; report.fresh is the name of the first
-- layer that starts afresh.
function pretrained.backbone(o)
  local backbone, report = xception{ size = o.size, width = o.width, middle = o.middle, top = false, pooling = "avg",
    momentum = o.bn_momentum, feature_layer = o.feature_layer, weights = o.weights, input = o.input or "image" }
  if report then report.fresh = start_afresh(backbone, report) end
  return backbone, report
end

--- The same of InceptionV3. Options: those of pretrained.options and inception_options, `input` ("image"), and
-- beside_xception (true: for a model that has both backbones; its layers are numbered on from Xception's, and it ends
-- before avg_pool, a name that is taken).
function pretrained.inception_backbone(o)
  local backbone, report = inception_v3{ size = o.size, width = o.width, top = false, momentum = o.bn_momentum,
    pooling = not o.beside_xception and "avg" or nil, first = o.beside_xception and 5 or 1,
    feature_layer = o.inception_feature_layer, weights = o.inception_weights, input = o.input or "image" }
  if report then report.fresh = start_afresh(backbone, report) end
  return backbone, report
end

--- Raises where a frozen layer of `model` did not get its weights from `file`: it would never learn any. `option`: the
-- one that cuts this backbone ("--feature-layer").
function pretrained.check_frozen(model, report, file, option)
  for line in report.text:gmatch "[^\n]+" do
    local name, trouble = line:match "^([^:]+): (.*)$"
    if name and model:index(name) and not model:layer(name).trainable then
      error(("layer '%s' is frozen, but '%s' does not give its weights (%s): cut before it with %s"):format(name, file,
        trouble, option or "--feature-layer"), 0)
    end
  end
end

--- Prints what was loaded, in a line or two, and writes it into the run folder; name: of the file there
-- ("load_report.txt").
function pretrained.describe(report, file, folder, name)
  name = name or "load_report.txt"
  if not report then
    print "no --weights: the backbone starts from random weights, and what of it is frozen stays so"
    return
  end
  folder:write(name, report.text .. "\n")
  print(("weights: %d layers loaded, %d missing, %d unused, %d of another shape (%s)"):format(report.loaded,
    report.missing, report.unused, report.mismatched, file))
  if report.fresh then print(("  '%s' and what comes after it start afresh"):format(report.fresh)) end
  if report.missing + report.mismatched > 0 then print(("  see %s in the run folder"):format(name)) end
end

return pretrained
