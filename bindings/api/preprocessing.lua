---@meta
-- preprocessing.lua - require "lurcher.preprocessing"; see lurcher.lua for the conventions.

---How a decoded image becomes the network's input: size, filter of the resize, range of the
---values. It is decided where a model is made, saved in the model's metadata, and the same wherever the model is used.
---The original resized by nearest neighbour and divided by 255 in every recipe, although the published weights expect
---values from -1 to 1 (Keras 2.0.6 keras/applications/xception.py, preprocess_input). Era "2017" does the same; the
---current era follows the weights. Random changes of images are in lurcher.augmentations.
---
---    local how = preprocessing.new{ size = 299 }
---    data.loader{ set, size = how.size, resize = how.resize, preprocess = how.preprocess, exif = how.exif }
---    run:save(path, lurcher.json.encode(preprocessing.metadata(how, classes, folder.settings)))
---    local how = preprocessing.saved(metadata)             -- of a model that was saved so
---@class lurcher.preprocessing
---@field networks table<string, { size: integer, preprocess: string }> what the published weights of each network in
--- lurcher.models expect
local preprocessing = {}
---For the images of a new model: `preprocessing.new{ backbone = "resnet50" }`.
---@param o { size?: integer, era?: "current"|"2017", exif?: boolean, backbone?: string } size: default: that of the
--- backbone; exif (false): turns images as their EXIF orientation asks; backbone: default "xception"
---@return { size: integer, resize: string, preprocess: string, exif: boolean }
function preprocessing.new(o) end
---The name of the first field of a model's metadata that is not what `metadata` makes, or nil.
function preprocessing.mistake(metadata) end
---For the images of a model that was saved with this metadata; models of earlier versions were trained on images that
---were not turned.
function preprocessing.saved(metadata) end
---The metadata to save with a model: its preprocessing, its classes, and the settings of the run that trained it.
function preprocessing.metadata(how, classes, settings) end
---The same as metadata, its former name.
function preprocessing.about(how, classes, settings) end
