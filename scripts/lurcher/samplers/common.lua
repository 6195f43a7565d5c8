--- lurcher.samplers.common: what samplers share: options, the object, slices of an order. For lurcher.samplers only.

local lurcher = require "lurcher"
local suggest = require "lurcher.suggest"

local common = {}

--- The sampler object: sampler(epoch) calls epoch(...); `fields` become its own.
function common.new(kind, batches, epoch, fields)
  local sampler = fields or {}
  sampler.kind, sampler.batches = kind, batches
  return setmetatable(sampler, { __call = function(_, ...) return epoch(...) end,
    __tostring = function() return ("samplers.%s, %s batches per epoch"):format(kind, batches or "?") end })
end

--- An integer option; errors point at the caller of the sampler.
function common.integer(options, key, name, default, least)
  local value = options[key]
  if value == nil then value = default end
  local whole = math.tointeger(value)
  if not whole or whole < (least or 1) then
    error(lurcher.format("bad option '%s' to 'samplers.%s' (integer of at least %d expected, got %s)", key, name,
      least or 1, value), 4)
  end
  return whole
end

local function check(options, name, known)
  if type(options) ~= "table" then
    local meta = getmetatable(options)
    error(("samplers.%s: a table that begins with the set expected, samplers.%s{ set, ... }, got %s"):format(name, name,
      type(meta) == "table" and meta.__name or type(options)), 4)
  end
  local names = { "batch", "seed" }
  for word in known:gmatch "%S+" do names[#names + 1] = word end
  for key in pairs(options) do
    local fine = math.type(key) == "integer"
    for _, word in ipairs(names) do fine = fine or word == key end
    if not fine then
      error(("unknown option '%s' to 'samplers.%s'%s"):format(tostring(key), name,
        suggest.hint(tostring(key), names)), 4)
    end
  end
end

--- Number of images, batch size and seed of a sampler that needs no classes.
function common.plain(options, name, known)
  check(options, name, known)
  local first = options[1]
  local size = math.tointeger(first) or (type(first) == "userdata" and #first)
  if not size or size < 1 then
    error(lurcher.format("samplers.%s: number of images expected first, got %s", name, first), 3)
  end
  return size, common.integer(options, "batch", name, 32), math.tointeger(options.seed or 0)
end

--- The same for a sampler that needs classes, with lists of images by class (without empty ones), and each image's
-- class.
function common.classed(options, name, known)
  check(options, name, known)
  local set = options[1]
  if type(set) ~= "userdata" and type(set) ~= "table" then
    error(("samplers.%s: a dataset expected first, got %s"):format(name, tostring(set)), 3)
  end
  local lists, class_of = {}, {}
  for class, list in ipairs(set:by_class()) do
    if #list > 0 then lists[#lists + 1] = list end
    for _, image in ipairs(list) do class_of[image] = class end
  end
  if #lists == 0 then error(("samplers.%s: the dataset has no classes"):format(name), 3) end
  return { set = set, size = #set, lists = lists, class_of = class_of, seed = math.tointeger(options.seed or 0),
    batch = common.integer(options, "batch", name, 32) }
end

--- The random generator of an epoch.
function common.random_of(seed, epoch) return lurcher.data.random(seed, epoch or 0) end

--- Consecutive slices of `order` of length `batch`; the last one may be shorter, or with drop_last is left out.
function common.slices(order, batch, drop_last)
  local first = 1
  return function()
    local last = math.min(first + batch - 1, #order)
    if first > #order or (drop_last and last - first + 1 < batch) then return nil end
    local picks = table.move(order, first, last, 1, {})
    first = last + 1
    return picks
  end
end

--- The number of batches of `size` images; with drop_last, without a last short one.
function common.batches_of(size, batch, drop_last) return drop_last and size // batch or (size + batch - 1) // batch end

--- A function that draws from a list without end: all of it in random order, then again.
function common.cycle(list, random)
  local order, at = {}, 0
  return function()
    if at == #order then order, at = random:shuffle(table.move(list, 1, #list, 1, {})), 0 end
    at = at + 1
    return order[at]
  end
end

return common
