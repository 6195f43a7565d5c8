--- lurcher.models.resnet50: ResNet-50 of any width and input size (He et al., Deep Residual Learning, 2015; version 1:
-- the first 1x1 convolution of a block has its stride), with the layer names, order and rules of Keras 3
-- (keras/applications/resnet.py), so that layer 143 there is layer 143 here. Heads for a task are added by the recipe.
--
--     local resnet50 = require "lurcher.models.resnet50"
--     local model = resnet50()                                            -- ImageNet's shape, 1000 classes
--     local backbone = resnet50{ top = false, pooling = "avg", weights = "resnet50.h5" }
--     local backbone = resnet50{ feature_layer = "conv4_block6_out", pooling = "avg", size = 299 }
--
-- Images: preprocess "caffe" (BGR, minus ImageNet's means; `lurcher.preprocessing`).
-- Options:
--   size           side of the square input, at least 32, or { h, w }                        (224)
--   channels       of the input                                                                (3)
--   width          multiplier of every layer's channels, then rounded to multiples of 8        (1)
--   momentum       of the batch norms' moving statistics; lower it for short trainings (0.99)
--   epsilon        added to the variance in the batch norms                         (1.001e-5)
--   top            end in avg_pool and a softmax of `classes`                               (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("conv4_block6_out"); no top then                     (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        file to load: Keras .h5, .weights.h5 or .keras, or Lurcher's .safetensors      (nil)
-- torchvision's ResNet-50 has its strides elsewhere (version 1.5): its weights compute something else here.
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local nn = require "lurcher".nn
local builder = require "lurcher.models.builder"

--- NAME_conv, NAME_bn. The convolutions have biases, although a batch norm follows.
local function unit(b, name, x, filters, kernel, stride, padding)
  x = b:layer(name .. "_conv", nn.conv2d, { b:channels(filters), kernel, stride = stride, padding = padding }, x)
  return b:norm(name .. "_bn", x)
end

--- A bottleneck block. The first block of a stage has a convolution in its shortcut.
local function block(b, name, x, filters, stride, is_first)
  local shortcut = is_first and unit(b, name .. "_0", x, 4 * filters, 1, stride) or x
  x = b:relu(name .. "_1_relu", unit(b, name .. "_1", x, filters, 1, stride))
  x = b:relu(name .. "_2_relu", unit(b, name .. "_2", x, filters, 3, 1, "same"))
  x = unit(b, name .. "_3", x, 4 * filters, 1)
  return b:relu(name .. "_out", b:layer(name .. "_add", nn.add, {}, shortcut, x))
end

--- Builds the model. See the top of the file.
return builder.network("resnet50", {}, function(b, x)
  x = b:relu("conv1_relu", unit(b, "conv1", b:pad("conv1_pad", x, 3, 3), 64, 7, 2))
  x = b:window("pool1_pool", b:pad("pool1_pad", x, 1, 1), nn.max_pool, 2)
  for i, blocks in ipairs{ 3, 4, 6, 3 } do
    for k = 1, blocks do
      local stride = (i > 1 and k == 1) and 2 or 1
      x = block(b, ("conv%d_block%d"):format(i + 1, k), x, 32 << i, stride, k == 1)
    end
  end
  return x
end, { defaults = { size = 224, epsilon = 1.001e-5 } })
