---@meta
-- files.lua - require "lurcher.files"; see lurcher.lua for the conventions.

---Reading files, making folders, and whether two paths are one file. Files are written by
---lurcher.write_file, whole or not at all.
---@class lurcher.files
local files = {}
---The contents of a file, or nil and a message.
function files.read(path) end
---The table in a JSON file; nil where there is no such file. Raises where it holds no JSON object or array.
function files.read_json(path) end
---Makes a folder and those above it. Returns true, or nil and a message.
function files.make_folders(path) end
---The path from the root, without ".", empty parts and a last "/". Parts ".." stay: with symbolic links only the file
---system knows what they are.
function files.absolute(path) end
---The path without "/" at its end.
function files.trimmed(path) end
---The folder that a file or folder is in: "runs/a" -> "runs", "a" -> ".", "a/.." -> "a/../..".
function files.parent(path) end
---Whether two paths are one file or folder, whatever links lead there; where one does not exist, whether the paths are
---equal.
function files.same(a, b) end
---Whether a path is a folder or is below it. The path need not exist.
function files.is_within(path, folder) end
---The names of a folder's subfolders, sorted, without hidden ones (see data.folder).
function files.folders(path) end
---Whether lurcher.write_file can write a file. Leaves it as it is. Returns true, or nil and why not.
function files.check_writable(path) end
---Whether a folder exists or can be made, and files in it. Leaves nothing behind. Returns true, or nil and why not.
function files.check_folder(path) end
