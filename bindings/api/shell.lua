---@meta
-- shell.lua - require "lurcher.shell"; see lurcher.lua for the conventions.

---Command lines that are printed for people to paste.
---@class lurcher.shell
local shell = {}
---A word as a shell reads it back: in quotes where it needs any. Control characters, which would not survive a paste,
---become the escapes of $'...'.
function shell.quoted(word) end
---A format whose arguments are words of a command line: shell.command("lurcher report %s", path).
function shell.command(format, ...) end
