--- lurcher.samplers: which pictures, in which order. A sampler is called with the epoch's number (from 0) and returns an
-- iterator over batches: lists of picture numbers, or tables of them with further fields (rows of the batch, from 1).
-- Any Lua function or coroutine of that shape is as good (examples/custom_sampler.lua). What an epoch draws depends on the
-- seed and the epoch alone. To add one: a function here that returns new(kind, batches, function(epoch) ... end).
--
--     data.loader{ set, sampler = samplers.shuffled{ set, batch = 32, seed = 7 }, size = 299 }
--
-- Every sampler takes a dataset first (sequential and shuffled also a number), `batch` (32) and `seed` (0). The object is
-- called as sampler(epoch); sampler.batches is the number of batches of an epoch, sampler.kind its name.

local lurcher = require "lurcher"

local samplers = {}

local function new(kind, batches, epoch, fields)
  local sampler = fields or {}
  sampler.kind, sampler.batches = kind, batches
  return setmetatable(sampler, { __call = function(_, ...) return epoch(...) end,
    __tostring = function() return ("samplers.%s, %s batches an epoch"):format(kind, batches or "?") end })
end

-- ---- options ----

--- An integer option; errors point at the caller of the sampler.
local function integer(options, key, name, default, least)
  local value = options[key]
  if value == nil then value = default end
  local whole = math.tointeger(value)
  if not whole or whole < (least or 1) then
    error(("bad option '%s' to 'samplers.%s' (integer of at least %d expected, got %s)"):format(key, name, least or 1,
      tostring(value)), 4)
  end
  return whole
end

