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
--   bn_momentum    momentum of the batch norms' moving statistics                           (0.99)
--   top            end in avg_pool and a softmax of `classes`                               (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("add_12"); no top then                          (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   weights        file to load: Keras .h5, or .safetensors (Lurcher's, or timm's Xception)      (nil)
--   partial        accept a file that has weights for fewer than half of the layers            (false)
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

-- ---- PyTorch's names: timm/models/xception.py of pytorch-image-models, commit 16664ea ("xception", later
-- "legacy_xception") ----

--- name in the file -> LAYER/WEIGHT. timm's conv1 .. conv4 and block1 .. block12 are block1_conv1 .. block14_sepconv2
-- and block2 .. block13 here; inside a block, rep.N counts ReLUs, separable convolutions and batch norms.
local function pytorch_names()
  local names = {}
  local function conv(file, layer)
    names[file .. ".weight"], names[file .. ".bias"] = layer .. "/kernel", layer .. "/bias"
  end
  local function separable(file, layer)
    names[file .. ".conv1.weight"] = layer .. "/depthwise_kernel"
    names[file .. ".pointwise.weight"] = layer .. "/pointwise_kernel"
  end
  local function norm(file, layer)
    names[file .. ".weight"], names[file .. ".bias"] = layer .. "/gamma", layer .. "/beta"
    names[file .. ".running_mean"], names[file .. ".running_var"] = layer .. "/moving_mean", layer .. "/moving_variance"
  end
  for k = 1, 2 do
    conv("conv" .. k, "block1_conv" .. k)
    norm("bn" .. k, "block1_conv" .. k .. "_bn")
    separable("conv" .. k + 2, "block14_sepconv" .. k)
    norm("bn" .. k + 2, "block14_sepconv" .. k .. "_bn")
  end
  for block = 2, 13 do
    local file, place = "block" .. block - 1, block == 2 and 0 or 1 -- every block but the first begins with a ReLU
    for k = 1, block >= 5 and block <= 12 and 3 or 2 do
      local layer = ("block%d_sepconv%d"):format(block, k)
      separable(("%s.rep.%d"):format(file, place), layer)
      norm(("%s.rep.%d"):format(file, place + 1), layer .. "_bn")
      place = place + 3
    end
  end
  for k, block in ipairs{ 1, 2, 3, 12 } do -- the residual branches, whose layers have Keras's automatic names
    conv(("block%d.skip"):format(block), "conv2d_" .. k)
    norm(("block%d.skipbn"):format(block), "batch_normalization_" .. k)
  end
  conv("fc", "predictions")
  conv("last_linear", "predictions")
  return names
end

--- Builds the model. See the top of the file.
return builder.network("xception", { middle = { 8, builder.is_count, "integer of at least 0" } }, function(b, x, o)
  return exit_flow(b, middle_flow(b, entry_flow(b, x), o.middle), 5 + o.middle)
end, { names = pytorch_names() })
