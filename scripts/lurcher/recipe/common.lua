--- lurcher.recipe.common: command-line options that several recipes share, for options.join. Each list is declared
-- once, here; a recipe that has another default declares that option again behind the list.

local augmentations = require "lurcher.augmentations"
local options = require "lurcher.recipe.options"

local common = {}

--- Options of the feature cache.
common.cache = {
  { "cache", "path", default = "runs/cache", none = "none", value = "DIR",
    help = "folder of the feature cache: outputs of the frozen backbone, kept for later runs; none: keep nothing" },
  { "cache-store", "choice", default = "f32", choices = { "f32", "f16" },
    help = "number type of cached features; f16 takes half the space" },
  { "cache-limit", "integer", default = 20000, min = 0, value = "MB", help = "largest size of one feature cache file" },
}

--- The same of recipes that predict once: they only read it, unless it is given (common.reads).
common.cache_read = options.join({}, common.cache, {
  { "cache", "path", default = "runs/cache", none = "none", value = "DIR",
    help = "folder of the feature cache: outputs of the frozen backbone. By default they are used where the cache has "
      .. "them; where DIR is given, they are also kept for later runs; none: not used" },
})

--- Makes the values of a recipe's command line read the cache, and write none unless --cache was given.
function common.reads(values, given)
  if given.cache == nil then values.existing = true end
  return values
end

--- Options of every recipe that trains: its images.
common.data = {
  { "data", "path", required = true, value = "DIR", help = "folder with train/CLASS/ and valid/CLASS/" },
}

--- Options of every recipe that trains: the rest.
common.training = options.join({
  { "era", "choice", default = "current", choices = { "current", "2017" },
    help = "2017: preprocessing, augmentation, callbacks, validation and batch norms of a frozen backbone as in the "
      .. "original, and the last epoch's model instead of the best one's" },
  { "exif", "flag", default = function(values)
      if values.run or values.model then return nil end
      return values.era ~= "2017"
    end, default_text = "on, and off in era 2017; of a model that is trained further: as before",
    help = "turn images as their EXIF orientation asks" },
  { "transform", "path", value = "FILE",
    help = "Lua file that returns function(image, random, info), which changes every training image after its "
      .. "augmentation; see lurcher.loader in the reference" },
  { "seed", "integer", default = 1, min = 0,
    help = "seed of fresh weights, dropout, order or pairs of images, and augmentation" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that decode images" },
  { "memory", "integer", default = 2048, min = 0, value = "MB",
    help = "largest size of frozen features in memory, where they are not in a cache file" },
  { "report", "flag", default = true, help = "write report.html on the validation images at the end" },
  { "tensorboard", "path", written = true, value = "DIR",
    help = "folder for TensorBoard: curves by epoch, histograms of weights, some images, the options; each stage has a "
      .. "folder below it" },
}, common.cache)

--- The names of the options that a resumed run may change: no result depends on them.
common.may_change = { device = true, workers = true, memory = true, report = true, cache = true,
  ["cache-limit"] = true, tensorboard = true }

--- Options of the reduction of the learning rate on a plateau.
common.reduce = {
  { "reduce-patience", "integer", default = 3, min = 0,
    help = "epochs without improvement before the learning rate is reduced; 0: never" },
  { "reduce-factor", "number", default = 0.1, min = 0.001, max = 0.999,
    help = "factor that the learning rate is then multiplied by" },
}

--- Options of augmentation, "none" by default.
common.augment = {
  { "augment", "choice", default = "none", choices = augmentations.names, help = augmentations.help },
  { "views", "integer", default = 0, min = 0, max = 1000,
    help = "number of fixed augmented views per image, whose features are computed once; 0: a new view in every "
      .. "epoch" },
}

--- Options of every recipe that predicts a folder of images.
common.test = options.join({
  { "data", "path", required = true, value = "DIR", help = "folder of images, or with one subfolder per class" },
  { "out", "file", default = "predict.txt", help = "file of the predictions" },
  { "exif", "flag", default = function() return nil end, default_text = "as in the model's training",
    help = "turn images as their EXIF orientation asks" },
  { "tta", "integer", default = 1, min = 1, max = require "lurcher.prediction".most_views,
    help = "number of views per image to average, 1 to 6: as it is, mirrored, both enlarged, both reduced" },
  { "batch", "integer", default = 32, min = 1, max = 65536, help = "images per step; no prediction depends on it" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that decode images" },
}, common.cache_read)

return common
