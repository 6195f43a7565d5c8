--- lurcher.frozen: the frozen backbone of a model, whose outputs for an image training does not change.
-- Splits a model into its frozen backbone and its head. The backbone's outputs, the frozen features, are computed once
-- per image (lurcher.feature_cache); the head shares its layers with the model and is trained on them. The result is
-- that of training the whole model, as long as an image looks the same in every epoch, or has k fixed augmented views.
-- model:frozen determines where the model is split: after the last layer of the backbone that everything else builds
-- on, or once per backbone where several apply to the image.
--
--     local split = frozen.split(model, "image")            -- nil, reason where there is nothing to gain
--     local features = split:load{ train, size = 299, batch = 32, device = device, cache = "runs/cache" }
--     local run = split.head:compile{ ... }
--     fit(run, features:loader{ batch = 32, shuffle = true, seed = 1, output = "predictions" }, { ... })

local lurcher = require "lurcher"
local feature_cache = require "lurcher.feature_cache"
local nn = lurcher.nn

local frozen = {}

--- Fields of a split; trunk is the backbone's old name.
function frozen.__index(split, key)
  if key == "trunk" then return split.backbone end
  return frozen[key]
end

local function new_split(fields)
  fields.others = {}
  return setmetatable(fields, frozen)
end

--- The model without what comes before the cuts. inputs: nodes that take the place of the cuts, by layer name.
local function head_of(model, input, inputs)
  local definition, layers, made = lurcher.json.decode(model:json()), model.layers, {}
  for i, node in ipairs(definition.nodes) do
    local layer, x = layers[node.layer + 1], {}
    for _, from in ipairs(node.inputs) do x[#x + 1] = made[from + 1] end
    if inputs[layer.name] then
      made[i] = inputs[layer.name]
    elseif #node.inputs == 0 and layer.name ~= input then -- another input, of row numbers
      made[i] = model:node(layer.name)
    elseif #x > 0 and #x == #node.inputs then -- else it comes before a cut
      made[i] = layer(table.unpack(x))
    end
  end
  local outputs = {}
  for _, output in ipairs(definition.outputs) do outputs[output.name] = made[output.node + 1] end
  return nn.model(outputs)
end

--- Splits a model whose images are fed to `input`. Returns an object with backbone and head (models that share the
-- model's layers), layer (name of the backbone's last layer), shape (of its output for one image), input, name (of the
-- head's input for the features) and others: a list with, for each further backbone on the image, an object like this
-- one, without a head. Or nil and the reason.
function frozen.split(model, input)
  local cuts, splits, inputs = model:frozen(input), {}, {}
  if #cuts == 0 then return nil, "the model has no frozen backbone that everything that learns builds on" end
  for i, layer in ipairs(cuts) do
    local node, name = model:node(layer), i == 1 and "features" or "features_" .. i
    inputs[layer] = nn.input{ name = name, shape = node.shape }
    splits[i] = new_split{ layer = layer, shape = node.shape, input = input, name = name, backbone = nn.model(node) }
  end
  splits[1].head = head_of(model, input, inputs)
  table.move(splits, 2, #splits, 1, splits[1].others)
  return splits[1]
end

--- The whole model as a backbone without a head, to compute its first output for many images.
function frozen.whole(model, input)
  local layer = model.outputs[1]
  return new_split{ layer = layer, shape = model:node(layer).shape, input = input, name = "features", backbone = model }
end

--- Bytes of the features of `count` images, stored as "f32" (the default) or "f16"; those of `others` not counted.
function frozen:bytes(count, store)
  local bytes = (store == "f16" and 2 or 4) * count
  for _, extent in ipairs(self.shape) do bytes = bytes * extent end
  return bytes
end

--- The frozen features of every image of a set, from the cache or computed now: see lurcher.feature_cache.
function frozen:load(options) return feature_cache.load(self, options) end

return frozen
