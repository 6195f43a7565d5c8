--- loader.lua - all measurements of the data pipeline, in one run of about 90 seconds: its rate beside libjpeg-turbo's
-- bare decode, with a second worker, and beside a Python pipeline with the same steps; the cost of samplers; memory
-- over many images. Not a test.
--
--     ninja -C build lurcher bench_loader && LURCHER_THREADS=1 build/lurcher tests/bench/loader.lua [FOLDER] [IMAGES]
--
-- FOLDER: a folder of photographs (default: data/photos and data/dogs24/train in the folder LURCHER_SHARED, the latter
-- for the memory run). IMAGES: length of the memory run (default: 50000). The measured programs take turns and a ratio
-- is taken within a turn; printed are the median and, in parentheses, the spread. Ratios of processor time show on a
-- busy machine what the clock would show on a quiet one: two workers that make as many images per CPU second as one
-- make twice as many by the clock if two processors are free. LURCHER_THREADS=1 keeps waiting compute threads out of
-- the processor time. The Python pipeline needs python3-pil, python3-scipy and python3-numpy.

local lfs = require "lfs"
local lurcher = require "lurcher"
local samplers = require "lurcher.samplers"
local data = lurcher.data

local TURNS = 5
local here = arg[0]:match "^(.*)/[^/]*$" or "."
local shared = os.getenv "LURCHER_SHARED"
if not (arg[1] or shared) then error("no images: give a folder of photographs, or set LURCHER_SHARED", 0) end
local folder = arg[1] or shared .. "/data/photos"
local many_folder, many = arg[1] or shared .. "/data/dogs24/train", tonumber(arg[2] or 50000)
local python = os.getenv "PYTHON" or (lfs.attributes "/usr/bin/python3" and "/usr/bin/python3" or "python3") -- Debian's

local function is_folder(path) return lfs.attributes(path, "mode") == "directory" end

local function open_set(path)
  for name in lfs.dir(path) do
    if name:sub(1, 1) ~= "." and is_folder(path .. "/" .. name) then return assert(data.folder(path)) end
  end
  return assert(data.flat(path))
end

if not is_folder(folder) then error(("'%s' is not a folder"):format(folder), 0) end

-- ---- the loader beside bare decode ----

local program = (arg[-1] or "build/lurcher"):match "^(.*)/[^/]*$" or "."
for _, path in ipairs(arg[1] and { arg[1] } or { folder, many_folder }) do
  print(("== %s, to 299x299 f32; bars: one worker 0.80 of bare decode, two workers 1.85 of one"):format(path))
  local pipe = io.popen(("'%s/bench_loader' '%s' 2>&1"):format(program, path))
  print((pipe:read "a":gsub("%s+$", "")))
  if not pipe:close() then print "bench_loader is not beside the program: build it with ninja -C build bench_loader" end
end

-- ---- the loader beside Python ----

local set = open_set(folder)
local full = data.augment{ rotate = 45, shear = 10, zoom = 0.2, width_shift = 0.1, height_shift = 0.1, hflip = true }

--- A sampler of `left` random batches.
local function random_batches(of, batch, left)
  return function(_, random)
    return function()
      left = left - 1
      if left < 0 then return nil end
      local picks = {}
      for i = 1, batch do picks[i] = random:int(#of) end
      return picks
    end
  end
end

--- Images per second and per CPU second, once the queue is full.
local function rate(options, seconds)
  options[1], options.size, options.sampler = set, 299, random_batches(set, 16, math.huge)
  local loader <close> = data.loader(options)
  local n, start, used = -8, nil, nil
  for batch in loader() do
    batch.image:close()
    n = n + 1
    if n == 0 then start, used = lurcher.time(), os.clock() end
    if start and lurcher.time() - start > seconds then break end
  end
  return { wall = 16 * n / (lurcher.time() - start), cpu = 16 * n / (os.clock() - used) }
end

--- The same for the Python pipeline; nil if its packages are missing.
local function peer(seconds)
  local pipe = io.popen(("%s '%s/peers/pillow_scipy.py' '%s' %g 2>/dev/null"):format(python, here, folder, seconds))
  local wall, cpu = pipe:read("n", "n")
  pipe:close()
  return wall and cpu and { wall = wall, cpu = cpu }
end

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

--- "median (least to most)" of a over b, turn by turn.
local function ratio(turns, a, b, key)
  local list = {}
  for i, turn in ipairs(turns) do list[i] = turn[a][key] / turn[b][key] end
  local middle = median(list)
  return ("%.2f (%.2f to %.2f)"):format(middle, list[1], list[#list])
end

local function rates(turns, part, key)
  local list = {}
  for i, turn in ipairs(turns) do list[i] = turn[part][key] end
  return median(list)
end

local turns = {}
for i = 1, TURNS do
  turns[i] = { one = rate({ augment = full, workers = 1 }, 2), peer = peer(2) }
end
local one = rates(turns, "one", "cpu")
print(("\n== %s beside Pillow and SciPy, one thread each, %d turns; bar: 6 times"):format(folder, TURNS))
print(("one worker, from Lua %8.1f images/s, %.1f per CPU second"):format(rates(turns, "one", "wall"), one))
if turns[1].peer then
  print(("Pillow and SciPy     %8.1f images/s, %.1f per CPU second"):format(rates(turns, "peer", "wall"),
    rates(turns, "peer", "cpu")))
  print(("ratio by the clock %s, by CPU time %s"):format(ratio(turns, "one", "peer", "wall"),
    ratio(turns, "one", "peer", "cpu")))
else
  print "Pillow and SciPy: not installed (python3-pil, python3-scipy)"
end

-- ---- samplers: milliseconds per batch of 64, beside the time to make the batch ----

local names = {}
for i = 1, 16500 do names[i] = { i .. ".jpg", "class" .. i % 100 } end
local many_names, weights = data.list(names), {}
for i = 1, #names do weights[i] = i % 7 + 1 end
local kinds = {
  { "sequential" }, { "shuffled" }, { "class_balanced" }, { "weighted", weights = weights }, { "batch_swap" },
  { "pairs" }, { "pk", classes = 16, images = 4 },
  -- its cost includes a GEMM of 64 x 512 x the width of the embeddings
  { "hard_negatives", embeddings = lurcher.normal{ #names, 64 } },
}

local making = 64 / one * 1e3
print(("\n== samplers over 16500 images, batches of 64, beside one worker's %.1f ms per batch; bar: 1 %%")
  :format(making))
for _, options in ipairs(kinds) do
  local kind = table.remove(options, 1)
  options[1] = many_names
  if kind ~= "pk" then options.batch = 64 end
  local sampler, costs = samplers[kind](options), {}
  for epoch = 0, 4 do
    local start, n = os.clock(), 0
    for _ in sampler(epoch) do n = n + 1 end
    costs[#costs + 1] = (os.clock() - start) / n * 1e3
  end
  local middle = median(costs)
  print(("samplers.%-15s %.4f ms (%.4f to %.4f), %.2f %%"):format(kind, middle, costs[1], costs[#costs],
    100 * middle / making))
end

-- ---- memory ----

local many_set = open_set(many_folder)
local loader <close> = data.loader{ many_set, size = 96, batch = 64, augment = full,
  sampler = random_batches(many_set, 64, many // 64) }
print(("\n== memory over %d images of %s; bar: flat"):format(many // 64 * 64, many_folder))
local n, tenth = 0, many // 640 * 64
for _ in loader() do
  n = n + 64
  if n % tenth == 0 then print(("after %6d images %.1f MB"):format(n, lurcher.memory().rss / 1e6)) end
end
