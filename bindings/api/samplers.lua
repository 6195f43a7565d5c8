---@meta
-- samplers.lua - which images make a batch, require "lurcher.samplers"; see lurcher.lua for the conventions.

---Samplers decide which images make a batch, in which order. A sampler is called with the epoch's number (from 0) and
---returns an iterator over batches: lists of image numbers from 1, or tables of these with further fields. Any function
---or coroutine of that shape will do. What an epoch draws depends on the seed and the epoch alone.
---
---    local samplers = require "lurcher.samplers"
---    data.loader{ set, size = 299, sampler = samplers.class_balanced{ set, batch = 32, seed = 7 } }
---    data.loader{ set, size = 299, sampler = function(epoch) return coroutine.wrap(function()
---      for i = 1, #set, 2 do coroutine.yield{ i, math.min(i + 1, #set) } end
---    end) end }
---@class lurcher.samplers
local samplers = {}

---A sampler: sampler(epoch) returns an iterator over batches.
---@class lurcher.sampler
---@field kind string its name
---@field batches? integer number of batches per epoch; nil where it is not known
---@field statistics? table of pairs: counts of pairs and positive ones
---@field report? fun(self): string of pairs: the statistics in a line

---@class lurcher.order_options
---@field [1] lurcher.dataset|integer the set, or a number of images
---@field batch? integer images per batch; default 32
---@field seed? integer default 0
---@field drop_last? boolean leaves out a last batch that is not full; default false
---@field rank? integer which of `world` processes this is, from 0; default 0
---@field world? integer number of processes that share the images; default 1

---Images in the order of the set: `samplers.sequential{ set, batch = 32 }`.
---@param options lurcher.order_options
---@return lurcher.sampler
function samplers.sequential(options) end
---Every image once per epoch, in a new order each time: `samplers.shuffled{ set, batch = 32, seed = 7 }`.
---@param options lurcher.order_options
---@return lurcher.sampler
function samplers.shuffled(options) end

---@class lurcher.keras_sampler_options
---@field [1] lurcher.dataset|integer the set, or a number of images
---@field random lurcher.numpy_random generator of data.numpy_random, which the loader needs, too
---@field batch? integer images per batch; default 32
---@field seed? integer seeds the generator before every batch with seed + number of batches before; default: it is not
--- seeded
---@field shuffle? boolean default true

---Keras's flow_from_directory, draw for draw (Keras 2.0.6, keras/preprocessing/image.py, Iterator):
---`samplers.keras{ set, batch = 32, seed = 7, random = data.numpy_random(7) }`.
---@param options lurcher.keras_sampler_options
---@return lurcher.sampler
function samplers.keras(options) end

---@class lurcher.class_balanced_options
---@field [1] lurcher.dataset
---@field batch? integer images per batch; default 32
---@field seed? integer default 0
---@field size? integer images per epoch; default: as many as the set has

---Every class equally often: `samplers.class_balanced{ set, batch = 32 }`. Classes take turns in random order, and each
---gives all its images before it repeats one.
---@param options lurcher.class_balanced_options
---@return lurcher.sampler
function samplers.class_balanced(options) end

---@class lurcher.weighted_options
---@field [1] lurcher.dataset|integer the set, or a number of images
---@field weights number[] one per image, at least 0
---@field batch? integer images per batch; default 32
---@field seed? integer default 0
---@field size? integer images per epoch; default: as many as the set has

---Images by weight, with replacement: `samplers.weighted{ set, weights = weights }`.
---@param options lurcher.weighted_options
---@return lurcher.sampler
function samplers.weighted(options) end

---@class lurcher.pk_options
---@field [1] lurcher.dataset
---@field classes? integer classes per batch, P; default 8
---@field images? integer images per class, K; default 4
---@field seed? integer default 0
---@field steps? integer batches per epoch; default: #set // (P * K)
---@field batch? integer not used: a batch is P * K images

---P classes with K images each, those of a class one after the other: `samplers.pk{ set, classes = 8, images = 4 }`. A
---class with fewer than K images repeats some.
---@param options lurcher.pk_options
---@return lurcher.sampler
function samplers.pk(options) end

---@class lurcher.batch_swap_options
---@field [1] lurcher.dataset
---@field batch? integer pairs per batch; default 32
---@field seed? integer default 0
---@field swap? boolean false: random pairs only, as in validation; default true
---@field steps? integer batches per epoch; default: #set // batch

---The original's generator of pairs: one step in four pairs the images of one batch among themselves, the others pair
---two random batches: `samplers.batch_swap{ set, batch = 64 }`. A batch has image (distinct images), left and right
---(row
---numbers in it).
---@param options lurcher.batch_swap_options
---@return lurcher.sampler
function samplers.batch_swap(options) end

---@class lurcher.pairs_options
---@field [1] lurcher.dataset
---@field batch? integer pairs per batch; default 32
---@field seed? integer default 0
---@field positive? number share of pairs of one class, from 0 to 1; default 0.5

---Pairs of images at any ratio: `samplers.pairs{ set, batch = 32, positive = 0.5 }`. Every image is on the left once
---per
---epoch.
---@param options lurcher.pairs_options
---@return lurcher.sampler
function samplers.pairs(options) end

---@class lurcher.hard_negatives_options
---@field [1] lurcher.dataset
---@field embeddings? lurcher.tensor n x d, a row per image; set sampler.embeddings after each epoch to new ones; nil:
--- negatives are random
---@field batch? integer pairs per batch; default 32
---@field seed? integer default 0
---@field positive? number share of pairs of one class, from 0 to 1; default 0.5
---@field pool? integer random images of which the most similar is the negative; default 512

---Pairs whose negatives are the most similar images of other classes, by cosine of embeddings:
---`samplers.hard_negatives{ set, embeddings = features, pool = 512 }`.
---@param options lurcher.hard_negatives_options
---@return lurcher.sampler
function samplers.hard_negatives(options) end

---The original's rule for partners in a batch: of each class the 1st is paired with the 2nd, the 3rd with the 4th; the
---rest are paired as negatives, and an odd last one with itself: `samplers.partners{ 1, 2, 1 }` is { 3, 2, 1 }.
---@param classes integer[] one per row
---@return integer[] rows the partner of each row
function samplers.partners(classes) end
