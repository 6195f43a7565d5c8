--- lurcher.files: reading files and making folders. Files are written by lurcher.write_file, whole or not at all.

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

--- The path from the root.
function files.absolute(path)
  return path:sub(1, 1) == "/" and path or lfs.currentdir() .. "/" .. path
end

return files
