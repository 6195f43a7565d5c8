--- lurcher.prefix: the part of a model whose output for a picture never changes, computed once for every picture.
-- Split a model at its last frozen, deterministic bottleneck; compute what that says about each picture of a set; train
-- the rest, which shares its layers with the whole model, on that. The result is that of training the whole.
-- It keeps activations in memory and knows nothing of augmentation: pictures must look the same in every epoch.
--
--     local part = prefix.split(model, "image")            -- nil, reason where there is nothing to gain
--     local learn = part:load{ train, size = 299, batch = 32, device = device }
--     local run = part.head:compile{ ... }
--     fit(run, learn:loader{ batch = 32, shuffle = true, seed = 1, output = "predictions" }, { ... })

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"
local samplers = require "lurcher.samplers"
local ticker = require "lurcher.ticker"
local nn, data = lurcher.nn, lurcher.data

local prefix = {}
prefix.__index = prefix

local function learns(layer) return layer.trainable and next(layer:weights()) ~= nil end

--- Whether a node's value is a function of the picture alone that training leaves as it is.
local function is_fixed(node, layer, definition, fixed, input)
  if definition.kind == "input" then return definition.name == input end
  if definition.kind == "index" or definition.kind == "dropout" then return false end
  if learns(layer) then return false end
  for _, i in ipairs(node.inputs) do
    if not fixed[i + 1] then return false end
  end
  return true
end

--- The set of nodes that node k is computed from, itself included.
local function ancestors(nodes, k)
  local found = { [k] = true }
  for i = k, 1, -1 do
    if found[i] then
      for _, input in ipairs(nodes[i].inputs) do found[input + 1] = true end
    end
  end
  return found
end

--- Whether everything that is not computed on the way to node k needs node k alone of it.
local function is_bottleneck(nodes, k, before)
  for i, node in ipairs(nodes) do
    if not before[i] then
      for _, input in ipairs(node.inputs) do
        if before[input + 1] and input + 1 ~= k then return false end
      end
    end
  end
  return true
end

--- Whether there is work to save before the cut, and something to train after it.
local function is_worth_it(model, nodes, before)
  local saves, trains = false, false
  for i, node in ipairs(nodes) do
    local layer = model.layers[node.layer + 1]
    if before[i] then saves = saves or next(layer:weights()) ~= nil else trains = trains or learns(layer) end
  end
  return saves and trains
end

--- The last node to cut at, and what comes before it; or nil.
local function find_cut(model, definition, input)
  local nodes, fixed, uses = definition.nodes, {}, {}
  for i, node in ipairs(nodes) do
    fixed[i] = is_fixed(node, model.layers[node.layer + 1], definition.layers[node.layer + 1], fixed, input)
    uses[node.layer] = (uses[node.layer] or 0) + 1
  end
  local is_output = {}
  for _, output in ipairs(definition.outputs) do is_output[output.node + 1] = true end
  for k = #nodes, 1, -1 do
    if fixed[k] and uses[nodes[k].layer] == 1 and not is_output[k] then
      local before = ancestors(nodes, k)
      if is_bottleneck(nodes, k, before) and is_worth_it(model, nodes, before) then return k, before end
    end
  end
end

--- The layers after the cut, applied again to an input of the cut's shape.
local function head_of(model, definition, k, before, input)
  local made = { [k] = input }
  for i, node in ipairs(definition.nodes) do
    if not before[i] then
      local layer, x = model.layers[node.layer + 1], {}
      for j, from in ipairs(node.inputs) do x[j] = made[from + 1] end
      made[i] = #x == 0 and model:node(layer.name) or layer(table.unpack(x))
    end
  end
  local outputs = {}
  for _, output in ipairs(definition.outputs) do outputs[output.name] = made[output.node + 1] end
  return nn.model(outputs)
end

