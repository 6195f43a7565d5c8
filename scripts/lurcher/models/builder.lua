--- lurcher.models.builder: what the network files beside it share: options and their checks, layers under Keras's
-- names, the cut after any named layer, weights. A network is a function that adds layers one after the other; heads
-- for a task are added by a recipe.
-- To add a network: a file that returns builder.network(KIND, OWN, WALK), with a description of its options on top.
--
--     return builder.network("tiny", { blocks = { 3, is_count, "integer of at least 0" } }, function(b, x, o)
--       for _ = 1, o.blocks do x = b:relu(b:auto "activation", b:conv(b:auto "conv2d", x, 32, 3, 1, "same")) end
--       return x
--     end)

local lurcher = require "lurcher"
local suggest = require "lurcher.suggest"
local nn = lurcher.nn

local builder = {}
builder.__index = builder

-- ---- options: default, check, what is expected; nil as default: no value is needed ----

--- A check for `own`: an integer of at least 0.
function builder.is_count(value) return math.tointeger(value) ~= nil and value >= 0 end

--- A check for `own`: a number above 0.
function builder.is_positive(value) return type(value) == "number" and value > 0 end

local is_positive = builder.is_positive

local function is_share(value) return type(value) == "number" and value >= 0 and value <= 1 end

local function is_text(value) return type(value) == "string" end

local function is_flag(value) return type(value) == "boolean" end

local function is_size(value) return type(value) == "number" or type(value) == "table" and #value == 2 end

local function is_pooling(value) return value == "avg" or value == "max" end

local common = {
  size = { 299, is_size, "integer or { height, width }" },
  channels = { 3, is_positive, "positive integer" },
  width = { 1, is_positive, "positive number" },
  bn_momentum = { 0.99, is_share, "number from 0 to 1" },
  epsilon = { 1e-3, is_positive, "positive number" },
  top = { true, is_flag, "true or false" },
  classes = { 1000, is_positive, "positive integer" },
  feature_layer = { nil, is_text, "name of a layer" },
  pooling = { nil, is_pooling, '"avg" or "max"' },
  input = { "input_1", is_text, "name" },
  prefix = { "", is_text, "text" },
  weights = { nil, is_text, "path" },
  partial = { false, is_flag, "true or false" },
}

--- Earlier names of options, which are still accepted.
local was <const> = { momentum = "bn_momentum" }

