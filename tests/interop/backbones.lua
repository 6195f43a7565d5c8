--- backbones.lua FOLDER - compares a network of lurcher.models with the outputs that backbones.py had a framework write
-- to FOLDER: case.json (the network's name and options, files of weights, names of layers in order),
-- expected.safetensors (images, outputs by layer).

local lurcher = require "lurcher"
local nn = lurcher.nn

local at_once <const> = 16 -- outputs of a model, at most
local folder = assert(arg[1], "FOLDER expected: run backbones.py, which runs this script")

local function read(name)
  local file <close> = assert(io.open(folder .. "/" .. name, "rb"))
  return file:read "a"
end

local case = lurcher.json.decode(read "case.json")
local tolerance = case.tolerance
local network = require("lurcher.models." .. case.model)
local expected = assert(lurcher.load_tensors(folder .. "/expected.safetensors"))
local images = expected.images
expected.images = nil

local names = {}
for name in pairs(expected) do names[#names + 1] = name end
table.sort(names)

--- The largest difference over the largest value, and the Euclidean norm of the difference over that of b.
local function differences(a, b)
  local d = a - b
  return d:abs():max() / b:abs():max(), math.sqrt(d:square():sum() / b:square():sum())
end

--- Outputs of the network's layers first to last, of names.
local function outputs_of(model, first, last)
  local nodes = {}
  for i = first, math.min(last, #names) do nodes[names[i]] = model:node(names[i]) end
  local run <close> = nn.model(nodes):compile{ device = "cpu" }
  return run:predict{ input_1 = images }
end

--- The names of layers whose order differs; nil where the framework has no order.
local function misplaced(model)
  if not case.layers then return nil end
  local wrong = {}
  for i = 1, math.max(#case.layers, #model.layers) do
    local here = model.layers[i] and model.layers[i].name
    if here ~= case.layers[i] then wrong[#wrong + 1] = ("%d: %s, not %s"):format(i - 1, here, case.layers[i]) end
  end
  return wrong
end

local function compare(file)
  local options = { weights = folder .. "/" .. file }
  for name, value in pairs(case.options) do options[name] = value end
  local model, report = network(options)
  local wrong = misplaced(model)
  print(("  %s: %d layers loaded, %d missing, %d unused, %d mismatched; %s in the framework's order"):format(file,
    report.loaded, report.missing, report.unused, report.mismatched,
    wrong and ("%d of %d layers"):format(#case.layers - #wrong, #case.layers) or "no layer"))
  for i = 1, math.min(3, wrong and #wrong or 0) do print("    " .. wrong[i]) end
  local good = report.missing + report.unused + report.mismatched == 0 and #(wrong or {}) == 0
  if not good then print((report.text:gsub("[^\n]+", "    %0"))) end
  local worst, where, whole = 0, "", 0
  for first = 1, #names, at_once do
    local actual = outputs_of(model, first, first + at_once - 1)
    for name, value in pairs(actual) do
      local largest, norm = differences(value, expected[name])
      if not (largest <= tolerance and norm <= tolerance) then
        print(("    %s: largest %.1e, norm %.1e"):format(name, largest, norm))
        good = false
      end
      if not (largest <= worst) then worst, where = largest, name end
      whole = math.max(whole, norm)
    end
  end
  print(("    %d outputs: largest difference %.1e (%s), norm %.1e"):format(#names, worst, where, whole))
  local last = model.outputs[1]
  if expected[last] then -- alone, with everything fused that may be
    local run <close> = model:compile{ device = "cpu" }
    local largest = differences(run:predict{ input_1 = images }[last], expected[last])
    print(("    %s alone: %.1e"):format(last, largest))
    good = good and largest <= tolerance
  end
  return good
end

local good = true
for _, file in ipairs(case.files) do good = compare(file) and good end
os.exit(good, true)
