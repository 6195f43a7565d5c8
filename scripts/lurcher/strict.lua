--- lurcher.strict: makes the use of an undeclared global an error.
--
-- After `require "lurcher.strict"`, assigning to or reading a global that does not exist raises "variable 'x' is not
-- declared". C code and `rawset(_G, ...)` may add globals. Returns the function that removes this check.

local mt = getmetatable(_G) or {}
local old_index, old_newindex = mt.__index, mt.__newindex

--- Whether the code that touches the global is C (a library being loaded) rather than a script.
local function from_c()
  local info = debug.getinfo(3, "S")
  return info ~= nil and info.what == "C"
end

function mt.__newindex(globals, name, value)
  if from_c() then
    rawset(globals, name, value)
  else
    error(("variable '%s' is not declared: write local"):format(tostring(name)), 2)
  end
end

function mt.__index(_, name)
  error(("variable '%s' is not declared"):format(tostring(name)), 2)
end

setmetatable(_G, mt)

return function()
  mt.__index, mt.__newindex = old_index, old_newindex
end
