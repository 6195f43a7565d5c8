--- loader.lua - the loader from Lua: pictures a second against a Python pipeline with the same steps, what samplers cost,
-- and memory over many pictures. Not a test. The bare decode's rate is bench_loader's, beside the program.
--
--     lurcher tests/bench/loader.lua FOLDER [pictures of the memory run, 50000]
-- Loader and peer take turns, and the best turn of each counts: other work on the machine slows both.

local lurcher = require "lurcher"
local samplers = require "lurcher.samplers"
local data = lurcher.data

local folder, many = assert(arg[1], "a folder of pictures expected"), tonumber(arg[2] or 50000)
local here = arg[0]:match "^(.*)/[^/]*$" or "."
local python = os.getenv "PYTHON" or "python3"
local set = assert(data.flat(folder))
local full = data.augment{ rotate = 45, shear = 10, zoom = 0.2, width_shift = 0.1, height_shift = 0.1, hflip = true }

--- Pictures a second over `seconds`, once the queue runs.
local function rate(options, seconds)
  options[1], options.size, options.sampler = set, 299, function(_, random)
    return function()
      local picks = {}
      for i = 1, 16 do picks[i] = random:int(#set) end
      return picks
    end
  end
  local loader <close> = data.loader(options)
  local n, start = -8, nil
  for batch in loader() do
    batch.image:close()
    n = n + 1
    if n == 0 then start = lurcher.time() end
    if start and lurcher.time() - start > seconds then break end
  end
  return 16 * n / (lurcher.time() - start)
end

local function peer(seconds)
  local pipe = io.popen(("%s '%s/peers/pillow_scipy.py' '%s' %g 2>/dev/null"):format(python, here, folder, seconds))
  local value = pipe:read "n"
  pipe:close()
  return value
end

local best = { one = 0, two = 0, peer = 0 }
for _ = 1, 3 do
  best.one = math.max(best.one, rate({ augment = full, workers = 1 }, 2))
  best.peer = math.max(best.peer, peer(3) or 0)
  best.two = math.max(best.two, rate({ augment = full, workers = 2 }, 2))
end
print(("%d pictures of %s, decode + affine augmentation + normalisation to 299x299"):format(#set, folder))
print(("one worker  %8.1f pictures/s"):format(best.one))
print(("two workers %8.1f pictures/s, %.2f of one"):format(best.two, best.two / best.one))
if best.peer > 0 then print(("Pillow and SciPy, one thread %.1f pictures/s: one worker is %.1f times it"):format(best.peer, best.one / best.peer))
else print "Pillow and SciPy: not installed (python3-pil, python3-scipy)" end

-- ---- samplers: milliseconds a batch of 64, beside what making it takes ----

local names = {}
for i = 1, 16500 do names[i] = { i .. ".jpg", "class" .. i % 100 } end
local many_names = data.list(names)
local making = 64 / best.one * 1e3
for _, kind in ipairs{ "sequential", "shuffled", "class_balanced", "batch_swap", "pairs" } do
  local sampler = samplers[kind]{ many_names, batch = 64 }
  local start, n = lurcher.time(), 0
  for _ in sampler(0) do n = n + 1 end
  local cost = (lurcher.time() - start) / n * 1e3
  print(("samplers.%-15s %.4f ms a batch, %.3f %% of one worker's time"):format(kind, cost, 100 * cost / making))
end

-- ---- memory ----

local loader <close> = data.loader{ set, size = 96, batch = 64, augment = full, sampler = function(_, random)
  local left = many // 64
  return function()
    left = left - 1
    if left < 0 then return nil end
    local picks = {}
    for i = 1, 64 do picks[i] = random:int(#set) end
    return picks
  end
end }
local n, early = 0, nil
for _ in loader() do
  n = n + 64
  if n == many // 640 * 64 then early = lurcher.memory().rss end
end
local late = lurcher.memory().rss
print(("memory after %d pictures %.0f MB, after %d %.0f MB"):format(many // 640 * 64, early / 1e6, n, late / 1e6))
