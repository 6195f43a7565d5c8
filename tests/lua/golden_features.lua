--- Golden values: `lurcher features` with ImageNet's Xception against outputs of Keras 3.15.1 on TensorFlow 2, layer by
-- layer, for three photographs. Needs the folder of shared data that LURCHER_SHARED names.
--
-- Every mean, norm and pooled channel (1,020 figures) must be within TOLERANCE, relative. The largest difference seen
-- on any instruction set is 8.4e-5, of means whose terms cancel. ROUNDING is the absolute difference that two float32
-- sums of the same terms may have when they are added in another order; it decides only where such a mean is close to
-- zero.
local harness = require "harness"
local lurcher = require "lurcher"
local test = harness.test

local TOLERANCE <const>, ROUNDING <const> = 1e-4, 1e-6
local GOLDEN <const>, WEIGHTS <const> = "golden/xception_notop.json", "data/weights/xception_imagenet_notop.h5"

local path, weights = harness.shared(GOLDEN), harness.shared(WEIGHTS)
if not (path and weights) then
  harness.skip("features: golden values", ("LURCHER_SHARED names no folder with %s and %s"):format(GOLDEN, WEIGHTS))
  return
end
local file <close> = assert(io.open(path, "rb"))
local golden = lurcher.json.decode(file:read "a")

--- The objects that the program prints for the images of the golden file at one layer.
local function features(layer)
  local images = {}
  for i, case in ipairs(golden.cases) do images[i] = ("'%s'"):format(assert(harness.shared(case.image), case.image)) end
  local output, code = harness.run(("'%s' features --weights '%s' --layer %s --size 224 %s"):format(harness.program,
    weights, layer, table.concat(images, " ")))
  assert(code == 0, output)
  local found = {}
  for line in output:gmatch "[^\n]+" do found[#found + 1] = assert(lurcher.json.decode(line)) end
  assert(#found == #images, output)
  return found
end

local function close_to(what, actual, expected)
  assert(math.abs(actual - expected) <= math.max(TOLERANCE * math.abs(expected), ROUNDING),
    ("%s: %.8g expected, got %.8g"):format(what, expected, actual))
end

--- "h x w x c"; the golden file writes a vector of c channels, such as avg_pool's output, as 1 x 1 x c.
local function shape_text(shape)
  return #shape == 1 and "1x1x" .. shape[1] or table.concat(shape, "x")
end

local layers = {}
for layer in pairs(golden.cases[1].outputs) do layers[#layers + 1] = layer end
table.sort(layers)
assert(#layers > 0, "the golden file holds no layer")

for _, layer in ipairs(layers) do
  test("features: golden values of " .. layer, function()
    local found = features(layer)
    for i, case in ipairs(golden.cases) do
      local actual, expected = found[i], case.outputs[layer]
      local where = ("%s of %s"):format(layer, case.image)
      local shape, wanted = shape_text(actual.shape), shape_text(expected.shape_hwc)
      assert(shape == wanted, ("%s: %s expected, got %s"):format(where, wanted, shape))
      close_to(where .. ": mean", actual.mean, expected.mean)
      close_to(where .. ": l2", actual.l2, expected.l2)
      assert(#expected.pooled_first32 == 32, where)
      for k, value in ipairs(expected.pooled_first32) do
        close_to(("%s: pooled[%d]"):format(where, k), actual.pooled[k], value)
      end
    end
  end)
end
