--- lurcher.folders: paths and folders, beyond what LuaFileSystem has.

local lfs = require "lfs"

local folders = {}

--- Makes a folder and those above it. Returns true, or nil and a message.
function folders.make(path)
  local done = path:sub(1, 1) == "/" and "/" or ""
  for part in path:gmatch "[^/]+" do
    done = done .. part
    local mode = lfs.attributes(done, "mode")
    if mode == nil then
      local ok, message = lfs.mkdir(done)
      mode = lfs.attributes(done, "mode")
      -- Another process may have made it in between, which is as good.
      if not ok and mode == nil then return nil, ("cannot make the folder '%s': %s"):format(done, message) end
    end
    if mode ~= "directory" then
      return nil, ("cannot make the folder '%s': there is a file of that name"):format(done)
    end
    done = done .. "/"
  end
  return true
end

--- The path from the root.
function folders.absolute(path)
  return path:sub(1, 1) == "/" and path or lfs.currentdir() .. "/" .. path
end

return folders
