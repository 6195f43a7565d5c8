--- lurcher.models.efficientnet_b0: EfficientNet-B0 of any width and input size (Tan and Le, EfficientNet, 2019), with
-- the layer names, order and rules of Keras 3 with ImageNet's weights (keras/applications/efficientnet.py), so that
-- layer 163 there is layer 163 here. Without such weights Keras has no rescaling_1. Heads for a task are added by the
-- recipe.
--
--     local efficientnet_b0 = require "lurcher.models.efficientnet_b0"
--     local model = efficientnet_b0()                                     -- ImageNet's shape, 1000 classes
--     local backbone = efficientnet_b0{ top = false, pooling = "avg", weights = "efficientnetb0_notop.h5" }
--     local backbone = efficientnet_b0{ feature_layer = "block5c_add", pooling = "avg", size = 299 }
--
-- Images: preprocess "none" (0 to 255; the network begins with ImageNet's normalisation; `lurcher.preprocessing`).
-- Options:
--   size           side of the square input, at least 32, or { h, w }                        (224)
--   channels       of the input                                                                (3)
--   width          multiplier of every layer's channels, then rounded to multiples of 8        (1)
--   momentum       of the batch norms' moving statistics; lower it for short trainings (0.99)
--   epsilon        added to the variance in the batch norms                             (1e-3)
--   top            end in avg_pool, dropout and a softmax of `classes`                      (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("block5c_add"); no top then                          (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        file to load: Keras .h5, .weights.h5 or .keras, or .safetensors (Lurcher's, or those of timm's
--                  tf_efficientnet_b0)                                                        (nil)
-- Stochastic depth, which Keras has in training (blockNx_drop), is left out: those layers change nothing.
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local lurcher = require "lurcher"
local builder = require "lurcher.models.builder"
local nn = lurcher.nn

--- Rows of the side of the window, expansion of channels inside a block, channels behind it, number of blocks, stride
-- of the first.
local stages = { { 3, 1, 16, 1, 1 }, { 3, 6, 24, 2, 2 }, { 5, 6, 40, 2, 2 }, { 3, 6, 80, 3, 2 }, { 5, 6, 112, 3, 1 },
  { 5, 6, 192, 4, 2 }, { 3, 6, 320, 1, 1 } }

local function conv(b, name, x, filters)
  return b:layer(name .. "conv", nn.conv2d, { filters, 1, padding = "same", use_bias = false }, x)
end

local function norm_silu(b, name, x) return b:activation(name .. "activation", b:norm(name .. "bn", x), "silu") end

--- Squeeze-and-excitation: every channel of x times a factor from 0 to 1 that follows from the means of all channels.
local function excite(b, name, x, channels, inner)
  local se = b:layer(name .. "squeeze", nn.global_avg_pool, {}, x)
  se = b:layer(name .. "reshape", nn.reshape, { shape = { 1, 1, channels } }, se)
  se = b:layer(name .. "reduce", nn.conv2d, { inner, 1, padding = "same", activation = "silu" }, se)
  se = b:layer(name .. "expand", nn.conv2d, { channels, 1, padding = "same", activation = "sigmoid" }, se)
  return b:layer(name .. "excite", nn.mul, { broadcast = true }, x, se)
end

--- A block from `channels` to `filters` channels.
local function block(b, name, input, channels, side, expansion, filters, stride)
  local x, inside = input, expansion * channels
  if expansion > 1 then x = norm_silu(b, name .. "expand_", conv(b, name .. "expand_", x, inside)) end
  if stride == 2 then x = b:pad_for(name .. "dwconv_pad", x, side) end
  x = b:layer(name .. "dwconv", nn.depthwise_conv2d, { side, stride = stride, use_bias = false,
    padding = stride == 1 and "same" or "valid" }, x)
  x = excite(b, name .. "se_", norm_silu(b, name, x), inside, math.max(1, channels // 4))
  x = b:norm(name .. "project_bn", conv(b, name .. "project_", x, filters))
  if stride > 1 or channels ~= filters then return x end
  return b:layer(name .. "add", nn.add, {}, b:activation(name .. "drop", x, "linear"), input)
end

local function top(b, x, classes)
  x = b:layer("top_dropout", nn.dropout, { 0.2 }, b:pool(x, "avg"))
  return b:layer("predictions", nn.dense, { classes, activation = "softmax" }, x)
end

--- PyTorch's names: timm 1.0, timm/models/efficientnet.py and _efficientnet_blocks.py.
local function pytorch_names()
  local n = builder.pytorch_names()
  n:conv("conv_stem", "stem_conv"):norm("bn1", "stem_bn"):conv("conv_head", "top_conv"):norm("bn2", "top_bn")
  for i, stage in ipairs(stages) do
    for k = 1, stage[4] do
      local file, layer = ("blocks.%d.%d."):format(i - 1, k - 1), ("block%d%c_"):format(i, 96 + k)
      local first = i == 1 and 0 or 1 -- the first stage has no expansion: its names begin with the depthwise one's
      if i > 1 then n:conv(file .. "conv_pw", layer .. "expand_conv"):norm(file .. "bn1", layer .. "expand_bn") end
      n:depthwise(file .. "conv_dw", layer .. "dwconv"):norm(file .. "bn" .. first + 1, layer .. "bn")
      n:conv(file .. "se.conv_reduce", layer .. "se_reduce"):conv(file .. "se.conv_expand", layer .. "se_expand")
      n:conv(file .. (i == 1 and "conv_pw" or "conv_pwl"), layer .. "project_conv")
      n:norm(file .. "bn" .. first + 2, layer .. "project_bn")
    end
  end
  return n:conv("classifier", "predictions").map
end

--- Builds the model. See the top of the file.
return builder.network("efficientnet_b0", {}, function(b, x, o)
  local function channels(count) return builder.divisible(count * o.width) end
  x = b:layer("rescaling", nn.affine, { 1 / 255 }, x)
  x = b:normalization("normalization", x, { 0.485, 0.456, 0.406 }, { 0.229, 0.224, 0.225 })
  x = b:normalization("rescaling_1", x, { 0, 0, 0 }, { 0.229, 0.224, 0.225 }) -- together: (x - mean) / std
  x = b:pad_for("stem_conv_pad", x, 3)
  x = b:layer("stem_conv", nn.conv2d, { channels(32), 3, stride = 2, use_bias = false }, x)
  x = norm_silu(b, "stem_", x)
  local from = channels(32)
  for i, stage in ipairs(stages) do
    local side, expansion, filters, blocks, stride = table.unpack(stage)
    for k = 1, blocks do
      local name, to = ("block%d%c_"):format(i, 96 + k), channels(filters)
      x = block(b, name, x, from, side, expansion, to, k == 1 and stride or 1)
      from = to
    end
  end
  return norm_silu(b, "top_", conv(b, "top_", x, channels(1280)))
end, { names = pytorch_names(), top = top, defaults = { size = 224 } })
