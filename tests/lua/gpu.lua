--- Tests of what a script notices of a GPU: graph capture, batches uploaded ahead by fit, messages. LURCHER_TEST_DEVICE
-- names the device (default: cuda): the emulator's in every test run, a real one in tests/cuda/run.sh.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local fit = require "lurcher.fit"
local nn, data, optim, image = lurcher.nn, lurcher.data, lurcher.optim, lurcher.image
local test, raises = harness.test, harness.raises

local device = os.getenv "LURCHER_TEST_DEVICE" or "cuda"
local root = harness.folder "gpu"

for c, class in ipairs{ "a", "b", "c" } do
  lfs.mkdir(root .. "/" .. class)
  for i = 1, 5 do
    local pixels = (lurcher.range(16 * 16 * 3) * (60 / (16 * 16 * 3)) + (c * 5 + i) * 9):view(16, 16, 3)
    assert(image.save(("%s/%s/%d.png"):format(root, class, i), pixels))
  end
end

local function network()
  lurcher.seed(3)
  local x = nn.input("image", 12, 12, 3)
  local y = nn.relu()(nn.batchnorm()(nn.conv2d{ 8, 3, padding = "same", name = "first" }(x)))
  y = nn.batchnorm()(nn.separable_conv2d{ 8, 3, padding = "same", name = "second" }(y))
  local features = nn.dropout(0.3)(nn.global_avg_pool()(nn.max_pool{ 2 }(y)))
  return nn.model{ class = nn.dense{ 3, activation = "softmax", name = "head" }(features) }
end

--- Trains three epochs of four batches, the last of them short; returns the history, run.graph, and how often a batch
-- was uploaded ahead.
local function trained(options)
  local set = assert(data.folder(root))
  local loader = data.loader{ set, size = 12, batch = 4, seed = 5, device = lurcher.device(device), workers = 2 }
  local run <close> = network():compile{ device = device, optimizer = optim.nadam{ lr = 0.01 }, loss = "categorical_crossentropy",
    graph = options.graph }
  local sent, losses = 0, {}
  local spy = { on_batch_end = function(_, _, logs)
    losses[#losses + 1] = logs.batch.loss
    local peek <const> = loader:peek()
    if peek then sent = sent + 1 end
  end }
  fit(run, loader, { epochs = 3, valid = loader, progress = false, spy })
  return losses, run.graph, sent
end

test("fit: captured steps and prefetched batches give the bits of launched ones", function()
  local plain, how = trained{ graph = false }
  assert(how == "compiled with graph = false", how)
  local recorded, also, sent = trained{}
  assert(also == (os.getenv "LURCHER_SYNC" and also or "recorded"), also)
  assert(#plain == 12 and #recorded == 12)
  for i = 1, 12 do assert(plain[i] == recorded[i], ("step %d: %.17g, %.17g"):format(i, plain[i], recorded[i])) end
  assert(plain[12] == plain[12] and sent > 0)
end)

test("loader:peek returns the tensors of the next batch without taking it", function()
  local loader <close> = data.loader{ assert(data.folder(root)), size = 12, batch = 5, shuffle = false, workers = 1 }
  assert(loader:peek() == nil)
  local n, shown = 0, nil
  for batch in loader:epoch() do
    n = n + 1
    if shown then
      batch.image[1][1][1] = lurcher.tensor{ 7, 8, 9 }
      assert(shown.image[1][1][1][3] == 9, "the same memory")
    end
    while n < 3 and not loader:peek() do end
    shown = loader:peek()
    assert(loader:position().batch == n)
  end
  assert(n == 3 and loader:peek() == nil)
end)

test("a tensor on the device: printed, copied back; an operation that is not supported there is an error", function()
  local there = lurcher.tensor{ { 1, 2 }, { 3, 4 } }:to(device)
  assert(tostring(there):find(device, 1, true), tostring(there))
  assert(there:to "cpu":sum() == 10)
  raises("sum: a tensor in host memory expected, got one on '" .. device .. ".*%(t:to \"cpu\", in C", there.sum, there)
  raises("slice: a tensor in host memory expected", function() return there[{ {}, 1 }] end)
  raises("assign: a tensor in host memory expected", function() there[{ {}, 1 }] = 0 end)
  raises("sort: a tensor in host memory expected", there.sort, there)
  assert(there[-1]:unsqueeze(1):squeeze():to "cpu":sum() == 7) -- views
  raises("unknown device 'cuda:x'", lurcher.device, "cuda:x")
  raises("cuda:99 requested", lurcher.device, "cuda:99")
  assert(lurcher.tensor{ 1, 2 }:sum() == 3)
end)
