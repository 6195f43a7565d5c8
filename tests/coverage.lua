--- coverage.lua - reads gcov's JSON (one text a line) and prints lines by folder; tests/coverage.sh calls it.
--     lurcher tests/coverage.lua ROOT LEAST < JSON
local json = require "lurcher".json
local root, least = arg[1] .. "/", tonumber(arg[2])

local ran = {} -- file -> line -> count
for text in io.lines() do
  local tree = text:sub(1, 1) == "{" and assert(json.decode(text)) or { files = {} }
  for _, file in ipairs(tree.files) do
    local name = file.file:sub(1, #root) == root and file.file:sub(#root + 1)
    if name and (name:find "^engine/" or name:find "^kernels/" or name:find "^bindings/") then
      local lines = ran[name] or {}
      for _, line in ipairs(file.lines) do
        lines[line.line_number] = (lines[line.line_number] or 0) + line.count
      end
      ran[name] = lines
    end
  end
end

local folders, low, all = {}, {}, { 0, 0 }
for name, lines in pairs(ran) do
  local hit, total = 0, 0
  for _, count in pairs(lines) do
    total = total + 1
    if count > 0 then hit = hit + 1 end
  end
  local folder = name:match "^(.*)/"
  local sum = folders[folder] or { 0, 0 }
  sum[1], sum[2] = sum[1] + hit, sum[2] + total
  all[1], all[2] = all[1] + hit, all[2] + total
  folders[folder] = sum
  if 100 * hit < least * total then low[#low + 1] = { name, hit, total } end
end
assert(all[2] > 0, "no line of the sources in gcov's output")

local function row(name, hit, total) print(("%-44s %6d of %6d lines  %5.1f %%"):format(name, hit, total, 100 * hit / total)) end
local names = {}
for folder in pairs(folders) do names[#names + 1] = folder end
table.sort(names)
for _, folder in ipairs(names) do row(folder, folders[folder][1], folders[folder][2]) end
row("all", all[1], all[2])
if #low > 0 then print(("\nfiles below %g %%:"):format(least)) end
table.sort(low, function(a, b) return a[1] < b[1] end)
for _, file in ipairs(low) do row(file[1], file[2], file[3]) end
