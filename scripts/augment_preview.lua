--- augment_preview.lua - writes some images of a folder, augmented as for training, into one image

local lfs = require "lfs"
local lurcher = require "lurcher"
local files, options = require "lurcher.files", require "lurcher.recipe.options"
local data, image = lurcher.data, lurcher.image

--- One command-line option for each of data.augment's: --rotate 45, --hflip.
local function augment_options()
  local list = {}
  for _, info in ipairs(data.augment_options()) do
    local name = info.name:gsub("_", "-")
    if info.type == "boolean" then
      list[#list + 1] = { name, "flag", default = info.default == "true" or nil, help = info.help }
    elseif info.type == "choice" then
      list[#list + 1] = { name, "choice", choices = info.choices, default = info.default, help = info.help }
    elseif info.name ~= "mixup" and info.name ~= "cutmix" then
      list[#list + 1] = { name, "number", default = lurcher.number(info.default), help = info.help }
    end
  end
  return list
end

local spec = {
  name = "augment_preview",
  summary = "Writes one image of many: a row per image of the folder, first unchanged, then in augmented views.",
  { "data", "path", required = true, value = "DIR",
    help = "folder with one subfolder per class, folder with train/, or flat folder" },
  { "out", "file", default = "augment.png", help = "image file to write, .png or .jpg" },
  { "images", "integer", was = "pictures", default = 6, min = 1, max = 100, help = "number of images" },
  { "views", "integer", default = 7, min = 1, max = 50, help = "number of views per image" },
  { "size", "integer", default = 160, min = 8, max = 1024, help = "height and width of the network's input" },
  { "exif", "flag", default = true, help = "turn images as their EXIF orientation asks" },
  { "transform", "path", value = "FILE",
    help = "Lua file that returns function(image, random, info), as for training; without any option of the "
      .. "augmentation it is shown alone" },
  { "seed", "integer", default = 0, help = "seed of the choice of images and of their views" },
  notes = "Without --transform and any option of the augmentation (--rotate and those after it), that of the\n"
    .. "original is shown: --rotate 45 --shear 11.5 --zoom 0.2 --hflip.",
}
for _, option in ipairs(augment_options()) do spec[#spec + 1] = option end

local function open_set(path)
  if lfs.attributes(path .. "/train", "mode") == "directory" then path = path .. "/train" end
  if lfs.attributes(path, "mode") ~= "directory" then error(("'%s' is not a folder"):format(path), 0) end
  local set, message = (files.folders(path)[1] and data.folder or data.flat){ path }
  return set or error(message, 0)
end

--- The augmentation of the command line; the original's where it has none and no transform.
local function augment_of(values, given)
  local chosen, any = {}, false
  for _, info in ipairs(data.augment_options()) do
    if given[info.name] ~= nil then chosen[info.name], any = values[info.name], true end
  end
  if not any and values.transform then return nil end
  local flags = {}
  for name in pairs(chosen) do flags[name] = name:gsub("_", "-") end
  return options.called(data.augment, any and chosen or { rotate = 45, shear = 11.5, zoom = 0.2, hflip = true }, flags)
end

--- A batch of `views` views of each of the picked images.
local function load_rows(set, picks, views, o, augment, transform)
  local order = {}
  for _, pick in ipairs(picks) do
    for _ = 1, views do order[#order + 1] = pick end
  end
  local loader <close> = data.loader{ set, size = o.size, exif = o.exif, seed = o.seed, augment = augment,
    transform = transform,
    sampler = function() return coroutine.wrap(function() coroutine.yield(order) end) end }
  for batch in loader:epoch(0) do return batch end
end

options.main(spec, arg, function(o, given)
  local set, augment = open_set(o.data), augment_of(o, given)
  print(tostring(set))
  if augment then print(tostring(augment)) end
  local picks = table.move(data.random(o.seed):permutation(#set), 1, math.min(o.images, #set), 1, {})
  local plain, drawn = load_rows(set, picks, 1, o), load_rows(set, picks, o.views, o, augment, o.transform)
  local parts, labels = {}, {}
  for i in ipairs(picks) do
    parts[#parts + 1] = plain.image:rows(i, 1)
    parts[#parts + 1] = drawn.image:rows((i - 1) * o.views + 1, o.views)
    labels[#labels + 1] = set:name(plain.index:get(i) + 1)
    for view = 1, o.views do labels[#labels + 1] = ("view %d"):format(view) end
  end
  local img = image.montage(lurcher.concat(parts), { columns = o.views + 1, labels = labels })
  assert(image.save(o.out, img))
  print(("%s: %d images, each unchanged and in %d augmented views"):format(o.out, #picks, o.views))
end)
