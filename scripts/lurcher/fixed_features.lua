--- lurcher.fixed_features: what the fixed part of a model (lurcher.prefix) says about every image of a set: found in
-- a cache folder, or computed once, and given in the batches of any sampler. Where rows stay is feature_store's.

local lurcher = require "lurcher"
local feature_store = require "lurcher.feature_store"
local logs_of = require "lurcher.logs"
local samplers = require "lurcher.samplers"
local ticker = require "lurcher.ticker"
local data = lurcher.data

local fixed_features = {}

--- Command-line options of recipes that train on fixed features, for options.join; a resumed run may change them.
fixed_features.options = {
  { "cache", "string", default = "runs/cache", value = "DIR",
    help = "folder that keeps the frozen part's outputs for later runs to find; none: nothing is kept" },
  { "cache-store", "choice", default = "f32", choices = { "f32", "f16" },
    help = "numbers it keeps: f16 takes half the room" },
  { "cache-limit", "integer", default = 20000, min = 0, value = "MB", help = "most that one of its files may take" },
}

--- What these options say, for load, with what `more` says.
function fixed_features.settings(o, more)
  local settings = { cache = o.cache ~= "none" and o.cache or nil, store = o.cache_store,
    limit = o.cache_limit and o.cache_limit * 1e6 }
  for key, value in pairs(more) do settings[key] = value end
  return settings
end

