--- nested.lua FOLDER - loads the backbones of the nested files that nested.py had Keras write to FOLDER, and compares.

local lurcher = require "lurcher"

local tolerance = 1e-4
local folder = assert(arg[1], "FOLDER expected: run nested.py, which runs this script")
local networks = { Xception = require "lurcher.models.xception", InceptionV3 = require "lurcher.models.inception_v3" }
local failed = false

for name, network in pairs(networks) do
  local expected = assert(lurcher.load_tensors(folder .. "/" .. name .. ".safetensors"))
  for _, kind in ipairs{ ".keras", ".weights.h5", "_old.keras", "_old.weights.h5" } do
    local model, report = network{ size = 96, top = false, pooling = "avg", weights = folder .. "/" .. name .. kind }
    local _, features = next(model:compile{}:predict{ input_1 = expected.images })
    local difference = (features - expected.features):abs():max() / expected.features:abs():max()
    local good = report.missing + report.mismatched == 0 and difference <= tolerance
    failed = failed or not good
    print(lurcher.format("%-8s %s%s: %d layers, %.2g relative", good and "ok" or "FAILED", name, kind, report.loaded,
      difference))
    model:close()
  end
end
os.exit(failed and 1 or 0, true)
