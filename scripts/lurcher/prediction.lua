--- lurcher.prediction: class probabilities of a set of images by a trained classifier, averaged over views of each
-- image. It knows classifiers alone: one image in, a vector of class probabilities out.
--
--     local model, metadata = prediction.open_model "runs/single_model-001"
--     local set = prediction.open_set("dogs/test", metadata.classes)
--     local scores, rows = prediction.predict(model, set, metadata, { tta = 2, device = "auto" })

local lfs = require "lfs"
local lurcher = require "lurcher"
local feature_cache, frozen = require "lurcher.feature_cache", require "lurcher.frozen"
local files, logs_of, ticker = require "lurcher.files", require "lurcher.logs", require "lurcher.ticker"
local preprocessing = require "lurcher.preprocessing"
local nn, data = lurcher.nn, lurcher.data

local prediction = {}

--- A path as it is, or that of a run folder's file `name` (model.safetensors).
function prediction.model_file(path, name)
  return lfs.attributes(path, "mode") == "directory" and path .. "/" .. (name or "model.safetensors") or path
end

--- The model of a file, or of a run folder's file `name` (model.safetensors), and its metadata: classes, preprocessing
-- and the settings of its training. Raises where there is none.
function prediction.open_model(path, name)
  path, name = prediction.model_file(path, name), name or "model.safetensors"
  local model, extra = nn.load(path)
  if not model then error(extra, 0) end
  local metadata = lurcher.json.decode(extra)
  if type(metadata) ~= "table" or type(metadata.classes) ~= "table" or type(metadata.size) ~= "table" then
    error(("'%s' has weights but no classes: a %s that a recipe wrote is expected"):format(path, name), 0)
  end
  local bad = preprocessing.mistake(metadata)
  for _, class in ipairs(metadata.classes) do bad = bad or type(class) ~= "string" and "classes" end
  if bad or #metadata.classes == 0 then
    error(("'%s' is damaged: its metadata has a bad value of '%s'"):format(path, bad or "classes"), 0)
  end
  return model, metadata
end

local function opened(set, message)
  return set or error(message, 0)
end

--- Parts of a data set, which folders are named after.
local parts <const> = { train = true, valid = true, val = true, validation = true, test = true }

