--- lurcher.kept_path: the rule for every path that a file of a run folder has in it (settings.json, command.txt,
-- pseudo_labels.txt, figures.json):
--   A path is absolute, unless what it names belongs to the run; then it is relative to the run folder. That is what
--   is below the folder, and for a stage in the folder of a run, that run: "..".
-- So a run folder can be moved as a whole, and what is elsewhere is found from any folder. Earlier versions also wrote
-- paths relative to the current folder: such a path is taken so where the run folder has nothing of that name.

local lfs = require "lfs"
local files = require "lurcher.files"

local kept_path = {}

--- The text to keep of a path, in a file of the run folder `folder`.
function kept_path.of(path, folder)
  local above = files.parent(folder)
  if lfs.attributes(above .. "/settings.json") and files.same(path, above) then return ".." end
  local from, home = files.absolute(path), files.absolute(folder) .. "/"
  return from:sub(1, #home) == home and from:sub(#home + 1) or from
end

--- The path of a text that was kept in a file of `folder`.
function kept_path.resolved(text, folder)
  if text:sub(1, 1) == "/" then return text end
  local path = text == ".." and files.parent(folder) or folder .. "/" .. text
  return lfs.attributes(path) and path or text
end

return kept_path
