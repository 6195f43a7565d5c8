--- lurcher.prefix: the part of a model whose output for a picture never changes, computed once for every picture.
-- Split a model at its last frozen, deterministic bottleneck; compute what that says about each picture of a set; train
-- the rest, which shares its layers with the whole model, on that. The result is that of training the whole, as long as
-- a picture looks the same in every epoch, or takes turns in k fixed augmented views.
-- What was computed stays in memory, or in a file of a cache folder, where any later run finds it (feature_store).
--
--     local part = prefix.split(model, "image")            -- nil, reason where there is nothing to gain
--     local learn = part:load{ train, size = 299, batch = 32, device = device, cache = "runs/cache" }
--     local run = part.head:compile{ ... }
--     fit(run, learn:loader{ batch = 32, shuffle = true, seed = 1, output = "predictions" }, { ... })

local lurcher = require "lurcher"
local fixed_features = require "lurcher.fixed_features"
local nn = lurcher.nn

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

--- A part that is all trunk: for what a model says about pictures when nothing of it is to be trained.
function prefix.whole(model, input)
  local name = model.outputs[1]
  local node = model:node(name)
  return setmetatable({ layer = name, shape = node.shape, input = input, trunk = model }, prefix)
end

--- Bytes that the trunk's outputs for `count` pictures take, in `store` "f32" (the default) or "f16".
function prefix:bytes(count, store)
  local bytes = (store == "f16" and 2 or 4) * count
  for _, extent in ipairs(self.shape) do bytes = bytes * extent end
  return bytes
end

--- What the trunk says about every picture of a set, found or computed: see lurcher.fixed_features.
function prefix:load(options) return fixed_features.load(self, options) end

return prefix
