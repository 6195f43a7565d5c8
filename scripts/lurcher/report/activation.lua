--- lurcher.report.activation: class-activation maps: where in an image the evidence for a class is (Zhou et al.,
-- "Learning deep features for discriminative localization", CVPR 2016). For models that end in a global average pool
-- and a dense layer: the score of a class is the mean over positions of the last features, weighted by the class's
-- column of the kernel. For others there is no map, and activation.of returns the reason.

local lurcher = require "lurcher"
local html = require "lurcher.report.html"
local images = require "lurcher.report.images"
local preprocessing = require "lurcher.preprocessing"
local nn, data, image = lurcher.nn, lurcher.data, lurcher.image
local e = html.element

local activation = {}

local passes <const> = { dropout = true, flatten = true }

--- The dense layer of an output, and the node before the pool that it reads, through layers of `passes` alone; or nil.
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

--- An object that maps images, or nil and the reason. metadata: saved with the model.
function activation.of(model, metadata, output, device)
  local head, node = find(model, output)
  if not head then return nil, "the model does not end in a global average pool and a dense layer" end
  local part = nn.model{ map = node }
  return { run = part:compile{ device = device }, kernel = head:weights().kernel:to "cpu", input = model.inputs[1],
    metadata = metadata }
end

--- Maps (h x w x channels) of images of a set, by image number.
local function maps_of(self, set, rows)
  local chosen, maps, done = set:subset(rows), {}, 0
  local options = preprocessing.saved(self.metadata)
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

--- The evidence for a class (from 1) in a map (h x w x channels), by the dense layer's kernel: its positive part, h x w
-- x 1, scaled to a maximum of 1.
function activation.heat(map, kernel, class)
  local height, width, channels = table.unpack(map.shape)
  local weights = kernel:transpose()[class]:clone():view(channels, 1)
  local heat = map:clone():view(height * width, channels):matmul(weights):relu()
  local most = heat:max()
  return (most > 0 and heat / most or heat):view(height, width, 1)
end

--- The image in grey under the heat, from red to yellow.
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

--- A figure: the image, its heat for the prediction, and for a mistake its heat for the true class.
local function figure(self, set, entry, map, classes)
  local img = images.small(set:path(entry.row), 320, self.metadata.exif == true)
  if not img then return false end
  local row = { images.inline(img, set:name(entry.row)) }
  for _, class in ipairs{ entry.predicted, entry.truth ~= entry.predicted and entry.truth or nil } do
    row[#row + 1] = images.inline(painted(img, activation.heat(map, self.kernel, class)), "for " .. classes[class])
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
