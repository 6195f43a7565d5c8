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

local function is_positive(value) return type(value) == "number" and value > 0 end

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
local function settings(kind, given, own)
  local o, renamed = {}, {}
  for key, value in pairs(given) do
    key = was[key] or key
    if not (common[key] or own[key]) then unknown(kind, key, own) end
    renamed[key] = value
  end
  given = renamed
  for _, set in ipairs{ common, own } do
    for name, option in pairs(set) do
      local default, fits, expected = table.unpack(option, 1, 3)
      local value = given[name]
      if value == nil then value = default end
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

--- A convolution without bias. kernel: a side, or { rows, columns }.
function builder:conv(name, x, filters, kernel, stride, padding)
  return self:apply(name, nn.conv2d{ self:channels(filters), kernel, stride = stride, padding = padding,
    use_bias = false, name = self.prefix .. name }, x)
end

--- Batch norm; scale = false: without gamma.
function builder:norm(name, x, scale)
  return self:apply(name, nn.batchnorm{ momentum = self.bn_momentum, epsilon = 1e-3, scale = scale ~= false,
    name = self.prefix .. name }, x)
end

--- max(x, 0).
function builder:relu(name, x)
  return self:apply(name, nn.activation{ "relu", name = self.prefix .. name }, x)
end

--- kind: nn.max_pool or nn.avg_pool, with a window of 3x3.
function builder:window(name, x, kind, stride, padding)
  return self:apply(name, kind{ 3, stride = stride, padding = padding, name = self.prefix .. name }, x)
end

--- Global pooling: mode "avg" or "max".
function builder:pool(x, mode)
  local kind = mode == "avg" and nn.global_avg_pool or nn.global_max_pool
  return self:apply(mode .. "_pool", kind{ name = self.prefix .. mode .. "_pool" }, x)
end

--- Global average pooling and a softmax over classes.
function builder:top(x, classes)
  return self:apply("predictions", nn.dense{ classes, activation = "softmax", name = self.prefix .. "predictions" },
    self:pool(x, "avg"))
end

-- ---- the network ----

local function cut_missing(b, kind)
  local near = lurcher.nearest(b.cut, b.names)
  error(("bad option 'feature_layer' to '%s' (the network has no layer '%s'%s)"):format(kind, b.cut,
    near and "; did you mean '" .. near .. "'?" or ""), 3)
end

--- A copy of names with the prefix before every layer's name.
function builder.prefixed(names, prefix)
  local copy = {}
  for file, weight in pairs(names) do copy[file] = prefix .. weight end
  return copy
end

--- A function that builds models of a kind from a table of options.
-- own: the options beyond the common ones: by name, a list of default, check and what is expected.
-- walk(b, x, o): adds the network after the input's node x, and returns the last node before pooling.
-- names: PyTorch's names of the weights, for model:weight_names; nil: such files cannot be loaded.
function builder.network(kind, own, walk, names)
  return function(given)
    local o = settings(kind, given or {}, own)
    local b = setmetatable({ names = {}, counts = {}, width = o.width, bn_momentum = o.bn_momentum, prefix = o.prefix,
      cut = o.feature_layer }, builder)
    local y = walk(b, nn.input(o.input, o.size[1], o.size[2], o.channels), o)
    if o.top or b.cut then y = b:top(y, o.classes) end
    if b.cut then
      y = b.found or cut_missing(b, kind)
      b.found = nil
    end
    if not o.top and o.pooling and #y.shape == 3 then y = b:pool(y, o.pooling) end
    local model = nn.model(y)
    if names then model:weight_names(builder.prefixed(names, o.prefix)) end
    if not o.weights then return model end
    local report, message = model:load(o.weights, { partial = o.partial })
    if not report then error(("%s: cannot load weights: %s"):format(kind, message), 2) end
    return model, report
  end
end

return builder
