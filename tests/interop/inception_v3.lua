--- inception_v3.lua FOLDER - compares InceptionV3 with the outputs that inception_v3.py had Keras write to FOLDER.

local lurcher = require "lurcher"
local inception_v3 = require "lurcher.models.inception_v3"
local nn = lurcher.nn

local tolerance = 1e-4
local folder = assert(arg[1], "FOLDER expected: run inception_v3.py, which runs this script")
local expected = assert(lurcher.load_tensors(folder .. "/expected.safetensors"))
local images = expected.images
expected.images = nil

--- The largest difference over the largest value, and the Euclidean norm of the difference over that of b.
local function differences(a, b)
  local d = a - b
  return d:abs():max() / b:abs():max(), math.sqrt(d:square():sum() / b:square():sum())
end

local failed = false
for _, file in ipairs{ "legacy.h5", "new.weights.h5" } do
  local network, report = inception_v3{ weights = folder .. "/" .. file }
  print(("%s: %d layers loaded, %d missing, %d unused, %d mismatched"):format(file, report.loaded, report.missing,
    report.unused, report.mismatched))
  local outputs, names = {}, {}
  for name in pairs(expected) do
    outputs[name], names[#names + 1] = network:node(name), name
  end
  table.sort(names)
  local run <close> = nn.model(outputs):compile{ device = "cpu" }
  local actual = run:predict{ input_1 = images }
  for _, name in ipairs(names) do
    local largest, whole = differences(actual[name], expected[name])
    print(("  %-12s largest %.1e  norm %.1e"):format(name, largest, whole))
    failed = failed or not (largest <= tolerance and whole <= tolerance) or report.loaded ~= 189
  end
end
print((failed and "FAILED: not all within %g" or "all within %g"):format(tolerance))
os.exit(not failed, true)
