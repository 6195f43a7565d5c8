-- floor.lua - compares the memory throughput of each kind of op with that of a large copy on the same device. An op
-- that is bound by memory cannot exceed it: the time of a copy of its bytes is its floor. GEMMs and convolutions are
-- bound by arithmetic; they are listed to complete the sum.
--
-- Usage: lurcher tests/cuda/floor.lua [DEVICE [BATCH [PRECISION [SIZE [WIDTH]]]]]          default: cuda 64 bf16 299 1
-- Profiles training steps of Xception; run:profile times each op alone, so launches do not overlap.
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local nn, optim = lurcher.nn, lurcher.optim

local device, batch = arg[1] or "cuda", tonumber(arg[2] or 64)
local precision, size = arg[3] or "bf16", tonumber(arg[4] or 299)
local where = lurcher.device(device)

--- Bytes per second, read and written, of a large copy on the device.
local function copy_rate()
  local a, best = lurcher.zeros(1 << 26):to(where), 0
  local b <close> = a:clone()
  for _ = 1, 20 do
    local start = lurcher.time()
    b:copy(a)
    best = math.max(best, 2 * (4 << 26) / (lurcher.time() - start))
  end
  return best
end

lurcher.seed(7)
local backbone = xception{ size = size, width = tonumber(arg[5] or 1), top = false, pooling = "avg" }
local features = backbone(nn.input("image", size, size, 3))
local model = nn.model(nn.dense{ 1000, activation = "softmax", name = "class" }(features))
local ids = {}
for i = 1, batch do ids[i] = i % 1000 end
local images = lurcher.uniform{ batch, size, size, 3, low = -1, high = 1 }
local data = { image = images, class = lurcher.tensor(ids):cast "i32" }
local run <close> = model:compile{ device = where, precision = precision, loss = "categorical_crossentropy",
  optimizer = optim.sgd() }
for _ = 1, 3 do run:train(data) end
run:profile(true)
for _ = 1, 5 do run:train(data) end

local rate, sums, order = copy_rate(), {}, {}
for _, row in ipairs(run:profile()) do
  local key = row.op .. " " .. row.pass
  local sum = sums[key]
  if not sum then
    sum = { seconds = 0, bytes = 0, flops = 0 }
    sums[key], order[#order + 1] = sum, key
  end
  sum.seconds = sum.seconds + row.seconds
  sum.bytes, sum.flops = sum.bytes + row.bytes * row.calls, sum.flops + row.flops * row.calls
end
table.sort(order, function(a, b) return sums[a].seconds > sums[b].seconds end)
print(("batch %d, %s: a copy moves %.0f GB/s"):format(batch, precision, rate * 1e-9))
print(("%-28s %9s %9s %9s %8s"):format("op", "ms/step", "GB/s", "TFLOP/s", "of floor"))
for _, key in ipairs(order) do
  local s = sums[key]
  print(("%-28s %9.3f %9.0f %9.2f %7.0f%%"):format(key, s.seconds / 5 * 1e3, s.bytes / s.seconds * 1e-9,
    s.flops / s.seconds * 1e-12, 100 * s.bytes / s.seconds / rate))
end
