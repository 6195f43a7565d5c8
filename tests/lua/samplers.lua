--- Tests of lurcher.samplers: every epoch has every image once, in an order that depends on seed and epoch alone.
local harness = require "harness"
local lurcher = require "lurcher"
local samplers = require "lurcher.samplers"
local test, raises = harness.test, harness.raises

--- The batches of an epoch as one text, and the number of times that each image was drawn.
local function draw(sampler, epoch)
  local lines, counts = {}, {}
  for picks in sampler(epoch) do
    lines[#lines + 1] = table.concat(picks, " ")
    for _, pick in ipairs(picks) do counts[pick] = (counts[pick] or 0) + 1 end
  end
  return table.concat(lines, "|"), counts
end

test("sequential: in order, the last batch short or left out", function()
  assert(draw(samplers.sequential{ 7, batch = 3 }, 0) == "1 2 3|4 5 6|7")
  assert(draw(samplers.sequential{ 7, batch = 3, drop_last = true }, 0) == "1 2 3|4 5 6")
end)

test("shuffled: every image once, another order for each epoch and seed, the same when repeated", function()
  local sampler = samplers.shuffled{ 100, batch = 32, seed = 7 }
  local first, counts = draw(sampler, 0)
  for i = 1, 100 do assert(counts[i] == 1, i) end
  assert(draw(sampler, 0) == first and draw(samplers.shuffled{ 100, batch = 32, seed = 7 }, 0) == first)
  assert(draw(sampler, 1) ~= first and draw(samplers.shuffled{ 100, batch = 32, seed = 8 }, 0) ~= first)
  assert(draw(samplers.shuffled{ 5, batch = 9 }, 3):gsub("[^ ]", "") == "    ")
end)

test("shuffled: every place is as likely for every image", function()
  local sampler, hits = samplers.shuffled{ 8, batch = 8, seed = 1 }, {}
  local epochs = 4000
  for epoch = 0, epochs - 1 do
    local order = sampler(epoch)()
    for place, pick in ipairs(order) do hits[place * 8 + pick] = (hits[place * 8 + pick] or 0) + 1 end
  end
  local chi_square = 0
  for place = 1, 8 do
    for pick = 1, 8 do chi_square = chi_square + (hits[place * 8 + pick] - epochs / 8) ^ 2 / (epochs / 8) end
  end
  assert(chi_square < 85.4, chi_square) -- 49 degrees of freedom: exceeded once in 1000 fair shuffles
end)

test("samplers: misuse", function()
  raises("samplers.shuffled: number of images expected first", samplers.shuffled, { batch = 3 })
  raises("bad option 'batch' to 'samplers.sequential'", samplers.sequential, { 5, batch = 0 })
end)

-- ---- samplers over a dataset ----

--- A set of `classes` classes of `each` file names without files: samplers do not open them.
local function names(classes, each)
  local list = {}
  for c = 1, classes do
    for i = 1, each do list[#list + 1] = { ("%d/%d.jpg"):format(c, i), ("class%03d"):format(c) } end
  end
  return lurcher.data.list(list)
end

local function counts_of(sampler, epoch, set)
  local counts, total = {}, 0
  for picks in sampler(epoch) do
    for _, pick in ipairs(picks) do
      local key = set and set:class(pick) or pick
      counts[key], total = (counts[key] or 0) + 1, total + 1
    end
  end
  return counts, total
end

test("shards: every image in exactly one rank", function()
  for _, kind in ipairs{ "sequential", "shuffled" } do
    local seen = {}
    for rank = 0, 2 do
      local sampler = samplers[kind]{ 100, batch = 8, seed = 2, rank = rank, world = 3 }
      local n = 0
      for picks in sampler(4) do
        n = n + 1
        for _, pick in ipairs(picks) do seen[pick] = (seen[pick] or 0) + 1 end
      end
      assert(n == sampler.batches)
    end
    for i = 1, 100 do assert(seen[i] == 1, i) end
  end
end)

test("class_balanced: every class equally often, images of rare ones repeated", function()
  local set = names(3, 10):subset{ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 21 }
  local counts, total = counts_of(samplers.class_balanced{ set, batch = 4, size = 60 }, 0, set)
  assert(total == 60 and counts[1] == 20 and counts[2] == 20 and counts[3] == 20)
end)

test("weighted: by weight", function()
  local sampler = samplers.weighted{ 3, weights = { 1, 0, 3 }, size = 4000, batch = 50 }
  local counts, total = counts_of(sampler, 0)
  assert(total == 4000 and not counts[2] and math.abs(counts[3] - 3000) < 150, counts[3])
  raises("list of 3 numbers", samplers.weighted, { 3, weights = { 1 } })
end)

test("partners: the original's rule", function()
  assert(table.concat(samplers.partners{ 1, 2, 1, 1, 3, 2, 4, 1 }, " ") == "3 6 1 8 7 2 5 4")
  assert(table.concat(samplers.partners{ 1, 2, 3 }, " ") == "2 1 3") -- the odd last one with itself
  assert(table.concat(samplers.partners{ 5, 5, 5, 5 }, " ") == "2 1 4 3")
end)

test("batch_swap: one batch in four among itself, 43 % of it positive at 64 of 100 classes, 31 % at 40", function()
  local set = names(100, 40)
  for _, case in ipairs{ { 64, 41.5, 46 }, { 40, 29, 33 } } do
    local sampler, n = samplers.batch_swap{ set, batch = case[1] }, 0
    for epoch = 0, 7 do
      for batch in sampler(epoch) do
        local swapped = n % 4 == 1
        assert(#batch.left == case[1] and #batch.image == case[1] * (swapped and 1 or 2), n)
        if swapped then for row, other in ipairs(batch.right) do assert(batch.right[other] == row) end end
        n = n + 1
      end
    end
    local s = sampler.statistics
    local share = 100 * s.swapped_positive / s.swapped_pairs
    assert(share > case[2] and share < case[3], share)
    local rest = 100 * (s.positive - s.swapped_positive) / (s.pairs - s.swapped_pairs)
    assert(rest > 0.5 and rest < 1.6, rest)
    assert(s.swapped == n // 4 + (n % 4 > 1 and 1 or 0) and sampler:report():find "positive")
  end
  assert(samplers.batch_swap{ set, batch = 8, swap = false, steps = 3 }.batches == 3)
  raises("larger than the set", samplers.batch_swap, { set, batch = 5000 })
end)

test("pairs: any ratio", function()
  local set = names(20, 5)
  for _, positive in ipairs{ 0, 0.3, 0.5, 1 } do
    local sampler = samplers.pairs{ set, batch = 10, positive = positive, seed = 3 }
    for batch in sampler(0) do
      for i, row in ipairs(batch.left) do assert(batch.image[row] ~= batch.image[batch.right[i]]) end
    end
    local s = sampler.statistics
    assert(s.pairs == 100 and math.abs(s.positive - 100 * positive) <= 1, s.positive)
  end
end)

test("pk: P classes with K images each", function()
  local set = names(12, 5)
  for picks in samplers.pk{ set, classes = 4, images = 3 }(0) do
    local classes = {}
    for i, pick in ipairs(picks) do
      local group = (i - 1) // 3
      classes[group] = classes[group] or set:class(pick)
      assert(classes[group] == set:class(pick))
    end
    assert(#picks == 12)
  end
  raises("classes = 13, but the set has 12", samplers.pk, { set, classes = 13 })
end)

test("hard_negatives: the most similar images of another class", function()
  local set = names(4, 6)
  local rows = {}
  for i = 1, 24 do -- images i and 25 - i point the same way, and are of different classes
    local angle = math.min(i, 25 - i)
    rows[i] = { 3 * math.cos(angle), 3 * math.sin(angle) }
  end
  local sampler = samplers.hard_negatives{ set, batch = 8, positive = 0.5, pool = 400,
    embeddings = lurcher.tensor(rows) }
  local hard, negatives = 0, 0
  for batch in sampler(1) do
    for i = 1, #batch.left do
      local a, b = batch.image[i], batch.image[batch.right[i]]
      if set:class(a) ~= set:class(b) then
        negatives = negatives + 1
        if a + b == 25 then hard = hard + 1 end
      end
    end
  end
  assert(negatives >= 10 and hard > negatives * 0.4, hard .. " of " .. negatives)
end)

test("keras: NumPy's order, seeded before every batch", function()
  local random = lurcher.data.numpy_random(1)
  local draw = samplers.keras{ 8, batch = 3, seed = 7, random = random }(0)
  assert(table.concat(draw(), " ") == "3 6 1")
  local second = draw()
  local expected = lurcher.data.numpy_random(8):uniform(0, 1)
  assert(table.concat(second, " ") == "7 4 2" and random:uniform(0, 1) == expected)
  assert(table.concat(draw(), " ") == "5 8" and draw() == nil)
end)

test("samplers: an epoch depends on seed and epoch alone", function()
  local set = names(10, 8)
  for kind, options in pairs{ class_balanced = {}, batch_swap = {}, pairs = {}, pk = { classes = 3 }, weighted = {} } do
    local function text(seed, epoch)
      local copy = { set, seed = seed, batch = kind ~= "pk" and 8 or nil, classes = options.classes }
      if kind == "weighted" then
        copy.weights = {}
        for i = 1, 80 do copy.weights[i] = i end
      end
      local lines = {}
      for batch in samplers[kind](copy)(epoch) do lines[#lines + 1] = table.concat(batch.image or batch, " ") end
      return table.concat(lines, "|")
    end
    assert(text(1, 2) == text(1, 2) and text(1, 2) ~= text(1, 3) and text(1, 2) ~= text(2, 2), kind)
  end
  raises("unknown option 'bacth' to 'samplers.pairs' %(did you mean 'batch'%?%)", samplers.pairs, { set, bacth = 3 })
  raises("a dataset expected first, got nil", samplers.pk, {})
end)
