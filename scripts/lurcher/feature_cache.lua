--- lurcher.feature_cache: the frozen features of a set of images, which are the outputs of a frozen backbone
-- (lurcher.frozen) for every image. They are found in a file of a cache folder or computed once, into such a file or
-- into memory, and given in the batches of any sampler in place of the images.
--
-- Features are rows: row (v - 1) * size + i is view v of image i, all counted from 1. What holds them, a data.cache or
-- the memory store below, has bytes, seconds, and missing, put, finish, select and index over rows.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files = require "lurcher.files"
local logs_of = require "lurcher.logs"
local samplers = require "lurcher.samplers"
local ticker = require "lurcher.ticker"
local data = lurcher.data

local feature_cache = {}

--- One table of several; of fields with one name, the last wins.
local function merged(...)
  local all = {}
  for _, fields in ipairs{ ... } do
    for key, value in pairs(fields) do all[key] = value end
  end
  return all
end

--- Options of load from those that recipes have, cache (a folder, or "none"), cache_store and cache_limit (MB), and
-- from `more`.
function feature_cache.settings(o, more)
  return merged({ cache = o.cache ~= "none" and o.cache or nil, store = o.cache_store,
    limit = o.cache_limit and o.cache_limit * 1e6 }, more)
end

local function need(condition, message, ...)
  if not condition then error("feature_cache: " .. message:format(...), 4) end
end

--- The options of load, complete. Raises for those that do not go together.
local function checked(options)
  local o = merged(options)
  o.store, o.precision = o.store or "f32", o.precision or "f32"
  o.views, o.seed = o.views or 1, o.seed or lurcher.seed()
  need(o.store == "f32" or o.store == "f16", "store is '%s' ('f32' or 'f16' expected)", o.store)
  need(o.precision == "f32" or o.precision == "int8", "precision is '%s' ('f32' or 'int8' expected)", o.precision)
  need(options.views or not o.augment, "augment needs views, the number of fixed views per image")
  need(options.views or not o.transform, "transform needs views, the number of fixed views per image")
  need(o.views == 1 or o.augment or o.transform, "views without augment or transform are all the same")
  need(not o.random, "images that are augmented from a shared generator (random) have no fixed views")
  if type(o.device) ~= "userdata" then o.device = lurcher.device(o.device) end
  return o
end

-- ---- the key of a cache file ----

--- What decides how an image becomes network input, with data.loader's defaults.
local preprocessing = { size = false, channels = 3, resize = "bilinear", preprocess = "tf", exif = false,
  max_pixels = 0 }

local CALIBRATION = 64 -- images

--- The images of a set that int8 is calibrated on: evenly spaced, at most CALIBRATION.
function feature_cache.calibration(size)
  local list, count = {}, math.min(size, CALIBRATION)
  for i = 1, count do list[i] = (i - 1) * size // count + 1 end
  return list
end

