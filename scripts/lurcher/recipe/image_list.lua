--- lurcher.recipe.image_list: which images a run is trained and validated on, kept in its folder (images.txt), so that
-- a resumed run is not trained on others unnoticed: what a class's number means is nowhere else.
-- A line per class, in order, and per image: `train` or `valid`, its name in that folder, size and a hash of its first
-- bytes; fields as of lurcher.fields. Images may come and go between two parts of a run; one that has another class now
-- is refused, and so are other classes.

local lurcher = require "lurcher"
local fields, files = require "lurcher.fields", require "lurcher.files"

local image_list = {}

local parts <const> = { "train", "valid" }

--- Enough of a file's contents to recognise it: its size, and a hash of the first 4 KB.
local function print_of(path)
  local file <close> = io.open(path, "rb")
  local size = file and file:seek "end"
  if not size or size == 0 then return "-" end
  file:seek "set"
  return ("%d-%s"):format(size, lurcher.hash(file:read(4096) or ""):sub(1, 16))
end

--- The list of the images of sets.train and sets.valid: { text (of images.txt), classes, train = { [name] = { class =
-- name, print = } }, valid = the same }.
function image_list.of(sets)
  local list, lines = { classes = sets.train.classes, train = {}, valid = {} }, {}
  for i, class in ipairs(list.classes) do lines[i] = "class\t" .. fields.escaped(class) end
  for _, part in ipairs(parts) do
    local set = sets[part]
    for i = 1, #set do
      local name, entry = set:name(i), { class = set.classes[set:class(i)], print = print_of(set:path(i)) }
      list[part][name] = entry
      lines[#lines + 1] = ("%s\t%s\t%s"):format(part, fields.escaped(name), entry.print)
    end
  end
  list.text = table.concat(lines, "\n") .. "\n"
  return list
end

--- The list in a run folder; nil where there is none. Raises where it is damaged.
local function read(folder)
  local path = folder .. "/images.txt"
  local text = files.read(path)
  if not text then return nil end
  local list = { text = text, classes = {}, train = {}, valid = {} }
  for line in text:gmatch "[^\n]+" do
    local entry = fields.split(line)
    if entry[1] == "class" and entry[2] then list.classes[#list.classes + 1] = entry[2]
    elseif list[entry[1]] and entry[1] ~= "classes" and entry[1] ~= "text" and entry[3] then
      list[entry[1]][entry[2]] = { class = entry[2]:match "^[^/]*", print = entry[3] }
    else
      error(("'%s' is damaged: '%s' is not a line of it (remove the file to continue without its check)"):format(path,
        line), 0)
    end
  end
  return list
end

--- "'cat', 'dog' and 3 more"
local function some(names)
  local shown = {}
  for i = 1, math.min(3, #names) do shown[i] = ("'%s'"):format(names[i]) end
  return table.concat(shown, ", ") .. (#names > 3 and (" and %d more"):format(#names - 3) or "")
end

--- What of list `a` is not in list `b`.
local function without(a, b)
  local has, rest = {}, {}
  for _, name in ipairs(b) do has[name] = true end
  for _, name in ipairs(a) do if not has[name] then rest[#rest + 1] = name end end
  return rest
end

--- Raises unless the classes are those of the run, in their order. where: the run folder, or the checkpoint.
function image_list.check_classes(before, now, where)
  if table.concat(before, "/") == table.concat(now, "/") then return end
  local gone, new, changes = without(before, now), without(now, before), {}
  if #gone > 0 then changes[1] = "there is no class " .. some(gone) .. " any more" end
  if #new > 0 then changes[#changes + 1] = some(new) .. (#new > 1 and " are new" or " is new") end
  if #changes == 0 then changes[1] = "their order is another" end
  error(("the classes are not those that '%s' was trained on: %s (rename them back, or begin a new run)"):format(where,
    table.concat(changes, ", ")), 0)
end

--- The classes of a part's images by their contents, each { [class] = true }.
local function classes_by_print(images)
  local classes = {}
  for _, entry in pairs(images) do
    classes[entry.print] = classes[entry.print] or {}
    classes[entry.print][entry.class] = true
  end
  return classes
end

--- Raises where images have another class than before: moved, or the folders of two classes exchanged.
local function check_labels(before, now, where)
  local known, still = classes_by_print(before), classes_by_print(now)
  local names, example = {}, {}
  for name, entry in pairs(now) do
    local was = entry.print ~= "-" and known[entry.print]
    if was and not was[entry.class] then
      local class = next(was)
      if not still[entry.print][class] then names[#names + 1], example[name] = name, class end
    end
  end
  if #names == 0 then return end
  table.sort(names)
  error(("%d image%s not of the class that '%s' was trained with: '%s' was of class '%s' (move them back, or begin a "
    .. "new run)"):format(#names, #names == 1 and " is" or "s are", where, names[1], example[names[1]]), 0)
end

--- "2 added, 1 removed" of a part's images, or nil.
local function changes_of(before, now)
  local added, removed, changed, words = 0, 0, 0, {}
  for name, entry in pairs(now) do
    if not before[name] then added = added + 1
    elseif before[name].print ~= entry.print then changed = changed + 1 end
  end
  for name in pairs(before) do if not now[name] then removed = removed + 1 end end
  for _, count in ipairs{ { added, "added" }, { removed, "removed" }, { changed, "changed" } } do
    if count[1] > 0 then words[#words + 1] = ("%d %s"):format(count[1], count[2]) end
  end
  return #words > 0 and table.concat(words, ", ") or nil
end

--- The classes in the metadata of a run's model, of versions that kept no list; nil where there are none.
local function classes_of_model(folder)
  local tensors, metadata
  for _, name in ipairs{ "model.safetensors", "frozen/model.safetensors", "heads/model.safetensors" } do
    tensors, metadata = lurcher.load_tensors(folder .. "/" .. name)
    if tensors then break end
  end
  for _, text in pairs(tensors and metadata or {}) do
    local good, value = pcall(lurcher.json.decode, text)
    if good and type(value) == "table" and type(value.classes) == "table" then return value.classes end
  end
end

--- Raises where a run folder's images were of other classes than those of `list` (of image_list.of), and prints a line
-- about images that came or went.
function image_list.check(folder, list)
  local before = read(folder)
  if not before then
    local classes = classes_of_model(folder)
    if classes then image_list.check_classes(classes, list.classes, folder) end
    return
  end
  image_list.check_classes(before.classes, list.classes, folder)
  local lines = {}
  for _, part in ipairs(parts) do
    check_labels(before[part], list[part], folder)
    local changes = changes_of(before[part], list[part])
    if changes then lines[#lines + 1] = ("%s: %s"):format(part, changes) end
  end
  if #lines > 0 then
    print(("images that are not as they were in the run so far: %s"):format(table.concat(lines, "; ")))
  end
end

--- A callback of fit that keeps the classes and a hash of the list in every checkpoint, and raises where a checkpoint
-- has others.
function image_list.callback(sets)
  local classes, callback = sets.train.classes, { kind = "images" }
  function callback.save(_)
    return { classes = lurcher.json.array(classes), hash = sets.list and lurcher.hash(sets.list.text) or nil }
  end
  function callback.load(_, saved)
    if type(saved.classes) == "table" then image_list.check_classes(saved.classes, classes, "the checkpoint") end
  end
  return callback
end

return image_list
