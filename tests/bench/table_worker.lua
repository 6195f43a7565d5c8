--- table_worker.lua - Lurcher's process of tests/bench/table.lua: does one kind of work, a few steps at a time.
-- Usage: lurcher tests/bench/table_worker.lua WORK BATCH FOLDER [DATA]. WORK: see `works`; FOLDER: table.lua's, with
-- xception.h5 and images.safetensors; DATA: a folder with train/ and valid/, for works that read images.
-- Answers lines of its standard input, as every peer does (peers/protocol.py):
--     step N        does N steps, prints "seconds S1 S2 ..."
--     output FILE   writes its first results (probabilities, or losses) as tensor `y`, prints "saved"
--     finish        prints "peak BYTES" and ends
-- LURCHER_BENCH_PRECISION in the environment: `precision` of inference.
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local nn, data, optim = lurcher.nn, lurcher.data, lurcher.optim

local work, batch, folder, imgs = arg[1], math.tointeger(arg[2]), arg[3], arg[4]
local LOADED = 12 -- batches per step of `loader`

local images = assert(lurcher.load_tensors(folder .. "/images.safetensors")).images
local size = images.shape[2]

local function network(options)
  options.weights, options.size = folder .. "/xception.h5", size
  return (xception(options))
end

local function given_batch()
  local ids = {}
  for i = 1, batch do ids[i] = i - 1 end
  return { input_1 = images:rows(1, batch), predictions = lurcher.tensor(ids):cast "i32" }
end

-- ---- works: each returns a function that does one step and, for comparison, one that returns the results ----

local works = {}

function works.inference()
  local run, x = network{}:compile{ device = "cpu", precision = os.getenv "LURCHER_BENCH_PRECISION" }, given_batch()
  local y
  return function() y = run:predict(x).predictions end, function() return y end
end

--- Calibrated on the batch that it then predicts: this measures speed, which does not depend on the values.
function works.int8()
  local run, x = network{}:compile{ device = "cpu", precision = "int8" }, given_batch()
  run:calibrate(x)
  local y
  return function() y = run:predict(x).predictions end, function() return y end
end

local function training(freeze)
  local model = network{}
  if freeze then model:freeze(freeze) end
  local run, x = model:compile{ device = "cpu", loss = "categorical_crossentropy",
    optimizer = optim.sgd{ lr = 1e-3, momentum = 0.9 } }, given_batch()
  local losses = {}
  return function() losses[#losses + 1] = run:train(x).loss end,
    function() return lurcher.tensor{ losses[1], losses[2] } end
end

function works.train() return training() end
function works.tune() return training{ below = 105 } end
function works.head() return training{ to = "avg_pool" } end

--- Decode, resize, rotate, shear, zoom and flip: batches as the frozen stage reads them.
function works.loader()
  local set = assert(data.folder(imgs .. "/train"))
  local loader = data.loader{ set, size = size, workers = 2, augment = require "lurcher.augmentations".of "light",
    sampler = function(_, random)
      return function()
        local picks = {}
        for i = 1, batch do picks[i] = random:int(#set) end
        return picks
      end
    end }
  return function()
    local start, n
    for read in loader:epoch() do
      read.image:close()
      start, n = start or lurcher.time(), (n or -1) + 1
      if n == LOADED then break end
    end
    return (lurcher.time() - start) / LOADED
  end
end

--- A stage of the pair recipes: four steps per epoch, one of them with swapped pairs.
local function stage(tune_from, s)
  local learner, pair_batches = require "lurcher.recipe.learner", require "lurcher.recipe.pair_batches"
  local siamese = require "lurcher.siamese"
  local o = { data = imgs, size = size, batch = batch, steps = 4, seed = 1, device = "cpu", workers = 2,
    memory = 8192, cache = folder .. "/cache", cache_store = "f32", cache_limit = 20000 }
  local sets = pair_batches.sets(o)
  local backbone = network{ top = false, pooling = "avg", input = "image" }
  local model = siamese.model(backbone:freeze(), { classes = #sets.train.classes })
  if tune_from then siamese.tune_from(model, tune_from) end
  local learns, train = learner.open(model, sets, o, pair_batches.add(s, sets, o))
  local loss = "categorical_crossentropy"
  local run = learns:compile{ device = "cpu", optimizer = s.optimizer,
    loss = { ctg_out_1 = loss, ctg_out_2 = loss, bin_out = loss }, weight = { bin_out = s.pair_weight } }
  local epoch = -1
  return function()
    epoch = epoch + 1
    for read in train:epoch(epoch) do run:train(read) end
  end
end

function works.frozen() return stage(nil, { augment = "light", optimizer = optim.nadam(), pair_weight = 0 }) end

--- Epochs 2 to n: the frozen features below layer 105 are computed for every image before the first step.
function works.trick()
  return stage(105, { augment = "none", optimizer = optim.sgd{ lr = 1e-4, momentum = 0.9 }, pair_weight = 0.5 })
end

-- ---- answers ----

local function peak()
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmHWM:%s*(%d+)"
    if kilobytes then return tonumber(kilobytes) * 1024 end
  end
end

local step, value = works[work]()

local answers = {}

function answers.step(count)
  local seconds = {}
  for i = 1, tonumber(count) do
    local start = lurcher.time()
    local own = step()
    seconds[i] = ("%.6f"):format(own or lurcher.time() - start)
  end
  print("seconds " .. table.concat(seconds, " "))
end

function answers.output(path)
  assert(lurcher.save_tensors(path, { y = value() }))
  print "saved"
end

io.stdout:setvbuf "line"
print("ready lurcher " .. lurcher.version)
for line in io.lines() do
  local name, rest = line:match "^(%S+)%s*(.*)$"
  if name == "finish" then break end
  answers[name](rest)
end
print("peak " .. peak())
