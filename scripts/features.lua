--- features.lua - prints what a layer of Xception says about pictures
-- One JSON object a picture on standard output, or for a whole folder one .safetensors file with the pooled matrix and
-- the names.

local lfs = require "lfs"
local lurcher = require "lurcher"
local options = require "lurcher.options"
local xception = require "lurcher.models.xception"
local data = lurcher.data

local spec = {
  name = "features",
  summary = "Prints a layer's output for each picture as JSON: image, layer, shape, mean, l2, pooled (the mean over\n"
    .. "height and width, every channel). With --out, writes the pooled matrix instead.",
  { "weights", "path", required = true, value = "FILE", help = "weights: Keras .h5, or .safetensors" },
  { "layer", "string", default = "avg_pool", value = "NAME", help = "layer to read, by its Keras name" },
  { "size", "integer", default = 299, min = 32, max = 4096, help = "side of the pictures as the network sees them" },
  { "width", "number", default = 1, min = 0.01, max = 8, help = "the network's width" },
  { "middle", "integer", default = 8, min = 0, max = 64, help = "the network's blocks in the middle" },
  { "batch", "integer", default = 8, min = 1, help = "pictures a step" },
  { "device", "string", default = "auto", help = "where to compute: auto, cpu, ref, cuda:0" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read pictures" },
  { "out", "path", value = "FILE.safetensors",
    help = "write `features` (pictures x channels), `class` and the names instead of printing" },
  arguments = { name = "IMAGE", min = 1, help = "pictures, or one folder of them" },
}

--- The pictures named on the command line, or those of a folder (with classes where it has folders).
local function open_set(words)
  if lfs.attributes(words[1], "mode") ~= "directory" then
    return assert(data.items(words))
  end
  if #words > 1 then error("one folder, or pictures: '" .. words[2] .. "' is too much", 0) end
  for name in lfs.dir(words[1]) do
    if name ~= "." and name ~= ".." and lfs.attributes(words[1] .. "/" .. name, "mode") == "directory" then
      return assert(data.folder{ words[1] })
    end
  end
  return assert(data.flat{ words[1] })
end

local function open_trunk(o)
  local trunk, report = xception{ size = o.size, width = o.width, middle = o.middle, feature_layer = o.layer,
    weights = o.weights, input = "image" }
  if report.missing + report.mismatched > 0 then
    error(("'%s' does not have every layer up to '%s': %s"):format(o.weights, o.layer, report.text), 0)
  end
  return trunk
end

--- One picture's activation h x w x c (or c) as the numbers to report.
local function summary(activation, name, layer)
  local shape = activation.shape
  local channels = shape[#shape]
  return { image = name, layer = layer, shape = shape, mean = activation:mean(),
    l2 = math.sqrt(activation:square():sum()), pooled = activation:view(-1, channels):mean(1):totable() }
end

--- Calls visit(index, activation) for every picture in order. Raises for a picture that cannot be read.
local function each(trunk, set, o, visit)
  local run <close> = trunk:compile{ device = o.device }
  local loader <close> = data.loader{ set, size = o.size, shuffle = false, strict = true, batch = o.batch,
    workers = o.workers }
  local done = 0
  for batch in loader:epoch(0) do
    local activations = run:predict{ image = batch.image }[trunk.outputs[1]]
    for i = 1, #activations do
      done = done + 1
      visit(done, activations[i])
    end
    if lurcher.interrupted() then error("interrupted", 0) end
  end
end

local function write_matrix(trunk, set, o)
  local rows, names, classes = {}, {}, { dtype = "i32" }
  each(trunk, set, o, function(i, activation)
    local channels = activation.shape[#activation.shape]
    rows[i] = activation:view(-1, channels):mean(1):view(1, channels)
    names[i], classes[i] = set:name(i), (set:class(i) or 0) - 1
  end)
  local metadata = { names = lurcher.json.encode(lurcher.json.array(names)), layer = o.layer,
    classes = lurcher.json.encode(lurcher.json.array(set.classes or {})) }
  local matrix = lurcher.concat(rows)
  assert(lurcher.save_tensors(o.out, { features = matrix, class = lurcher.tensor(classes) }, metadata))
  print(("%s: %d pictures x %d channels of %s"):format(o.out, #names, matrix.shape[2], o.layer))
end

local function main(o)
  local set = open_set(o.arguments)
  local trunk <close> = open_trunk(o)
  if o.out then return write_matrix(trunk, set, o) end
  each(trunk, set, o, function(i, activation)
    print(lurcher.json.encode(summary(activation, set:path(i), o.layer)))
  end)
end

options.main(spec, arg, main)
