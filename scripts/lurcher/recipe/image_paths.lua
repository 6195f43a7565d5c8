--- lurcher.recipe.image_paths: the images that a command line names: files, folders with everything below them, and
-- lists of these, a path per line, from files or standard input ("-").

local lfs = require "lfs"
local lurcher = require "lurcher"

local image_paths = {}

local is_image <const> = { jpg = true, jpeg = true, png = true }

--- Whether a name is hidden, or one that systems leave behind: as of data.folder.
local function is_hidden(name)
  local low = name:lower()
  return name:sub(1, 1) == "." or name:upper() == "__MACOSX" or low == "@eadir" or low == "thumbs.db"
    or low == "desktop.ini"
end

--- Adds the images below a folder, sorted by name, folders among files. Other files are counted. above: the folders
-- that this one is in, by device and inode, so that a link back is not followed for ever.
local function add_folder(list, path, above)
  local info = lfs.attributes(path)
  local key = ("%d:%d"):format(info.dev, info.ino)
  if above[key] then return end
  above[key] = true
  local names = {}
  for name in lfs.dir(path) do if not is_hidden(name) then names[#names + 1] = name end end
  table.sort(names)
  for _, name in ipairs(names) do
    local full = (path:gsub("/+$", "")) .. "/" .. name
    local mode = lfs.attributes(full, "mode")
    if mode == "directory" then add_folder(list, full, above)
    elseif is_image[(name:match "%.([^.]+)$" or ""):lower()] then list[#list + 1] = full
    else list.others = list.others + 1 end
  end
  above[key] = nil
end

local function add(list, path)
  if lfs.attributes(path, "mode") == "directory" then return add_folder(list, path, {}) end
  list[#list + 1] = path
end

--- Adds the paths in the lines of a file that is open.
local function add_lines(list, file)
  for line in file:lines() do
    line = line:gsub("\r$", "")
    if line ~= "" then add(list, line) end
  end
end

--- The paths of the images that `words` name, in order, each as it was given; and others, how many files of folders are
-- no images. lists: paths of files that hold more words, a line each. Raises where there is no image.
function image_paths.of(words, lists)
  local list = { others = 0 }
  for _, word in ipairs(words) do
    if word == "-" then add_lines(list, io.stdin) else add(list, word) end
  end
  for _, path in ipairs(lists or {}) do
    if path == "-" then
      add_lines(list, io.stdin)
    else
      local file <close>, message = io.open(path)
      if not file then error(("cannot read the list '%s'"):format(message), 0) end
      add_lines(list, file)
    end
  end
  if #list == 0 then
    error(list.others > 0 and "no image: only JPEG and PNG files are read" or "no image: a file, a folder, or - for a "
      .. "list on standard input is expected", 0)
  end
  return list
end

--- The dataset of such a list, without classes.
function image_paths.set(list)
  local entries = {}
  for i, path in ipairs(list) do entries[i] = { path } end
  local set, message = lurcher.data.list(entries)
  if not set then error(message, 0) end
  return set
end

return image_paths