local function check(options, name, known)
  local names = { "batch", "seed" }
  for word in known:gmatch "%S+" do names[#names + 1] = word end
  for key in pairs(options) do
    local fine = math.type(key) == "integer"
    for _, word in ipairs(names) do fine = fine or word == key end
    if not fine then
      local near = require "lurcher.options".nearest(tostring(key), names)
      error(("unknown option '%s' to 'samplers.%s'%s"):format(tostring(key), name,
        near and " (did you mean '" .. near .. "'?)" or ""), 4)
    end
  end
end

--- Number of pictures, batch size and seed of a sampler that needs no classes.
local function plain(options, name, known)
  check(options, name, known)
  local first = options[1]
  local size = math.tointeger(first) or (type(first) == "userdata" and #first)
  if not size or size < 1 then
    error(("samplers.%s: number of pictures expected first, got %s"):format(name, tostring(first)), 3)
  end
  return size, integer(options, "batch", name, 32), math.tointeger(options.seed or 0)
end

--- The same for one that needs classes: and lists of pictures by class (without empty ones), and each picture's class.
local function classed(options, name, known)
  check(options, name, known)
  local set = options[1]
  if type(set) ~= "userdata" and type(set) ~= "table" then
    error(("samplers.%s: a dataset expected first, got %s"):format(name, tostring(set)), 3)
  end
  local lists, class_of = {}, {}
  for class, list in ipairs(set:by_class()) do
    if #list > 0 then lists[#lists + 1] = list end
    for _, picture in ipairs(list) do class_of[picture] = class end
  end
  if #lists == 0 then error(("samplers.%s: the dataset has no classes"):format(name), 3) end
  return { set = set, size = #set, lists = lists, class_of = class_of, batch = integer(options, "batch", name, 32),
    seed = math.tointeger(options.seed or 0) }
end

local function random_of(seed, epoch) return lurcher.data.random(seed, epoch or 0) end

-- ---- order ----

--- Consecutive slices of `order`, `batch` long; the last one may be shorter, or is left out with drop_last.
local function slices(order, batch, drop_last)
  local first = 1
  return function()
    local last = math.min(first + batch - 1, #order)
    if first > #order or (drop_last and last - first + 1 < batch) then return nil end
    local picks = table.move(order, first, last, 1, {})
    first = last + 1
    return picks
  end
end

local function batches_of(size, batch, drop_last) return drop_last and size // batch or (size + batch - 1) // batch end

--- This rank's share of an order: places rank + 1, rank + 1 + world, ... Every place belongs to exactly one rank.
local function share_of(order, rank, world)
  if world == 1 then return order end
  local share = {}
  for i = rank + 1, #order, world do share[#share + 1] = order[i] end
  return share
end

--- An order of the whole set once an epoch, cut among `world` processes (rank counts from 0).
local function whole(name, options, order_of)
  local size, batch, seed = plain(options, name, "drop_last rank world")
  local world, rank = integer(options, "world", name, 1), integer(options, "rank", name, 0, 0)
  if rank >= world then error(("samplers.%s: rank %d of %d processes; ranks count from 0"):format(name, rank, world), 3) end
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

--- Every picture once an epoch in a new order: shuffled{ set, batch = 32, seed = 0, drop_last = false, rank = 0, world = 1 }.
-- With world processes each picture is drawn by exactly one of them.
function samplers.shuffled(options)
  return whole("shuffled", options, function(size, seed, epoch)
    local random <close> = random_of(seed, epoch)
    return random:permutation(size)
  end)
end

--- Keras's flow_from_directory, draw for draw: keras{ set, batch = 32, seed = 7, shuffle = true, random = data.numpy_random(7) }.
-- Give the same `random` to the loader. With a seed NumPy's generator is seeded before every batch with seed + batches so
-- far (keras.md section 4); without one it runs on.
function samplers.keras(options)
  local size, batch = plain(options, "keras", "shuffle random")
  local random, seed, shuffle = options.random, options.seed, options.shuffle ~= false
  if not random then error("samplers.keras: option 'random' expected: a data.numpy_random, the loader's too", 2) end
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

--- An endless draw from a list: all of it in random order, then again.
local function cycle(list, random)
  local order, at = {}, 0
  return function()
    if at == #order then order, at = random:shuffle(table.move(list, 1, #list, 1, {})), 0 end
    at = at + 1
    return order[at]
  end
end

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

--- Every class as often: class_balanced{ set, batch = 32, seed = 0, size = #set }. Classes take turns in random order, and
-- each gives its pictures in random order, all before one again.
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

--- Pictures by weight, with replacement: weighted{ set, weights = { one a picture }, batch = 32, seed = 0, size = #set }.
function samplers.weighted(options)
  local size, batch, seed = plain(options, "weighted", "weights size")
  local weights, sums, sum = options.weights, {}, 0
  if type(weights) ~= "table" or #weights ~= size then
    error(("samplers.weighted: `weights` must be a list of %d numbers, one a picture"):format(size), 2)
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

-- ---- pairs: image (distinct pictures), left and right (rows of the batch) ----

local function rows(first, last)
  local list = {}
  for row = first, last do list[#list + 1] = row end
  return list
end

--- The founding partner rule (keras.md section 10): of each class the 1st goes with the 2nd, the 3rd with the 4th; what is
-- left over goes two by two, as negatives; an odd last one with itself. classes: one a row; returns a list of rows.
function samplers.partners(classes)
  local partner, waiting, left = {}, {}, nil
  for row, class in ipairs(classes) do
    local other = waiting[class]
    if other then
      partner[row], partner[other], waiting[class] = other, row, nil
    else
      waiting[class] = row
    end
  end
  for row in ipairs(classes) do
    if not partner[row] then
      if left then
        partner[row], partner[left], left = left, row, nil
      else
        partner[row], left = row, row
      end
    end
  end
  return partner
end

--- Counts a batch of pairs into sampler.statistics.
local function count(sampler, class_of, batch, swapped)
  local s = sampler.statistics
  s.batches, s.swapped = s.batches + 1, s.swapped + (swapped and 1 or 0)
  for i, row in ipairs(batch.left) do
    local a, b = batch.image[row], batch.image[batch.right[i]]
    local same = class_of[a] == class_of[b] and 1 or 0
    s.pairs, s.positive = s.pairs + 1, s.positive + same
    s.itself = s.itself + (a == b and 1 or 0)
    if swapped then s.swapped_pairs, s.swapped_positive = s.swapped_pairs + 1, s.swapped_positive + same end
  end
  return batch
end

local function new_pairs(kind, batches, class_of, epoch)
  local sampler
  sampler = new(kind, batches, function(...)
    local draw = epoch(...)
    return function()
      local batch, swapped = draw()
      return batch and count(sampler, class_of, batch, swapped)
    end
  end, { statistics = { batches = 0, swapped = 0, pairs = 0, positive = 0, itself = 0, swapped_pairs = 0, swapped_positive = 0 } })
  --- One line: how many pairs were of one class.
  function sampler:report()
    local s = self.statistics
    local function share(part, of) return of > 0 and 100 * part / of or 0 end
    return ("%d batches, %d pairs: %.1f %% positive, %d of a picture with itself; %d swapped batches: %.1f %% positive"):format(
      s.batches, s.pairs, share(s.positive, s.pairs), s.itself, s.swapped, share(s.swapped_positive, s.swapped_pairs))
  end
  return sampler
end

--- Full batches of random orders of the set, one order after the other; what is left of an order is thrown away.
local function full_batches(size, batch, random)
  local draw = function() return nil end
  return function()
    local picks = draw()
    if not picks then
      draw = slices(random:permutation(size), batch, true)
      picks = draw()
    end
    return picks
  end
end

local function join(a, b) return table.move(b, 1, #b, #a + 1, table.move(a, 1, #a, 1, {})) end

--- The founding pair generator (keras.md section 10): batch_swap{ set, batch = 64, seed = 0, swap = true, steps = }.
-- One step in four (1, 5, 9, ... counted over all epochs) pairs the pictures of one batch among themselves, see partners;
-- the others are two random batches side by side. Yields image, left, right, so that a trunk sees each picture once.
-- `steps`: batches an epoch (#set // batch). swap = false: random pairs only, as in validation. sampler.statistics counts
-- pairs and positive ones, sampler:report() says it in a line. Orders start anew with each epoch.
function samplers.batch_swap(options)
  local c = classed(options, "batch_swap", "swap steps")
  if c.size < c.batch then
    error(("samplers.batch_swap: a batch of %d is larger than the set of %d"):format(c.batch, c.size), 2)
  end
  local steps, swap = integer(options, "steps", "batch_swap", c.size // c.batch), options.swap ~= false
  local sampler
  sampler = new_pairs("batch_swap", steps, c.class_of, function(epoch)
    local draw, step, n = full_batches(c.size, c.batch, random_of(c.seed, epoch)), 0, (epoch or 0) * steps
    return function()
      if step == steps then return nil end
      step, n = step + 1, n + 1
      local first = draw()
      if swap and (n - 1) % 4 == 1 then
        local classes = {}
        for row, picture in ipairs(first) do classes[row] = c.class_of[picture] or -row end
        return { image = first, left = rows(1, c.batch), right = samplers.partners(classes) }, true
      end
      return { image = join(first, draw()), left = rows(1, c.batch), right = rows(c.batch + 1, 2 * c.batch) }, false
    end
  end)
  return sampler
end

--- Another picture of the class of `list`; nil when it has only this one.
local function mate(list, picture, random)
  if #list < 2 then return nil end
  local at = random:int(#list - 1)
  return list[at] ~= picture and list[at] or list[#list]
end

--- A picture of another class; nil when there is but one class.
local function stranger(c, picture, random)
  if #c.lists < 2 then return nil end
  local other
  repeat other = random:int(c.size) until c.class_of[other] ~= c.class_of[picture]
  return other
end

local function by_class_number(c)
  local lists = {}
  for _, list in ipairs(c.lists) do lists[c.class_of[list[1]]] = list end
  return lists
end

--- Pairs at any ratio: pairs{ set, batch = 32, positive = 0.5, seed = 0 }. Every picture is on the left once an epoch;
-- on the right stands another picture of its class in the stated share of the rows, else one of another class.
function samplers.pairs(options)
  local c = classed(options, "pairs", "positive")
  local positive, lists = options.positive or 0.5, by_class_number(c)
  if not (positive >= 0 and positive <= 1) then error("bad option 'positive' to 'samplers.pairs' (0 to 1 expected)", 2) end
  return new_pairs("pairs", batches_of(c.size, c.batch), c.class_of, function(epoch)
    local random, owed = random_of(c.seed, epoch), 0
    local draw = slices(random:permutation(c.size), c.batch)
    return function()
      local left = draw()
      if not left then return nil end
      local right = {}
      for i, picture in ipairs(left) do
        owed = owed + positive
        local list = lists[c.class_of[picture]]
        local partner = owed >= 0.5 and list and mate(list, picture, random)
        if partner then owed = owed - 1 end -- a class of one picture: its share goes to a later row
        right[i] = partner or stranger(c, picture, random) or picture
      end
      return { image = join(left, right), left = rows(1, #left), right = rows(#left + 1, 2 * #left) }, false
    end
  end)
end

--- P classes with K pictures each: pk{ set, classes = 8, images = 4, seed = 0, steps = #set // (P * K) }. A class with
-- fewer than K pictures repeats some. Yields lists, the pictures of a class side by side.
function samplers.pk(options)
  local c = classed(options, "pk", "classes images steps")
  local p, k = integer(options, "classes", "pk", 8), integer(options, "images", "pk", 4)
  if p > #c.lists then error(("samplers.pk: %d classes asked for, the set has %d"):format(p, #c.lists), 2) end
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

--- For each anchor the most alike of some pictures of other classes, by cosine: a list of pictures.
local function hardest(embeddings, anchors, pool, class_of)
  local function ids(list)
    local classes = { dtype = "i32" }
    for i, picture in ipairs(list) do classes[i] = class_of[picture] or 0 end
    return lurcher.tensor(classes)
  end
  local alike = embeddings:select(anchors):matmul(embeddings:select(pool):transpose())
  local same = ids(anchors):view(#anchors, 1):eq(ids(pool):view(1, #pool))
  local best, picks = (alike - same:cast "f32" * 4):argmax(2):totable(), {}
  for i, place in ipairs(best) do picks[i] = pool[place + 1] end
  return picks
end

--- Pairs whose negatives are hard: hard_negatives{ set, embeddings = tensor, batch = 32, positive = 0.5, pool = 512, seed = 0 }.
-- As pairs, but a negative is the most alike, by cosine of `embeddings` (n x d, a row a picture, of the last epoch), of `pool`
-- random pictures. Set sampler.embeddings anew after each epoch (features of the set in order); nil: negatives are random.
function samplers.hard_negatives(options)
  local c = classed(options, "hard_negatives", "embeddings positive pool")
  local pool_size = math.min(integer(options, "pool", "hard_negatives", 512), c.size)
  local base = samplers.pairs{ c.set, batch = c.batch, seed = c.seed, positive = options.positive }
  local sampler
  sampler = new_pairs("hard_negatives", base.batches, c.class_of, function(epoch)
    local draw, random = base(epoch), random_of(c.seed ~ 0x68617264, epoch)
    local embeddings, rows_of = sampler.embeddings, nil
    if embeddings then
      if #embeddings.shape ~= 2 or embeddings.shape[1] ~= c.size then
        error(("samplers.hard_negatives: embeddings of %d rows expected, got %s"):format(c.size,
          table.concat(embeddings.shape, "x")), 0)
      end
      rows_of = embeddings / (embeddings:square():sum(2):view(c.size, 1) + 1e-12):sqrt()
    end
    return function()
      local batch = draw()
      if not batch or not rows_of then return batch, false end
      local n = #batch.left
      local anchors, pool = table.move(batch.image, 1, n, 1, {}), {}
      for i = 1, pool_size do pool[i] = random:int(c.size) end
      local hard = hardest(rows_of, anchors, pool, c.class_of)
      for i = 1, n do
        local partner = batch.image[n + i]
        if c.class_of[partner] ~= c.class_of[anchors[i]] and c.class_of[hard[i]] ~= c.class_of[anchors[i]] then
          batch.image[n + i] = hard[i]
        end
      end
      return batch, false
    end
  end)
  sampler.embeddings = options.embeddings
  return sampler
end

return samplers
