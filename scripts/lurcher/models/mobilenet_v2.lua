--- lurcher.models.mobilenet_v2: MobileNetV2 of any width and input size (Sandler et al., Inverted Residuals and Linear
-- Bottlenecks, 2018), with the layer names, order and rules of Keras 3 (keras/applications/mobilenet_v2.py), so that
-- layer 116 there is layer 116 here. Heads for a task are added by the recipe.
--
--     local mobilenet_v2 = require "lurcher.models.mobilenet_v2"
--     local model = mobilenet_v2()                                        -- ImageNet's shape, 1000 classes
--     local backbone = mobilenet_v2{ top = false, pooling = "avg", weights = "mobilenet_v2.h5" }
--     local backbone = mobilenet_v2{ feature_layer = "block_12_add", pooling = "avg", width = 0.5 }
--
-- Images: preprocess "tf" (-1 to 1; `lurcher.preprocessing`).
-- Options:
--   size           side of the square input, at least 32, or { h, w }                        (224)
--   channels       of the input                                                                (3)
--   width          Keras's alpha: multiplier of every layer's channels, then rounded to multiples of 8; the last
--                  convolution has no fewer than 1280                                          (1)
--   momentum       of the batch norms' moving statistics; lower it for short trainings     (0.999)
--   epsilon        added to the variance in the batch norms                             (1e-3)
--   top            end in avg_pool and a softmax of `classes`                               (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("block_12_add"); no top then                         (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        file to load: Keras .h5, .weights.h5 or .keras, or Lurcher's .safetensors      (nil)
-- Keras gives the global pooling layer no name; it is avg_pool here. torchvision's MobileNetV2 pads otherwise: its
-- weights compute something else here.
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local nn = require "lurcher".nn
local builder = require "lurcher.models.builder"

--- Rows of the expansion of channels inside a block, channels behind it, number of blocks, stride of the first.
local stages = { { 1, 16, 1, 1 }, { 6, 24, 2, 2 }, { 6, 32, 3, 2 }, { 6, 64, 4, 2 }, { 6, 96, 3, 1 }, { 6, 160, 3, 2 },
  { 6, 320, 1, 1 } }

local function conv(b, name, x, filters, kernel, stride)
  return b:layer(name, nn.conv2d, { filters, kernel, stride = stride, padding = "same", use_bias = false }, x)
end

--- 1x1 convolution to `expansion` times the channels, depthwise convolution, 1x1 convolution to `filters` without an
-- activation.
local function block(b, name, input, expansion, filters, stride)
  local x, channels = input, input.shape[3]
  if expansion > 1 then
    x = b:norm(name .. "_expand_BN", conv(b, name .. "_expand", x, expansion * channels, 1))
    x = b:activation(name .. "_expand_relu", x, "relu6")
  end
  if stride == 2 then x = b:pad_for(name .. "_pad", x, 3) end
  x = b:layer(name .. "_depthwise", nn.depthwise_conv2d, { 3, stride = stride, use_bias = false,
    padding = stride == 1 and "same" or "valid" }, x)
  x = b:activation(name .. "_depthwise_relu", b:norm(name .. "_depthwise_BN", x), "relu6")
  x = b:norm(name .. "_project_BN", conv(b, name .. "_project", x, filters, 1))
  if stride > 1 or channels ~= filters then return x end
  return b:layer(name .. "_add", nn.add, {}, input, x)
end

--- Builds the model. See the top of the file.
return builder.network("mobilenet_v2", {}, function(b, x, o)
  x = b:norm("bn_Conv1", conv(b, "Conv1", x, builder.divisible(32 * o.width), 3, 2))
  x = b:activation("Conv1_relu", x, "relu6")
  local number = 0
  for _, stage in ipairs(stages) do
    local expansion, filters, blocks, stride = table.unpack(stage)
    for k = 1, blocks do
      local name = number == 0 and "expanded_conv" or ("block_%d"):format(number)
      x = block(b, name, x, expansion, builder.divisible(filters * o.width // 1), k == 1 and stride or 1)
      number = number + 1
    end
  end
  x = b:norm("Conv_1_bn", conv(b, "Conv_1", x, o.width > 1 and builder.divisible(1280 * o.width) or 1280, 1))
  return b:activation("out_relu", x, "relu6")
end, { defaults = { size = 224, momentum = 0.999 } })
