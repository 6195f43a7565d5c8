-- coverage.lua - checks that every kernel of kernels/cuda ran on the emulator, in every form.
--
-- Usage: lurcher tests/cuda_emulator/coverage.lua LAUNCHES SOURCE ...
-- LAUNCHES: the folder of the files that the op suite wrote because of EMULATED_CUDA_LAUNCHES. The kernels are the
-- functions `__global__ void NAME(` of the sources. The forms of a template are all values of its parameters: f32, f16
-- and bf16 for `class T`, 4 and 1 for `int V`. Matrix products and convolutions, which libraries compute, have the
-- forms f32, tf32, f16 and bf16. Prints a table; ends with an error that names the forms that never ran.
local lfs = require "lfs"

--- Forms that are never launched.
local unasked = {
  ["common.cu cast_kernel f32"] = "f32 weights of f32 activations are read as they are",
}

local function base(path) return path:match "[^/]*$" end

--- A table: "FILE KERNEL FORM" -> how often it ran.
local function launches(folder)
  local count = {}
  local function note(key, times) count[key] = (count[key] or 0) + times end
  for name in lfs.dir(folder) do
    for line in name:find "%.txt$" and io.lines(folder .. "/" .. name) or function() end do
      local times, file, text, where, types = line:match "^(%d+)\t([^\t]*)\t([^\t]*)\t([^\t]*)\t([^\t]*)$"
      local key = base(file) .. " " .. text:match "^%(?([%w_]+)"
      note(key, tonumber(times))
      local form = types:find "lur_bf16" and "bf16" or types:find "lur_f16" and "f16"
        or types:find "^%w+$" and types or "f32"
      note(key .. " " .. form, tonumber(times))
      local wide = text:find "[<,] ?V[,>]" and (where .. types):match "int V = (%d+)" or text:match "[<,] ?(%d)[,>]"
      if wide then note(("%s %s %s"):format(key, form, wide), tonumber(times)) end
    end
  end
  return count
end

--- Every form that must have run, as such keys.
local function wanted(sources)
  local list = {}
  local function want(...) list[#list + 1] = table.concat({ ... }, " ") end
  for _, path in ipairs(sources) do
    local template = ""
    for line in io.lines(path) do
      local kernel = line:match "__global__ void ([%w_]+)%("
      if kernel then
        local forms = template:find "class [TAB]%f[%W]" and { "f32", "f16", "bf16" } or { "" }
        local wide = template:find "int V%f[%W]" and { "4", "1" } or { "" }
        for _, form in ipairs(forms) do
          for _, v in ipairs(wide) do
            want((("%s %s %s %s"):format(base(path), kernel, form, v):gsub("%s+", " "):gsub("%s$", "")))
          end
        end
      end
      template = line:match "^template <.*" or ""
    end
  end
  for _, form in ipairs{ "f32", "tf32", "f16", "bf16" } do
    want("cublasLt matmul", form)
    for _, way in ipairs{ "forward", "backward_data", "backward_filter" } do want("cudnn " .. way, form) end
  end
  return list
end

local count, missing, kinds = launches(arg[1]), {}, 0
for _, key in ipairs(wanted{ table.unpack(arg, 2) }) do
  print(("%-56s %9s"):format(key, count[key] or unasked[key] or "never"))
  kinds = kinds + 1
  if not count[key] and not unasked[key] then missing[#missing + 1] = key end
end
print(("%d forms of kernels, %d never ran"):format(kinds, #missing))
if kinds < 100 then error("the sources contain too few kernels: are they the right ones?", 0) end
if #missing > 0 then error("never launched by the op suite: " .. table.concat(missing, ", "), 0) end
