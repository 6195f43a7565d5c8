--- lurcher.models.xception: Xception of any width, depth and input size (Chollet, 2016), with the layer names, order
-- and rules of Keras 2.0.6 (keras/applications/xception.py), so that "layers[105:]" is a[105] here too.
-- It knows no task: heads are added by the recipe, on what it returns.
--
--     local xception = require "lurcher.models.xception"
--     local model = xception()                                            -- ImageNet's shape, 1000 classes
--     local trunk = xception{ top = false, pooling = "avg", weights = "xception.h5" }
--     local trunk = xception{ feature_layer = "add_12", pooling = "avg", size = 224 }
--
-- Options:
--   size           side of the square input, or { h, w }                                     (299)
--   channels       of the input                                                                (3)
--   width          multiplier of every layer's channels, then rounded to multiples of 8        (1)
--   middle         blocks of the middle flow                                                   (8)
--   momentum       of the batch norms' moving statistics; less for short trainings          (0.99)
--   top            end in avg_pool and a softmax of `classes`                               (true)
--   classes        of the top                                                               (1000)
--   feature_layer  cut after the layer of this name ("add_12"); no top then                  (nil)
--   pooling        "avg" or "max" over height and width, where there is no top               (nil)
--   input          name of the input                                                   ("input_1")
--   prefix         put before every layer's name, for two trunks in one model                 ("")
--   weights        file to load: Keras .h5 or .safetensors                                   (nil)
-- Returns the model, and with `weights` the load report too. Raises at the caller's line for unknown options, an
-- unknown feature_layer, or weights that cannot be read.

local lurcher = require "lurcher"
local options_of = require "lurcher.options"
local nn = lurcher.nn

local defaults = { size = 299, channels = 3, width = 1, middle = 8, momentum = 0.99, top = true, classes = 1000,
  input = "input_1", prefix = "" }
local known = { "size", "channels", "width", "middle", "momentum", "top", "classes", "feature_layer", "pooling",
  "input", "prefix", "weights" }

local function settings(given)
  local o = {}
  for key in pairs(given) do
    local is_known = false
    for _, name in ipairs(known) do is_known = is_known or name == key end
    if not is_known then
      local near = options_of.nearest(tostring(key), known)
      error(("unknown option '%s' to 'xception'%s"):format(tostring(key),
        near and " (did you mean '" .. near .. "'?)" or ""), 3)
    end
  end
  for key, value in pairs(defaults) do o[key] = value end
  for key, value in pairs(given) do o[key] = value end
  if o.feature_layer then o.top = false end
  local function bad(name, expected)
    error(("bad option '%s' to 'xception' (%s expected, got %s)"):format(name, expected, tostring(o[name])), 3)
  end
  if type(o.width) ~= "number" or o.width <= 0 then bad("width", "positive number") end
  if not math.tointeger(o.middle) or o.middle < 0 then bad("middle", "integer of at least 0") end
  if type(o.momentum) ~= "number" or o.momentum < 0 or o.momentum > 1 then bad("momentum", "number from 0 to 1") end
  if o.pooling and o.pooling ~= "avg" and o.pooling ~= "max" then bad("pooling", '"avg" or "max"') end
  if type(o.size) ~= "table" then o.size = { o.size, o.size } end
  return o
end

--- The network as a walk: every method adds layers under their Keras names and returns the last one's node. A builder
-- counts the layers Keras names itself (conv2d_1, add_1, ...) and stops at the layer to cut after: from there on
-- nothing is applied, so that no weights are made for it.
local builder = {}
builder.__index = builder