--- Fixed features of several sets, as these options and o.memory (MB) say. `sets`: a list of options for load; those
-- of `common` are for all of them. Returns a list, or nil where there is no room, which it says.
function fixed_features.load_sets(part, sets, common, o)
  local bytes, all = 0, {}
  for _, set in ipairs(sets) do
    for _, one in ipairs{ part, table.unpack(part.others) } do
      bytes = bytes + one:bytes(#set[1] * (set.views or 1), o.cache_store)
    end
  end
  for i, set in ipairs(sets) do
    local given = fixed_features.settings(o, { memory = bytes <= o.memory * 2 ^ 20 and bytes or 0 })
    for _, more in ipairs{ common, set } do for key, value in pairs(more) do given[key] = value end end
    local why
    all[i], why = part:load(given)
    if not all[i] then
      print(("the frozen part is computed in every epoch: %s"):format(why))
      return nil
    end
  end
  return all
end

--- What decides how an image is read, with data.loader's defaults.
local reading = { size = false, channels = 3, resize = "bilinear", preprocess = "tf", exif = false, max_pixels = 0 }

local CALIBRATION = 64 -- images

--- Numbers of so many images of a set, evenly spaced: those that int8 is calibrated on. At most CALIBRATION.
function fixed_features.calibration(size)
  local list, count = {}, math.min(size, CALIBRATION)
  for i = 1, count do list[i] = (i - 1) * size // count + 1 end
  return list
end

--- A hash of the contents of the images that int8 is calibrated on.
local function calibration_hash(set)
  local contents = {}
  for i, image in ipairs(fixed_features.calibration(#set)) do
    local file <close> = io.open(set:path(image), "rb")
    contents[i] = lurcher.hash(file and file:read "a" or "")
  end
  return lurcher.hash(table.concat(contents))
end

--- A text of all that a row depends on besides its image: the backbone's definition and weights, the device that
-- computes it, and how an image is read, augmented views included. Layers' names are left out: those that were given
-- by counting differ from one making of a model to the next.
local function key_of(part, o)
  local definition, parts = lurcher.json.decode(part.backbone:json()), {}
  for _, output in ipairs(definition.outputs) do output.name = nil end
  for i, layer in ipairs(definition.layers) do
    for name, weight in pairs(part.backbone.layers[i]:weights()) do
      parts[#parts + 1] = ("%d/%s %s"):format(i, name, lurcher.hash(weight))
    end
    layer.name, layer.trainable = nil, nil
  end
  table.sort(parts)
  local how = { views = o.views, store = o.store, device = o.device.name:match "^%a+" }
  for name, default in pairs(reading) do how[name] = o[name] == nil and default or o[name] end
  if o.precision ~= "f32" then how.precision, how.calibration = o.precision, calibration_hash(o[1]) end
  if o.augment then how.augment, how.seed = tostring(o.augment), o.seed end
  parts[#parts + 1] = lurcher.json.encode(how)
  parts[#parts + 1] = lurcher.json.encode(definition)
  return table.concat(parts, "\n")
end

local loaded = {}
loaded.__index = loaded

--- The options of load, complete. Raises for those that do not go together.
local function checked(options)
  local o = {}
  for key, value in pairs(options) do o[key] = value end
  o.store, o.seed = o.store or "f32", o.seed or lurcher.seed()
  if o.store ~= "f32" and o.store ~= "f16" then
    error(("fixed_features: store is '%s' ('f32' or 'f16' expected)"):format(o.store), 3)
  end
  o.precision = o.precision or "f32"
  if o.precision ~= "f32" and o.precision ~= "int8" then
    error(("fixed_features: precision is '%s' ('f32' or 'int8' expected)"):format(o.precision), 3)
  end
  if o.augment and not o.views then
    error("fixed_features: augment needs views, the number of fixed views of an image", 3)
  end
  if o.views and o.views > 1 and not o.augment then
    error("fixed_features: views without augment are all the same", 3)
  end
  if o.random then error("fixed_features: images that draw from a common generator have no fixed views", 3) end
  o.views = o.views or 1
  if type(o.device) ~= "userdata" then o.device = lurcher.device(o.device) end
  return o
end

local own = { quiet = true, cache = true, store = true, views = true, memory = true, limit = true, batch = true,
  precision = true, existing = true }

--- A loader of the listed images, in that order.
local function reader(o, list)
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

--- Computes the rows that a store lacks in one view. `work` has the run, the ticker if any, and what was done. Returns
-- true, or nil and why the store cannot take them.
local function fill_view(part, store, view, o, work)
  local list = store:missing(view)
  if #list == 0 then return true end
  local loader <close>, at = reader(o, list), 0
  for batch in loader:epoch(view - 1) do
    if batch.target then error("fixed_features: mixup and cutmix have no fixed views", 0) end
    local y = work.run:predict{ [part.input] = batch.image }[part.backbone.outputs[1]]
    local ok, message = store:put(view, table.move(list, at + 1, at + #y, 1, {}), batch.index, y)
    if not ok then return nil, message end
    at, work.done = at + #y, work.done + #y
    if work.tick then work.tick:count(work.done) end
    if lurcher.interrupted() then error("interrupted", 0) end
  end
  for _, line in ipairs(logs_of.damage(loader, work.named)) do work.say(line) end
  return true
end

local function calibrate(run, part, o)
  local loader <close> = reader(o, fixed_features.calibration(#o[1]))
  for batch in loader:epoch(0) do run:calibrate{ [part.input] = batch.image } end
end

--- Computes all that a store lacks, and says so. Returns true, or nil and why the store cannot take it.
local function fill(part, store, o, work)
  local started, total, missing = lurcher.time(), #o[1] * o.views, 0
  for view = 1, o.views do missing = missing + #store:missing(view) end
  if missing == 0 then return true end
  local run <close> = part.backbone:compile{ device = o.device, precision = o.precision }
  if o.precision == "int8" then calibrate(run, part, o) end
  work.run, work.done = run, 0
  work.tick = not o.quiet and ticker{ label = ("computing '%s' once"):format(part.layer), total = missing } or nil
  for view = 1, o.views do
    local ok, message = fill_view(part, store, view, o, work)
    if not ok then return nil, message end
  end
  local seconds = lurcher.time() - started
  work.say(("computed '%s' once for %d images%s: %s in %s, %s"):format(part.layer, math.ceil(missing / o.views),
    o.views > 1 and (" in %d views"):format(o.views) or "", logs_of.size(part:bytes(missing, o.store)),
    logs_of.duration(seconds), ticker.rate(missing, seconds)))
  -- A few rows do not tell the time of all.
  local telling = missing > total / 2 or not store.seconds or store.seconds == 0
  return store:finish(telling and seconds * total / missing or nil)
end

--- The file of the cache folder, filled; or nil, and why there is none.
local function filled_file(part, o, work)
  if not o.cache then return nil end
  local bytes = part:bytes(#o[1] * o.views, o.store)
  if bytes > (o.limit or math.huge) then
    return nil, ("the cache would take %s, above the limit of %s"):format(logs_of.size(bytes), logs_of.size(o.limit))
  end
  local store, message = feature_store.file{ folder = o.cache, key = key_of(part, o), set = o[1], shape = part.shape,
    store = o.store, views = o.views, existing = o.existing, label = part.layer,
    say = work.say }
  if not store then return nil, message end
  local left <close> = setmetatable({}, { __close = function(unless) if not unless.kept then store:close() end end })
  local ok, trouble = fill(part, store, o, work)
  if not ok then return nil, trouble end
  left.kept = true -- an interrupt or an error must leave the file to others, and to the next try
  local saved = store.seconds / o.views
  work.say(("layer '%s' of %d images from cache %s: %s, saves %s an epoch"):format(part.layer, #o[1], store.path,
    logs_of.size(store.bytes), saved < 1 and "less than 1 s" or "about " .. logs_of.duration(saved)))
  return store
end

--- Classes of a view's rows, and the images that are really in them; those that could not be read are named, unless
-- they were.
local function classes_of(set, store, view, work)
  local index = store:index(view)
  for i, image in ipairs(index:totable()) do
    local path = set:path(i)
    if image ~= i - 1 and not work.named[path] then
      work.named[path] = true
      work.say("  could not be read, another of its class stands in: " .. path)
    end
  end
  local class = { dtype = "i32" }
  for i = 1, #set do class[i] = (set:class(i) or 0) - 1 end
  return lurcher.tensor(class):select(index), index
end

--- What one backbone says about every image of a set, as load has it.
local function load_one(part, o)
  local line = ticker{ label = "" }
  local work = { named = {}, say = function(text) if not o.quiet then line:finish(text) end end }
  local store, why = filled_file(part, o, work)
  if not store then
    local bytes = part:bytes(#o[1] * o.views, o.store)
    if bytes > (o.memory or math.huge) then
      return nil, why or ("%s of features, above the limit of %s in memory"):format(logs_of.size(bytes),
        logs_of.size(o.memory))
    end
    if why then work.say(("no cache: %s; features stay in memory"):format(why)) end
    store = feature_store.memory{ size = #o[1], shape = part.shape, store = o.store, views = o.views }
    assert(fill(part, store, o, work))
  end
  local learn = setmetatable({ name = part.name, store = store, size = #o[1], views = o.views, classes = {},
    indices = {}, others = {} }, loaded)
  for view = 1, o.views do learn.classes[view], learn.indices[view] = classes_of(o[1], store, view, work) end
  return learn
end

--- The backbone's output for every image of a set: from the cache, or computed now. Options: those of data.loader that
-- say how an image is read (the set first, size, preprocess, seed, workers, ...), and
--   batch (32)      images a step. The last bits of a row may depend on it, as on the number of threads
--   device          where to compute
--   cache           folder of cache files (nil: in memory only). A file that cannot be made is said, and done without
--   existing        true: only a cache file that is there already
--   limit           most bytes of one cache file
--   memory          most bytes in memory, where there is no cache file; above it load returns nil and a message
--   precision ("f32")  "int8" computes faster, on the CPU, and nearly the same: calibrated on 64 images of the set,
--                   evenly spaced, or on all where there are fewer
--   store ("f32")   "f16" takes half the room, in files and in memory
--   augment, views  k fixed views of each image: view v looks as images do in epoch v - 1 of data.loader with this
--                   augmentation and seed, and epoch n of training sees view n % k + 1
--   quiet (false)   says nothing
-- An image that cannot be read has the features and the class of the one that the loader puts in its place. Where the
-- part is of two backbones, each has a file of its own, which serves models of that backbone alone, too. Returns an object
-- with size, views, and loader.
function fixed_features.load(part, options)
  local o = checked(options)
  local learn, why = load_one(part, o)
  for i, other in ipairs(learn and part.others or {}) do
    learn.others[i], why = load_one(other, o)
    if not learn.others[i] then return nil, why end
  end
  return learn, why
end

--- Features (f32), classes and images (both i32, from 0) of a list of images, in view 1 or the given one. The
-- images are those that really are there, as in a batch of data.loader.
function loaded:select(images, view)
  view = view or 1
  return self.store:select(view, images), self.classes[view]:select(images), self.indices[view]:select(images)
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

--- What fit gets for a batch that a sampler drew: a list of images, or a table with the list `image` and more fields.
function loaded:batch(drawn, options, epoch, step)
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

--- A loader for fit over what was computed: the batches that data.loader gives for the same sampler, or for the same
-- batch, shuffle and seed, with `features` (and `features_2`, of a second backbone) in place of the images. Options:
-- sampler, targets (both as in data.loader), change (function(batch, epoch, step) that alters a batch before it gets its
-- targets, step from 1), output (name of the model output whose targets are the classes), batch (64), shuffle (true),
-- seed (the one in force).
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

return fixed_features
