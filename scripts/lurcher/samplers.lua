--- lurcher.samplers: decide which images make a batch, in which order. A sampler is called with the epoch's number
-- (from 0) and returns an iterator over batches: lists of image numbers, or tables of these with further fields (row
-- numbers within the batch, from 1). Any Lua function or coroutine of that shape will do (examples/custom_sampler.lua).
-- What an epoch draws depends on the seed and the epoch alone. Samplers of pairs are in samplers/pairs.lua, and here
-- too. To add one: a function that returns new(kind, batches, function(epoch) ... end).
--
--     data.loader{ set, sampler = samplers.shuffled{ set, batch = 32, seed = 7 }, size = 299 }
--
-- Every sampler takes a dataset first (sequential and shuffled also a number), `batch` (32) and `seed` (0). The object
-- is called as sampler(epoch); sampler.batches is the number of batches per epoch, sampler.kind its name.

local common = require "lurcher.samplers.common"
local suggest = require "lurcher.suggest"
local new, integer, plain, classed = common.new, common.integer, common.plain, common.classed
local random_of, slices, batches_of, cycle = common.random_of, common.slices, common.batches_of, common.cycle

local samplers = {}

-- ---- order ----

--- This rank's share of an order: places rank + 1, rank + 1 + world, ..., so that every place belongs to one rank.
local function share_of(order, rank, world)
  if world == 1 then return order end
  local share = {}
  for i = rank + 1, #order, world do share[#share + 1] = order[i] end
  return share
end

--- The whole set once per epoch, divided among `world` processes (rank counts from 0).
local function whole(name, options, order_of)
  local size, batch, seed = plain(options, name, "drop_last rank world")
  local world, rank = integer(options, "world", name, 1), integer(options, "rank", name, 0, 0)
  if rank >= world then
    error(("samplers.%s: rank %d of %d processes; ranks count from 0"):format(name, rank, world), 3)
  end
  local own = (size - rank + world - 1) // world
  return new(name, batches_of(own, batch, options.drop_last), function(epoch)
    return slices(share_of(order_of(size, seed, epoch), rank, world), batch, options.drop_last)
  end)
end

--- 1, 2, 3, ...: sequential{ set, batch = 32, drop_last = false, rank = 0, world = 1 }.
function samplers.sequential(options)
  return whole("sequential", options, function(size)
    local order = {}
    for i = 1, size do order[i] = i end
    return order
  end)
end

--- Every image once per epoch, in a new order each time:
-- shuffled{ set, batch = 32, seed = 0, drop_last = false, rank = 0, world = 1 }. With `world` processes, each image is
-- drawn by exactly one of them.
function samplers.shuffled(options)
  return whole("shuffled", options, function(size, seed, epoch)
    local random <close> = random_of(seed, epoch)
    return random:permutation(size)
  end)
end

--- Keras's flow_from_directory, draw for draw: keras{ set, batch = 32, seed = 7, shuffle = true, random = }, with
-- random = data.numpy_random(7), which the loader needs, too. With a seed, NumPy's generator is seeded before every
-- batch with seed + number of batches before (Keras 2.0.6, keras/preprocessing/image.py, Iterator).
function samplers.keras(options)
  local size, batch = plain(options, "keras", "shuffle random")
  local random, seed, shuffle = options.random, options.seed, options.shuffle ~= false
  if not random then error("samplers.keras: option 'random' expected: the data.numpy_random that the loader has", 2) end
  local per_epoch = batches_of(size, batch)
  return new("keras", per_epoch, function(epoch)
    local step, order, first = (epoch or 0) * per_epoch, nil, 1
    return function()
      if first > size then return nil end
      if seed then random:seed((seed + step) & 0xFFFFFFFF) end
      if not order then
        order = shuffle and random:permutation(size) or {}
        for i = 1, shuffle and 0 or size do order[i] = i end
      end
      local picks = table.move(order, first, math.min(first + batch - 1, size), 1, {})
      first, step = first + batch, step + 1
      return picks
    end
  end)
end

-- ---- balance ----

--- `total` draws in batches.
local function in_batches(draw, total, batch)
  return function()
    if total == 0 then return nil end
    local picks = {}
    for i = 1, math.min(batch, total) do picks[i] = draw() end
    total = total - #picks
    return picks
  end
end

--- Every class equally often: class_balanced{ set, batch = 32, seed = 0, size = #set }. Classes take turns in random
-- order, and each gives all its images in random order before it repeats one.
function samplers.class_balanced(options)
  local c = classed(options, "class_balanced", "size")
  local total = integer(options, "size", "class_balanced", c.size)
  return new("class_balanced", batches_of(total, c.batch), function(epoch)
    local random, draws = random_of(c.seed, epoch), {}
    for i, list in ipairs(c.lists) do draws[i] = cycle(list, random) end
    local next_class = cycle(draws, random)
    return in_batches(function() return next_class()() end, total, c.batch)
  end)
end

--- Images by weight, with replacement:
-- weighted{ set, weights = { one per image }, batch = 32, seed = 0, size = #set }.
function samplers.weighted(options)
  local size, batch, seed = plain(options, "weighted", "weights size")
  local weights, sums, sum = options.weights, {}, 0
  if type(weights) ~= "table" or #weights ~= size then
    error(("samplers.weighted: `weights` must be a list of %d numbers, one per image"):format(size), 2)
  end
  for i, weight in ipairs(weights) do
    if not (weight >= 0) then error(("samplers.weighted: weight %d is %s"):format(i, weight), 2) end
    sum = sum + weight
    sums[i] = sum
  end
  if not (sum > 0 and sum < math.huge) then error("samplers.weighted: the weights sum to " .. sum, 2) end
  local total = integer(options, "size", "weighted", size)
  return new("weighted", batches_of(total, batch), function(epoch)
    local random = random_of(seed, epoch)
    return in_batches(function()
      local x, low, high = random:unit() * sum, 1, size
      while low < high do
        local middle = (low + high) // 2
        if sums[middle] > x then high = middle else low = middle + 1 end
      end
      return low
    end, total, batch)
  end)
end

--- P classes with K images each: pk{ set, classes = 8, images = 4, seed = 0, steps = #set // (P * K) }. A class with
-- fewer than K images repeats some. Yields lists in which the images of a class are consecutive.
function samplers.pk(options)
  local c = classed(options, "pk", "classes images steps")
  local p, k = integer(options, "classes", "pk", 8), integer(options, "images", "pk", 4)
  if p > #c.lists then error(("samplers.pk: classes = %d, but the set has %d"):format(p, #c.lists), 2) end
  local steps = integer(options, "steps", "pk", math.max(1, c.size // (p * k)))
  return new("pk", steps, function(epoch)
    local random, draws, step = random_of(c.seed, epoch), {}, 0
    for i, list in ipairs(c.lists) do draws[i] = cycle(list, random) end
    return function()
      if step == steps then return nil end
      step = step + 1
      local picks, classes = {}, random:permutation(#c.lists)
      for i = 1, p do
        for _ = 1, k do picks[#picks + 1] = draws[classes[i]]() end
      end
      return picks
    end
  end)
end

for name, sampler in pairs(require "lurcher.samplers.pairs") do samplers[name] = sampler end

return suggest.guard(samplers, "lurcher.samplers", "sampler")
