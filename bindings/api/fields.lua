---@meta
-- fields.lua - require "lurcher.fields"; see lurcher.lua for the conventions.

---Texts as fields of files with one entry per line and tabs between fields. File and class names may
---have any byte but "/" and NUL in them, and a line feed in a name must not make a line.
---@class lurcher.fields
local fields = {}
---A text without control characters: those become \n, \r, \t or \xNN, and a backslash becomes two.
function fields.escaped(text) end
---The text that escaped made of it.
function fields.unescaped(text) end
---The fields of a line, as they were before escaped.
function fields.split(line) end