--- Splits a model whose pictures come in by `input`. Returns an object with trunk and head (models that share the
-- model's layers), layer (name of the last layer of the trunk) and shape; or nil and the reason.
function prefix.split(model, input)
  local definition = lurcher.json.decode(model:json())
  local k, before = find_cut(model, definition, input)
  if not k then return nil, "no frozen part that all that learns builds on" end
  local name = definition.layers[definition.nodes[k].layer + 1].name
  local node = model:node(name)
  local features = nn.input{ name = "features", shape = node.shape }
  return setmetatable({ layer = name, shape = node.shape, input = input, trunk = nn.model(node),
    head = head_of(model, definition, k, before, features) }, prefix)
end

--- Bytes that the trunk's outputs for `count` pictures take.
function prefix:bytes(count)
  local bytes = 4 * count
  for _, extent in ipairs(self.shape) do bytes = bytes * extent end
  return bytes
end

local loaded = {}
loaded.__index = loaded

--- Computes the trunk's output for every picture of a set. Options: those of data.loader that say how a picture is read
-- (the set first, size, batch, workers, preprocess, ...), device, and quiet. A picture that cannot be read has the
-- features and the class of the one the loader puts in its place. Returns an object with features (n x shape), class
-- (i32 n) and loader.
function prefix:load(options)
  local started, set = lurcher.time(), options[1]
  local o = { shuffle = false }
  for key, value in pairs(options) do
    if key ~= "device" and key ~= "quiet" then o[key] = value end
  end
  local run <close> = self.trunk:compile{ device = options.device }
  local loader <close> = data.loader(o)
  local tick = not options.quiet and ticker{ label = ("computing '%s' once"):format(self.layer), total = #set } or nil
  local features, class, done = lurcher.zeros{ #set, table.unpack(self.shape) }, lurcher.zeros{ #set, dtype = "i32" }, 0
  for batch in loader:epoch(0) do
    local y, count = run:predict{ [self.input] = batch.image }[self.trunk.outputs[1]], #batch.image
    features:rows(done + 1, count):copy(y)
    class:rows(done + 1, count):copy(batch.class)
    done = done + count
    if tick then tick:count(done) end
    if lurcher.interrupted() then error("interrupted", 0) end
  end
  if tick then
    local seconds = lurcher.time() - started
    tick:finish(("computed '%s' once for %d pictures: %.1f MB in %s, %s"):format(self.layer, done,
      self:bytes(done) / 2 ^ 20, logs_of.duration(seconds), ticker.rate(done, seconds)))
    for _, line in ipairs(logs_of.damage(loader, {})) do tick:finish(line) end
  end
  return setmetatable({ features = features, class = class, size = done }, loaded)
end

--- A further field of a sampler's batch as a tensor, as data.loader makes it: whole numbers are places counted from 1
-- and become an i32 tensor from 0, numbers of which any has a fraction f32.
local function field_of(list)
  local whole, values = true, {}
  for i, value in ipairs(list) do
    whole = whole and math.tointeger(value) ~= nil
    values[i] = value
  end
  if not whole then return lurcher.tensor(values) end
  values.dtype = "i32"
  for i, value in ipairs(list) do values[i] = math.tointeger(value) - 1 end
  return lurcher.tensor(values)
end

--- What fit gets for a batch that a sampler drew: a list of pictures, or a table with the list `image` and more fields.
function loaded:batch(drawn, options, epoch, step)
  local picks = drawn.image or drawn
  local batch = { features = self.features:select(picks), class = self.class:select(picks) }
  for name, list in pairs(drawn) do
    if type(name) == "string" and name ~= "image" then batch[name] = field_of(list) end
  end
  if options.change then options.change(batch, epoch, step) end
  if options.output then batch[options.output] = batch.class end
  for name, value in pairs(options.targets and options.targets(batch) or {}) do batch[name] = value end
  return batch
end

--- A loader for fit over what was computed: the batches that data.loader gives for the same sampler, or for the same
-- batch, shuffle and seed, with `features` in place of the pictures. Options: sampler, targets (both as in
-- data.loader), change (function(batch, epoch, step) that alters a batch before its targets are made, step from 1),
-- output (name of the model output whose targets are the classes), batch (64), shuffle (true), seed (the one in force).
function loaded:loader(options)
  local next_epoch, seed = 0, options.seed or lurcher.seed()
  local sampler = options.sampler or samplers[options.shuffle == false and "sequential" or "shuffled"]{ self.size,
    batch = options.batch or 64, seed = seed }
  local count = type(sampler) == "table" and sampler.batches or 0
  local loader = setmetatable({}, { __len = function() return count end })

  function loader.epoch(_, n, skip)
    n = n or next_epoch
    next_epoch = n + 1
    local draw = sampler(n, data.random(seed, n))
    local step = skip or 0
    for _ = 1, step do draw() end
    return function()
      local drawn = draw()
      step = step + 1
      return drawn and self:batch(drawn, options, n, step)
    end
  end

  return loader
end

return prefix
