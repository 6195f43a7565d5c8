---@meta
-- kept_path.lua - require "lurcher.kept_path"; see lurcher.lua for the conventions.

---The rule for every path that a file of a run folder has in it (settings.json, command.txt,
---pseudo_labels.txt, figures.json):
---  A path is absolute, unless what it names belongs to the run; then it is relative to the run folder. That is what
---  is below the folder, and for a stage in the folder of a run, that run: "..".
---So a run folder can be moved as a whole, and what is elsewhere is found from any folder. Earlier versions also wrote
---paths relative to the current folder: such a path is taken so where the run folder has nothing of that name.
---@class lurcher.kept_path
local kept_path = {}
---The text to keep of a path, in a file of the run folder `folder`.
function kept_path.of(path, folder) end
---The path of a text that was kept in a file of `folder`.
function kept_path.resolved(text, folder) end
