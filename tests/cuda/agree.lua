-- agree.lua - compares a device with the CPU: the same network with the same weights must give the same predictions,
-- and the same training the same losses, within tolerances. Everything is f32. Ends with an error if they do not agree.
--
-- Usage: lurcher tests/cuda/agree.lua [DEVICE [SIZE [WIDTH [STEPS]]]]          default: cuda 299 1 50
-- Predictions: Xception of SIZE and WIDTH, 4 images. No logit may differ by more than 1e-4 of the largest logit (or
-- 1e-4).
-- Training: STEPS steps at a quarter of SIZE and WIDTH (at least 48 and 1/8) with dropout and Nadam, on different
-- batches of which every seventh is short. It runs twice on the device and must give the same bits. Between device and
-- CPU, differences of rounding grow from step to step: the tolerance of a loss is 1e-4 at the first step and 2e-2 at
-- the last. For comparison, cpu and ref differ by 5e-3 after 50 steps at a learning rate of 1e-4, and by 9e-2 at 1e-3,
-- because Nadam takes full steps even if a gradient is nothing but rounding.
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local nn, optim = lurcher.nn, lurcher.optim

local device = arg[1] or "cuda"
local size, width, steps = tonumber(arg[2] or 299), tonumber(arg[3] or 1), tonumber(arg[4] or 50)
local classes = 10

local function network(side, share, rate)
  lurcher.seed(11)
  local backbone = xception{ size = side, width = share, top = false, pooling = "avg" }
  local head = nn.dense{ classes, name = "logits" }(nn.dropout(rate)(backbone(nn.input("image", side, side, 3))))
  return head
end

--- The largest logit, and the largest difference between the devices.
local function logits()
  local model = nn.model{ logits = network(size, width, 0.5) }
  local images, outputs = lurcher.uniform{ 4, size, size, 3, low = -1, high = 1 }, {}
  for _, where in ipairs{ "cpu", device } do
    local run <close> = model:compile{ device = where }
    for _ = 1, 3 do outputs[where] = run:predict{ image = images }.logits end -- launched, captured, replayed
  end
  local difference, largest = 0, 0
  for row = 1, 4 do
    for class = 1, classes do
      local a, b = outputs.cpu[row][class], outputs[device][row][class]
      if a ~= a or b ~= b then error("a logit is NaN", 0) end
      largest, difference = math.max(largest, math.abs(a)), math.max(difference, math.abs(a - b))
    end
  end
  return difference, largest
end

--- The losses of `steps` training steps, and run.graph, which describes how the steps were run.
local function curve(where)
  local side, share, losses = math.max(48, size // 4), math.max(1 / 8, width / 4), {}
  local output = nn.activation{ ["function"] = "softmax" }(network(side, share, 0.5))
  local model = nn.model{ class = output }
  local run <close> = model:compile{ device = where, optimizer = optim.nadam{ lr = 1e-4 },
    loss = "categorical_crossentropy" }
  for step = 1, steps do
    local rows, ids = step % 7 == 0 and 5 or 8, {}
    for i = 1, rows do ids[i] = (i * 3 + step) % classes end
    local images = lurcher.uniform{ rows, side, side, 3, low = -1, high = 1 }
    losses[step] = run:train{ image = images, class = lurcher.tensor(ids):cast "i32" }.loss
    if step == steps // 2 then run.lr = run.lr / 2 end
  end
  return losses, run.graph
end

local difference, largest = logits()
print(("logits, Xception %d, width %g: largest %.4f, largest difference %.2e"):format(size, width, largest, difference))
local a, b = curve "cpu", curve(device)
local again, how = curve(device)
for step = 1, steps do
  if again[step] ~= b[step] then
    error(("the device is not deterministic: loss of step %d is %.9g, then %.9g"):format(step, b[step], again[step]), 0)
  end
end
local worst, good = 0, true
for step = 1, steps do
  local apart = math.abs(a[step] - b[step]) / math.abs(a[step])
  worst = math.max(worst, apart)
  if step == 1 or step % 10 == 0 then print(("step %3d: %s %.6f, cpu %.6f"):format(step, device, b[step], a[step])) end
  good = good and apart < (step == 1 and 1e-4 or 5e-4 + 2e-2 * step / steps)
end
print(("training, %d steps (%s): largest relative difference of a loss %.2e"):format(steps, how, worst))
if difference > 1e-4 * math.max(1, largest) then error("the logits of the device and of the CPU do not agree", 0) end
if not good then error("the losses of the device and of the CPU do not agree", 0) end
