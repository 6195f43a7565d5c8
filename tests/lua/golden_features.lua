--- `lurcher features` with the published weights against outputs of an independent implementation, wherever the shared
-- data lies: every figure within 1e-4 relative. Two of the 612 are means that cancel to a thousandth of what they are
-- means of; there both sides are no better than float32 sums, and a difference of 1e-6 counts as none.
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

local tolerance, rounding = 1e-4, 1e-6

--- What the program prints for every image of the golden file at one layer, as a list of tables.
local function features(layer)
  local weights, images = folder .. "/data/weights/xception_imagenet_block1-13.h5", {}
  for i, case in ipairs(golden.cases) do images[i] = ("'%s/%s'"):format(folder, case.image) end
  local command = ("'%s' features --weights '%s' --layer %s --size 224 %s"):format(harness.program, weights, layer,
    table.concat(images, " "))
  local output, code = harness.run(command)
  assert(code == 0, output)
  local found = {}
  for line in output:gmatch "[^\n]+" do found[#found + 1] = assert(lurcher.json.decode(line)) end
  assert(#found == #images, output)
  return found
end

local function close_to(what, actual, expected)
  assert(math.abs(actual - expected) <= math.max(tolerance * math.abs(expected), rounding),
    ("%s: %.8g expected, got %.8g"):format(what, expected, actual))
end

local layers = {}
for layer in pairs(golden.cases[1].outputs) do layers[#layers + 1] = layer end
table.sort(layers)

for _, layer in ipairs(layers) do
  test("features: golden values of " .. layer, function()
    local found = features(layer)
    for i, case in ipairs(golden.cases) do
      local actual, expected = found[i], case.outputs[layer]
      local where = ("%s of %s"):format(layer, case.image)
      local shape = expected.shape_hwc
      assert(table.concat(actual.shape, "x") == ("%dx%dx%d"):format(shape[1], shape[2], shape[3]), where)
      close_to(where .. ": mean", actual.mean, expected.mean)
      close_to(where .. ": l2", actual.l2, expected.l2)
      for k, value in ipairs(expected.pooled_first32) do
        close_to(("%s: pooled[%d]"):format(where, k), actual.pooled[k], value)
      end
    end
  end)
end
