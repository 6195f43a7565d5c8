--- lurcher.report.activation: where in an image a class was seen: class-activation maps (Zhou et al., "Learning deep
-- features for discriminative localization", CVPR 2016). For models that end in a global average pool and a dense
-- layer, where the score of a class is the mean over places of the map weighted by the class's part of the kernel. For
-- others there is no map, and activation.of says why.

local lurcher = require "lurcher"
local html = require "lurcher.report.html"
local images = require "lurcher.report.images"
local reading = require "lurcher.preprocessing"
local nn, data, image = lurcher.nn, lurcher.data, lurcher.image
local e = html.element

local activation = {}

local passes <const> = { dropout = true, flatten = true }

--- The layers of a model by node, from an output backwards: dense, then what passes values on, then the pool.
local function find(model, output)
  local definition = lurcher.json.decode(model:json())
  local function layer_at(node) return definition.layers[definition.nodes[node + 1].layer + 1] end
  local at
  for _, entry in ipairs(definition.outputs) do if entry.name == output then at = entry.node end end
  local head = layer_at(at)
  if head.kind == "activation" then -- a softmax of its own
    at = definition.nodes[at + 1].inputs[1]
    head = layer_at(at)
  end
  if head.kind ~= "dense" then return nil end
  repeat at = definition.nodes[at + 1].inputs[1] until not passes[layer_at(at).kind]
  if layer_at(at).kind ~= "global_avg_pool" then return nil end
  return model:layer(head.name), model:node(layer_at(definition.nodes[at + 1].inputs[1]).name)
end

--- An object that maps images, or nil and the reason. `about`: saved with the model.
function activation.of(model, about, output, device)
  local head, node = find(model, output)
  if not head then return nil, "the model does not end in a global average pool and a dense layer" end
  local part = nn.model{ map = node }
  return { run = part:compile{ device = device }, kernel = head:weights().kernel:to "cpu", input = model.inputs[1],
    about = about }
end

--- Maps (h x w x channels) of images of a set, by image number.
local function maps_of(self, set, rows)
  local chosen, maps, done = set:subset(rows), {}, 0
  local options = reading.saved(self.about)
  options[1], options.shuffle, options.batch, options.workers = chosen, false, 8, 2
  local loader <close> = data.loader(options)
  for batch in loader:epoch(0) do
    local y = self.run:predict{ [self.input] = batch.image }.map:to "cpu"
    for i = 1, #y do
      done = done + 1
      maps[rows[done]] = y[i]
    end
  end
  return maps
end

--- What in a map (h x w x channels) speaks for a class (from 1), by the dense layer's kernel: h x w x 1 from 0 to 1,
-- the positive part, the strongest place 1.
function activation.heat(map, kernel, class)
  local height, width, channels = table.unpack(map.shape)
  local weights = kernel:transpose()[class]:clone():view(channels, 1)
  local heat = map:clone():view(height * width, channels):matmul(weights):relu()
  local most = heat:max()
  return (most > 0 and heat / most or heat):view(height, width, 1)
end

--- The image in grey with the heat over it, from red to yellow.
local function painted(img, heat)
  local height, width = img.shape[1], img.shape[2]
  local u8 = (heat * 255):cast "u8"
  local wide = image.resize(lurcher.concat{ u8, u8, u8, axis = 3 }, height, width):cast "f32":rows(1, height)
  local t = (wide:mean(3) / 255):view(height, width, 1)
  local grey = img:cast "f32":mean(3):view(height, width, 1)
  local alpha = (t * 1.4):minimum(1) * 0.75
  local colour = lurcher.concat{ t * 0 + 240, t * 190 + 40, t * 60 + 20, axis = 3 }
  return grey * (alpha * -1 + 1) * 0.9 + colour * alpha
end

--- A figure: the image, what spoke for what was said, and for a mistake what spoke for the truth.
local function figure(self, set, entry, map, classes)
  local img = images.small(set:path(entry.row), 200)
  if not img then return false end
  local row = { images.inline(img, set:name(entry.row)),
    images.inline(painted(img, activation.heat(map, self.kernel, entry.said)), "for " .. classes[entry.said]) }
  if entry.said ~= entry.truth then
    local heat = activation.heat(map, self.kernel, entry.truth)
    row[3] = images.inline(painted(img, heat), "for " .. classes[entry.truth])
  end
  return e.figure{ title = set:name(entry.row), e.div{ row }, e.figcaption{ images.verdict(entry, classes) } }
end

--- The entries as figures in a grid.
function activation.figures(self, set, entries, classes)
  local rows, list = {}, {}
  for i, entry in ipairs(entries) do rows[i] = entry.row end
  local maps = maps_of(self, set, rows)
  for i, entry in ipairs(entries) do list[i] = figure(self, set, entry, maps[entry.row], classes) end
  return e.div{ class = "maps", list }
end

return activation
