--- Tests of the networks of lurcher.models that have no file of their own: ResNet-50, DenseNet-121, MobileNetV2,
-- EfficientNet-B0, ConvNeXt-Tiny and ViT-S/16. Order and names of layers, numbers of parameters, golden values
-- (recorded after tests/interop/backbones.py had found every output within 1e-4 of Keras's, timm's and torchvision's),
-- training, checkpoints, frozen backbones, cuts, weights under PyTorch's names.
local harness = require "harness"
local lurcher = require "lurcher"
local frozen = require "lurcher.frozen"
local preprocessing, pretrained = require "lurcher.preprocessing", require "lurcher.recipe.pretrained"
local nn = lurcher.nn
local test, raises, near = harness.test, harness.raises, harness.near

local work = harness.folder "models"

--- What is known of each: layers, parameters and trainable ones (with the top, of keras.applications or timm); a few
-- layers by index; a small form; layers to cut at; the layer of pooled features.
local networks = {
  resnet50 = { layers = 177, parameters = 25636712, trainable = 25583592, small = { size = 64, width = 0.125 },
    at = { [0] = "input_1", [1] = "conv1_pad", [6] = "pool1_pool", [143] = "conv5_block1_1_conv", [175] = "avg_pool" },
    cuts = { "conv1_pad", "conv2_block1_0_bn", "conv4_block6_out", "conv5_block3_add" } },
  densenet121 = { layers = 429, parameters = 8062504, trainable = 7978856, small = { size = 64, width = 0.25 },
    at = { [1] = "zero_padding2d", [5] = "zero_padding2d_1", [313] = "conv5_block1_0_bn", [427] = "avg_pool" },
    cuts = { "pool1", "conv3_block2_concat", "pool4_relu", "relu" },
    file_names = { ["features.denseblock2.denselayer3.norm2.running_var"] = "conv3_block3_1_bn/moving_variance",
      ["features.transition3.conv.weight"] = "pool4_conv/kernel", ["classifier.bias"] = "predictions/bias" } },
  mobilenet_v2 = { layers = 156, parameters = 3538984, trainable = 3504872, small = { size = 64, width = 0.35 },
    at = { [1] = "Conv1", [12] = "block_1_pad", [116] = "block_13_expand", [154] = "avg_pool" },
    cuts = { "Conv1_relu", "block_1_pad", "block_12_add", "out_relu" } },
  efficientnet_b0 = { layers = 241, parameters = 5330576, trainable = 5288548, small = { size = 64, width = 0.25 },
    at = { [3] = "rescaling_1", [4] = "stem_conv_pad", [163] = "block6a_expand_conv", [238] = "avg_pool" },
    cuts = { "normalization", "block2a_dwconv_pad", "block3b_add", "top_activation" },
    file_names = { ["blocks.0.0.conv_dw.weight"] = "block1a_dwconv/depthwise_kernel",
      ["blocks.0.0.bn2.weight"] = "block1a_project_bn/gamma", ["blocks.2.1.bn3.bias"] = "block3b_project_bn/beta",
      ["blocks.1.0.se.conv_reduce.bias"] = "block2a_se_reduce/bias", ["conv_head.weight"] = "top_conv/kernel" } },
  convnext_tiny = { layers = 157, parameters = 28589134, trainable = 28589128, small = { size = 64, width = 0.125 },
    at = { [1] = "convnext_tiny_prestem_normalization", [2] = "convnext_tiny_stem_conv",
      [128] = "convnext_tiny_downsampling_layernorm_2" },
    cuts = { "convnext_tiny_stem_layernorm", "convnext_tiny_stage_0_block_0_gelu",
      "convnext_tiny_stage_2_block_8_add", "convnext_tiny_stage_3_block_2_add" },
    file_names = { ["stages.1.downsample.1.weight"] = "convnext_tiny_downsampling_conv_0/kernel",
      ["stages.2.blocks.8.gamma"] = "convnext_tiny_stage_2_block_8_layer_scale/gamma",
      ["head.norm.weight"] = "convnext_tiny_head_layernorm/gamma" } },
  vit_s16 = { layers = 287, parameters = 22050664, trainable = 22050664, small = { size = 64, width = 0.2, depth = 4 },
    at = { [1] = "patch_embed.proj", [237] = "blocks.10.norm1" }, pooling = "token",
    cuts = { "patch_embed", "blocks.0.attn.softmax", "blocks.1", "blocks.3" },
    file_names = { ["cls_token"] = "cls_token/value", ["blocks.1.attn.qkv.weight"] = "blocks.1.attn.qkv/kernel",
      ["blocks.0.norm2.weight"] = "blocks.0.norm2/gamma", ["head.bias"] = "head/bias" } },
}

local function sorted(t)
  local names = {}
  for name in pairs(t) do names[#names + 1] = name end
  table.sort(names)
  return names
end

for _, known in pairs(networks) do known.without_gradient = known.without_gradient or 0 end

local names = sorted(networks)

local function build(name, more)
  local options = { classes = 5 }
  for key, value in pairs(networks[name].small) do options[key] = value end
  for key, value in pairs(more or {}) do options[key] = value end
  return require("lurcher.models." .. name)(options)
end

for _, name in ipairs(names) do
  test(name .. ": layers in the framework's order, its numbers of parameters", function()
    local network <close> = require("lurcher.models." .. name)()
    local known = networks[name]
    local total, trainable = network:parameters()
    assert(total == known.parameters and trainable == known.trainable, ("%d, %d"):format(total, trainable))
    assert(#network.layers == known.layers, #network.layers)
    for index, layer in pairs(known.at) do
      assert(network.layers[index + 1].name == layer, ("%d: %s"):format(index, network.layers[index + 1].name))
    end
    for _, kind in ipairs(pretrained.networks) do
      assert((network:index(kind.mark) ~= nil) == (kind.name == name), kind.name)
    end
    assert(known.at[pretrained.networks[name].tune_from], "the first layer to tune is not among those above")
    local size = preprocessing.networks[name].size
    assert(table.concat(network:node(network.inputs[1]).shape, "x") == ("%dx%dx3"):format(size, size))
    assert(#network:node(network.outputs[1]).shape == 1 and network:node(network.outputs[1]).shape[1] == 1000)
  end)
end

-- ---- golden values ----

--- Weights, moving statistics and constants that depend on the seed alone.
local function seeded(name, more)
  lurcher.seed(3)
  local model = build(name, more)
  for _, layer in ipairs(model.layers) do
    local weights = layer:weights()
    for _, weight in ipairs(sorted(weights)) do
      local n = weights[weight].count
      if weight == "moving_variance" then layer:set_weight(weight, lurcher.uniform{ n, low = 0.5, high = 1.5 })
      elseif weight == "gamma" then layer:set_weight(weight, lurcher.uniform{ n, low = 0.5, high = 1.5 })
      elseif weight == "beta" or weight == "bias" or weight == "moving_mean" then
        layer:set_weight(weight, lurcher.normal{ n, std = 0.1 })
      end
    end
  end
  return model
end

--- Images in the range of the network's preprocessing.
local function images(name)
  local range = { caffe = { -2, 2 }, torch = { -2, 2 }, tf = { -1, 1 }, none = { 0, 255 } }
  local low, high = table.unpack(range[preprocessing.networks[name].preprocess])
  return lurcher.uniform{ 2, 64, 64, 3, low = low, high = high }
end

--- Mean and Euclidean norm of outputs; what has no height and width, the first image's.
local golden = {
  convnext_tiny = {
    convnext_tiny_downsampling_conv_1 = { 0.076283127, 34.069746 },
    convnext_tiny_head_dense = { 0.40382367, 0.036403928, 0.060954437, 0.49081394, 0.0080040311 },
    convnext_tiny_prestem_normalization = { 0.21505754, 204.15905 },
    convnext_tiny_stage_0_block_2_add = { 0.066153936, 128.26946 },
    convnext_tiny_stage_3_block_2_add = { -0.01351783, 30.698634 },
  },
  densenet121 = {
    conv1_relu = { 0.26655814, 86.503968 },
    conv2_block2_concat = { 0.47184527, 108.92086 },
    pool2_pool = { -0.09647157, 61.596616 },
    predictions = { 0.084767833, 0.35324141, 0.25909606, 0.17940272, 0.12349197 },
    relu = { 0.18027107, 15.479037 },
  },
  efficientnet_b0 = {
    block1a_se_excite = { 0.026851354, 13.514573 },
    block3b_add = { 0.065187521, 10.485036 },
    predictions = { 0.16897607, 0.21320942, 0.18122439, 0.1854597, 0.25113037 },
    rescaling_1 = { 0.22936995, 204.43309 },
    top_activation = { 0.0031172312, 4.8525956 },
  },
  mobilenet_v2 = {
    Conv1_relu = { 0.15128925, 48.528677 },
    block_1_pad = { 0.070465729, 40.836845 },
    block_2_add = { -0.078774758, 13.436475 },
    out_relu = { 0.068507835, 12.561017 },
    predictions = { 0.20782749, 0.13952303, 0.24510993, 0.24667007, 0.16086946 },
  },
  resnet50 = {
    conv1_relu = { 0.44134566, 100.50271 },
    conv2_block1_out = { 0.51132351, 128.67376 },
    conv3_block1_0_bn = { -0.12267815, 75.78067 },
    conv5_block3_out = { 0.45135316, 33.377749 },
    predictions = { 0.34189022, 0.14013954, 0.11364356, 0.32870352, 0.075623184 },
  },
  vit_s16 = {
    ["blocks.0.attn.proj"] = { -0.028106749, 24.638573 },
    ["blocks.3"] = { 0.060036562, 97.139342 },
    head = { 0.01699188, 0.017905178, 0.046731316, 0.84466815, 0.073703445 },
    norm = { 0.039794654, 47.097314 },
    patch_embed = { 0.015096786, 9.0510725 },
  },
}

for _, name in ipairs(names) do
  test(name .. ": golden values", function()
    local model <close> = seeded(name)
    local x, outputs = images(name), {}
    for layer in pairs(golden[name]) do outputs[layer] = model:node(layer) end
    local run <close> = nn.model(outputs):compile{ device = "cpu" }
    local y = run:predict{ input_1 = x }
    for layer, expected in pairs(golden[name]) do
      local value = y[layer]
      local actual = #value.shape > 2 and { value:mean(), math.sqrt(value:square():sum()) } or value[1]:totable()
      if os.getenv "LURCHER_GOLDEN" then
        for i, v in ipairs(actual) do actual[i] = lurcher.format("%.8g", v) end
        print(("    %s = { %s },"):format(layer, table.concat(actual, ", ")))
      else
        near(actual, expected, 1e-5 * math.abs(expected[2]))
      end
    end
  end)
end

-- ---- training, checkpoints, frozen backbones ----

--- A network with a head of three classes, compiled for training.
local function trained(name)
  local model = seeded(name, { classes = 3 })
  local output = model.outputs[1]
  return model, model:compile{ device = "cpu", loss = "categorical_crossentropy", optimizer = lurcher.optim.sgd(1e-3) },
    { input_1 = images(name), [output] = lurcher.tensor{ 0, 2 }:cast "i32" }
end

--- Whether every value of a tensor is finite.
local function is_finite(tensor) return tensor:abs():max() < math.huge end

for _, name in ipairs(names) do
  test(name .. ": a step of training gives finite gradients of every weight that learns", function()
    local model, run, batch = trained(name)
    local loss = run:accumulate(batch).loss
    assert(loss > 0 and loss < math.huge, loss)
    local learnt, zero = 0, {}
    for _, layer in ipairs(model.layers) do
      for weight in pairs(layer:weights()) do
        local moves = weight:find "^moving_" or layer.kind == "normalization"
        if not moves then
          local gradient = run:gradient(layer.name, weight)
          assert(is_finite(gradient), layer.name .. "/" .. weight)
          learnt = learnt + 1
          if not (gradient:abs():max() > 0) then zero[#zero + 1] = layer.name .. "/" .. weight end
        end
      end
    end
    assert(learnt > 50 and #zero <= networks[name].without_gradient, table.concat(zero, " "))
    local before = harness.weights(model)
    run:step()
    assert(run.iterations == 1 and not harness.same(before, harness.weights(model)))
    run:close()
  end)

  test(name .. ": a checkpoint has the model and its weights", function()
    local model, run, batch = trained(name)
    run:train(batch)
    local path = ("%s/%s.safetensors"):format(work, name)
    assert(run:save(path))
    local again <close> = assert(nn.load(path))
    local second <close> = again:compile{ device = "cpu" }
    local x, output = { input_1 = batch.input_1 }, model.outputs[1]
    assert((run:predict(x)[output] - second:predict(x)[output]):abs():max() == 0)
    assert(harness.same(harness.weights(model), harness.weights(again)))
    local h5 = ("%s/%s.h5"):format(work, name)
    assert(model:save(h5))
    local third <close>, report = build(name, { classes = 3, weights = h5 })
    assert(report.missing + report.unused + report.mismatched == 0, report.text)
    assert(harness.same(harness.weights(model), harness.weights(third)))
    run:close()
  end)

  test(name .. ": a frozen backbone is split from its head", function()
    local pooling = networks[name].pooling or "avg"
    local backbone = seeded(name, { top = false, pooling = pooling, input = "image" })
    local features = backbone.outputs[1]
    local model <close> = nn.model(nn.dense{ 3, activation = "softmax", name = "head_3" }(backbone:node(features)))
    assert(frozen.split(model, "image") == nil)
    backbone:freeze()
    local split = frozen.split(model, "image")
    assert(split.layer == features and #split.head.layers == 2)
    assert(select(2, model:parameters()) == 3 * backbone:node(features).shape[1] + 3)
    local cut = networks[name].cuts[3]
    model:unfreeze():freeze{ to = cut }
    local _, trainable = model:parameters()
    assert(frozen.split(model, "image").layer == cut and trainable > 1000)
  end)

  test(name .. ": feature_layer cuts at any named layer, with nothing behind it", function()
    for _, cut in ipairs(networks[name].cuts) do
      local model <close> = build(name, { feature_layer = cut })
      assert(model.outputs[1] == cut and model:index(cut) == #model.layers - 1, cut)
    end
    local model <close> = build(name, { feature_layer = networks[name].cuts[3], pooling = "avg", prefix = "a_" })
    assert(#model:node(model.outputs[1]).shape == 1 and model.layers[2].name:find "^a_")
    assert(not model:index(networks[name].cuts[4]))
  end)

  test(name .. ": printed, and misused", function()
    local model <close> = build(name)
    local text = tostring(model)
    for _, layer in ipairs{ model.layers[1], model.layers[2], model.layers[#model.layers] } do
      assert(text:find(layer.name, 1, true), text)
    end
    raises(("unknown option 'widht' to '%s' %%(did you mean 'width'%%?%%)"):format(name), build, name, { widht = 1 })
    raises(("the network has no layer '%s_'; did you mean '%s'%%?"):format(networks[name].cuts[4],
      networks[name].cuts[4]), build, name, { feature_layer = networks[name].cuts[4] .. "_" })
    raises("cannot load weights", build, name, { weights = work .. "/nowhere.h5" })
  end)
end

-- ---- PyTorch's names ----

--- A weight in PyTorch's layout.
local function to_pytorch(name, w)
  local s = w.shape
  if #s == 1 then return w end
  if name == "value" then return w:reshape(1, s[1], s[2]) end -- tokens and positions
  if #s == 2 then return w:transpose() end
  local taps, inputs, outputs = s[1] * s[2], s[3], s[4]
  if name == "depthwise_kernel" then return w:reshape(taps, inputs):transpose():reshape(inputs, 1, s[1], s[2]) end
  local flat, rows = w:reshape(taps * inputs, outputs):transpose(), {}
  for o = 1, outputs do rows[o] = flat[o]:reshape(taps, inputs):transpose():reshape(1, inputs, s[1], s[2]) end
  return outputs == 1 and rows[1] or lurcher.concat(rows, 1)
end

for _, name in ipairs(names) do
  if networks[name].file_names then
    test(name .. ": weights under PyTorch's names are loaded", function()
      local from <close> = seeded(name)
      local map, state = from:weight_names(), {}
      for file, weight in pairs(networks[name].file_names) do assert(map[file] == weight, file) end
      for file, weight in pairs(map) do
        local layer, own = weight:match "(.*)/(.*)"
        local value = from:layer(layer):weights()[own]
        if value then state[file] = to_pytorch(own, value) end
      end
      local path = ("%s/%s_state.safetensors"):format(work, name)
      assert(lurcher.save_tensors(path, state))
      lurcher.seed(12)
      local to <close>, report = build(name, { weights = path })
      assert(report.missing + report.mismatched + report.unused == 0, report.text)
      assert(harness.same(harness.weights(from), harness.weights(to)))
    end)
  end
end

-- ---- what the plans make of them ----

test("pad: becomes the padding of the convolutions that read it, with the same results", function()
  local function compare(height, width, kernel, stride, before, after, padding)
    lurcher.seed(1)
    local x = nn.input("x", height, width, 4)
    local margin = nn.pad{ before = before, after = after, name = "margin" }(x)
    local how = { kernel = kernel, stride = stride, padding = padding }
    local outputs = { b = nn.depthwise_conv2d(how)(margin) }
    how.filters = 5
    outputs.a = nn.conv2d(how)(margin)
    local model <close> = nn.model(outputs)
    local image, y = lurcher.normal{ 2, height, width, 4 }, {}
    for i, fold in ipairs{ true, false } do
      local run <close> = model:compile{ device = "cpu", passes = { fold = fold }, input_gradients = true }
      y[i] = run:forward({ x = image }, { training = true })
      run:backward{ a = y[i].a * 0.5, b = y[i].b * 2 }
      y[i].dx, y[i].text = run:gradient "x", tostring(run)
    end
    for _, name in ipairs{ "a", "b", "dx" } do near((y[1][name] - y[2][name]):abs():max(), 0, 1e-5) end
    assert(y[2].text:find "margin")
    return not y[1].text:find "margin"
  end
  assert(compare(9, 7, 3, 2, { 1, 1 }, { 1, 1 }))
  assert(compare(8, 8, 7, 2, { 3, 3 }, { 3, 3 }))
  assert(compare(8, 10, 3, 2, { 0, 0 }, { 1, 1 }))
  assert(compare(8, 11, 5, 2, { 1, 0 }, { 2, 1 }, "same"))
  assert(not compare(8, 10, 1, 1, { 1, 1 }, { 1, 1 })) -- wider than the window
  assert(not compare(9, 9, 3, 1, { 1, 0 }, { 2, 3 }))
end)

test("pad: before a max pool it is left out after a ReLU alone", function()
  local function has_pad(activation)
    local x = nn.activation{ activation }(nn.input("x", 7, 8, 2))
    local model <close> = nn.model{ y = nn.max_pool{ 3, stride = 2 }(nn.pad{ 1, name = "margin" }(x)) }
    local image, y = lurcher.normal{ 2, 7, 8, 2 } - 1, {}
    for i, fold in ipairs{ true, false } do
      local run <close> = model:compile{ device = "cpu", passes = { fold = fold } }
      y[i] = run:predict{ x = image }.y
      if fold then y.text = tostring(run) end
    end
    assert((y[1] - y[2]):abs():max() == 0)
    return y.text:find "margin" ~= nil
  end
  assert(not has_pad "relu" and has_pad "tanh")
end)