--- A hash of the contents of the images that int8 is calibrated on.
local function calibration_hash(set)
  local contents = {}
  for i, image in ipairs(feature_cache.calibration(#set)) do
    local file <close> = io.open(set:path(image), "rb")
    contents[i] = lurcher.hash(file and file:read "a" or "")
  end
  return lurcher.hash(table.concat(contents))
end

--- A text of all that a row depends on besides its image: the backbone's definition and weights, the device that
-- computes it, and the preprocessing, augmented views included. Names of layers are left out: those that were given
-- by counting differ when the same model is made again.
local function key_of(split, o)
  local definition, parts = lurcher.json.decode(split.backbone:json()), {}
  local layers = split.backbone.layers
  for _, output in ipairs(definition.outputs) do output.name = nil end
  for i, layer in ipairs(definition.layers) do
    for name, weight in pairs(layers[i]:weights()) do
      parts[#parts + 1] = ("%d/%s %s"):format(i, name, lurcher.hash(weight))
    end
    layer.name, layer.trainable = nil, nil
  end
  table.sort(parts)
  local how = { views = o.views, store = o.store, device = o.device.name:match "^%a+" }
  for name, default in pairs(preprocessing) do how[name] = o[name] == nil and default or o[name] end
  if o.precision ~= "f32" then how.precision, how.calibration = o.precision, calibration_hash(o[1]) end
  if o.augment then how.augment, how.seed = tostring(o.augment), o.seed end
  if o.transform then how.transform, how.seed = data.transform_hash(o.transform), o.seed end
  parts[#parts + 1] = lurcher.json.encode(how)
  parts[#parts + 1] = lurcher.json.encode(definition)
  return table.concat(parts, "\n")
end

--- "train-10x10x1024-0123456789abcdef.features": the folder of the set and the shape of a row, for people to read, and
-- a hash of the key and of the images' paths. Their contents are not in it: an image that changes costs a row, and
-- leaves no second file.
local function file_name(split, set, key)
  local paths = { key }
  for i = 1, #set do paths[i + 1] = files.absolute(set:path(i)) end
  local folder = paths[2]:sub(1, #paths[2] - #set:name(1)):match "([^/]+)/*$" or "set"
  return ("%s-%s-%s.features"):format(folder:gsub("[^%w_.-]", "_"), table.concat(split.shape, "x"),
    lurcher.hash(table.concat(paths, "\n")):sub(1, 16))
end

-- ---- the two stores ----

local memory = {}
memory.__index = memory

--- A store in memory, filled from its first row on.
local function new_memory(split, o)
  local rows = #o[1] * o.views
  local features = lurcher.zeros{ rows, dtype = o.store, table.unpack(split.shape) }
  return setmetatable({ features = features, filled = 0, bytes = features.bytes,
    images = lurcher.zeros{ rows, dtype = "i32" } }, memory)
end

function memory:missing(first, last)
  local list = {}
  for row = math.max(first, self.filled + 1), last do list[#list + 1] = row end
  return list
end

--- The rows are those that missing lists first.
function memory:put(rows, index, y)
  self.features:rows(rows[1], #rows):copy(y:cast(self.features.dtype))
  self.images:rows(rows[1], #rows):copy(index)
  self.filled = rows[#rows]
  return true
end

function memory:select(rows)
  local selected = self.features:select(rows)
  return selected.dtype == "f32" and selected or selected:cast "f32"
end

function memory:index() return self.images end
function memory.finish(_) return true end

--- The data.cache of the features, in the cache folder, open; while another process computes it, this waits. Or nil,
-- and why there can be none.
local function open_cache(job)
  local split, o, key = job.split, job.o, key_of(job.split, job.o)
  local path = o.cache .. "/" .. file_name(split, o[1], key)
  if o.existing and not lfs.attributes(path) then return nil, ("there is no '%s'"):format(path) end
  local made, trouble = files.make_folders(o.cache)
  if not made then return nil, trouble end
  local cache = data.cache{ path = path, key = key, set = o[1], shape = split.shape, store = o.store, views = o.views,
    label = split.layer }
  local state, message = cache:open()
  if state == "busy" then
    job.say(("waiting for another process that computes '%s'"):format(path))
    state, message = cache:open(math.huge)
  end
  if not state then
    cache:close()
    return nil, message
  end
  if o.existing and #cache:missing(1, #o[1] * o.views) > 0 then
    local is_begun = state ~= "ready"
    cache:close()
    if is_begun then os.remove(path .. ".part") end
    return nil, ("'%s' lacks images"):format(path)
  end
  if cache.note ~= "" then job.say(("feature cache '%s' is not used as it is: %s"):format(path, cache.note)) end
  return cache
end

-- ---- computing ----

local own = { quiet = true, cache = true, store = true, views = true, memory = true, limit = true, batch = true,
  precision = true, existing = true, stream = true, left_out = true, named = true }

--- A loader of the listed images, in that order.
local function image_loader(o, list)
  local given, batch = {}, o.batch or 32
  for key, value in pairs(o) do if not own[key] then given[key] = value end end
  function given.sampler()
    local first = 1
    return function()
      if first > #list then return nil end
      local picks = table.move(list, first, math.min(first + batch - 1, #list), 1, {})
      first = first + batch
      return picks
    end
  end
  return data.loader(given)
end

local LARGEST_F16 <const> = 65504

--- Raises where a number would become infinite as f16.
local function check_range(y, layer)
  if not (y:abs():max() <= LARGEST_F16) then
    error(("an output of '%s' is larger than f16 can hold, or is not a number: store features as f32 (--cache-store "
      .. "f32)"):format(layer), 0)
  end
end

--- Computes the rows of one view that a store lacks. Returns true, or nil and why the store cannot take them.
local function compute_view(job, run, store, view)
  local split, before = job.split, (view - 1) * #job.o[1]
  local rows, images, at = store:missing(before + 1, before + #job.o[1]), {}, 0
  if #rows == 0 then return true end
  for i, row in ipairs(rows) do images[i] = row - before end
  local loader <close> = image_loader(job.o, images)
  for batch in loader:epoch(view - 1) do
    if batch.target then error("feature_cache: mixup and cutmix have no fixed views", 0) end
    local y = run:predict{ [split.input] = batch.image }[split.backbone.outputs[1]]
    if job.o.store == "f16" then check_range(y, split.layer) end
    local ok, message = store:put(table.move(rows, at + 1, at + #y, 1, {}), batch.index, y)
    if not ok then return nil, message end
    at, job.done = at + #y, job.done + #y
    if job.tick then job.tick:count(job.done) end
    if lurcher.interrupted() then error("interrupted", 0) end
  end
  for _, line in ipairs(logs_of.damage(loader, job.named, job.o.left_out)) do job.say(line) end
  return true
end

local function calibrate(run, split, o)
  local loader <close> = image_loader(o, feature_cache.calibration(#o[1]))
  for batch in loader:epoch(0) do run:calibrate{ [split.input] = batch.image } end
end

local function report_computed(job, count, seconds)
  local split, o = job.split, job.o
  job.say(("computed '%s' once for %d images%s: %s in %s, %s"):format(split.layer, math.ceil(count / o.views),
    o.views > 1 and (" in %d views"):format(o.views) or "", logs_of.size(split:bytes(count, o.store)),
    logs_of.duration(seconds), ticker.rate(count, seconds)))
end

--- Computes every row that a store lacks. Returns true, or nil and why the store cannot take them.
local function fill(job, store)
  local split, o, started = job.split, job.o, lurcher.time()
  local total = #o[1] * o.views
  local count = #store:missing(1, total)
  if count == 0 then return true end
  local run <close> = split.backbone:compile{ device = o.device, precision = o.precision }
  if o.precision == "int8" then calibrate(run, split, o) end
  job.done = 0
  job.tick = not o.quiet and ticker{ label = ("computing '%s' once"):format(split.layer), total = count,
    out = o.stream } or nil
  for view = 1, o.views do
    local ok, message = compute_view(job, run, store, view)
    if not ok then return nil, message end
  end
  local seconds = lurcher.time() - started
  report_computed(job, count, seconds)
  -- The time of a few rows is not representative of all.
  local is_representative = count > total / 2 or not store.seconds or store.seconds == 0
  return store:finish(is_representative and seconds * total / count or nil)
end

--- The cache file of the features, with every row; or nil, and why there is none.
local function filled_cache(job)
  local split, o = job.split, job.o
  local bytes = split:bytes(#o[1] * o.views, o.store)
  if bytes > (o.limit or math.huge) then
    return nil, ("their file would take %s, above the limit of %s"):format(logs_of.size(bytes),
      logs_of.size(o.limit))
  end
  local cache, message = open_cache(job)
  if not cache then return nil, message end
  -- After an interrupt or an error, another process or the next run may continue the file.
  local open <close> = setmetatable({ cache }, { __close = function(held) if held[1] then held[1]:close() end end })
  local ok, trouble = fill(job, cache)
  if not ok then return nil, trouble end
  open[1] = nil
  local saved = cache.seconds / o.views
  job.say(("layer '%s' of %d images from cache %s: %s, saves %s per epoch"):format(split.layer, #o[1], cache.path,
    logs_of.size(cache.bytes), saved < 1 and "less than 1 s" or "about " .. logs_of.duration(saved)))
  return cache
end

--- The features in memory; or nil, and why not. why: why they are not in a file.
local function filled_memory(job, why)
  local split, o = job.split, job.o
  local bytes = split:bytes(#o[1] * o.views, o.store)
  if bytes > (o.memory or math.huge) then
    return nil, why or ("they would take %s in memory, above the limit of %s"):format(logs_of.size(bytes),
      logs_of.size(o.memory))
  end
  if why then job.say(("no feature cache: %s; the features stay in memory"):format(why)) end
  local store = new_memory(split, o)
  assert(fill(job, store))
  return store
end

-- ---- features of a set ----

local features = {}
features.__index = features

--- Classes of a view's rows, and the images that really are in them. Images that could not be read are named, unless
-- they were before.
local function classes_of(job, store, view)
  local set = job.o[1]
  local index = store:index():rows((view - 1) * #set + 1, #set)
  for i, image in ipairs(index:totable()) do
    local path = set:path(i)
    if image ~= i - 1 and not job.named[path] then
      job.named[path] = true
      job.say(("  could not be read, %s: %s"):format(logs_of.unread(job.o.left_out), path))
    end
  end
  local class = { dtype = "i32" }
  for i = 1, #set do class[i] = (set:class(i) or 0) - 1 end
  return lurcher.tensor(class):select(index), index
end

--- The features of one backbone, as load gives them.
local function load_one(split, o)
  local line = ticker{ label = "", out = o.stream }
  local function say(text) if not o.quiet then line:finish(text) end end
  local job = { split = split, o = o, named = o.named or {}, say = say }
  local store, why
  if o.cache and type(o.transform) == "function" then why = "a transform that is no file has no identity"
  elseif o.cache then store, why = filled_cache(job) end
  if not store then store, why = filled_memory(job, why) end
  if not store then return nil, why end
  local loaded = setmetatable({ name = split.name, store = store, size = #o[1], views = o.views, classes = {},
    indices = {}, others = {} }, features)
  for view = 1, o.views do loaded.classes[view], loaded.indices[view] = classes_of(job, store, view) end
  return loaded
end

--- The frozen features of every image of a set: from the cache, or computed now. split: of lurcher.frozen. Options:
-- those of data.loader for preprocessing (the set first, size, preprocess, seed, workers, ...), and
--   batch (32)      images per step. The last bits of a row may depend on it, as on the number of threads
--   device          where to compute
--   cache           folder of cache files (nil: in memory only). Where no file can be made, a line says why, and the
--                   features are computed into memory
--   existing        true: only a cache file that is there already, with every image; none is written
--   limit           largest size of a cache file, in bytes
--   memory          largest size in memory, in bytes, where there is no cache file; above it load returns nil and a
--                   message
--   precision ("f32")  "int8": faster, on the CPU, and nearly the same; calibrated on 64 images of the set, evenly
--                   spaced, or on all where there are fewer
--   store ("f32")   number type of the rows; "f16" takes half the space, in files and in memory
--   augment, views  k fixed views of each image: view v looks as the image does in epoch v - 1 of a data.loader with
--                   this augmentation and seed; epoch n of training uses view n % k + 1
--   transform, views  the same of data.loader's transform. A cache file belongs to the text of the transform's file and
--                   of the Lua files that it requires; a function's features are kept in memory only
--   quiet (false)   prints nothing
--   stream          file of the lines that are printed (io.stdout)
--   named           paths of images that need not be named again where they cannot be read, as a set; others are added
--   left_out        true: messages say that images that cannot be read are left out (which the caller must do)
-- An image that cannot be read has the features and the class of the image that the loader puts in its place. Where a
-- split has several backbones, each has a file of its own, which models of that backbone alone use, too. Returns an
-- object with size, views, select and loader.
function feature_cache.load(split, options)
  local o = checked(options)
  local loaded, why = load_one(split, o)
  for i, other in ipairs(loaded and split.others or {}) do
    loaded.others[i], why = load_one(other, o)
    if not loaded.others[i] then return nil, why end
  end
  return loaded, why
end

--- Features (f32), classes and images (both i32, from 0) of a list of images, in view 1 or the given one. The images
-- are those that really are there, as in a batch of data.loader.
function features:select(images, view)
  local rows = images
  view = view or 1
  if view > 1 then
    rows = {}
    for i, image in ipairs(images) do rows[i] = (view - 1) * self.size + image end
  end
  return self.store:select(rows), self.classes[view]:select(images), self.indices[view]:select(images)
end

--- A further field of a sampler's batch as a tensor, as data.loader makes it: whole numbers are positions counted from
-- 1 and become an i32 tensor from 0; numbers of which any has a fraction become f32.
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

--- The batch for fit of what a sampler drew: a list of images, or a table with the list `image` and more fields.
function features:batch(drawn, options, epoch, step)
  local batch = {}
  local images, view = drawn.image or drawn, epoch % self.views + 1
  batch.features, batch.class, batch.index = self:select(images, view)
  for _, other in ipairs(self.others) do batch[other.name] = other:select(images, view) end
  for name, list in pairs(drawn) do
    if type(name) == "string" and name ~= "image" then batch[name] = field_of(list) end
  end
  if options.change then options.change(batch, epoch, step) end
  if options.output then batch[options.output] = batch.class end
  for name, value in pairs(options.targets and options.targets(batch) or {}) do batch[name] = value end
  return batch
end

--- A loader for fit over the features: the batches that data.loader gives for the same sampler, or for the same batch,
-- shuffle and seed, with `features` (and `features_2`, of a second backbone) in place of the images. Options: sampler,
-- targets (both as in data.loader), change (function(batch, epoch, step) that alters a batch before it gets its
-- targets, step from 1), output (name of the model output whose targets are the classes), batch (64), shuffle (true),
-- seed (the one in force).
function features:loader(options)
  local next_epoch, seed = 0, options.seed or lurcher.seed()
  local sampler = options.sampler or samplers[options.shuffle == false and "sequential" or "shuffled"]{ self.size,
    batch = options.batch or 64, seed = seed }
  local count = type(sampler) == "table" and sampler.batches or nil
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

return feature_cache
