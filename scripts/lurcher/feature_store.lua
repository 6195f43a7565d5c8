--- lurcher.feature_store: where features stay once they are computed, a row for each view of each image: in memory,
-- or in a file that the next run finds again (data.cache). It knows no model; fixed_features fills and reads it.
--
-- A store has bytes, and
--   missing(view)                       list of the images whose rows are not there
--   put(view, images, index, y)       their rows; index: the images that really are in them. true, or nil, message
--   finish(seconds)                     every row is there; true, or nil, message
--   select(view, images)              f32 tensor of their rows
--   index(view)                         i32 tensor: the image that really is in each row, from 0

local lfs = require "lfs"
local lurcher = require "lurcher"
local files = require "lurcher.files"
local data = lurcher.data

local feature_store = {}

local memory = {}
memory.__index = memory

--- In memory. Options: size (number of images), shape (of a row), store ("f32" or "f16"), views.
function feature_store.memory(o)
  local rows = o.size * o.views
  local features = lurcher.zeros{ rows, dtype = o.store, table.unpack(o.shape) }
  return setmetatable({ size = o.size, features = features, there = {}, bytes = features.bytes,
    images = lurcher.zeros{ rows, dtype = "i32" } }, memory)
end

function memory:missing(view)
  local list = {}
  for i = (self.there[view] or 0) + 1, self.size do list[#list + 1] = i end
  return list
end

--- The images are those that missing listed first.
function memory:put(view, images, index, y)
  local first = (view - 1) * self.size + images[1]
  self.features:rows(first, #images):copy(y:cast(self.features.dtype))
  self.images:rows(first, #images):copy(index)
  self.there[view] = images[#images]
  return true
end

function memory.finish(_) return true end

function memory:select(view, images)
  local rows = self.features:rows((view - 1) * self.size + 1, self.size):select(images)
  return rows.dtype == "f32" and rows or rows:cast "f32"
end

function memory:index(view) return self.images:rows((view - 1) * self.size + 1, self.size) end

local file = {}
file.__index = file

--- The path from the root.
local function absolute(path) return path:sub(1, 1) == "/" and path or lfs.currentdir() .. "/" .. path end

--- "train-10x10x1024-0123456789abcdef.features": the folder of the set and the shape of a row, for people to read, and
-- a hash of the key and of the images' places. Their contents are not in it: an image that changes costs a row, and
-- leaves no second file.
local function file_name(o)
  local places = { o.key }
  for i = 1, #o.set do places[i + 1] = absolute(o.set:path(i)) end
  local folder = places[2]:sub(1, #places[2] - #o.set:name(1)):match "([^/]+)/*$" or "set"
  return ("%s-%s-%s.features"):format(folder:gsub("[^%w_.-]", "_"), table.concat(o.shape, "x"),
    lurcher.hash(table.concat(places, "\n")):sub(1, 16))
end

--- In a file of the folder, made where it is missing. Options: set, shape, store and views as in memory, folder, key (a
-- text of all that a row depends on besides its image), label (what rows are, for people), say (a function that shows
-- a line), existing (true: a file that is there already, or none). Where another process computes the same, it is waited
-- for. Returns the store, or nil and why there can be none.
function feature_store.file(o)
  local path = o.folder .. "/" .. file_name(o)
  if o.existing and not lfs.attributes(path) then return nil, ("there is no '%s'"):format(path) end
  local made, trouble = files.make_folders(o.folder)
  if not made then return nil, trouble end
  local cache = data.cache{ path = path, key = o.key, set = o.set, shape = o.shape, store = o.store, views = o.views,
    label = o.label }
  local state, message = cache:open()
  if state == "busy" then
    o.say(("waiting for another process that computes '%s'"):format(path))
    state, message = cache:open(math.huge)
  end
  if not state then
    cache:close()
    return nil, message
  end
  if cache.note ~= "" then o.say(("cache '%s' is computed anew where it must: %s"):format(path, cache.note)) end
  return setmetatable({ size = #o.set, cache = cache, path = path, bytes = cache.bytes, seconds = cache.seconds }, file)
end

--- The numbers of the images' rows in that view.
function file:rows_of(view, images)
  if view == 1 then return images end
  local rows = {}
  for i, image in ipairs(images) do rows[i] = (view - 1) * self.size + image end
  return rows
end

function file:missing(view)
  local list, before = self.cache:missing((view - 1) * self.size + 1, view * self.size), (view - 1) * self.size
  for i, row in ipairs(list) do list[i] = row - before end
  return list
end

function file:put(view, images, index, y) return self.cache:put(self:rows_of(view, images), index, y) end

function file:finish(seconds)
  self.seconds = seconds or self.seconds
  return self.cache:finish(seconds)
end

function file:select(view, images) return self.cache:select(self:rows_of(view, images)) end
function file:index(view) return self.cache:index():rows((view - 1) * self.size + 1, self.size) end

function file:close() self.cache:close() end
function memory.close(_) end

return feature_store
