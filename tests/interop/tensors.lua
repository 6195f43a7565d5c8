--- Evaluates the cases that tensors.py wrote to a folder, and compares with the expected outputs.
local lurcher = require "lurcher"

local folder = assert(arg[1], "the folder of tensors.py expected")
local cases = assert(loadfile(folder .. "/cases.lua"))()
local arrays = assert(lurcher.load_tensors(folder .. "/cases.safetensors"))

--- Why got is not want; nil where it is.
local function difference(got, want, tolerance)
  if type(got) == "boolean" then got = got and 1 or 0 end
  if type(got) == "number" then got = lurcher.tensor{ got, dtype = want.dtype }:view{} end
  local shapes = table.concat(got.shape, "x") .. " for " .. table.concat(want.shape, "x")
  if table.concat(got.shape, "x") ~= table.concat(want.shape, "x") then return "shape " .. shapes end
  if got.dtype ~= want.dtype then return ("dtype %s for %s"):format(got.dtype, want.dtype) end
  if not got:allclose(want, { rtol = tolerance, atol = tolerance, equal_nan = true }) then
    return ("values\n%s\nexpected\n%s"):format(got, want)
  end
end

local function check(index, case)
  local name, expression, inputs, outputs, tolerance = table.unpack(case)
  local given = {}
  for i = 1, inputs do given[i] = arrays[("%d/in/%d"):format(index, i)] end
  local run = assert(load("local lurcher, a, b, c = ... return " .. expression))
  local results = table.pack(pcall(run, lurcher, table.unpack(given, 1, inputs)))
  local why = not results[1] and results[2] or results.n - 1 ~= outputs and results.n - 1 .. " results"
  for i = 1, why and 0 or outputs do
    why = why or difference(results[i + 1], arrays[("%d/out/%d"):format(index, i)], tolerance)
  end
  if not why then return true end
  print(("%s: %s: %s"):format(name, expression, why))
  for i = 1, inputs do print(given[i]) end
  return false
end

local failed, by_name = 0, {}
for index, case in ipairs(cases) do
  if not check(index, case) then
    failed = failed + 1
    by_name[case[1]] = (by_name[case[1]] or 0) + 1
  end
end
for name, n in pairs(by_name) do print(name, n) end
print(("%d of %d cases differ"):format(failed, #cases))
os.exit(failed == 0)
