--- lurcher.pair_data: images of class folders as batches of pairs, for the recipes of the multi-loss model.
-- Where part of the model is frozen and images look the same every time (or have a few fixed views), that part's
-- output is computed once for each image and the rest trains on it; else batches come from data.loader.

local lurcher = require "lurcher"
local augmentations = require "lurcher.augmentations"
local class_folders, fixed_features = require "lurcher.recipe.class_folders", require "lurcher.fixed_features"
local options = require "lurcher.recipe.options"
local siamese = require "lurcher.siamese"
local data = lurcher.data

local pair_data = {}

--- Command-line options of recipes that train on pairs, for options.join.
pair_data.options = options.join({
  { "data", "path", required = true, value = "DIR", help = "folder with train/ and valid/, a folder a class in each" },
  { "batch", "integer", default = 64, min = 2, help = "pairs a step" },
  { "steps", "integer", min = 1, help = "steps an epoch (default: training images / batch)" },
  { "era", "choice", default = "current", choices = { "current", "2017" },
    help = "2017: images from 0 to 1 and resized by nearest neighbour, batch norms of a frozen backbone, augmentation, "
      .. "callbacks and validation as they were then, and the last epoch's model instead of the best one's" },
  { "seed", "integer", default = 1, min = 0, help = "fresh weights, dropout, pairs and augmentation follow from it" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read images" },
  { "memory", "integer", default = 8192, min = 0, value = "MB",
    help = "most that the outputs of the frozen part may take where they are not cached" },
  { "report", "flag", default = true, help = "end with report.html on the validation images; --no-report: do not" },
}, fixed_features.options)

--- The training and validation images of o.data, and how they are read. `about`: saved with the model, where it has
-- been trained before.
function pair_data.sets(o, about)
  local sets = class_folders.open(o, about)
  if o.era == "2017" then class_folders.check_batch(o, sets.valid, "valid") end
  return sets
end

--- How pairs are drawn for training and for validation. Validation pairs every image once with a partner, half of
-- them of its class, the same in every epoch; in 2017 random batches.
local function samplers_of(sets, o, s)
  local train = siamese.sampler(sets.train, { pairs = o.pairs or "swap", batch = o.batch, seed = o.seed,
    steps = s.steps or o.steps, towers = o.towers })
  local valid = siamese.sampler(sets.valid, { pairs = o.era == "2017" and "random" or "balanced", batch = o.batch,
    seed = o.seed, towers = o.towers })
  return train, valid
end

--- Loaders over images.
local function image_loaders(sets, o, s, augment)
  local train, valid = samplers_of(sets, o, s)
  local function loader(set, sampler, changes)
    return data.loader{ set, sampler = sampler, size = sets.reading.size, resize = sets.reading.resize,
      preprocess = sets.reading.preprocess, augment = changes, workers = o.workers, seed = o.seed,
      images = o.towers and { "img_1", "img_2" } or nil, targets = siamese.targets, device = o.device }
  end
  return loader(sets.train, train, augment), loader(sets.valid, valid)
end

--- A draw from Beta(alpha, alpha), alpha at most 1, by Joehnk's rule (1964).
local function beta(alpha, random)
  while true do
    local x, y = random:unit() ^ (1 / alpha), random:unit() ^ (1 / alpha)
    if x + y > 0 and x + y <= 1 then return x / (x + y) end
  end
end

--- Manifold mixup (Verma et al., 2019) of a batch at the frozen part's output: row i becomes a * row i + (1 - a) * row
-- q(i), a from Beta(alpha, alpha), q a permutation; its classes likewise, in `target`.
local function mix(batch, alpha, classes, random)
  local a, count = beta(alpha, random), #batch.class
  local partner = random:permutation(count)
  local told = batch.class:view(count, 1):eq(lurcher.range(classes):view(1, classes)):cast "f32"
  batch.features = batch.features * a + batch.features:select(partner) * (1 - a)
  batch.target = told * a + told:select(partner) * (1 - a)
end

--- What mixes training batches, for a loader's `change`; nil for none.
local function mixing(alpha, classes, seed)
  if not alpha or alpha == 0 then return nil end
  return function(batch, epoch, step)
    local random <close> = data.random(seed ~ 0x6d6978, epoch << 24 | step)
    mix(batch, alpha, classes, random)
  end
end

--- Loaders over what the frozen part says about each image; nil where there is no room for that. Fixed views are
-- drawn from seed 0 whatever the recipe's is: the next run finds them in the cache.
local function feature_loaders(part, sets, o, s, augment)
  local fixed = fixed_features.load_sets(part, { { sets.train, augment = augment, views = augment and s.views,
    seed = augment and 0 or nil }, { sets.valid } },
    { size = sets.reading.size, resize = sets.reading.resize, preprocess = sets.reading.preprocess,
      workers = o.workers, seed = o.seed, device = lurcher.device(o.device) }, o)
  if not fixed then return nil end
  local train, valid = samplers_of(sets, o, s)
  return fixed[1]:loader{ sampler = train, targets = siamese.targets, seed = o.seed,
      change = mixing(s.mixup, #sets.train.classes, o.seed) },
    fixed[2]:loader{ sampler = valid, targets = siamese.targets, seed = o.seed }
end

--- Validation as trick_tune.py and retrain.py had it, by mistake: every fourth batch (1, 5, 9, ...) is one of swapped
-- pairs of training images (keras.md section 10).
local function with_training_pairs(valid, train)
  return { epoch = function(_, n)
    local next_valid, next_train, step = valid:epoch(n), train:epoch(n), 0
    return function()
      local batch, other = next_valid(), next_train()
      step = step + 1
      return batch and (step % 4 == 2 and other or batch)
    end
  end }
end

--- What learns and loaders that feed it: the model on images, or its unfrozen rest on the frozen part's outputs.
-- `s`: augment (name), steps (o.steps), views (0: a new one each time), mixup (alpha; of features where they are
-- computed once, else of images), leaky (true: in era 2017 training images are among those of validation).
function pair_data.open(model, sets, o, s)
  local augment = augmentations.of(s.augment, o.era)
  local part = (not augment or (s.views or 0) > 0) and o.era ~= "2017" and siamese.split(model)
  if part then
    local train, valid = feature_loaders(part, sets, o, s, augment)
    if train then return part.head, train, valid end
  end
  if s.mixup and s.mixup > 0 then augment = augmentations.of(s.augment, o.era, { mixup = s.mixup }) end
  local train, valid = image_loaders(sets, o, s, augment)
  return model, train, s.leaky and o.era == "2017" and with_training_pairs(valid, train) or valid
end

return pair_data
