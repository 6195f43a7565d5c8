--- lurcher.samplers.pairs: samplers whose batches are pairs of images; lurcher.samplers has them by the same names.
-- A batch has image (distinct images), left and right (row numbers of the batch), so that a backbone computes each
-- image once. sampler.statistics counts pairs and positive ones, and sampler:report() gives these in a line.

local lurcher = require "lurcher"
local common = require "lurcher.samplers.common"
local new, integer, classed = common.new, common.integer, common.classed
local random_of, slices, batches_of = common.random_of, common.slices, common.batches_of

local samplers = {}

local function rows(first, last)
  local list = {}
  for row = first, last do list[#list + 1] = row end
  return list
end

--- The original's rule for partners: of each class the 1st is paired with the 2nd, the 3rd with the 4th; the rest are
-- paired as negatives, and an odd last one with itself. classes: one per row. Returns a list of rows.
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
  local statistics = { batches = 0, swapped = 0, pairs = 0, positive = 0, itself = 0, swapped_pairs = 0,
    swapped_positive = 0 }
  local sampler
  sampler = new(kind, batches, function(...)
    local draw = epoch(...)
    return function()
      local batch, swapped = draw()
      return batch and count(sampler, class_of, batch, swapped)
    end
  end, { statistics = statistics })
  --- One line: the share of pairs that were of one class.
  function sampler:report()
    local s = self.statistics
    local function share(part, of) return of > 0 and 100 * part / of or 0 end
    return lurcher.format(
      "%d batches, %d pairs: %.1f %% positive, %d of an image with itself; %d swapped batches: %.1f %% positive",
      s.batches, s.pairs, share(s.positive, s.pairs), s.itself, s.swapped,
        share(s.swapped_positive, s.swapped_pairs))
  end
  return sampler
end

--- Full batches of random orders of the set, one order after the other; the rest of an order is dropped.
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

--- The original's pair generator: batch_swap{ set, batch = 64, seed = 0, swap = true, steps = }.
-- One step in four (1, 5, 9, ... counted over all epochs) pairs the images of one batch among themselves, see
-- partners; the others pair two random batches. steps: batches per epoch (#set // batch). swap = false: random pairs
-- only, as in validation. Each epoch begins with a new order.
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
        for row, image in ipairs(first) do classes[row] = c.class_of[image] or -row end
        return { image = first, left = rows(1, c.batch), right = samplers.partners(classes) }, true
      end
      return { image = join(first, draw()), left = rows(1, c.batch), right = rows(c.batch + 1, 2 * c.batch) }, false
    end
  end)
  return sampler
end

--- Another image of the class of `list`; nil where it has only this one.
local function mate(list, image, random)
  if #list < 2 then return nil end
  local at = random:int(#list - 1)
  return list[at] ~= image and list[at] or list[#list]
end

--- An image of another class; nil where there is only one class.
local function stranger(c, image, random)
  if #c.lists < 2 then return nil end
  local other
  repeat other = random:int(c.size) until c.class_of[other] ~= c.class_of[image]
  return other
end

local function by_class_number(c)
  local lists = {}
  for _, list in ipairs(c.lists) do lists[c.class_of[list[1]]] = list end
  return lists
end

--- Pairs at any ratio: pairs{ set, batch = 32, positive = 0.5, seed = 0 }. Every image is on the left once per epoch;
-- on the right is another image of its class in the share `positive` of the rows, else one of another class.
function samplers.pairs(options)
  local c = classed(options, "pairs", "positive")
  local positive, lists = options.positive or 0.5, by_class_number(c)
  if not (positive >= 0 and positive <= 1) then
    error("bad option 'positive' to 'samplers.pairs' (0 to 1 expected)", 2)
  end
  return new_pairs("pairs", batches_of(c.size, c.batch), c.class_of, function(epoch)
    local random, owed = random_of(c.seed, epoch), 0
    local draw = slices(random:permutation(c.size), c.batch)
    return function()
      local left = draw()
      if not left then return nil end
      local right = {}
      for i, image in ipairs(left) do
        owed = owed + positive
        local list = lists[c.class_of[image]]
        local partner = owed >= 0.5 and list and mate(list, image, random)
        if partner then owed = owed - 1 end -- a class of one image: its share goes to a later row
        right[i] = partner or stranger(c, image, random) or image
      end
      return { image = join(left, right), left = rows(1, #left), right = rows(#left + 1, 2 * #left) }, false
    end
  end)
end

--- For each anchor the most similar image of another class in the pool, by cosine: a list of images.
local function hardest(embeddings, anchors, pool, class_of)
  local function ids(list)
    local classes = { dtype = "i32" }
    for i, image in ipairs(list) do classes[i] = class_of[image] or 0 end
    return lurcher.tensor(classes)
  end
  local alike = embeddings:select(anchors):matmul(embeddings:select(pool):transpose())
  local same = ids(anchors):view(#anchors, 1):eq(ids(pool):view(1, #pool))
  local best, picks = (alike - same:cast "f32" * 4):argmax(2):totable(), {}
  for i, place in ipairs(best) do picks[i] = pool[place + 1] end
  return picks
end

--- Pairs whose negatives are hard:
-- hard_negatives{ set, embeddings = tensor, batch = 32, positive = 0.5, pool = 512, seed = 0 }. As pairs, but a
-- negative is the most similar of `pool` random images, by cosine of `embeddings` (n x d, a row per image). Set
-- sampler.embeddings after each epoch to the set's features, in order; nil: negatives are random.
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
