---@meta
-- prediction.lua - require "lurcher.prediction"; see lurcher.lua for the conventions.

---Class probabilities of a set of images by a trained classifier, averaged over views of each
---image. It knows classifiers alone: one image in, a vector of class probabilities out.
---
---    local model, metadata = prediction.open_model "runs/single_model-001"
---    local set = prediction.open_set("dogs/test", metadata.classes)
---    local scores, rows = prediction.predict(model, set, metadata, { tta = 2, device = "auto" })
---@class lurcher.prediction
---@field most_views integer the largest `tta`
local prediction = {}
---A path as it is, or that of a run folder's file `name` (model.safetensors).
function prediction.model_file(path, name) end
---The model of a file, or of a run folder's file `name` (model.safetensors), and its metadata: classes, preprocessing
---and the settings of its training. Raises where there is none.
function prediction.open_model(path, name) end
---The images of a folder, and whether they have classes: whether subfolders have names of `classes`. o.hidden: as of
---data.folder. Raises where there is no image, and for the folder of a whole data set: which part is meant is not
---known.
function prediction.open_set(path, classes, o) end
---The output with class probabilities: `name` where it is given, else ctg_out (of two backbones together), ctg_out_1,
---or the first with a number per class.
function prediction.output(model, classes, name) end
---@class lurcher.predict_options
---@field tta? integer views of each image that are averaged, from 1 to most_views; default 1
---@field batch? integer images per batch; default 32
---@field workers? integer threads of the loader
---@field device? lurcher.device|string where to compute; default "auto"
---@field output? string name; default: the model's first
---@field cache? string folder of the feature cache; default: none
---@field cache_store? "f32"|"f16" number type of its rows; default "f32"
---@field cache_limit? number largest size of a cache file, in MB
---@field existing? boolean true: reads the cache, and adds nothing to it
---@field stream? table file of the progress lines; default io.stdout

---Class probabilities of every image that can be read, the mean over `tta` views:
---`prediction.predict(model, set, metadata, { tta = 2 })`.
---@param model lurcher.model
---@param set lurcher.dataset
---@param metadata table of open_model
---@param o lurcher.predict_options
---@return lurcher.tensor scores n x classes
---@return integer[] rows the images' numbers, in the same order
function prediction.predict(model, set, metadata, o) end
