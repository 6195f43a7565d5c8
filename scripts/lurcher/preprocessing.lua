--- lurcher.preprocessing: how a decoded image becomes the network's input: size, filter of the resize, range of the
-- values. It is decided where a model is made, saved in the model's metadata, and the same wherever the model is used.
-- The original resized by nearest neighbour and divided by 255 in every recipe, although the published weights expect
-- values from -1 to 1 (Keras 2.0.6 keras/applications/xception.py, preprocess_input). Era "2017" does the same; the
-- current era follows the weights. Random changes of images are in lurcher.augmentations.
--
--     local how = preprocessing.new{ size = 299 }           -- or { backbone = "resnet50" }
--     data.loader{ set, size = how.size, resize = how.resize, preprocess = how.preprocess, exif = how.exif }
--     run:save(path, lurcher.json.encode(preprocessing.metadata(how, classes, folder.settings)))
--     local how = preprocessing.saved(metadata)             -- of a model that was saved so

local preprocessing = {}

--- What the published weights of the networks in lurcher.models expect: the size of the images, and `preprocess` of
-- data.loader (keras/applications/NAME.py, preprocess_input, of Keras 3; vit_s16: timm 1.0, vit_small_patch16_224).
-- efficientnet_b0 and convnext_tiny normalise inside of the network.
preprocessing.networks = {
  xception = { size = 299, preprocess = "tf" },
  inception_v3 = { size = 299, preprocess = "tf" },
  resnet50 = { size = 224, preprocess = "caffe" },
  densenet121 = { size = 224, preprocess = "torch" },
  mobilenet_v2 = { size = 224, preprocess = "tf" },
  efficientnet_b0 = { size = 224, preprocess = "none" },
  convnext_tiny = { size = 224, preprocess = "none" },
  vit_s16 = { size = 224, preprocess = "tf" },
}

local original_backbones <const> = { xception = true, inception_v3 = true, both = true }

--- For the images of a new model. Options: size (that of the backbone), era ("current", or "2017"), exif (turns images
-- as their EXIF orientation asks; false), backbone (name of a network; "xception", whose preprocessing other values
-- have, too).
function preprocessing.new(o)
  local network = preprocessing.networks[o.backbone] or preprocessing.networks.xception
  local original = o.era == "2017"
  local rescaled = original and original_backbones[o.backbone or "xception"] -- the original has no other backbones
  return { size = o.size or network.size, resize = original and "nearest" or "bilinear",
    preprocess = rescaled and "rescale" or network.preprocess, exif = o.exif == true }
end

--- The name of the first field of a model's metadata that is not what `metadata` makes, or nil.
function preprocessing.mistake(metadata)
  for i = 1, 2 do
    local extent = math.tointeger(type(metadata.size) == "table" and metadata.size[i])
    if not extent or extent < 1 or extent > 1 << 16 then return "size" end
  end
  local resize, preprocess = metadata.resize, metadata.preprocess -- nil: data.loader's own
  if resize ~= nil and resize ~= "bilinear" and resize ~= "nearest" then return "resize" end
  if preprocess ~= nil and type(preprocess) ~= "string" then return "preprocess" end
end

--- For the images of a model that was saved with this metadata; models of earlier versions were trained on images that
-- were not turned.
function preprocessing.saved(metadata)
  local height, width = math.tointeger(metadata.size[1]), math.tointeger(metadata.size[2])
  return { size = height == width and height or { height, width }, resize = metadata.resize,
    preprocess = metadata.preprocess, exif = metadata.exif == true }
end

--- The metadata to save with a model: its preprocessing, its classes, and the settings of the run that trained it.
function preprocessing.metadata(how, classes, settings)
  return { recipe = settings.recipe, classes = classes, size = { how.size, how.size }, resize = how.resize,
    preprocess = how.preprocess, exif = how.exif, settings = settings }
end

preprocessing.about = preprocessing.metadata -- its name in lurcher.reading

return preprocessing
