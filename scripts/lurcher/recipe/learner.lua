--- lurcher.recipe.learner: what a recipe trains, and the loaders that feed it. Where the backbone is frozen and an
-- image looks the same in every epoch (or has a few fixed views), its features are computed once per image, and the
-- rest of the model trains on them; else the whole model trains on images.

local lurcher = require "lurcher"
local augmentations = require "lurcher.augmentations"
local feature_cache, frozen = require "lurcher.feature_cache", require "lurcher.frozen"
local logs_of = require "lurcher.logs"
local readable, samplers = require "lurcher.recipe.readable", require "lurcher.samplers"
local data = lurcher.data

local learner = {}

--- A draw from Beta(alpha, alpha), alpha at most 1, by Joehnk's rule (1964).
local function beta(alpha, random)
  while true do
    local x, y = random:unit() ^ (1 / alpha), random:unit() ^ (1 / alpha)
    if x + y == 0 then return random:unit() < 0.5 and 1 or 0 end -- both underflow: a small alpha
    if x + y <= 1 then return x / (x + y) end
  end
end

--- Manifold mixup (Verma et al., 2019) of a batch of features: row i becomes a * row i + (1 - a) * row q(i), with a
-- from Beta(alpha, alpha) and q a permutation; its classes likewise, in `target`.
local function mix(batch, alpha, classes, random)
  local a, count = beta(alpha, random), #batch.class
  local partner = random:permutation(count)
  local one_hot = batch.class:view(count, 1):eq(lurcher.range(classes):view(1, classes)):cast "f32"
  batch.features = batch.features * a + batch.features:select(partner) * (1 - a)
  batch.target = one_hot * a + one_hot:select(partner) * (1 - a)
end

--- The `change` of a feature loader that mixes training batches; nil for none.
local function mixing(alpha, classes, seed)
  if not alpha or alpha == 0 then return nil end
  return function(batch, epoch, step)
    local random <close> = data.random(seed ~ 0x6d6978, epoch << 24 | step)
    mix(batch, alpha, classes, random)
  end
end

--- Prints that a model is trained on images although its backbone is frozen, and why.
local function print_uncached(why)
  print(("frozen features are not cached: %s; the backbone is computed in every epoch"):format(why))
end

--- Adds the fields of `more` to `given`, and returns it.
local function with(given, more)
  for key, value in pairs(more) do given[key] = value end
  return given
end

--- The model split at its frozen backbone; nil where features cannot be computed once, and prints why unless the model
-- has no frozen backbone.
local function split(model, o, s, augment)
  if s.train.images then return nil end -- two towers, whose inputs are pairs of images
  local part = frozen.split(model, "image")
  local made = augment and ("augmentation '%s'"):format(s.augment) or o.transform and ("'%s'"):format(o.transform)
  local why = part and (o.era == "2017" and "its batch norms use batch statistics in era 2017"
    or made and (s.views or 0) == 0 and made .. " makes a new image in every epoch (see --views)")
  if why then print_uncached(why) end
  return not why and part or nil
end

--- Options of data.loader that say how images are decoded.
local function decoding(sets, o)
  return { size = sets.preprocessing.size, resize = sets.preprocessing.resize,
    preprocess = sets.preprocessing.preprocess, exif = sets.preprocessing.exif, workers = o.workers, seed = o.seed,
    device = lurcher.device(o.device) }
end

--- The features of several sets, a list of options of load, with options `how` for all of them; nil where there is no
-- room, which it prints. o.memory is for all sets together.
local function load_all(part, requests, how, o)
  local bytes, loaded = 0, {}
  for _, request in ipairs(requests) do
    for _, one in ipairs{ part, table.unpack(part.others) } do
      bytes = bytes + one:bytes(#request[1] * (request.views or 1), o.cache_store)
    end
  end
  if o.cache ~= "none" then
    print(("features of the frozen backbone take %s as %s in the feature cache '%s'"):format(
      logs_of.size(bytes), o.cache_store, o.cache))
  end
  local memory = bytes <= o.memory * 2 ^ 20 and bytes or 0
  for i, request in ipairs(requests) do
    local why
    loaded[i], why = part:load(with(with(feature_cache.settings(o, { memory = memory }), how), request))
    if not loaded[i] then
      print_uncached(why)
      return nil
    end
  end
  return loaded
end

--- The loader of validation batches, of images that could be read. new: makes it of its options.
local function valid_loader(sets, o, s, new)
  local sampler = s.valid.sampler or samplers.sequential{ sets.valid, batch = s.valid.batch }
  return readable(function(remembered) return new(with({ sampler = remembered }, { targets = s.valid.targets,
    images = s.valid.images })) end, sampler, ("'%s/valid'"):format(o.data or "."))
end

--- Loaders over features; nil where there is no room for them.
local function feature_loaders(part, sets, o, s, augment)
  local how = decoding(sets, o)
  how.batch, how.named = s.train.batch, sets.named
  local changed = (augment or o.transform) and true or nil
  local loaded = load_all(part, { { sets.train, augment = augment, transform = o.transform,
    views = changed and s.views, seed = changed and s.view_seed }, { sets.valid, left_out = true } }, how, o)
  if not loaded then return nil end
  return loaded[1]:loader(with({ seed = o.seed, change = mixing(s.mixup, #sets.train.classes, o.seed) }, s.train)),
    valid_loader(sets, o, s, function(options) return loaded[2]:loader(with({ seed = o.seed }, options)) end)
end

--- Returns what learns, the model or its head behind the frozen backbone, and loaders of training and validation
-- batches; validation leaves out images that cannot be read. sets: of class_folders.open. o: the values of
-- common.training. s:
--   train          options of the training loader: sampler, or batch and shuffle; targets; images
--   valid          the same of the validation loader: sampler, or batch, and then it is in order; targets; images
--   augment        name of the training images' augmentation
--   views          fixed views per image; 0: a new one in every epoch                            (0)
--   view_seed      seed of the fixed views                                                  (o.seed)
--   mixup          alpha of mixup, of features where they are computed once, else of images      (0: none)
function learner.open(model, sets, o, s)
  local augment = augmentations.of(s.augment, o.era)
  local part = split(model, o, s, augment)
  if part then
    local train, valid = feature_loaders(part, sets, o, s, augment)
    if train then return part.head, train, valid end
  end
  if s.mixup and s.mixup > 0 then augment = augmentations.of(s.augment, o.era, { mixup = s.mixup }) end
  local options = { sets.train, augment = augment, transform = o.transform }
  return model, data.loader(with(with(options, decoding(sets, o)), s.train)),
    valid_loader(sets, o, s, function(options)
      return data.loader(with(with({ sets.valid }, decoding(sets, o)), options))
    end)
end

return learner
