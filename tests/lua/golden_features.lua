--- `lurcher features` with the published weights against outputs of an independent implementation, wherever the shared
-- data lies: every figure within 1e-4 relative.
local harness = require "harness"
local lurcher = require "lurcher"
local test = harness.test

local shared = harness.shared and harness.shared "golden/xception_block13.json"
if not shared then
  harness.skip("features: golden values", "no shared data")
  return
end
local folder = shared:match "^(.*)/golden/"
local file = assert(io.open(shared, "rb"))
local golden = lurcher.json.decode(file:read "a")
file:close()

local tolerance = 1e-4

--- What the program prints for one picture and layer, as a table.
local function features(layer, image)
  local weights = folder .. "/data/weights/xception_imagenet_block1-13.h5"
  local command = ("'%s' features --weights '%s' --layer %s --size 224 '%s'"):format(harness.program, weights, layer,
    folder .. "/" .. image)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  assert(pipe:close(), text)
  return assert(lurcher.json.decode(text))
end

local function close_to(what, actual, expected, scale)
  assert(math.abs(actual - expected) <= tolerance * math.max(math.abs(expected), scale),
    ("%s: %.8g expected, got %.8g"):format(what, expected, actual))
end

for _, case in ipairs(golden.cases) do
  test("features: golden values of " .. case.image:match "[^/]*$", function()
    for layer, expected in pairs(case.outputs) do
      local actual = features(layer, case.image)
      local shape = expected.shape_hwc
      assert(table.concat(actual.shape, "x") == ("%dx%dx%d"):format(shape[1], shape[2], shape[3]), layer)
      close_to(layer .. " mean", actual.mean, expected.mean, 0)
      close_to(layer .. " l2", actual.l2, expected.l2, 0)
      local scale = 0
      for _, value in ipairs(expected.pooled_first32) do scale = math.max(scale, math.abs(value)) end
      for i, value in ipairs(expected.pooled_first32) do
        close_to(("%s pooled[%d]"):format(layer, i), actual.pooled[i], value, scale * 0.01)
      end
    end
  end)
end
