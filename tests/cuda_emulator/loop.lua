-- loop.lua - checks fit, as recipes call it, with on.ema, on.nan_guard, metrics and clipping: fifty more steps allocate
-- nothing on the device, and the host waits once per step. With a loader, whose batches are prefetched, each image is
-- copied to the device once.
--
-- Usage: lurcher tests/cuda_emulator/loop.lua     (with STEPS, or EPOCHS FOLDER, it is the training itself; the
-- emulator writes the counts)
local lfs = require "lfs"
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local data, nn, optim = lurcher.data, lurcher.nn, lurcher.optim

local SIDE <const>, IMAGES <const> = 12, 15

local function compiled()
  lurcher.seed(3)
  local y = nn.relu()(nn.batchnorm()(nn.conv2d{ 8, 3, padding = "same" }(nn.input("image", SIDE, SIDE, 3))))
  local model = nn.model{ class = nn.dense{ 3, activation = "softmax" }(nn.dropout(0.3)(nn.global_avg_pool()(y))) }
  return model:compile{ device = "cuda", optimizer = optim.nadam{ lr = 0.01, clip_norm = 1 },
    loss = "categorical_crossentropy" }
end

local function train(steps)
  local run <close> = compiled()
  local batches = {}
  for i = 1, steps do
    batches[i] = { image = lurcher.uniform{ 4, SIDE, SIDE, 3 }, class = lurcher.tensor{ 0, 1, 2, i % 3 }:cast "i32" }
  end
  local history = fit(run, batches, { progress = false, on.ema{ decay = 0.9 }, on.nan_guard{} })
  assert(#history == 1 and not history.failed and history[1].acc and run.graph == "recorded")
end

local function train_from(folder, epochs)
  local run <close> = compiled()
  local loader <close> = data.loader{ assert(data.folder(folder)), size = SIDE, batch = 4, seed = 5, workers = 1,
    device = lurcher.device "cuda" }
  local history = fit(run, loader, { epochs = epochs, progress = false })
  assert(#history == epochs and run.graph == "recorded")
end

local function draw(folder)
  lfs.mkdir(folder)
  for i = 1, IMAGES do
    local class = ("%s/%d"):format(folder, i % 3)
    lfs.mkdir(class)
    assert(lurcher.image.save(("%s/%d.png"):format(class, i), lurcher.uniform{ SIDE, SIDE, 3, low = 0, high = 255 }))
  end
end

local function remove(folder)
  for name in lfs.dir(folder) do
    local path = folder .. "/" .. name
    if not name:find "^%.%.?$" then (lfs.attributes(path, "mode") == "directory" and remove or os.remove)(path) end
  end
  lfs.rmdir(folder)
end

local function counts(number, folder)
  local path, found = os.tmpname(), {}
  assert(os.execute(("EMULATED_CUDA_COUNTS='%s' '%s' '%s' %d %s"):format(path, arg[-1], arg[0], number, folder or "")))
  for line in io.lines(path) do
    local name, number = line:match "^(%w+) (%d+)$"
    found[name] = tonumber(number)
  end
  os.remove(path)
  return found
end

if arg[2] then return train_from(arg[2], tonumber(arg[1])) end
if arg[1] then return train(tonumber(arg[1])) end
local few, many = counts(10), counts(60)
local launches, allocations = many.launches - few.launches, many.allocations - few.allocations
local waits = many.waits - few.waits
print(("50 steps: %d kernels, %d allocations, %d waits"):format(launches, allocations, waits))
assert(launches > 50 * 20 and allocations == 0 and waits == 50, "a step allocates or waits more than it must")

local folder = os.tmpname()
os.remove(folder)
draw(folder)
local sent = counts(12, folder).uploaded - counts(2, folder).uploaded
remove(folder)
local images = 10 * IMAGES * SIDE * SIDE * 3 * 4
print(("10 epochs: %d bytes copied, the images have %d"):format(sent, images))
assert(sent >= images and sent < 1.1 * images, "images are copied more than once")
