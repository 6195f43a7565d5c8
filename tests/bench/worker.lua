-- worker.lua - Lurcher's process of tests/bench/xception.lua: times one kind of work.
-- Usage: lurcher tests/bench/worker.lua WORK BATCH ITERATIONS [SIZE [DEVICE [PRECISION [WIDTH]]]]
-- WORK: as in xception.lua. Prints the seconds of each timed iteration, then "peak BYTES": the peak memory of the
-- process or, on a GPU, the memory that the run holds there. The images stay on the device from step to step, like the
-- peer's.
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local nn, optim = lurcher.nn, lurcher.optim

local work, batch, iterations = arg[1], tonumber(arg[2]), tonumber(arg[3])
local size, device, precision = tonumber(arg[4] or 299), arg[5] or "cpu", arg[6] or "f32"

lurcher.seed(7)
local backbone = xception{ size = size, width = tonumber(arg[7] or 1), top = false, pooling = "avg" }
local image = nn.input("image", size, size, 3)
local logits = nn.dense{ 1000, activation = "softmax", name = "predictions" }(backbone(image))
local model = nn.model{ class = logits }
if work == "tune" then model:freeze{ to = "block11_sepconv3_bn" } end

local images = lurcher.uniform{ batch, size, size, 3, low = -1, high = 1 }
local ids = {}
for i = 1, batch do ids[i] = i - 1 end
local data = { image = images:to(device), class = lurcher.tensor(ids):cast("i32") }

local run <close> = model:compile{ device = device, precision = precision, loss = "categorical_crossentropy",
                                   optimizer = optim.sgd{ lr = 1e-3, momentum = 0.9 } }
local function step()
  if work == "inference" then run:predict(data) else run:train(data) end
end

local seconds = {}
for i = 1, iterations + 3 do -- the first steps make the plan and capture the graph
  local start = lurcher.time()
  step()
  if i > 3 then seconds[#seconds + 1] = ("%.6f"):format(lurcher.time() - start) end
end
-- On a GPU also the batch, and the copy of it that steps read.
local on_gpu = run.arena_bytes + run.state_bytes + 2 * 4 * batch * size * size * 3
print(table.concat(seconds, " ") .. " peak " .. (device:find "^cuda" and on_gpu or lurcher.memory().peak))
io.stderr:write(device:find "^cuda" and "steps: " .. run.graph .. "\n" or "")
if os.getenv "LURCHER_BENCH_DESCRIBE" then print(run) end
