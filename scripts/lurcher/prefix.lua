--- lurcher.prefix: the part of a model whose output for an image never changes, computed once for every image.
-- Split a model at its last frozen, deterministic bottleneck, or each of two backbones at its own; compute what that says
-- about each image of a set; train the rest, which shares its layers with the whole model, on that. The result is
-- that of training the whole, as long as an image looks the same in every epoch, or takes turns in k fixed augmented
-- views.
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

--- Whether a node's value is a function of the image alone that training leaves as it is.
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

--- Whether everything that is not computed on the way to the cuts (a set of nodes) needs those alone of it.
local function is_bottleneck(nodes, cuts, before)
  for i, node in ipairs(nodes) do
    if not before[i] then
      for _, input in ipairs(node.inputs) do
        if before[input + 1] and not cuts[input + 1] then return false end
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

--- For each node the branch that it lies on: the one consumer of the image that it descends from; false where it
-- joins several. Two backbones on one image are two branches.
local function branches_of(nodes, fixed, image)
  local branch, list = {}, {}
  for i, node in ipairs(nodes) do
    for _, input in ipairs(fixed[i] and node.inputs or {}) do
      local from = input + 1 == image and i or branch[input + 1]
      if branch[i] ~= nil and branch[i] ~= from then from = false end
      branch[i] = from
    end
    if branch[i] == i then list[#list + 1] = i end
  end
  return branch, list
end

--- The last node of those that `may` be cut at which is a bottleneck, and what comes before it; or nil. Whoever else
-- reads the image itself (node `image`) is of no concern: that is for the other branches' cuts.
local function last_bottleneck(nodes, may, image)
  for k = #nodes, 1, -1 do
    if may(k) then
      local before = ancestors(nodes, k)
      if is_bottleneck(nodes, { [k] = true, [image or 0] = true }, before) then return k, before end
    end
  end
end

--- One cut on each branch, for a model whose branches meet only behind what learns or drops; the set of what comes
-- before them. Or nil.
local function cut_branches(nodes, fixed, may, image)
  local branch, list = branches_of(nodes, fixed, image)
  local cuts, is_cut, all = {}, {}, {}
  for i, root in ipairs(list) do
    local k, before = last_bottleneck(nodes, function(k) return may(k) and branch[k] == root end, image)
    if not k then return nil end
    cuts[i], is_cut[k] = k, true
    for node in pairs(before) do all[node] = true end
  end
  if #cuts > 0 and is_bottleneck(nodes, is_cut, all) then return cuts, all end
end

--- The nodes to cut at, one where that is possible, and what comes before them; or nil.
local function find_cuts(model, definition, input)
  local nodes, fixed, uses, is_output, image = definition.nodes, {}, {}, {}, nil
  for i, node in ipairs(nodes) do
    local layer = definition.layers[node.layer + 1]
    fixed[i] = is_fixed(node, model.layers[node.layer + 1], layer, fixed, input)
    uses[node.layer] = (uses[node.layer] or 0) + 1
    if layer.kind == "input" and layer.name == input then image = i end
  end
  for _, output in ipairs(definition.outputs) do is_output[output.node + 1] = true end
  local function may(k)
    return fixed[k] and k ~= image and uses[nodes[k].layer] == 1 and not is_output[k]
  end
  local k, before = last_bottleneck(nodes, may)
  if k and is_worth_it(model, nodes, before) then return { k }, before end
  local cuts
  cuts, before = cut_branches(nodes, fixed, may, image)
  if cuts and is_worth_it(model, nodes, before) then return cuts, before end
end

--- The layers after the cuts, applied again to inputs of the cuts' shapes: `made`, by node.
local function head_of(model, definition, before, made)
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

--- Splits a model whose images come in by `input`. Returns an object with backbone and head (models that share the
-- model's layers), layer (name of the last layer of the backbone), shape, name (of the head's input) and others: of two
-- backbones on one image the second part, like this one, without a head. Or nil and the reason.
function prefix.split(model, input)
  local definition = lurcher.json.decode(model:json())
  local cuts, before = find_cuts(model, definition, input)
  if not cuts then return nil, "no frozen part that all that learns builds on" end
  local parts, made = {}, {}
  for i, k in ipairs(cuts) do
    local name = definition.layers[definition.nodes[k].layer + 1].name
    local node, feature = model:node(name), i == 1 and "features" or "features_" .. i
    made[k] = nn.input{ name = feature, shape = node.shape }
    parts[i] = setmetatable({ layer = name, shape = node.shape, input = input, name = feature, backbone = nn.model(node),
      others = {} }, prefix)
  end
  parts[1].head = head_of(model, definition, before, made)
  parts[1].others = table.move(parts, 2, #parts, 1, {})
  return parts[1]
end

--- A part that is all backbone: for what a model says about images when nothing of it is to be trained.
function prefix.whole(model, input)
  local name = model.outputs[1]
  local node = model:node(name)
  return setmetatable({ layer = name, shape = node.shape, input = input, name = "features", backbone = model,
    others = {} }, prefix)
end

--- Bytes that the backbone's outputs for `count` images take, in `store` "f32" (the default) or "f16"; without `others`.
function prefix:bytes(count, store)
  local bytes = (store == "f16" and 2 or 4) * count
  for _, extent in ipairs(self.shape) do bytes = bytes * extent end
  return bytes
end

--- What the backbone says about every image of a set, found or computed: see lurcher.fixed_features.
function prefix:load(options) return fixed_features.load(self, options) end

return prefix
