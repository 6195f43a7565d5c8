--- lurcher.samplers: which pictures, in which order. A sampler is a function called with the epoch's number (from 0)
-- that returns an iterator over batches: lists of picture numbers, from 1. Any Lua function or coroutine of that shape
-- is as good (examples/custom_sampler.lua). The order of an epoch depends on the seed and the epoch alone.
--
--     data.loader{ set, sampler = samplers.shuffled{ #set, batch = 32, seed = 7 } }

local samplers = {}

--- Steele, Lea and Flood's SplitMix64 (2014): the whole state is one integer.
local function random_of(seed)
  local state = seed
  return function(n)
    state = state + 0x9E3779B97F4A7C15
    local z = (state ~ (state >> 30)) * 0xBF58476D1CE4E5B9
    z = (z ~ (z >> 27)) * 0x94D049BB133111EB
    z = z ~ (z >> 31)
    return math.floor((z >> 11) * 2.0 ^ -53 * n) + 1
  end
end

local function size_of(options, name)
  local size = math.tointeger(options[1])
  if not size or size < 1 then error(("samplers.%s: number of pictures expected first, got %s"):format(name,
    tostring(options[1])), 3) end
  local batch = math.tointeger(options.batch or 32)
  if not batch or batch < 1 then error(("bad option 'batch' to 'samplers.%s' (integer of at least 1 expected, got %s)")
    :format(name, tostring(options.batch)), 3) end
  return size, batch
end

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

--- 1, 2, 3, ...: sequential{ size, batch = 32 }.
function samplers.sequential(options)
  local size, batch = size_of(options, "sequential")
  return function()
    local order = {}
    for i = 1, size do order[i] = i end
    return slices(order, batch, options.drop_last)
  end
end

--- Every picture once an epoch in a new order: shuffled{ size, batch = 32, seed = 0, drop_last = false }.
function samplers.shuffled(options)
  local size, batch = size_of(options, "shuffled")
  local seed = options.seed or 0
  return function(epoch)
    local random, order = random_of(seed * 0x9E3779B1 + (epoch or 0) * 0x85EBCA77 + 1), {}
    for i = 1, size do order[i] = i end
    for i = size, 2, -1 do
      local j = random(i)
      order[i], order[j] = order[j], order[i]
    end
    return slices(order, batch, options.drop_last)
  end
end

return samplers
