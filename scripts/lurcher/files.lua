--- lurcher.files: reading files, making folders, and whether two paths are one file. Files are written by
-- lurcher.write_file, whole or not at all.

local lfs = require "lfs"
local lurcher = require "lurcher"

local files = {}

--- The contents of a file, or nil and a message.
function files.read(path)
  local file, message = io.open(path, "rb")
  if not file then return nil, message end
  local text, trouble = file:read "a"
  file:close()
  return text, trouble
end

--- The table in a JSON file; nil where there is no such file. Raises where it holds no JSON object or array.
function files.read_json(path)
  local text = files.read(path)
  if not text then return nil end
  local value, message = lurcher.json.decode(text)
  if type(value) ~= "table" then error(("'%s' is damaged%s"):format(path, message and ": " .. message or ""), 0) end
  return value
end

--- Makes a folder and those above it. Returns true, or nil and a message.
function files.make_folders(path)
  local done = path:sub(1, 1) == "/" and "/" or ""
  for part in path:gmatch "[^/]+" do
    done = done .. part
    local mode = lfs.attributes(done, "mode")
    if mode == nil then
      local ok, message = lfs.mkdir(done)
      mode = lfs.attributes(done, "mode")
      -- Another process may have made it in the meantime.
      if not ok and mode == nil then return nil, ("cannot make the folder '%s': %s"):format(done, message) end
    end
    if mode ~= "directory" then
      return nil, ("cannot make the folder '%s': a file has that name"):format(done)
    end
    done = done .. "/"
  end
  return true
end

-- ---- paths ----

--- The path from the root, without ".", empty parts and a last "/". Parts ".." stay: with symbolic links only the file
-- system knows what they are.
function files.absolute(path)
  local parts = {}
  if path:sub(1, 1) ~= "/" then path = lfs.currentdir() .. "/" .. path end
  for part in path:gmatch "[^/]+" do
    if part ~= "." then parts[#parts + 1] = part end
  end
  return "/" .. table.concat(parts, "/")
end

--- The path without "/" at its end.
function files.trimmed(path) return (path:gsub("(.)/+$", "%1")) end

--- The folder that a file or folder is in: "runs/a" -> "runs", "a" -> ".", "a/.." -> "a/../..".
function files.parent(path)
  path = files.trimmed(path)
  local last = path:match "[^/]*$"
  if path == "/" then return path end
  if path == "." then return ".." end
  if last == "." or last == ".." then return path .. "/.." end
  local folder = path:match "^(.*)/[^/]*$"
  return folder and (folder == "" and "/" or files.trimmed(folder)) or "."
end

local function same_entry(a, b) return a ~= nil and b ~= nil and a.dev == b.dev and a.ino == b.ino end

--- Whether two paths are one file or folder, whatever links lead there; where one does not exist, whether the paths are
-- equal.
function files.same(a, b)
  local of_a, of_b = lfs.attributes(a), lfs.attributes(b)
  if of_a or of_b then return same_entry(of_a, of_b) end
  return files.absolute(a) == files.absolute(b)
end

--- Whether a path is a folder or is below it. The path need not exist.
function files.is_within(path, folder)
  local wanted, at = lfs.attributes(folder), lfs.attributes(path)
  while path ~= "/" and not (at and at.mode == "directory") do
    path = files.parent(path)
    at = lfs.attributes(path)
  end
  while wanted and at do
    if same_entry(at, wanted) then return true end
    path = path .. "/.."
    local above = lfs.attributes(path)
    if same_entry(above, at) then return false end -- the root
    at = above
  end
  return false
end

--- The names of a folder's subfolders, sorted, without hidden ones (see data.folder).
function files.folders(path)
  local names = {}
  for name in lfs.dir(path) do
    local is_hidden = name:sub(1, 1) == "." or name:upper() == "__MACOSX" or name:lower() == "@eadir"
    if not is_hidden and lfs.attributes(path .. "/" .. name, "mode") == "directory" then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- ---- whether files can be written ----

--- Whether a file can be made in a folder. Returns true, or nil and why not.
local function check_folder(folder)
  local probe = ("%s/.lurcher-%d-%x"):format(folder, os.time(), math.random(0, 0xffffff))
  local ok, message = lurcher.write_file(probe, "")
  os.remove(probe)
  return ok, message and message:gsub("/%.lurcher%-%d+%-%x+", "")
end

--- Whether lurcher.write_file can write a file. Leaves it as it is. Returns true, or nil and why not.
function files.check_writable(path)
  local mode = lfs.attributes(path, "mode")
  if mode and mode ~= "file" then return nil, ("'%s' is a %s"):format(path, mode) end
  if mode then return check_folder(files.parent(path)) end
  local ok, message = lurcher.write_file(path, "")
  if ok then os.remove(path) end
  return ok, message
end

--- Whether a folder exists or can be made, and files in it. Leaves nothing behind. Returns true, or nil and why not.
function files.check_folder(path)
  local missing = {}
  local at = files.trimmed(path)
  while not lfs.attributes(at) and at ~= "/" and at ~= "." do
    table.insert(missing, 1, at)
    at = files.parent(at)
  end
  local ok, message = files.make_folders(path)
  if ok then ok, message = check_folder(path) end
  for i = #missing, 1, -1 do lfs.rmdir(missing[i]) end
  return ok, message
end

return files
