--- lurcher.models.convnext_tiny: ConvNeXt-Tiny of any width and input size (Liu et al., A ConvNet for the 2020s, 2022),
-- with the layer names, order and rules of Keras 3 (keras/applications/convnext.py). The two layers in each of Keras's
-- four Sequential blocks are layers of the model here, and so are the sums of blocks (NAME_add). Heads for a task are
-- added by the recipe.
--
--     local convnext_tiny = require "lurcher.models.convnext_tiny"
--     local model = convnext_tiny()                                       -- ImageNet's shape, 1000 classes
--     local backbone = convnext_tiny{ top = false, pooling = "avg", weights = "convnext_tiny_notop.h5" }
--     local backbone = convnext_tiny{ feature_layer = "convnext_tiny_stage_2_block_8_add", pooling = "avg" }
--
-- Images: preprocess "none" (0 to 255; the network begins with ImageNet's normalisation; `lurcher.preprocessing`).
-- Options:
--   size           side of the square input, at least 32, or { h, w }                        (224)
--   channels       of the input                                                                (3)
--   width          multiplier of every layer's channels, then rounded to multiples of 8        (1)
--   layer_scale    first value of the factors of every block's output                       (1e-6)
--   top            end in global pooling, a layer norm and a softmax of `classes`           (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("convnext_tiny_stage_2_block_8_add"); no top then    (nil)
--   pooling        "avg" or "max" over height and width, then a layer norm, where there is no top; after a
--                  feature_layer without the norm                                             (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        file to load: Keras .h5, .weights.h5 or .keras, or .safetensors (Lurcher's, or those of timm's
--                  convnext_tiny)                                                             (nil)
-- Stochastic depth, which Keras can have in training, is left out: NAME_identity changes nothing.
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local nn = require "lurcher".nn
local builder = require "lurcher.models.builder"

local depths, mean, std = { 3, 3, 9, 3 }, { 0.485, 0.456, 0.406 }, { 0.229, 0.224, 0.225 }

local function norm(b, name, x) return b:layer(name, nn.layernorm, { epsilon = 1e-6 }, x) end

local function block(b, name, input, channels, o)
  local x = b:layer(name .. "_depthwise_conv", nn.depthwise_conv2d, { 7, padding = "same" }, input)
  x = b:layer(name .. "_pointwise_conv_1", nn.dense, { 4 * channels }, norm(b, name .. "_layernorm", x))
  x = b:activation(name .. "_gelu", x, "gelu")
  x = b:layer(name .. "_pointwise_conv_2", nn.dense, { channels }, x)
  x = b:layer(name .. "_layer_scale", nn.layer_scale, { o.layer_scale }, x)
  return b:layer(name .. "_add", nn.add, {}, input, b:activation(name .. "_identity", x, "linear"))
end

local function top(b, x, classes)
  x = norm(b, "convnext_tiny_head_layernorm", b:layer("convnext_tiny_head_gap", nn.global_avg_pool, {}, x))
  return b:layer("convnext_tiny_head_dense", nn.dense, { classes, activation = "softmax" }, x)
end

--- The last layer norm has another name in Keras's model without a top.
local function pool(b, x, mode)
  if #x.shape < 3 then return x end
  x = b:pool(x, mode)
  return b.cut and x or norm(b, "layer_normalization", x)
end

--- PyTorch's names: timm 1.0, timm/models/convnext.py. o: the options of the network.
local function pytorch_names(o)
  local n = builder.pytorch_names()
  n:conv("stem.0", "convnext_tiny_stem_conv"):norm("stem.1", "convnext_tiny_stem_layernorm")
  for i, depth in ipairs(depths) do
    if i > 1 then
      n:norm(("stages.%d.downsample.0"):format(i - 1), ("convnext_tiny_downsampling_layernorm_%d"):format(i - 2))
      n:conv(("stages.%d.downsample.1"):format(i - 1), ("convnext_tiny_downsampling_conv_%d"):format(i - 2))
    end
    for k = 1, depth do
      local file = ("stages.%d.blocks.%d."):format(i - 1, k - 1)
      local layer = ("convnext_tiny_stage_%d_block_%d_"):format(i - 1, k - 1)
      n:depthwise(file .. "conv_dw", layer .. "depthwise_conv"):norm(file .. "norm", layer .. "layernorm")
      n:conv(file .. "mlp.fc1", layer .. "pointwise_conv_1"):conv(file .. "mlp.fc2", layer .. "pointwise_conv_2")
      n:weight(file .. "gamma", layer .. "layer_scale/gamma")
    end
  end
  n:norm("head.norm", o.top and "convnext_tiny_head_layernorm" or "layer_normalization")
  return n:conv("head.fc", "convnext_tiny_head_dense").map
end

local own = { layer_scale = { 1e-6, builder.is_positive, "positive number" } }

--- Builds the model. See the top of the file.
return builder.network("convnext_tiny", own, function(b, x, o)
  local means, variances = {}, {}
  for c = 1, 3 do means[c], variances[c] = mean[c] * 255, (std[c] * 255) ^ 2 end
  x = b:normalization("convnext_tiny_prestem_normalization", x, means, variances)
  for i, depth in ipairs(depths) do
    local channels = b:channels(96 << i - 1)
    if i == 1 then
      x = b:layer("convnext_tiny_stem_conv", nn.conv2d, { channels, 4, stride = 4 }, x)
      x = norm(b, "convnext_tiny_stem_layernorm", x)
    else
      x = norm(b, ("convnext_tiny_downsampling_layernorm_%d"):format(i - 2), x)
      x = b:layer(("convnext_tiny_downsampling_conv_%d"):format(i - 2), nn.conv2d, { channels, 2, stride = 2 }, x)
    end
    for k = 1, depth do x = block(b, ("convnext_tiny_stage_%d_block_%d"):format(i - 1, k - 1), x, channels, o) end
  end
  return x
end, { names = pytorch_names, top = top, pool = pool, defaults = { size = 224 } })