local function unknown(kind, key, own)
  local known = {}
  for _, set in ipairs{ common, own } do
    for name in pairs(set) do known[#known + 1] = name end
  end
  table.sort(known)
  error(("unknown option '%s' to '%s'%s"):format(tostring(key), kind, suggest.hint(tostring(key), known)), 4)
end

--- All options, with defaults. Raises at the line that called the network for unknown options and bad values.
-- defaults: those of common options that the network has another default for.
local function settings(kind, given, own, defaults)
  local o, renamed = {}, {}
  for key, value in pairs(given) do
    key = was[key] or key
    if not (common[key] or own[key]) then unknown(kind, key, own) end
    renamed[key] = value
  end
  given = renamed
  for _, set in ipairs{ common, own } do
    for name, option in pairs(set) do
      local default, fits, expected = table.unpack(own[name] or option, 1, 3)
      local value = given[name]
      if value == nil then value = defaults[name] or default end
      if value ~= nil and not fits(value) then
        error(lurcher.format("bad option '%s' to '%s' (%s expected, got %s)", name, kind, expected, value), 3)
      end
      o[name] = value
    end
  end
  if o.feature_layer then o.top = false end
  if type(o.size) ~= "table" then o.size = { o.size, o.size } end
  return o
end

-- ---- methods that add a layer under its Keras name and return its node ----

--- Applies a layer. After the layer to cut after, nothing is applied, so that no weights are made.
function builder:apply(name, layer, ...)
  self.names[#self.names + 1] = name
  if self.found then return (...) end
  local node = layer(...)
  if name == self.cut then self.found = node end
  return node
end

--- The network's channels at the builder's width, in multiples of 8.
function builder:channels(count)
  if self.width == 1 then return count end
  return math.max(8, math.floor(count * self.width / 8 + 0.5) * 8)
end

--- The name that Keras gives the next layer without a name of a class: "conv2d_1".
function builder:auto(class)
  self.counts[class] = (self.counts[class] or 0) + 1
  return class .. "_" .. self.counts[class]
end

--- Keras's rule for a number of channels that is scaled: a multiple of 8, and not below nine tenths of it
-- (keras/applications/mobilenet_v2.py, _make_divisible).
function builder.divisible(count)
  local near = math.max(8, (count + 4) // 8 * 8)
  return math.tointeger(near < 0.9 * count and near + 8 or near)
end

--- Makes a layer of a kind (nn.dense, nn.add, ...) and applies it to nodes. options: of the layer, without its name.
function builder:layer(name, kind, options, ...)
  options.name = self.prefix .. name
  return self:apply(name, kind(options), ...)
end

--- A learned tensor of that shape, normally distributed at first, under a layer's name. Once the network is cut: nil.
function builder:parameter(name, shape, deviation)
  if self.found then return nil end
  return nn.parameter{ shape = shape, init = "truncated_normal", init_deviation = deviation, name = self.prefix .. name }
end

--- A convolution without bias. kernel: a side, or { rows, columns }.
function builder:conv(name, x, filters, kernel, stride, padding)
  return self:layer(name, nn.conv2d, { self:channels(filters), kernel, stride = stride, padding = padding,
    use_bias = false }, x)
end

--- Batch norm; scale = false: without gamma.
function builder:norm(name, x, scale)
  return self:layer(name, nn.batchnorm, { momentum = self.bn_momentum, epsilon = self.epsilon, scale = scale ~= false }, x)
end

--- An activation by its name; "linear" leaves x as it is, under another name.
function builder:activation(name, x, function_name)
  return self:layer(name, nn.activation, { function_name }, x) end

--- max(x, 0).
function builder:relu(name, x) return self:activation(name, x, "relu") end

--- kind: nn.max_pool or nn.avg_pool, with a window of 3x3.
function builder:window(name, x, kind, stride, padding)
  return self:layer(name, kind, { 3, stride = stride, padding = padding }, x)
end

--- (x - mean) / sqrt(variance), by the means and variances of three channels; x where it has other channels.
function builder:normalization(name, x, mean, variance)
  local y = self:layer(name, nn.normalization, {}, x)
  if y.layer.name == self.prefix .. name and y.shape[3] == 3 then
    y.layer:set_weight("mean", lurcher.tensor(mean)):set_weight("variance", lurcher.tensor(variance))
  end
  return y
end

--- `before` rows and columns of zeros above and to the left of x, `after` of them below and to the right. Each is a
-- number, or { rows, columns }.
function builder:pad(name, x, before, after)
  if type(before) == "number" then before = { before, before } end
  if type(after) == "number" then after = { after, after } end
  return self:layer(name, nn.pad, { before = before, after = after }, x)
end

--- The zeros that Keras puts around x before a window of an odd side with stride 2 (keras/applications/
-- imagenet_utils.py, correct_pad): those of padding "same".
function builder:pad_for(name, x, side)
  if self.found then return self:apply(name, nil, x) end
  local half = side // 2
  return self:pad(name, x, { half - 1 + x.shape[1] % 2, half - 1 + x.shape[2] % 2 }, half)
end

--- Global pooling: mode "avg" or "max".
function builder:pool(x, mode)
  return self:layer(mode .. "_pool", mode == "avg" and nn.global_avg_pool or nn.global_max_pool, {}, x)
end

--- Global average pooling and a softmax over classes.
function builder:top(x, classes)
  return self:layer("predictions", nn.dense, { classes, activation = "softmax" }, self:pool(x, "avg"))
end

-- ---- the network ----

local function cut_missing(b, kind)
  local near = lurcher.nearest(b.cut, b.names)
  error(("bad option 'feature_layer' to '%s' (the network has no layer '%s'%s)"):format(kind, b.cut,
    near and "; did you mean '" .. near .. "'?" or ""), 3)
end

local function pool_image(b, x, mode) return #x.shape == 3 and b:pool(x, mode) or x end

--- A copy of names with the prefix before every layer's name.
function builder.prefixed(names, prefix)
  local copy = {}
  for file, weight in pairs(names) do copy[file] = prefix .. weight end
  return copy
end

--- A function that builds models of a kind from a table of options.
-- own: the options beyond the common ones: by name, a list of default, check and what is expected.
-- walk(b, x, o): adds the network after the input's node x, and returns the last node before pooling.
-- traits: what else the network has of its own:
--   defaults       of common options, where they differ: { size = 224 }
--   names          PyTorch's names of the weights, for model:weight_names, or a function that returns them, of the
--                  options; nil: such files cannot be loaded
--   top(b, x, classes)    adds the top; nil: builder.top
--   pool(b, x, mode)      adds the pooling that the option asks for; nil: builder.pool, of h w c
function builder.network(kind, own, walk, traits)
  traits = traits or {}
  return function(given)
    local o = settings(kind, given or {}, own, traits.defaults or {})
    local b = setmetatable({ names = {}, counts = {}, width = o.width, bn_momentum = o.bn_momentum, prefix = o.prefix,
      epsilon = o.epsilon, cut = o.feature_layer }, builder)
    local y = walk(b, nn.input(o.input, o.size[1], o.size[2], o.channels), o)
    if o.top or b.cut then y = (traits.top or builder.top)(b, y, o.classes) end
    if b.cut then
      y = b.found or cut_missing(b, kind)
      b.found = nil
    end
    if not o.top and o.pooling then y = (traits.pool or pool_image)(b, y, o.pooling) end
    local model = nn.model(y)
    local names = traits.names
    if type(names) == "function" then names = names(o) end
    if names then model:weight_names(builder.prefixed(names, o.prefix)) end
    if not o.weights then return model end
    local report, message = model:load(o.weights, { partial = o.partial })
    if not report then error(("%s: cannot load weights: %s"):format(kind, message), 2) end
    return model, report
  end
end

-- ---- PyTorch's names ----

local names = {}
names.__index = names

--- A list of names to add to: n:conv("conv1", "conv1_conv"):norm("bn1", "conv1_bn"); n.map is for `names` of a network.
function builder.pytorch_names() return setmetatable({ map = {} }, names) end

--- One weight: LAYER/WEIGHT.
function names:weight(file, weight)
  self.map[file] = weight
  return self
end

--- A convolution or a linear layer.
function names:conv(file, layer)
  self.map[file .. ".weight"], self.map[file .. ".bias"] = layer .. "/kernel", layer .. "/bias"
  return self
end

function names:depthwise(file, layer)
  self.map[file .. ".weight"], self.map[file .. ".bias"] = layer .. "/depthwise_kernel", layer .. "/bias"
  return self
end

--- A batch norm, or a layer norm.
function names:norm(file, layer)
  local map = self.map
  map[file .. ".weight"], map[file .. ".bias"] = layer .. "/gamma", layer .. "/beta"
  map[file .. ".running_mean"], map[file .. ".running_var"] = layer .. "/moving_mean", layer .. "/moving_variance"
  return self
end

return builder
