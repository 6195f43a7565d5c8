--- Tests of lurcher.models.xception against Keras 2.0.6 (keras/applications/xception.py): order, names, output sizes,
-- parameters and inputs of all 134 layers; cuts, widths, depths.
local harness = require "harness"
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local nn = lurcher.nn
local test, raises = harness.test, harness.raises

--- index, name, side (nil: no height and width), channels, parameters. Blocks 5 to 12 are generated below.
local keras = {
  { 0, "input_1", 299, 3, 0 },
  { 1, "block1_conv1", 149, 32, 864 },
  { 2, "block1_conv1_bn", 149, 32, 128 },
  { 3, "block1_conv1_act", 149, 32, 0 },
  { 4, "block1_conv2", 147, 64, 18432 },
  { 5, "block1_conv2_bn", 147, 64, 256 },
  { 6, "block1_conv2_act", 147, 64, 0 },
  { 7, "block2_sepconv1", 147, 128, 8768 },
  { 8, "block2_sepconv1_bn", 147, 128, 512 },
  { 9, "block2_sepconv2_act", 147, 128, 0 },
  { 10, "block2_sepconv2", 147, 128, 17536 },
  { 11, "block2_sepconv2_bn", 147, 128, 512 },
  { 12, "conv2d_1", 74, 128, 8192 },
  { 13, "block2_pool", 74, 128, 0 },
  { 14, "batch_normalization_1", 74, 128, 512 },
  { 15, "add_1", 74, 128, 0 },
  { 16, "block3_sepconv1_act", 74, 128, 0 },
  { 17, "block3_sepconv1", 74, 256, 33920 },
  { 18, "block3_sepconv1_bn", 74, 256, 1024 },
  { 19, "block3_sepconv2_act", 74, 256, 0 },
  { 20, "block3_sepconv2", 74, 256, 67840 },
  { 21, "block3_sepconv2_bn", 74, 256, 1024 },
  { 22, "conv2d_2", 37, 256, 32768 },
  { 23, "block3_pool", 37, 256, 0 },
  { 24, "batch_normalization_2", 37, 256, 1024 },
  { 25, "add_2", 37, 256, 0 },
  { 26, "block4_sepconv1_act", 37, 256, 0 },
  { 27, "block4_sepconv1", 37, 728, 188672 },
  { 28, "block4_sepconv1_bn", 37, 728, 2912 },
  { 29, "block4_sepconv2_act", 37, 728, 0 },
  { 30, "block4_sepconv2", 37, 728, 536536 },
  { 31, "block4_sepconv2_bn", 37, 728, 2912 },
  { 32, "conv2d_3", 19, 728, 186368 },
  { 33, "block4_pool", 19, 728, 0 },
  { 34, "batch_normalization_3", 19, 728, 2912 },
  { 35, "add_3", 19, 728, 0 },
  -- 36..115 are inserted here
  { 116, "block13_sepconv1_act", 19, 728, 0 },
  { 117, "block13_sepconv1", 19, 728, 536536 },
  { 118, "block13_sepconv1_bn", 19, 728, 2912 },
  { 119, "block13_sepconv2_act", 19, 728, 0 },
  { 120, "block13_sepconv2", 19, 1024, 752024 },
  { 121, "block13_sepconv2_bn", 19, 1024, 4096 },
  { 122, "conv2d_4", 10, 1024, 745472 },
  { 123, "block13_pool", 10, 1024, 0 },
  { 124, "batch_normalization_4", 10, 1024, 4096 },
  { 125, "add_12", 10, 1024, 0 },
  { 126, "block14_sepconv1", 10, 1536, 1582080 },
  { 127, "block14_sepconv1_bn", 10, 1536, 6144 },
  { 128, "block14_sepconv1_act", 10, 1536, 0 },
  { 129, "block14_sepconv2", 10, 2048, 3159552 },
  { 130, "block14_sepconv2_bn", 10, 2048, 8192 },
  { 131, "block14_sepconv2_act", 10, 2048, 0 },
  { 132, "avg_pool", nil, 2048, 0 },
  { 133, "predictions", nil, 1000, 2049000 },
}
for b = 5, 12 do
  local base = 36 + 10 * (b - 5)
  for k = 1, 3 do
    local name = ("block%d_sepconv%d"):format(b, k)
    keras[#keras + 1] = { base + 3 * k - 3, name .. "_act", 19, 728, 0 }
    keras[#keras + 1] = { base + 3 * k - 2, name, 19, 728, 536536 }
    keras[#keras + 1] = { base + 3 * k - 1, name .. "_bn", 19, 728, 2912 }
  end
  keras[#keras + 1] = { base + 9, ("add_%d"):format(b - 1), 19, 728, 0 }
end

local function weight_count(layer)
  local count = 0
  for _, weight in pairs(layer:weights()) do count = count + weight.count end
  return count
end

--- Compares a layer's shape and number of parameters with a row of the table.
local function check_row(model, row, classes)
  local index, name, side, channels, parameters = table.unpack(row, 1, 5)
  local layer = model.layers[index + 1]
  assert(layer.name == name, ("index %d: %s expected, got %s"):format(index, name, layer.name))
  assert(model:index(name) == index)
  if name == "predictions" and classes then channels, parameters = classes, 2048 * classes + classes end
  assert(weight_count(layer) == parameters, ("%s: %d parameters expected"):format(name, parameters))
  local shape = model:node(name).shape
  local expected = side and { side, side, channels } or { channels }
  assert(table.concat(shape, "x") == table.concat(expected, "x"),
    ("%s: %s expected, got %s"):format(name, table.concat(expected, "x"), table.concat(shape, "x")))
end

test("xception: every layer of Keras's table, and 22,910,480 parameters", function()
  local model <close> = xception()
  assert(#model.layers == 134 and #keras == 134)
  for _, row in ipairs(keras) do check_row(model, row) end
  local total, trainable = model:parameters()
  assert(total == 22910480 and trainable == 22855952, ("%d, %d trainable"):format(total, trainable))
  assert(model.inputs[1] == "input_1" and model.outputs[1] == "predictions")
end)

test("xception: without top 20,861,480 parameters in 133 layers, 234 arrays", function()
  local model <close> = xception{ top = false, pooling = "avg" }
  assert(#model.layers == 133 and model:parameters() == 20861480)
  local arrays = 0
  for _, layer in ipairs(model.layers) do
    for _ in pairs(layer:weights()) do arrays = arrays + 1 end
  end
  assert(arrays == 234)
end)

test("xception: layers[105:] is add_10 and what follows: 31 arrays, 8,402,360 values", function()
  local model <close> = xception{ top = false, pooling = "avg" }
  assert(model.layers[106].name == "add_10")
  model:freeze():unfreeze{ from = "add_10" }
  local _, trainable = model:parameters()
  assert(trainable == 8402360, trainable)
  model:unfreeze():freeze{ below = 105 }
  assert(select(2, model:parameters()) == 8402360)
end)

test("xception: feature_layer cuts at any named layer, with nothing behind it", function()
  local model <close> = xception{ feature_layer = "add_12" }
  assert(#model.layers == 126 and model.layers[126].name == "add_12")
  assert(table.concat(model:node("add_12").shape, "x") == "10x10x1024")
  assert(model.outputs[1] == "add_12")
  local pooled <close> = xception{ feature_layer = "add_12", pooling = "avg", size = 224 }
  assert(table.concat(pooled:node("avg_pool").shape, "x") == "1024")
  for _, name in ipairs{ "block1_conv1", "conv2d_2", "block4_pool", "batch_normalization_4", "block13_sepconv2_bn",
    "avg_pool", "predictions" } do
    local cut <close> = xception{ feature_layer = name, size = 71, width = 0.125 }
    assert(cut.outputs[1] == name and cut:index(name) == #cut.layers - 1, name)
  end
end)

test("xception: width, depth, size and classes", function()
  local model <close> = xception{ width = 0.25, middle = 2, size = { 96, 128 }, classes = 6 }
  assert(#model.layers == 134 - 60)
  assert(table.concat(model:node("block8_sepconv2").shape, "x") == "3x4x512")
  assert(model:node("predictions").shape[1] == 6)
  assert(model:layer("block1_conv1"):weights().kernel.shape[4] == 8)
  local shallow <close> = xception{ middle = 0, width = 0.125, size = 71, top = false, pooling = "max" }
  assert(shallow.outputs[1] == "max_pool")
end)

test("xception: two backbones in one model by prefix and input name", function()
  local a = xception{ width = 0.125, middle = 1, size = 71, top = false, pooling = "avg", prefix = "a_", input = "one" }
  local b = xception{ width = 0.125, middle = 1, size = 71, top = false, pooling = "avg", prefix = "b_", input = "two" }
  local one, two = nn.input("one", 71, 71, 3), nn.input("two", 71, 71, 3)
  local model <close> = nn.model{ both = nn.concat(a(one), b(two)) }
  assert(model:index "a_avg_pool" and model:index "b_add_1")
end)

--- A weight in PyTorch's layout.
local function to_pytorch(name, w)
  local s = w.shape
  if #s == 1 then return w end
  if #s == 2 then return w:transpose() end
  local taps, inputs, outputs = s[1] * s[2], s[3], s[4]
  if name == "depthwise_kernel" then return w:reshape(taps, inputs):transpose():reshape(inputs, 1, s[1], s[2]) end
  local flat, rows = w:reshape(taps * inputs, outputs):transpose(), {}
  for o = 1, outputs do rows[o] = flat[o]:reshape(taps, inputs):transpose():reshape(1, inputs, s[1], s[2]) end
  return outputs == 1 and rows[1] or lurcher.concat(rows, 1)
end

test("xception: weights under timm's names are loaded, with the prefix too", function()
  local options = { width = 0.03, size = 71, classes = 3 }
  lurcher.seed(11)
  local from <close> = xception(options)
  local names, state = from:weight_names(), {}
  -- As timm prints them.
  for file, weight in pairs{ ["conv1.weight"] = "block1_conv1/kernel", ["bn2.running_var"] = "block1_conv2_bn/moving_variance",
    ["block1.rep.0.conv1.weight"] = "block2_sepconv1/depthwise_kernel", ["block1.skip.weight"] = "conv2d_1/kernel",
    ["block4.rep.7.pointwise.weight"] = "block5_sepconv3/pointwise_kernel", ["block12.rep.5.bias"] = "block13_sepconv2_bn/beta",
    ["block12.skipbn.weight"] = "batch_normalization_4/gamma", ["conv4.pointwise.weight"] = "block14_sepconv2/pointwise_kernel",
    ["bn4.running_mean"] = "block14_sepconv2_bn/moving_mean", ["fc.weight"] = "predictions/kernel" } do
    assert(names[file] == weight, file)
  end
  for file, weight in pairs(names) do
    local layer, name = weight:match "(.*)/(.*)"
    local value = from:layer(layer):weights()[name]
    if value and not file:find "^last_linear" then state["module." .. file] = to_pytorch(name, value) end
  end
  state["module.bn1.num_batches_tracked"] = lurcher.zeros(1)
  local path = os.tmpname() .. ".safetensors"
  assert(lurcher.save_tensors(path, state))
  lurcher.seed(12)
  for _, prefix in ipairs{ "", "a_" } do
    options.weights, options.prefix = path, prefix
    local to <close>, report = xception(options)
    assert(report.missing == 0 and report.mismatched == 0 and report.unused == 0, report.text)
    for _, layer in ipairs(from.layers) do
      for name, value in pairs(layer:weights()) do
        assert((to:layer(prefix .. layer.name):weights()[name] - value):abs():max() == 0, layer.name)
      end
    end
  end
  options.weights, options.prefix = nil, nil
  local whole <close> = nn.model{ out = nn.dense{ 2 }(xception{ width = 0.03, size = 71, top = false, pooling = "avg" }(
    nn.input("image", 71, 71, 3))) }
  local nothing, message = whole:load(path)
  assert(not nothing and message:find "weight_names", message)
  local report = assert(whole:load(path, { names = names }))
  assert(report.loaded > 70 and report.missing == 1, report.text) -- the head
  os.remove(path)
end)

test("xception: a file of another network is refused, unless a part of it is asked for", function()
  local options = { size = 71, width = 0.03, classes = 3 }
  local from <close> = xception(options)
  local features = from:layer "predictions":weights().kernel.shape[1]
  local path = os.tmpname() .. ".safetensors"
  assert(lurcher.save_tensors(path, { ["fc.weight"] = lurcher.zeros(3, features), ["fc.bias"] = lurcher.zeros(3),
    ["conv1.weight"] = lurcher.zeros(64, 3, 7, 7), ["layer1.0.conv1.weight"] = lurcher.zeros(8, 8, 1, 1) }))
  options.weights = path
  raises("only 1 of the model's %d+ layers with weights can be loaded, %d+ are missing, 1 have other shapes", xception,
    options)
  options.partial = true
  local part <close>, report = xception(options)
  assert(report.loaded == 1 and report.mismatched == 1 and report.missing > 70, report.text)
  assert(part:layer "predictions":weights().kernel:abs():max() == 0)
  local nothing, message = pcall(part.load, part, path, { strict = true, partial = true })
  assert(not nothing and message:find("'partial'", 1, true), message)
  os.remove(path)
end)

test("xception: error messages name the option, what was expected and what was given", function()
  raises("unknown option 'widht' to 'xception' %(did you mean 'width'%?%)", xception, { widht = 1 })
  raises("bad option 'width' to 'xception' %(positive number expected, got 0%)", xception, { width = 0 })
  raises("bad option 'pooling'", xception, { top = false, pooling = "mean" })
  raises("the network has no layer 'add_13'; did you mean 'add_1", xception, { feature_layer = "add_13", size = 71,
    width = 0.125 })
  raises("cannot load weights", xception, { weights = "nowhere.h5", size = 71, width = 0.125 })
end)

--- Whether the cpu backend uses AVX-512: only then does it have GEMM kernels besides oneDNN's.
local function has_avx512()
  local file <close> = io.open "/proc/cpuinfo"
  local flags = file and file:read "a":match "\nflags[^\n]*" or ""
  for _, name in ipairs{ "avx512f", "avx512bw", "avx512dq", "avx512vl" } do
    if not flags:find(" " .. name .. "%f[%W]") then return false end
  end
  return not os.getenv "LURCHER_CPU_ISA"
end

test("xception: a separable convolution is one op where nothing goes backward, with the same results", function()
  lurcher.seed(5)
  local model = xception{ width = 0.125, middle = 2, size = 71, classes = 7 }
  local x = lurcher.uniform{ 3, 71, 71, 3, low = -1, high = 1 }
  local function differs(passes)
    local one <close> = model:compile{ device = "cpu" }
    local other <close> = model:compile{ device = "cpu", passes = passes }
    local a, b = one:predict{ input_1 = x }.predictions, other:predict{ input_1 = x }.predictions
    return (a - b):abs():max() / b:abs():max(), tostring(one), tostring(other)
  end
  -- Batch norms take the statistics of a batch, so that outputs are of a useful size; after that the changed weights
  -- must be folded and packed again.
  local run <close> = model:compile{ device = "cpu", loss = "categorical_crossentropy",
    optimizer = lurcher.optim.sgd{ lr = 0.05 } }
  local before = run:predict{ input_1 = x }.predictions
  for _ = 1, 3 do
    run:train{ input_1 = x, predictions = lurcher.range(3):cast "i32" }
    local difference, joined, apart = differs{ fold = false }
    assert(difference < 1e-4, difference)
    assert(not apart:find "separable_conv2d")
    if has_avx512() then assert(joined:find "separable_conv2d") end
  end
  assert((run:predict{ input_1 = x }.predictions - before):abs():max() > 1e-3)
  assert(not tostring(run):find "separable_conv2d +backward")
end)
