-- architectures.lua - checks that the plugin holds machine code of every .cu file for every given compute capability.
--
-- Usage: lurcher tests/cuda/architectures.lua PLUGIN CAPABILITY ...          such as 7.5 9.0
-- Reads the fat binaries that nvcc puts into the library, because cuobjdump is not always installed. A fat binary is a
-- header (magic, version, header size, size of the rest), then entries (kind 2: machine code, 1: PTX; header size,
-- size; the capability is at byte 28). Prints how many fat binaries hold each; ends with an error if one lacks a
-- capability.
local MAGIC <const> = "\x50\xED\x55\xBA"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

--- Capabilities of one fat binary: a set such as { ["machine 90"] = true, ["PTX 75"] = true }; nil if it is none.
local function entries(bytes, at)
  local version, head, size = string.unpack("<I2I2I8", bytes, at + 4)
  local stop, found = at + head + size, {}
  if version ~= 1 or head ~= 16 or size > #bytes or stop > #bytes + 1 then return nil end
  at = at + head
  while at + 32 <= stop do
    local kind, _, entry_head, entry_size = string.unpack("<I2I2I4I8", bytes, at)
    if kind ~= 1 and kind ~= 2 or entry_head < 32 or entry_size > stop - at then return nil end
    found[(kind == 2 and "machine %d" or "PTX %d"):format(string.unpack("<I4", bytes, at + 28))] = true
    at = at + entry_head + entry_size
  end
  return found
end

local bytes, binaries, count, at = read(arg[1]), 0, {}, 1
while true do
  at = bytes:find(MAGIC, at, true)
  if not at then break end
  local found = entries(bytes, at)
  binaries = binaries + (found and 1 or 0)
  for what in pairs(found or {}) do count[what] = (count[what] or 0) + 1 end
  at = at + 4
end

local names, lacking = {}, {}
for what in pairs(count) do names[#names + 1] = what end
table.sort(names)
for _, what in ipairs(names) do print(("%-12s in %d of %d files of kernels"):format(what, count[what], binaries)) end
for _, capability in ipairs{ table.unpack(arg, 2) } do
  local found = count["machine " .. capability:gsub("%.", "")] or 0
  if found < binaries or binaries == 0 then lacking[#lacking + 1] = capability end
end
if #lacking > 0 then error(("%s lacks machine code for %s"):format(arg[1], table.concat(lacking, ", ")), 0) end
