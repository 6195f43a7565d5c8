--- lurcher.models.xception: Xception of any width, depth and input size (Chollet, 2016), with the layer names, order
-- and rules of Keras 2.0.6 (keras/applications/xception.py), so that layer 105 there is layer 105 here.
-- Heads for a task are added by the recipe.
--
--     local xception = require "lurcher.models.xception"
--     local model = xception()                                            -- ImageNet's shape, 1000 classes
--     local backbone = xception{ top = false, pooling = "avg", weights = "xception.h5" }
--     local backbone = xception{ feature_layer = "add_12", pooling = "avg", size = 224 }
--
-- Options:
--   size           side of the square input, or { h, w }                                     (299)
--   channels       of the input                                                                (3)
--   width          multiplier of every layer's channels, then rounded to multiples of 8        (1)
--   middle         blocks of the middle flow                                                   (8)
--   momentum       of the batch norms' moving statistics; lower it for short trainings (0.99)
--   top            end in avg_pool and a softmax of `classes`                               (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("add_12"); no top then                          (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        file to load: Keras .h5 or .safetensors                                   (nil)
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local nn = require "lurcher".nn
local builder = require "lurcher.models.builder"

local function sepconv(b, name, x, filters)
  return b:apply(name, nn.separable_conv2d{ b:channels(filters), 3, padding = "same", use_bias = false,
    name = b.prefix .. name }, x)
end

local function add(b, main, residual)
  local name = b:auto "add"
  return b:apply(name, nn.add{ name = b.prefix .. name }, main, residual)
end

--- [ReLU,] sepconv, BN as block{block}_sepconv{k}.
local function unit(b, block, k, x, filters, relu_first)
  local name = ("block%d_sepconv%d"):format(block, k)
  if relu_first then x = b:relu(name .. "_act", x) end
  return b:norm(name .. "_bn", sepconv(b, name, x, filters))
end

--- Two units and a strided pool beside a strided 1x1 convolution: blocks 2, 3, 4 and the last but one.
local function down(b, block, x, first, second, relu_first)
  local residual = b:norm(b:auto "batch_normalization", b:conv(b:auto "conv2d", x, second, 1, 2, "same"))
  local main = unit(b, block, 1, x, first, relu_first)
  main = unit(b, block, 2, main, second, true)
  return add(b, b:window(("block%d_pool"):format(block), main, nn.max_pool, 2, "same"), residual)
end

local function entry_flow(b, x)
  x = b:relu("block1_conv1_act", b:norm("block1_conv1_bn", b:conv("block1_conv1", x, 32, 3, 2, "valid")))
  x = b:relu("block1_conv2_act", b:norm("block1_conv2_bn", b:conv("block1_conv2", x, 64, 3, 1, "valid")))
  x = down(b, 2, x, 128, 128, false)
  x = down(b, 3, x, 256, 256, true)
  return down(b, 4, x, 728, 728, true)
end

local function middle_flow(b, x, blocks)
  for block = 5, 4 + blocks do
    local main = x
    for k = 1, 3 do main = unit(b, block, k, main, 728, true) end
    x = add(b, main, x)
  end
  return x
end

--- `block` is the number of the first block after the middle flow: 13 where that has 8 blocks.
local function exit_flow(b, x, block)
  x = down(b, block, x, 728, 1024, true)
  for k, filters in ipairs{ 1536, 2048 } do
    x = unit(b, block + 1, k, x, filters, false)
    x = b:relu(("block%d_sepconv%d_act"):format(block + 1, k), x)
  end
  return x
end

--- Builds the model. See the top of the file.
return builder.network("xception", { middle = { 8, builder.is_count, "integer of at least 0" } }, function(b, x, o)
  return exit_flow(b, middle_flow(b, entry_flow(b, x), o.middle), 5 + o.middle)
end)