--- The images of a folder, and whether they have classes: whether subfolders have names of `classes`. o.hidden: as of
-- data.folder. Raises where there is no image, and for the folder of a whole data set: which part is meant is not
-- known.
function prediction.open_set(path, classes, o)
  local is_class, found, hidden = {}, {}, o and o.hidden or nil
  for _, name in ipairs(classes) do is_class[name] = true end
  if lfs.attributes(path, "mode") == "directory" then
    for _, name in ipairs(files.folders(path)) do
      if is_class[name] then return opened(data.folder{ path, classes = classes, hidden = hidden }), true end
      if parts[name] then found[#found + 1] = ("'%s/%s'"):format(files.trimmed(path), name) end
    end
  end
  if #found > 0 then
    error(("'%s' is the folder of a whole data set: which images are meant? name %s"):format(path,
      table.concat(found, " or ")), 0)
  end
  return opened(data.flat{ path, hidden = hidden }), false
end

--- Length of an output that is a vector of each sample, or nil.
local function length_of(model, definition, output)
  for _, entry in ipairs(definition.outputs) do
    if entry.name == output then
      local shape = model:node(definition.layers[definition.nodes[entry.node + 1].layer + 1].name).shape
      return #shape == 1 and shape[1] or nil
    end
  end
end

--- The output with class probabilities: `name` where it is given, else ctg_out (of two backbones together), ctg_out_1,
-- or the first with a number per class.
function prediction.output(model, classes, name)
  local definition, fits = lurcher.json.decode(model:json()), {}
  for _, output in ipairs(model.outputs) do
    if length_of(model, definition, output) == #classes then
      fits[#fits + 1], fits[output] = output, output
    end
  end
  local found = name and fits[name] or not name and (fits.ctg_out or fits.ctg_out_1 or fits[1])
  if found then return found end
  error(("the model has no output %sof %d numbers, one per class (it has: %s)"):format(name and ("'%s' "):format(name)
    or "", #classes, table.concat(model.outputs, ", ")), 0)
end

--- Views of an image, of which `tta` takes the first n: as it is, mirrored, both enlarged 1.15 times, both reduced to
-- 0.87. Options of data.augment, whose zoom factors scale the sampling grid: 1 / 1.15 enlarges.
local views = {
  {}, { mirror = true },
  { zoom_min = 1 / 1.15, zoom_max = 1 / 1.15 }, { zoom_min = 1 / 1.15, zoom_max = 1 / 1.15, mirror = true },
  { zoom_min = 1.15, zoom_max = 1.15 }, { zoom_min = 1.15, zoom_max = 1.15, mirror = true },
}
prediction.most_views = #views

--- The data.augment of view k, or nil for the image as it is. A view is sampled by the filter of the resize.
local function view_of(k, resize)
  if not next(views[k]) then return nil end
  local changes = { interpolation = resize == "nearest" and resize or nil }
  for name, value in pairs(views[k]) do changes[name] = value end
  return data.augment(changes)
end

--- Loaders of the first `count` views, and the model that they feed: what follows the frozen backbone, on features from
-- the cache (o.cache), or the whole model on images.
local function sources(model, set, metadata, o, count)
  local part = o.cache and o.cache ~= "none" and frozen.split(model, model.inputs[1])
  local common = preprocessing.saved(metadata)
  common.batch, common.workers, common.device = o.batch or 32, o.workers, lurcher.device(o.device)
  local function options(k, more)
    for key, value in pairs(common) do more[key] = value end
    more[1], more.augment = set, view_of(k, metadata.resize)
    return more
  end
  local loaders = {}
  if part and not o.existing then
    ticker{ label = "", out = o.stream }:finish(("features of the frozen backbone take %s as %s in the feature "
      .. "cache '%s'"):format(logs_of.size(count * part:bytes(#set, o.cache_store)), o.cache_store or "f32",
      o.cache))
  end
  for k = 1, part and count or 0 do
    local loaded = part:load(options(k, feature_cache.settings(o, { views = 1, memory = 0, existing = o.existing,
      stream = o.stream })))
    if not loaded then break end -- no room for features
    loaders[k] = loaded:loader{ batch = common.batch, shuffle = false }
  end
  if part and #loaders == count then return loaders, part.head end
  for k = 1, count do loaders[k] = data.loader(options(k, { shuffle = false })) end
  return loaders, model
end

--- Probabilities (n x classes) of every image that can be read, in one view, and the images' numbers in order.
local function one_view(run, loader, output, tick)
  local scores, rows, expected = {}, {}, 0
  for batch in loader:epoch(0) do
    local read, good = batch.index:totable(), {}
    for i, index in ipairs(read) do
      expected = expected + 1
      if index + 1 == expected then -- else another image replaces one that cannot be read
        good[#good + 1] = i
        rows[#rows + 1] = expected
      end
    end
    local given = {}
    for _, input in ipairs(run.model.inputs) do given[input] = batch[input] or batch.image end
    local probabilities = run:predict(given)[output]
    if #good > 0 then scores[#scores + 1] = #good == #read and probabilities or probabilities:select(good) end
    tick:count(tick.before + expected)
    if lurcher.interrupted() then error("interrupted", 0) end
  end
  tick.before = tick.before + expected
  if #rows == 0 then error("no image could be read", 0) end
  return lurcher.concat(scores), rows
end

--- Ends with an error if a score is NaN: the highest of such a row would be no prediction.
local function check_numbers(scores, rows, set)
  local first, many = nil, 0
  for i, highest in ipairs(scores:max(2):totable()) do -- NaN wins a maximum
    if highest ~= highest then first, many = first or i, many + 1 end
  end
  if first then
    error(("the scores of %d of %d images are NaN, first of '%s': the model's weights, or the image, are not finite")
      :format(many, #rows, set:path(rows[first])), 0)
  end
end

--- Class probabilities (n x classes) of every image that can be read, the mean over `tta` views (1), and the images'
-- numbers in the same order. metadata: of open_model. Options: tta, batch, workers, device, output (name; by default
-- the model's first), cache (folder of the feature cache; nil or "none": no cache), cache_store and cache_limit (as
-- feature_cache's store and limit, the limit in MB), existing (true: read the cache, and add nothing to it), stream
-- (file of the progress lines, io.stdout).
function prediction.predict(model, set, metadata, o)
  local count, output = o.tta or 1, o.output or model.outputs[1]
  local loaders, learner = sources(model, set, metadata, o, count)
  local run <close> = learner:compile{ device = o.device }
  local tick = ticker{ label = "predicting", total = count * #set, out = o.stream }
  tick.before = 0
  local sum, rows
  for k = 1, count do
    local scores, read = one_view(run, loaders[k], output, tick)
    sum, rows = sum and sum + scores or scores, read
  end
  local seconds = lurcher.time() - tick.started
  tick:finish(("predicted %d images%s in %s, %s"):format(#set, count > 1 and (" in %d views"):format(count) or "",
    logs_of.duration(seconds), ticker.rate(count * #set, seconds)))
  check_numbers(sum, rows, set)
  return sum / count, rows
end

return prediction
