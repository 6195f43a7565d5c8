---@meta
-- suggest.lua - require "lurcher.suggest"; see lurcher.lua for the conventions.

---"Did you mean" at the end of an error message, and options that are not known.
---@class lurcher.suggest
local suggest = {}
---The text " (did you mean 'batch'?)" to end a message with, or "" if no candidate is near (lurcher.nearest). mark:
---put before
---the word ("--").
function suggest.hint(word, candidates, mark) end
---Raises for a key of `given` that is neither in the list part nor one of `known` (a list of names). owner: what takes
---the options, "on.progress". level: as of error, of the caller.
function suggest.check(given, known, owner, level) end
---A module whose fields that do not exist raise, at the line that reads them. what: "callback".
function suggest.guard(module, name, what) end
