--- lurcher.models.densenet121: DenseNet-121 of any width and input size (Huang et al., Densely Connected Convolutional
-- Networks, 2016), with the layer names, order and rules of Keras 3 (keras/applications/densenet.py), so that layer 313
-- there is layer 313 here. Heads for a task are added by the recipe.
--
--     local densenet121 = require "lurcher.models.densenet121"
--     local model = densenet121()                                         -- ImageNet's shape, 1000 classes
--     local backbone = densenet121{ top = false, pooling = "avg", weights = "densenet121.h5" }
--     local backbone = densenet121{ feature_layer = "pool4_relu", pooling = "avg", size = 299 }
--
-- Images: preprocess "torch" (0 to 1, normalised by ImageNet's mean and standard deviation; `lurcher.preprocessing`).
-- Options:
--   size           side of the square input, at least 32, or { h, w }                        (224)
--   channels       of the input                                                                (3)
--   width          multiplier of every layer's channels, then rounded to multiples of 8        (1)
--   momentum       of the batch norms' moving statistics; lower it for short trainings (0.99)
--   epsilon        added to the variance in the batch norms; torchvision has 1e-5   (1.001e-5)
--   top            end in avg_pool and a softmax of `classes`                               (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("pool4_relu"); no top then                           (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        file to load: Keras .h5, .weights.h5 or .keras, or .safetensors (Lurcher's, torchvision's or
--                  timm's)                                                                    (nil)
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local nn = require "lurcher".nn
local builder = require "lurcher.models.builder"

local blocks, growth = { 6, 12, 24, 16 }, 32

local function norm_relu(b, name, x) return b:relu(name .. "_relu", b:norm(name .. "_bn", x)) end

--- Adds `growth` channels to x.
local function dense_layer(b, name, x)
  local y = b:conv(name .. "_1_conv", norm_relu(b, name .. "_0", x), 4 * growth, 1)
  y = b:conv(name .. "_2_conv", norm_relu(b, name .. "_1", y), growth, 3, 1, "same")
  return b:layer(name .. "_concat", nn.concat, {}, x, y)
end

--- Halves channels, height and width.
local function transition(b, name, x)
  x = norm_relu(b, name, x)
  x = b:layer(name .. "_conv", nn.conv2d, { x.shape[3] // 2, 1, use_bias = false }, x)
  return b:layer(name .. "_pool", nn.avg_pool, { 2 }, x)
end

--- PyTorch's names: torchvision/models/densenet.py 0.20, and timm/models/densenet.py 1.0.
local function pytorch_names()
  local n = builder.pytorch_names():conv("features.conv0", "conv1_conv"):norm("features.norm0", "conv1_bn")
  for i, layers in ipairs(blocks) do
    for k = 1, layers do
      local file, layer = ("features.denseblock%d.denselayer%d"):format(i, k), ("conv%d_block%d"):format(i + 1, k)
      for part = 1, 2 do
        n:norm(("%s.norm%d"):format(file, part), ("%s_%d_bn"):format(layer, part - 1))
        n:conv(("%s.conv%d"):format(file, part), ("%s_%d_conv"):format(layer, part))
      end
    end
    if i < #blocks then
      n:norm(("features.transition%d.norm"):format(i), ("pool%d_bn"):format(i + 1))
      n:conv(("features.transition%d.conv"):format(i), ("pool%d_conv"):format(i + 1))
    end
  end
  return n:norm("features.norm5", "bn"):conv("classifier", "predictions").map
end

--- Builds the model. See the top of the file.
return builder.network("densenet121", {}, function(b, x)
  x = b:conv("conv1_conv", b:pad("zero_padding2d", x, 3, 3), 64, 7, 2)
  x = b:relu("conv1_relu", b:norm("conv1_bn", x))
  x = b:window("pool1", b:pad("zero_padding2d_1", x, 1, 1), nn.max_pool, 2)
  for i, layers in ipairs(blocks) do
    for k = 1, layers do x = dense_layer(b, ("conv%d_block%d"):format(i + 1, k), x) end
    if i < #blocks then x = transition(b, ("pool%d"):format(i + 1), x) end
  end
  return b:relu("relu", b:norm("bn", x))
end, { names = pytorch_names(), defaults = { size = 224, epsilon = 1.001e-5 } })
