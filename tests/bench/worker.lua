-- worker.lua - one process of tests/bench/xception.lua: times one kind of work of the engine.
-- Usage: lurcher tests/bench/worker.lua WORK BATCH ITERATIONS [SIZE [DEVICE]]; WORK as in xception.lua.
-- Prints the seconds of each timed iteration, then "peak BYTES".
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local nn, optim = lurcher.nn, lurcher.optim

local work, batch, iterations = arg[1], tonumber(arg[2]), tonumber(arg[3])
local size, device = tonumber(arg[4] or 299), arg[5] or "cpu"

lurcher.seed(7)
local trunk = xception{ size = size, top = false, pooling = "avg" }
local image = nn.input("image", size, size, 3)
local logits = nn.dense{ 1000, activation = "softmax", name = "predictions" }(trunk(image))
local model = nn.model{ class = logits }
if work == "tune" then model:freeze{ to = "block11_sepconv3_bn" } end

local images = lurcher.uniform{ batch, size, size, 3, low = -1, high = 1 }
local ids = {}
for i = 1, batch do ids[i] = i - 1 end
local data = { image = images, class = lurcher.tensor(ids):cast("i32") }

local run <close> = model:compile{ device = device, loss = "categorical_crossentropy",
                                   optimizer = optim.sgd{ lr = 1e-3, momentum = 0.9 } }
local function step()
  if work == "inference" then run:predict(data) else run:train(data) end
end

local seconds = {}
for i = 1, iterations + 2 do
  local start = lurcher.time()
  step()
  if i > 2 then seconds[#seconds + 1] = ("%.6f"):format(lurcher.time() - start) end
end
print(table.concat(seconds, " ") .. " peak " .. lurcher.memory().peak)
if os.getenv "LURCHER_BENCH_DESCRIBE" then print(run) end
