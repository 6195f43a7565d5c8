--- lurcher.recipe.class_folders: the images that a recipe trains and validates on, DIR/train/CLASS/* and
-- DIR/valid/CLASS/* (--data DIR). It opens them and warns of missing classes; `lurcher audit` finds damaged images.

local lfs = require "lfs"
local lurcher = require "lurcher"
local logs_of, preprocessing = require "lurcher.logs", require "lurcher.preprocessing"
local image_list = require "lurcher.recipe.image_list"
local data = lurcher.data

local class_folders = {}

--- The images of one of the two folders. Raises where it does not exist.
local function open(o, name, classes)
  local path = o.data .. "/" .. name
  if lfs.attributes(path, "mode") ~= "directory" then
    error(("--data %s: there is no folder '%s' (train/ and valid/ expected, each with one subfolder per class)")
      :format(o.data, path), 0)
  end
  local set, message = data.folder{ path, classes = classes, hidden = o.era == "2017" }
  if not set then error(message, 0) end
  local passed_over = logs_of.passed_over(set, path)
  if passed_over then print(passed_over) end
  return set
end

--- Warns of classes without images: they are not learnt, or not validated.
local function warn_of_missing(set, path)
  local missing = {}
  for i, count in ipairs(set.counts) do
    if count == 0 then missing[#missing + 1] = ("'%s'"):format(lurcher.visible(set.classes[i])) end
  end
  if #missing > 0 then
    print(("warning: no image of %s in '%s'"):format(#missing <= 5 and table.concat(missing, ", ")
      or ("%s and %d more classes"):format(table.concat(missing, ", ", 1, 4), #missing - 4), path))
  end
end

--- Warns where there is only one class to learn.
local function warn_of_one_class(set)
  local filled = {}
  for i, count in ipairs(set.counts) do if count > 0 then filled[#filled + 1] = set.classes[i] end end
  if #filled == 1 then
    print(("warning: all training images are of class '%s': there is nothing to tell apart"):format(filled[1]))
  end
end

--- Raises where a set, that of o.data/name, has fewer images than a step takes (o.batch).
function class_folders.check_batch(o, set, name)
  if o.batch > #set then
    error(("--batch %d: more than the %d images of '%s/%s' (lower --batch)"):format(o.batch, #set, o.data, name), 0)
  end
end

--- Opens the images of o.data: { train, valid, preprocessing, list (of image_list) }. metadata: saved with the model,
-- where it has been trained before; else o.size, o.era and o.exif decide the preprocessing; o.exif, where it is not nil,
-- replaces the metadata's. Raises where a folder is missing, o.batch is more than the training images, or a resumed run
-- (o.resume) was trained on other classes.
function class_folders.open(o, metadata)
  if metadata and o.exif ~= nil then metadata.exif = o.exif end
  local train = open(o, "train", metadata and metadata.classes)
  local valid = open(o, "valid", train.classes)
  print(("%d training and %d validation images of %d classes"):format(#train, #valid, #train.classes))
  warn_of_missing(train, o.data .. "/train")
  warn_of_missing(valid, o.data .. "/valid")
  warn_of_one_class(train)
  class_folders.check_batch(o, train, "train")
  local sets = { train = train, valid = valid,
    preprocessing = metadata and preprocessing.saved(metadata) or preprocessing.new(o) }
  sets.list = image_list.of(sets)
  if o.resume then image_list.check(o.resume, sets.list) end
  return sets
end

return class_folders
