---@meta
-- strict.lua - require "lurcher.strict"; see lurcher.lua for the conventions.

---Makes the use of an undeclared global an error.
---
---After `require "lurcher.strict"`, assigning to or reading a global that does not exist raises "variable 'x' is not
---declared". C code and `rawset(_G, ...)` may add globals. Returns the function that removes this check.
---
---    require "lurcher.strict"
---@class lurcher.strict
---@overload fun()
local strict = {}
