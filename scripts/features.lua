--- features.lua - prints a layer's output of an Xception for images
-- One JSON object per image on standard output, or with --out one .safetensors file with the pooled matrix and the
-- names.

local lfs = require "lfs"
local lurcher = require "lurcher"
local feature_cache, frozen = require "lurcher.feature_cache", require "lurcher.frozen"
local common, options = require "lurcher.recipe.common", require "lurcher.recipe.options"
local files, ticker = require "lurcher.files", require "lurcher.ticker"
local pretrained, xception = require "lurcher.recipe.pretrained", require "lurcher.models.xception"
local data, image = lurcher.data, lurcher.image

local spec = options.join({
  name = "features",
  summary = "Prints a layer's output for each image as JSON: image, layer, shape, mean, l2, pooled (the mean over\n"
    .. "height and width, every channel). With --out, writes the pooled matrix instead.",
  { "weights", "path", required = true, value = "FILE|imagenet",
    help = "weights of the Xception: Keras .h5, or .safetensors; imagenet: those found on this machine (see lurcher "
      .. "weights)" },
  { "layer", "string", default = "avg_pool", value = "NAME", help = "layer by its Keras name" },
  { "size", "integer", default = 299, min = 32, max = 4096, help = "height and width of the network's input" },
  { "width", "number", default = 1, min = 0.01, max = 8, help = "multiplier of every layer's number of channels" },
  { "middle", "integer", default = 8, min = 0, max = 64, help = "number of blocks in the middle flow" },
  { "exif", "flag", default = true, help = "turn images as their EXIF orientation asks" },
  { "batch", "integer", default = 8, min = 1, max = 65536, help = "images per step" },
  { "device", "device", default = "auto" },
  { "precision", "choice", default = "f32", choices = { "f32", "int8" },
    help = "arithmetic; int8 is faster, on the CPU only, and approximate; it is calibrated on up to 64 of the images" },
  { "out", "file", value = "FILE.safetensors",
    help = "file to write `features` (images x channels), `class` and the names to, instead of printing" },
  arguments = { name = "IMAGE", min = 1, help = "images, or one folder of images" },
}, common.cache)

--- Paths and names of the images on the command line or in a folder, and the folder's set.
local function open_images(words)
  if lfs.attributes(words[1], "mode") ~= "directory" then return words, words end
  if #words > 1 then error("one folder or several images expected, got a folder and '" .. words[2] .. "'", 0) end
  local set, message = (files.folders(words[1])[1] and data.folder or data.flat){ words[1] }
  if not set then error(message, 0) end
  local paths, names = {}, {}
  for i = 1, #set do paths[i], names[i] = set:path(i), set:name(i) end
  return paths, names, set
end

local function open_backbone(o)
  local backbone, report = options.called(xception, { size = o.size, width = o.width, middle = o.middle,
    feature_layer = o.layer, weights = o.weights, input = "image" }, { feature_layer = "layer" })
  if report.missing + report.mismatched > 0 then
    error(("'%s' does not have every layer up to '%s' (name an earlier --layer): %s"):format(o.weights, o.layer,
      report.text:gsub("%s+$", "")), 0)
  end
  return backbone
end

--- The network's input for an image: 1 x size x size x 3, from -1 to 1.
local function read(path, size, exif)
  local img = image.resize(assert(image.load(path, { exif = exif })), size, size, "bilinear")
  return (img:cast "f32" / 127.5 - 1):view(1, size, size, 3)
end

--- Calls visit(i, activation) for every image in order. Raises for an image that cannot be read.
local function each(backbone, paths, o, visit)
  local run <close> = backbone:compile{ device = o.device, precision = o.precision }
  if o.precision == "int8" then
    for _, i in ipairs(feature_cache.calibration(#paths)) do run:calibrate{ image = read(paths[i], o.size, o.exif) } end
  end
  for first = 1, #paths, o.batch do
    local images = {}
    for i = first, math.min(first + o.batch - 1, #paths) do images[#images + 1] = read(paths[i], o.size, o.exif) end
    local activations = run:predict{ image = lurcher.concat(images) }[backbone.outputs[1]]
    for i = 1, #activations do visit(first + i - 1, activations[i]) end
  end
end

--- The same for the images of a set, from the cache. Returns false where there is no cache.
local function each_cached(backbone, set, o, visit)
  if o.cache == "none" then return false end
  local loaded = frozen.whole(backbone, "image"):load(feature_cache.settings(o, { set, size = o.size, exif = o.exif,
    batch = o.batch, device = o.device, precision = o.precision, memory = 0 }))
  for first = 1, loaded and #set or 0, o.batch do
    local list = {}
    for i = first, math.min(first + o.batch - 1, #set) do list[#list + 1] = i end
    local activations, _, index = loaded:select(list)
    for i, img in ipairs(index:totable()) do
      if img + 1 ~= list[i] then error(("'%s' cannot be read"):format(set:path(list[i])), 0) end
      visit(list[i], activations[i])
    end
  end
  return loaded ~= nil
end

--- The mean over height and width of one activation, h x w x c or c: a tensor of c.
local function pool(activation)
  return activation:view(-1, activation.shape[#activation.shape]):mean(1)
end

local function print_objects(backbone, paths, o)
  each(backbone, paths, o, function(i, activation)
    print(lurcher.json.encode{ image = paths[i], layer = o.layer, shape = activation.shape, mean = activation:mean(),
      l2 = math.sqrt(activation:square():sum()), pooled = pool(activation):totable() })
  end)
end

local function write_matrix(backbone, paths, names, set, o)
  local rows, class = {}, { dtype = "i32" }
  local tick = ticker{ label = "computing " .. o.layer, total = #paths }
  local function visit(i, activation)
    rows[i] = pool(activation):view(1, -1)
    class[i] = (set and set:class(i) or 0) - 1
    tick:count(i)
  end
  if not (set and each_cached(backbone, set, o, visit)) then each(backbone, paths, o, visit) end
  local matrix, array = lurcher.concat(rows), lurcher.json.array
  local metadata = { names = lurcher.json.encode(array(names)), layer = o.layer,
    classes = lurcher.json.encode(array(set and set.classes or {})) }
  assert(lurcher.save_tensors(o.out, { features = matrix, class = lurcher.tensor(class) }, metadata))
  tick:finish(("%s: %d images x %d channels of %s"):format(o.out, #names, matrix.shape[2], o.layer))
end

local function main(o)
  local paths, names, set = open_images(o.arguments)
  local backbone <close> = open_backbone(o)
  if o.out then write_matrix(backbone, paths, names, set, o) else print_objects(backbone, paths, o) end
end

function spec.adjust(values)
  pretrained.resolve(values)
  return values
end

options.main(spec, arg, main)
