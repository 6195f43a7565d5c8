--- Tests of lurcher.profile: the grouping, the sums, and that its page needs no other file.
local harness = require "harness"
local lurcher = require "lurcher"
local profile = require "lurcher.profile"
local xception = require "lurcher.models.xception"
local test, near, raises = harness.test, harness.near, harness.raises

--- A run that was profiled over two training steps.
local function measured()
  local model = xception{ size = 48, width = 0.125, middle = 1, classes = 3, input = "image" }
  local run = model:compile{ device = "cpu", loss = "categorical_crossentropy",
    optimizer = lurcher.optim.sgd{ lr = 0 } }
  local batch = { image = lurcher.uniform{ 2, 48, 48, 3 }, [model.outputs[1]] = lurcher.zeros{ 2, dtype = "i32" } }
  raises("nothing was measured", profile.rows, run)
  run:profile(true)
  for _ = 1, 2 do run:train(batch) end
  return run
end

local function names(node)
  local list = {}
  for i, part in ipairs(node) do list[i] = part.name end
  return list
end

test("profile: step, pass, block, layer, op; a node is the sum of its parts", function()
  local run = measured()
  local rows = profile.rows(run)
  local root, seconds, flops = profile.tree(rows), 0, 0
  for _, row in ipairs(run:profile()) do
    seconds, flops = seconds + row.seconds / row.calls, flops + row.flops
    assert(row.calls == 2)
  end
  near(root.seconds, seconds, 1e-9)
  near(root.flops, flops, 1)
  assert(table.concat(names(root), " ") == "forward backward")
  local blocks = table.concat(names(root[1]), " ")
  assert(blocks:find "^block1 block2 block3 block4 block5 block6 block7 ", blocks)
  assert(names(root[2])[#root[2]] == "block1" and root[2][1].name ~= "block1", "backward runs from the end")
  local function check(node)
    if node.kind == "op" then return assert(node.op and #node == 0) end
    local sums = { seconds = 0, flops = 0, bytes = 0 }
    for _, part in ipairs(node) do
      for what, sum in pairs(sums) do sums[what] = sum + part[what] end
      check(part)
    end
    for what, sum in pairs(sums) do near(sum, node[what], 1e-6 * node[what] + 1e-12) end
  end
  check(root)
end)

test("profile: layers named by counting belong to the block before them, or after them", function()
  local function row(layer, pass) return { layer = layer, op = "x", pass = pass, seconds = 1, flops = 0, bytes = 0 } end
  local root = profile.tree{ row("conv2d_1", "forward"), row("block1_conv", "forward"), row("add_7", "forward"),
    row("mixed0", "forward"), row("mixed0", "backward"), row("add_7", "backward"), row("conv2d_1", "backward") }
  assert(table.concat(names(root[1]), " ") == "block1 mixed0" and #root[1][1] == 3)
  assert(table.concat(names(root[2]), " ") == "mixed0 block1" and #root[2][2] == 2)
end)

test("profile: with the machine's peaks every row has its least possible time, by FLOPs or by bytes", function()
  local run = measured()
  assert(not profile.text(run):find "floor")
  local flops, bytes = 0, 0
  for _, row in ipairs(profile.rows(run)) do flops, bytes = flops + row.flops, bytes + row.bytes end
  local function whole(machine) return tonumber(profile.text(run, 1, machine):match "(%S+) +%S+ %% +all ") end
  local by_flops, by_bytes = whole{ gflops = 1e-3, gbytes = 1e9 }, whole{ gflops = 1e9, gbytes = 1e-3 }
  assert(math.abs(by_flops - flops / 1e6 * 1e3) < 1e-3 * by_flops + 1e-3, by_flops)
  assert(math.abs(by_bytes - bytes / 1e6 * 1e3) < 1e-3 * by_bytes + 1e-3, by_bytes)
end)

test("profile: the table has the slowest first and the whole last", function()
  local lines = {}
  for line in profile.text(measured(), 4):gmatch "[^\n]+" do lines[#lines + 1] = line end
  assert(#lines == 6 and lines[1]:find "GFLOP/s" and lines[6]:find "100%.0 %%.* one step$", lines[6])
  local last = math.huge
  for i = 2, 5 do
    local ms = tonumber(lines[i]:match "^ *([%d.]+)")
    assert(ms <= last)
    last = ms
  end
end)

test("profile: the page has every op and is self-contained", function()
  local path = harness.folder "profile" .. "/p.html"
  local run = measured()
  assert(profile.write(run, path, "a <title>"))
  local file <close> = assert(io.open(path))
  local page = file:read "a"
  assert(page:find("<h1>a &lt;title&gt;</h1>", 1, true) and not page:find "https?://")
  assert(select(2, page:gsub("<script", "")) == 1
    and page:find("<script>" .. require "lurcher.report.script".text .. "</script>", 1, true))
  assert(page:find('<table class="sort"><thead>', 1, true) and page:find 'data%-v="[%d.e-]+"')
  local _, bars = page:gsub('title="op ', "")
  assert(bars == 2 * #run:profile(), "in the whole, and in its block")
  assert(page:find('title="layer block7_sepconv2: ', 1, true) and page:find "GFLOP/s" and page:find "GB/s")
  assert(not profile.write(run, "/nowhere/p.html"))
end)

test("profile: the recipe, on a network and on a model of a run", function()
  local folder = harness.folder "profile_recipe"
  local small = "--size 48 --width 0.125 --middle 0 --batch 2 --steps 1"
  local output, code = harness.run(("cd '%s' && '%s' profile %s --mode train --top 3"):format(folder, harness.program,
    small))
  assert(code == 0 and output:find "one step" and output:find "images/s" and output:find "page: profile.html", output)
  local model <close> = xception{ size = 48, width = 0.125, middle = 0, classes = 3, input = "image" }
  local run <close> = model:compile{ device = "cpu" }
  assert(run:save(folder .. "/model.safetensors"))
  output, code = harness.run(("cd '%s' && '%s' profile --model . --batch 2 --html m.html"):format(folder,
    harness.program))
  assert(code == 0 and output:find "page: m.html", output)
  output, code = harness.run(("'%s' profile --model nowhere"):format(harness.program))
  assert(code == 1 and output:find "nowhere", output)
end)
