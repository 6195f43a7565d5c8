--- transform.lua - what a transform of data.loader costs, and how it scales: images per second without one, with a Lua
-- file on one and on two workers, and with the same function on the main thread. About a minute. Not a test.
--
--     LURCHER_SHARED=DATA LURCHER_THREADS=1 build/lurcher tests/bench/transform.lua [FOLDER] [TURNS]
--
-- FOLDER: a folder of photographs (default: data/photos in the folder LURCHER_SHARED). Two loads are measured: a short
-- transform (flip, rotate, brightness), whose time is spent in C, and one that is mostly Lua. The variants take turns;
-- a ratio is taken within a turn, and printed are the median and, in parentheses, the spread. Bar: two workers 1.8 times
-- one. Ratios of processor time show on a busy machine what the clock would show on a quiet one: two workers that make
-- as many images per CPU second as one make twice as many by the clock if two processors are free.

local lurcher = require "lurcher"
local data = lurcher.data

local folder = arg[1] or os.getenv "LURCHER_SHARED" and os.getenv "LURCHER_SHARED" .. "/data/photos"
if not folder then error("no images: give a folder of photographs, or set LURCHER_SHARED", 0) end
local turns, SECONDS, BATCH = lurcher.number(arg[2] or "5"), 2, 16
local set = assert(data.flat(folder))

local texts = {
  short = [[
    local image = require "lurcher.image"
    return function(img, random)
      if random:boolean() then img = image.flip(img) end
      img = image.rotate(img, random:uniform(-15, 15), { fill = "reflect" })
      return image.brightness(img, random:uniform(0.8, 1.2))
    end]],
  Lua = [[
    return function(img, random)
      local sum = 0
      for i = 1, 100000 do sum = sum + (i * i) % 7 end
      return img
    end]],
}

local function write(text)
  local path = os.tmpname()
  assert(lurcher.write_file(path, text))
  return path
end

--- Images per second by the clock and per second of processor time, once the queue is full.
local function rate(workers, transform)
  local function batches(_, random)
    return function()
      local picks = {}
      for i = 1, BATCH do picks[i] = random:int(#set) end
      return picks
    end
  end
  local loader <close> = data.loader{ set, size = 299, sampler = batches, workers = workers, transform = transform }
  local count, start, used = -8, nil, nil
  for batch in loader() do
    batch.image:close()
    count = count + 1
    if count == 0 then start, used = lurcher.time(), os.clock() end
    if start and lurcher.time() - start > SECONDS then break end
  end
  return { wall = BATCH * count / (lurcher.time() - start), cpu = BATCH * count / (os.clock() - used) }
end

local function spread(list, format)
  table.sort(list)
  return format:format(list[#list // 2 + 1], list[1], list[#list])
end

local function rates(measured, name, key)
  local list = {}
  for i, turn in ipairs(measured) do list[i] = turn[name][key] end
  return spread(list, "%.1f (%.1f to %.1f)")
end

local function ratio(measured, a, b, key)
  local list = {}
  for i, turn in ipairs(measured) do list[i] = turn[a][key] / turn[b][key] end
  return spread(list, "%.2f (%.2f to %.2f)")
end

for _, kind in ipairs{ "short", "Lua" } do
  local path, measured = write(texts[kind]), {}
  local variants = { { "none, 1 worker", 1 }, { "file, 1 worker", 1, path }, { "file, 2 workers", 2, path },
    { "function, 2 workers", 2, dofile(path) } }
  for turn = 1, turns do
    measured[turn] = {}
    for _, variant in ipairs(variants) do measured[turn][variant[1]] = rate(variant[2], variant[3]) end
  end
  os.remove(path)
  print(("== transform '%s', %s to 299x299, %d turns"):format(kind, folder, turns))
  for _, variant in ipairs(variants) do
    print(("%-20s %s images/s, %s per CPU second"):format(variant[1], rates(measured, variant[1], "wall"),
      rates(measured, variant[1], "cpu")))
  end
  print(("two workers over one, by the clock %s (bar: 1.8), per CPU second %s (0.9)"):format(
    ratio(measured, "file, 2 workers", "file, 1 worker", "wall"),
    ratio(measured, "file, 2 workers", "file, 1 worker", "cpu")))
end
