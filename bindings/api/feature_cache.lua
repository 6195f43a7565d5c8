---@meta
-- feature_cache.lua - require "lurcher.feature_cache"; see lurcher.lua for the conventions.

---The frozen features of a set of images, which are the outputs of a frozen backbone
---(lurcher.frozen) for every image. They are found in a file of a cache folder or computed once, into such a file or
---into memory, and given in the batches of any sampler in place of the images.
---
---    local split = require "lurcher.frozen".split(model, "image")
---    local features = split:load{ set, size = 299, cache = "runs/cache" }
---    fit(run, features:loader{ batch = 32, output = "predictions" }, { epochs = 30 })
---@class lurcher.feature_cache
local feature_cache = {}
---Options of load from those that recipes have, cache (a folder, or "none"), cache_store and cache_limit (MB), and
---from `more`.
function feature_cache.settings(o, more) end
---The images of a set that int8 is calibrated on: evenly spaced, at most 64.
---@param size integer number of images
---@return integer[] images
function feature_cache.calibration(size) end
---@class lurcher.feature_options: lurcher.loader_options
---@field batch? integer images per step: the last bits of a row may depend on it; default 32
---@field device? lurcher.device|string where to compute; default "auto"
---@field cache? string folder of cache files; nil: features are kept in memory only
---@field existing? boolean true: only a cache file that is there already, with every image; none is written
---@field limit? number largest size of a cache file, in bytes
---@field memory? number largest size in memory, in bytes, where there is no cache file; above it load returns nil and a
--- message
---@field precision? "f32"|"int8" int8: faster, on the CPU, and nearly the same; default "f32"
---@field store? "f32"|"f16" number type of the rows; f16 takes half the space; default "f32"
---@field views? integer number of fixed views of each image, with `augment` or `transform`: epoch n of training uses
--- view
--- n % views + 1; default 1
---@field quiet? boolean prints nothing; default false
---@field stream? table file of the lines that are printed; default io.stdout
---@field named? table<string, boolean> paths of images that need not be named again where they cannot be read
---@field left_out? boolean true: messages say that images that cannot be read are left out

---What load returns.
---@class lurcher.features
---@field size integer number of images
---@field views integer number of views
---@field select fun(self, images: integer[], view?: integer): lurcher.tensor, lurcher.tensor, lurcher.tensor features,
--- classes and images of a list of images
---@field loader fun(self, options: lurcher.feature_loader_options): table a loader for fit, with `features` in place of
--- the images

---@class lurcher.feature_loader_options
---@field sampler? lurcher.sampler|function as of data.loader; default: the whole set
---@field targets? fun(batch: table): table as of data.loader
---@field change? fun(batch: table, epoch: integer, step: integer) alters a batch before it gets its targets
---@field output? string model output whose targets are the classes
---@field batch? integer images per batch; default 64
---@field shuffle? boolean default true
---@field seed? integer default: that of the context

---The frozen features of every image of a set: from the cache, or computed now. An image that cannot be read has the
---features and the class of the image that the loader puts in its place.
---@param split table of lurcher.frozen
---@param options lurcher.feature_options
---@return lurcher.features? features
---@return string? message why there is no room for them
function feature_cache.load(split, options) end
