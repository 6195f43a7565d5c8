--- lurcher.models.inception_v3: InceptionV3 of any width and input size (Szegedy et al., Rethinking the Inception
-- Architecture, 2015), with the layer names, order and rules of Keras 2.0.6 (keras/applications/inception_v3.py), so
-- that layer 262 there is layer 262 here: batch norms without gamma, average pools that leave out the padding.
-- Heads for a task are added by the recipe.
--
--     local inception_v3 = require "lurcher.models.inception_v3"
--     local model = inception_v3()                                        -- ImageNet's shape, 1000 classes
--     local backbone = inception_v3{ top = false, pooling = "avg", weights = "inception_v3.h5" }
--     local backbone = inception_v3{ feature_layer = "mixed7", pooling = "avg", size = 224 }
--
-- Options:
--   size           side of the square input, at least 75, or { h, w }                        (299)
--   channels       of the input                                                                (3)
--   width          multiplier of every layer's channels, then rounded to multiples of 8        (1)
--   bn_momentum    momentum of the batch norms' moving statistics                           (0.99)
--   top            end in avg_pool and a softmax of `classes`                               (true)
--   classes        of the top                                                               (1000)
--   feature_layer  last layer, by name ("mixed7"); no top then                          (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two backbones in one model                 ("")
--   first          number of the first conv2d and batch_normalization: 5 where an Xception is
--                  in the same model, as in Keras                                              (1)
--   weights        file to load: Keras .h5 or .safetensors                                   (nil)
--   partial        accept a file that has weights for fewer than half of the layers        (false)
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local nn = require "lurcher".nn
local builder = require "lurcher.models.builder"

--- Convolution, batch norm, ReLU: conv2d_n, batch_normalization_n, activation_n. kernel: a side, or { rows, columns }.
local function unit(b, x, filters, kernel, stride, padding)
  x = b:conv(b:auto "conv2d", x, filters, kernel, stride or 1, padding or "same")
  x = b:norm(b:auto "batch_normalization", x, false)
  return b:relu(b:auto "activation", x)
end

--- Units one after the other: rows of filters, kernel, and stride and padding where they are not 1 and "same".
local function chain(b, x, units)
  for _, row in ipairs(units) do x = unit(b, x, table.unpack(row, 1, 4)) end
  return x
end

local function max_pool(b, x) return b:window(b:auto "max_pooling2d", x, nn.max_pool, 2, "valid") end

local function avg_pool(b, x) return b:window(b:auto "average_pooling2d", x, nn.avg_pool, 1, "same") end

local function concat(b, name, ...) return b:apply(name, nn.concat{ name = b.prefix .. name }, ...) end

local function stem(b, x)
  x = chain(b, x, { { 32, 3, 2, "valid" }, { 32, 3, 1, "valid" }, { 64, 3 } })
  x = chain(b, max_pool(b, x), { { 80, 1, 1, "valid" }, { 192, 3, 1, "valid" } })
  return max_pool(b, x)
end

--- mixed0, 1, 2: 35x35 for images of 299.
local function block_35(b, name, x, pooled)
  local branch1x1 = unit(b, x, 64, 1)
  local branch5x5 = chain(b, x, { { 48, 1 }, { 64, 5 } })
  local branch3x3dbl = chain(b, x, { { 64, 1 }, { 96, 3 }, { 96, 3 } })
  return concat(b, name, branch1x1, branch5x5, branch3x3dbl, unit(b, avg_pool(b, x), pooled, 1))
end

--- mixed3: 35x35 to 17x17.
local function down_17(b, name, x)
  local branch3x3 = unit(b, x, 384, 3, 2, "valid")
  local branch3x3dbl = chain(b, x, { { 64, 1 }, { 96, 3 }, { 96, 3, 2, "valid" } })
  return concat(b, name, branch3x3, branch3x3dbl, max_pool(b, x))
end

--- mixed4 to 7: 17x17, with n channels inside.
local function block_17(b, name, x, n)
  local branch1x1 = unit(b, x, 192, 1)
  local branch7x7 = chain(b, x, { { n, 1 }, { n, { 1, 7 } }, { 192, { 7, 1 } } })
  local branch7x7dbl = chain(b, x,
    { { n, 1 }, { n, { 7, 1 } }, { n, { 1, 7 } }, { n, { 7, 1 } }, { 192, { 1, 7 } } })
  return concat(b, name, branch1x1, branch7x7, branch7x7dbl, unit(b, avg_pool(b, x), 192, 1))
end

--- mixed8: 17x17 to 8x8.
local function down_8(b, name, x)
  local branch3x3 = chain(b, x, { { 192, 1 }, { 320, 3, 2, "valid" } })
  local branch7x7x3 = chain(b, x, { { 192, 1 }, { 192, { 1, 7 } }, { 192, { 7, 1 } }, { 192, 3, 2, "valid" } })
  return concat(b, name, branch3x3, branch7x7x3, max_pool(b, x))
end

--- mixed9 and 10: 8x8. Keras names the first of the two inner concatenations only.
local function block_8(b, name, inner, x)
  local branch1x1 = unit(b, x, 320, 1)
  local branch3x3 = unit(b, x, 384, 1)
  branch3x3 = concat(b, inner, unit(b, branch3x3, 384, { 1, 3 }), unit(b, branch3x3, 384, { 3, 1 }))
  local branch3x3dbl = chain(b, x, { { 448, 1 }, { 384, 3 } })
  local wide, tall = unit(b, branch3x3dbl, 384, { 1, 3 }), unit(b, branch3x3dbl, 384, { 3, 1 })
  branch3x3dbl = concat(b, b:auto "concatenate", wide, tall)
  return concat(b, name, branch1x1, branch3x3, branch3x3dbl, unit(b, avg_pool(b, x), 192, 1))
end

local function is_number_of_a_layer(value) return math.tointeger(value) ~= nil and value >= 1 end

--- Builds the model. See the top of the file.
return builder.network("inception_v3", { first = { 1, is_number_of_a_layer, "integer of at least 1" } },
  function(b, x, o)
    b.counts.conv2d, b.counts.batch_normalization = o.first - 1, o.first - 1
    x = stem(b, x)
    for i, pooled in ipairs{ 32, 64, 64 } do x = block_35(b, ("mixed%d"):format(i - 1), x, pooled) end
    x = down_17(b, "mixed3", x)
    for i, n in ipairs{ 128, 160, 160, 192 } do x = block_17(b, ("mixed%d"):format(i + 3), x, n) end
    x = down_8(b, "mixed8", x)
    for i = 0, 1 do x = block_8(b, ("mixed%d"):format(9 + i), ("mixed9_%d"):format(i), x) end
    return x
  end)