function builder:apply(name, layer, ...)
  self.names[#self.names + 1] = name
  if self.found then return (...) end
  local node = layer(...)
  if name == self.cut then self.found = node end
  return node
end

function builder:channels(count)
  if self.width == 1 then return count end
  return math.max(8, math.floor(count * self.width / 8 + 0.5) * 8)
end

function builder:auto(kind)
  self.counts[kind] = (self.counts[kind] or 0) + 1
  return kind .. "_" .. self.counts[kind]
end

function builder:conv(name, x, filters, kernel, stride, padding)
  return self:apply(name, nn.conv2d{ self:channels(filters), kernel, stride = stride, padding = padding,
    use_bias = false, name = self.prefix .. name }, x)
end

function builder:sepconv(name, x, filters)
  return self:apply(name, nn.separable_conv2d{ self:channels(filters), 3, padding = "same", use_bias = false,
    name = self.prefix .. name }, x)
end

function builder:norm(name, x)
  return self:apply(name, nn.batchnorm{ momentum = self.momentum, epsilon = 1e-3, name = self.prefix .. name }, x)
end

function builder:relu(name, x)
  return self:apply(name, nn.activation{ "relu", name = self.prefix .. name }, x)
end

function builder:add(main, residual)
  local name = self:auto "add"
  return self:apply(name, nn.add{ name = self.prefix .. name }, main, residual)
end

--- [ReLU,] sepconv, BN as block{b}_sepconv{k}.
function builder:unit(block, k, x, filters, relu_first)
  local name = ("block%d_sepconv%d"):format(block, k)
  if relu_first then x = self:relu(name .. "_act", x) end
  return self:norm(name .. "_bn", self:sepconv(name, x, filters))
end

--- Two units and a strided pool beside a strided 1x1 convolution: blocks 2, 3, 4 and the last but one.
function builder:down(block, x, first, second, relu_first)
  local residual = self:norm(self:auto "batch_normalization",
    self:conv(self:auto "conv2d", x, second, 1, 2, "same"))
  local main = self:unit(block, 1, x, first, relu_first)
  main = self:unit(block, 2, main, second, true)
  local name = ("block%d_pool"):format(block)
  main = self:apply(name, nn.max_pool{ 3, stride = 2, padding = "same", name = self.prefix .. name }, main)
  return self:add(main, residual)
end

function builder:entry(x)
  x = self:relu("block1_conv1_act", self:norm("block1_conv1_bn", self:conv("block1_conv1", x, 32, 3, 2, "valid")))
  x = self:relu("block1_conv2_act", self:norm("block1_conv2_bn", self:conv("block1_conv2", x, 64, 3, 1, "valid")))
  x = self:down(2, x, 128, 128, false)
  x = self:down(3, x, 256, 256, true)
  return self:down(4, x, 728, 728, true)
end

function builder:middle(x, blocks)
  for block = 5, 4 + blocks do
    local main = x
    for k = 1, 3 do main = self:unit(block, k, main, 728, true) end
    x = self:add(main, x)
  end
  return x
end

--- `block` is the number of the first block after the middle flow: 13 where that has 8 blocks.
function builder:exit(x, block)
  x = self:down(block, x, 728, 1024, true)
  for k, filters in ipairs{ 1536, 2048 } do
    x = self:unit(block + 1, k, x, filters, false)
    x = self:relu(("block%d_sepconv%d_act"):format(block + 1, k), x)
  end
  return x
end

function builder:pool(x, mode)
  local name = mode .. "_pool"
  local kind = mode == "avg" and nn.global_avg_pool or nn.global_max_pool
  return self:apply(name, kind{ name = self.prefix .. name }, x)
end

function builder:top(x, classes)
  return self:apply("predictions", nn.dense{ classes, activation = "softmax", name = self.prefix .. "predictions" },
    self:pool(x, "avg"))
end

local function cut_missing(b)
  local near = options_of.nearest(b.cut, b.names)
  error(("bad option 'feature_layer' to 'xception' (the network has no layer '%s'%s)"):format(b.cut,
    near and "; did you mean '" .. near .. "'?" or ""), 3)
end

--- Builds the model. See the top of the file.
return function(given)
  local o = settings(given or {})
  local b = setmetatable({ names = {}, counts = {}, width = o.width, momentum = o.momentum, prefix = o.prefix,
    cut = o.feature_layer }, builder)
  local y = b:entry(nn.input(o.input, o.size[1], o.size[2], o.channels))
  y = b:exit(b:middle(y, o.middle), 5 + o.middle)
  if o.top or b.cut then y = b:top(y, o.classes) end
  if b.cut then
    y = b.found or cut_missing(b)
    b.found = nil
  end
  if not o.top and o.pooling and #y.shape == 3 then y = b:pool(y, o.pooling) end
  local model = nn.model(y)
  if not o.weights then return model end
  local report, message = model:load(o.weights)
  if not report then error(("xception: cannot load weights: %s"):format(message), 2) end
  return model, report
end
