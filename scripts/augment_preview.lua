--- augment_preview.lua - shows what the network sees: some images of a folder, augmented, as one image

local lfs = require "lfs"
local lurcher = require "lurcher"
local options = require "lurcher.recipe.options"
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
      list[#list + 1] = { name, "number", default = tonumber(info.default), help = info.help }
    end
  end
  return list
end

local spec = {
  name = "augment_preview",
  summary = "Writes one image of augmented images: a row an image, first as it is, then drawn anew each time.",
  { "data", "path", required = true, value = "DIR", help = "class folders (or DIR/train), or a flat folder" },
  { "out", "file", default = "augment.png", help = "where the image goes: .png or .jpg" },
  { "images", "integer", default = 6, min = 1, max = 100, help = "images to show" },
  { "views", "integer", default = 7, min = 1, max = 50, help = "times each is drawn" },
  { "size", "integer", default = 160, min = 8, max = 1024, help = "side of what the network sees" },
  { "seed", "integer", default = 0, help = "which images and which draws" },
  notes = "With none of the options from --rotate on: --rotate 45 --shear 11.5 --zoom 0.2 --hflip, the founding\n"
    .. "recipes'.",
}
for _, option in ipairs(augment_options()) do spec[#spec + 1] = option end

local function open_set(path)
  if lfs.attributes(path .. "/train", "mode") == "directory" then path = path .. "/train" end
  if lfs.attributes(path, "mode") ~= "directory" then error(("'%s' is no folder"):format(path), 0) end
  for name in lfs.dir(path) do
    if name ~= "." and name ~= ".." and lfs.attributes(path .. "/" .. name, "mode") == "directory" then
      return assert(data.folder{ path })
    end
  end
  return assert(data.flat{ path })
end

--- The augmentation the command line asks for; the founding recipes' where it asks for nothing.
local function augment_of(values, given)
  local chosen, any = {}, false
  for _, info in ipairs(data.augment_options()) do
    if given[info.name] ~= nil then chosen[info.name], any = values[info.name], true end
  end
  return data.augment(any and chosen or { rotate = 45, shear = 11.5, zoom = 0.2, hflip = true })
end

--- The batch of one loader pass: `views` draws of each image, or one plain one.
local function load_rows(set, picks, views, o, augment)
  local order = {}
  for _, pick in ipairs(picks) do
    for _ = 1, views do order[#order + 1] = pick end
  end
  local loader <close> = data.loader{ set, size = o.size, seed = o.seed, augment = augment,
    sampler = function() return coroutine.wrap(function() coroutine.yield(order) end) end }
  for batch in loader:epoch(0) do return batch end
end

options.main(spec, arg, function(o, given)
  local set, augment = open_set(o.data), augment_of(o, given)
  print(tostring(set))
  print(tostring(augment))
  local picks = table.move(data.random(o.seed):permutation(#set), 1, math.min(o.images, #set), 1, {})
  local plain, drawn = load_rows(set, picks, 1, o), load_rows(set, picks, o.views, o, augment)
  local parts, labels = {}, {}
  for i in ipairs(picks) do
    parts[#parts + 1] = plain.image:rows(i, 1)
    parts[#parts + 1] = drawn.image:rows((i - 1) * o.views + 1, o.views)
    labels[#labels + 1] = set:name(plain.index:get(i) + 1)
    for view = 1, o.views do labels[#labels + 1] = ("view %d"):format(view) end
  end
  local img = image.montage(lurcher.concat(parts), { columns = o.views + 1, labels = labels })
  assert(image.save(o.out, img))
  print(("%s: %d images, each as it is and %d times augmented"):format(o.out, #picks, o.views))
end)
