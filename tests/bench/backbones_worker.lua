--- backbones_worker.lua NAME BATCH - Lurcher's process of tests/bench/backbones.py: predicts with a network of
-- lurcher.models, once for every line of its standard input, and prints the seconds. With `profile` as a third word,
-- prints where the time goes instead.
local lurcher = require "lurcher"

local name, batch = arg[1], math.tointeger(lurcher.number(arg[2]))
local model = require("lurcher.models." .. name){}
local size = model:node(model.inputs[1]).shape
local x = { [model.inputs[1]] = lurcher.uniform{ batch, size[1], size[2], size[3], low = -1, high = 1 } }
local run = model:compile{ device = "cpu" }
run:predict(x)

local STEPS <const> = 20

--- Seconds are of all steps; floating-point operations and bytes of one.
local function profile()
  run:profile(true)
  for _ = 1, STEPS do run:predict(x) end
  local rows, kinds, total = run:profile(), {}, 0
  for _, row in ipairs(rows) do
    local kind = kinds[row.op] or { op = row.op, seconds = 0, flops = 0, bytes = 0, calls = 0 }
    kinds[row.op], total = kind, total + row.seconds
    for _, field in ipairs{ "seconds", "flops", "bytes", "calls" } do kind[field] = kind[field] + row[field] end
  end
  local list = {}
  for _, kind in pairs(kinds) do list[#list + 1] = kind end
  table.sort(list, function(a, b) return a.seconds > b.seconds end)
  for _, kind in ipairs(list) do
    print(lurcher.format("%-18s %5.1f %%  %8.3f ms  %6.1f GFLOP/s  %6.1f GB/s  %d ops", kind.op,
      100 * kind.seconds / total, kind.seconds / STEPS * 1e3, STEPS * kind.flops / kind.seconds / 1e9,
      STEPS * kind.bytes / kind.seconds / 1e9, kind.calls // STEPS))
  end
  print(lurcher.format("all                         %8.3f ms", total / STEPS * 1e3))
  table.sort(rows, function(a, b) return a.seconds > b.seconds end)
  for i = 1, math.min(12, #rows) do
    local row = rows[i]
    print(lurcher.format("  %-44s %-18s %7.3f ms  %6.1f GFLOP/s  %6.1f GB/s", row.layer, row.op,
      row.seconds / STEPS * 1e3, STEPS * row.flops / row.seconds / 1e9, STEPS * row.bytes / row.seconds / 1e9))
  end
end

if arg[3] == "profile" then
  profile()
  os.exit(true, true)
end

io.stdout:setvbuf "line"
print "ready"
for _ in io.lines() do
  local start = lurcher.time()
  run:predict(x)
  print(lurcher.format("%.6f", lurcher.time() - start))
end
