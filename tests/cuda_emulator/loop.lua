-- loop.lua - fit as recipes call it, with on.ema, on.nan_guard, metrics and clipping: fifty more steps allocate nothing
-- on the device and let the host wait fifty times, once a step.
--
-- Usage: lurcher tests/cuda_emulator/loop.lua     (with STEPS it is the training itself, whose counts the emulator
-- writes)
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local nn, optim = lurcher.nn, lurcher.optim

local function train(steps)
  lurcher.seed(3)
  local y = nn.relu()(nn.batchnorm()(nn.conv2d{ 8, 3, padding = "same" }(nn.input("image", 12, 12, 3))))
  local model = nn.model{ class = nn.dense{ 3, activation = "softmax" }(nn.dropout(0.3)(nn.global_avg_pool()(y))) }
  local run <close> = model:compile{ device = "cuda", optimizer = optim.nadam{ lr = 0.01, clip_norm = 1 },
    loss = "categorical_crossentropy" }
  local batches = {}
  for i = 1, steps do
    batches[i] = { image = lurcher.uniform{ 4, 12, 12, 3 }, class = lurcher.tensor{ 0, 1, 2, i % 3 }:cast "i32" }
  end
  local history = fit(run, batches, { progress = false, on.ema{ decay = 0.9 }, on.nan_guard{} })
  assert(#history == 1 and not history.failed and history[1].acc and run.graph == "recorded")
end

local function counts(steps)
  local path, found = os.tmpname(), {}
  assert(os.execute(("EMULATED_CUDA_COUNTS='%s' '%s' '%s' %d"):format(path, arg[-1], arg[0], steps)))
  for line in io.lines(path) do
    local name, number = line:match "^(%w+) (%d+)$"
    found[name] = tonumber(number)
  end
  os.remove(path)
  return found
end

if arg[1] then return train(tonumber(arg[1])) end
local few, many = counts(10), counts(60)
local launches, allocations = many.launches - few.launches, many.allocations - few.allocations
local waits = many.waits - few.waits
print(("50 steps: %d kernels, %d allocations, %d waits"):format(launches, allocations, waits))
assert(launches > 50 * 20 and allocations == 0 and waits == 50, "a step does more than it must")
