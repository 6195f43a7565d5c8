--- lurcher.profile: where the time of a run's steps goes, as a table and as a page.
--
--     run:profile(true)
--     for _ = 1, 5 do run:train(batch) end
--     print(profile.text(run))
--     assert(profile.write(run, "profile.html"))
--
-- The page shows nested bars whose width is time: pass, block, layer, op. A block is a sequence of layers whose names
-- have the same beginning ("block4_..."); layers with numbered names ("conv2d_4") belong to the block before them, or
-- after them where there is none. run:profile does the measurement.

local lurcher = require "lurcher"
local html = require "lurcher.report.html"
local e = html.element
local format = lurcher.format

local profile = {}

--- What run:profile measured, in execution order: forward, then backward from the last layer to the first. Rows are
-- { layer, op, pass, seconds, flops, bytes }, per step. Raises where nothing was measured.
function profile.rows(run)
  local forward, backward = {}, {}
  for _, row in ipairs(run:profile()) do
    local one = { layer = row.layer, op = row.op, pass = row.pass, seconds = row.seconds / row.calls, flops = row.flops,
      bytes = row.bytes }
    if row.pass == "forward" then forward[#forward + 1] = one else table.insert(backward, 1, one) end
  end
  if #forward == 0 then error("profile: nothing was measured: call run:profile(true), then run some steps", 2) end
  return table.move(backward, 1, #backward, #forward + 1, forward)
end

-- ---- the tree ----

--- "block4" of "block4_sepconv1_bn"; nil for numbered names ("conv2d_4", "add_3").
local function block_name(layer)
  local first, rest = layer:match "^([^_/]+)[_/](.+)$"
  if not first then return layer end
  return not rest:find "^%d+$" and first:find "%d$" and first or nil
end

local function add_up(node, row)
  for _, what in ipairs{ "seconds", "flops", "bytes" } do node[what] = (node[what] or 0) + row[what] end
end

--- The last child of the node if it has that name, else a new one.
local function child(node, name, kind)
  local last = node[#node]
  if last and last.name == name then return last end
  local made = { name = name, kind = kind }
  node[#node + 1] = made
  return made
end

--- The block of each layer, by the order of the forward pass.
local function blocks_of(rows)
  local names, layers = {}, {}
  for _, row in ipairs(rows) do
    if row.pass == "forward" then layers[#layers + 1] = row.layer end
  end
  local last
  for _, layer in ipairs(layers) do
    last = block_name(layer) or last
    names[layer] = last
  end
  for i = #layers, 1, -1 do
    local layer = layers[i]
    names[layer] = names[layer] or names[layers[i + 1]] or layer
  end
  return names
end

--- The rows as a tree of step > pass > block > layer > op. A node is a list of nodes with name, kind, seconds, flops
-- and bytes; an op's also has op.
function profile.tree(rows)
  local root, blocks = { name = "one step", kind = "step" }, blocks_of(rows)
  for _, row in ipairs(rows) do
    local pass = child(root, row.pass, "pass")
    local block = child(pass, blocks[row.layer] or row.layer, "block")
    local layer = child(block, row.layer, "layer")
    local op = { name = row.op, kind = "op", op = row.op }
    layer[#layer + 1] = op
    for _, node in ipairs{ root, pass, block, layer, op } do add_up(node, row) end
  end
  return root
end

-- ---- figures ----

local function rate(node) return node.seconds > 0 and node.flops / node.seconds * 1e-9 or 0 end
local function bandwidth(node) return node.seconds > 0 and node.bytes / node.seconds * 1e-9 or 0 end

local function figures(node, whole)
  local flops = node.flops > 0 and format("%.1f GFLOP/s (%.3f GFLOP), ", rate(node), node.flops * 1e-9) or ""
  return format("%.3f ms, %.1f %% of the step, %s%.1f MB moved at least, %.1f GB/s", 1e3 * node.seconds,
    100 * node.seconds / whole, flops, node.bytes / 1e6, bandwidth(node))
end

--- Adds the least possible time of each row: its multiply-adds at the machine's peak, or its bytes at the machine's
-- bandwidth; and of the whole, the sum of these.
local function add_floors(rows, whole, machine)
  whole.floor = 0
  for _, row in ipairs(rows) do
    row.floor = math.max(row.flops / (machine.gflops * 1e9), row.bytes / (machine.gbytes * 1e9))
    whole.floor = whole.floor + row.floor
  end
end

--- The columns of the table: title, format, rank, and the text of a node's cell. Those of the largest rank are left out
-- first where a terminal is too narrow. whole: of profile.tree.
local function columns_of(whole, machine)
  local columns = { { "ms", "%9s", 1, function(node) return format("%.3f", 1e3 * node.seconds) end },
    { "share", "%7s", 2, function(node) return format("%.1f %%", 100 * node.seconds / whole.seconds) end },
    { "GFLOP/s", "%9s", 5, function(node) return node.flops > 0 and format("%.1f", rate(node)) or "-" end },
    { "GB/s", "%7s", 6, function(node) return format("%.1f", bandwidth(node)) end } }
  if machine then
    columns[5] = { "floor ms", "%9s", 7, function(node) return format("%.3f", 1e3 * node.floor) end }
    columns[6] = { "reached", "%8s", 3, function(node) return format("%.1f %%", 100 * node.floor / node.seconds) end }
  end
  columns[#columns + 1] = { "pass", "%-9s", 4, function(node) return node.pass or "all" end }
  columns[#columns + 1] = { "op", "%-20s", 1, function(node) return node.op end }
  return columns
end

local function width_of(column) return lurcher.number(column[2]:match "%d+") + 1 end

--- The columns that leave room for names of layers in lines of `width` characters.
local function fitting(columns, width)
  local LAYER <const>, total = 24, 0
  for _, column in ipairs(columns) do total = total + width_of(column) end
  while total + LAYER > width do
    local worst
    for i, column in ipairs(columns) do
      if column[3] > 1 and (not worst or column[3] > columns[worst][3]) then worst = i end
    end
    if not worst then break end
    total = total - width_of(table.remove(columns, worst))
  end
  return columns, math.max(LAYER, width - total)
end

--- The slowest `count` (20) rows as a table, and the sum of all. With `machine`, { gflops = peak, gbytes = memory
-- bandwidth per second }, each row also has its least possible time, the larger of those of its FLOPs and of its bytes
-- (moved once), and what share of the measured time that is. width: characters per line (any number); where there are
-- fewer than the table needs, it has fewer columns.
function profile.text(run, count, machine, width)
  local rows = profile.rows(run)
  local whole = profile.tree(rows)
  if machine then add_floors(rows, whole, machine) end
  table.sort(rows, function(a, b) return a.seconds > b.seconds end)
  local columns, room = fitting(columns_of(whole, machine), width or math.huge)
  local lines = {}
  local function line(cell_of, layer)
    local cells = {}
    for i, column in ipairs(columns) do cells[i] = column[2]:format(cell_of(column)) end
    if #layer > room then layer = layer:sub(1, room - 3) .. "..." end
    lines[#lines + 1] = table.concat(cells, " ") .. " " .. layer
  end
  line(function(column) return column[1] end, "layer")
  for i = 1, math.min(count or 20, #rows) do
    line(function(column) return column[4](rows[i]) end, rows[i].layer)
  end
  whole.op = ("%d ops"):format(#rows)
  line(function(column) return column[4](whole) end, "one step")
  return table.concat(lines, "\n")
end

-- ---- the page ----

--- A colour of the page's palette for each op; others have 8.
local colours = { conv2d = 1, separable_conv2d = 1, depthwise_conv2d = 2, dense = 3, batchnorm = 4, pool = 5,
  global_pool = 5, activation = 6, softmax = 6, binary = 7, concat = 7, affine = 7 }

local style = [[
main{max-width:1600px}.flame{font-size:12px;line-height:18px;margin:10px 0 2px;touch-action:manipulation}
.flame [hidden]{display:none}.flame .above{opacity:.6}.flame+.readout{margin-bottom:10px}
.flame div{min-width:0;overflow:hidden}.flame .row{display:flex}
.flame .name{height:19px;padding:0 3px;margin:0 0 1px;white-space:nowrap;background:var(--card);
box-shadow:inset 0 0 0 .5px var(--line);cursor:default}
.flame .op{color:var(--paper);box-shadow:inset 0 0 0 .5px var(--paper)}.flame .name:hover{filter:brightness(.85)}
@media (pointer:coarse){.flame{font-size:13px;line-height:29px}.flame .name{height:30px}summary{padding:6px 0}}
.key i{height:10px}details{margin:6px 0}summary{cursor:pointer}
]]

local function bar(node, whole)
  local text = ("%s %s: %s"):format(node.kind, node.name, figures(node, whole))
  local class, colour = "name", false
  if node.op then class, colour = "name op", ("background:var(--c%d)"):format(colours[node.op] or 8) end
  return e.div{ class = class, style = colour, title = text, node.name }
end

local function flame(node, whole)
  local inner = {}
  for i, part in ipairs(node) do
    inner[i] = e.div{ style = format("flex:%.9g 0 0", 1e6 * part.seconds), flame(part, whole) }
  end
  return { bar(node, whole), #inner > 0 and e.div{ class = "row", inner } or false }
end

local function legend(rows)
  local seconds, names, keys = {}, {}, {}
  for _, row in ipairs(rows) do
    if not seconds[row.op] then names[#names + 1] = row.op end
    seconds[row.op] = (seconds[row.op] or 0) + row.seconds
  end
  table.sort(names, function(a, b) return seconds[a] > seconds[b] end)
  for i, name in ipairs(names) do
    keys[i] = e.span{ class = "key", e.i{ style = ("background:var(--c%d)"):format(colours[name] or 8) },
      format("%s %.1f ms", name, 1e3 * seconds[name]) }
  end
  return e.p{ keys }
end

--- Each block as wide as the page, the slowest first; all but the first are folded.
local function close_ups(root)
  local blocks, list = {}, {}
  for _, pass in ipairs(root) do
    for _, block in ipairs(pass) do blocks[#blocks + 1] = { pass = pass.name, node = block } end
  end
  table.sort(blocks, function(a, b) return a.node.seconds > b.node.seconds end)
  for i, block in ipairs(blocks) do
    list[i] = e.details{ open = i == 1 and "", e.summary{ ("%s, %s: %s"):format(block.node.name, block.pass,
      figures(block.node, root.seconds)) }, e.div{ class = "flame", flame(block.node, root.seconds) } }
  end
  return list
end

local function row_table(rows, whole)
  local sorted = table.move(rows, 1, #rows, 1, {})
  table.sort(sorted, function(a, b) return a.seconds > b.seconds end)
  local lines = {}
  local function number(form, value)
    return e.td{ class = "n", ["data-v"] = format("%.9g", value), format(form, value) }
  end
  for i, row in ipairs(sorted) do
    local computes = row.flops > 0
    lines[i] = e.tr{ number("%.3f", 1e3 * row.seconds), number("%.1f %%", 100 * row.seconds / whole),
      computes and number("%.1f", rate(row)) or e.td{}, computes and number("%.3f", row.flops * 1e-9) or e.td{},
      number("%.2f", row.bytes / 1e6), number("%.1f", bandwidth(row)), e.td{ row.pass }, e.td{ row.op },
      e.td{ row.layer } }
  end
  local head = e.thead{ e.tr{ e.th{ class = "n", "ms" }, e.th{ class = "n", "share" }, e.th{ class = "n", "GFLOP/s" },
    e.th{ class = "n", "GFLOP" }, e.th{ class = "n", "MB" }, e.th{ class = "n", "GB/s" }, e.th{ "pass" }, e.th{ "op" },
    e.th{ "layer" } } }
  return e.div{ class = "scroll", e.table{ class = "sort", head, e.tbody{ lines } } }
end

local function tile(value, what) return e.div{ class = "tile", e.b{ value }, e.span{ what } } end

--- The page of rows that profile.rows gives. title: what was measured.
function profile.page(rows, title)
  local root = profile.tree(rows)
  return html.page(title, { e.h1{ title }, e.p{ class = "soft", ("lurcher %s, %d threads, %s"):format(lurcher.version,
      lurcher.threads(), os.date "!%Y-%m-%d %H:%M UTC") },
    e.div{ class = "tiles", tile(format("%.1f ms", 1e3 * root.seconds), "in the ops of one step"),
      tile(format("%.1f GFLOP/s", rate(root)), format("achieved, %.2f GFLOP per step", root.flops * 1e-9)),
      tile(format("%.1f GB/s", bandwidth(root)), format("%.0f MB moved at least", root.bytes / 1e6)),
      tile(("%d"):format(#rows), "ops") },
    e.p{ class = "soft", "Width is time: step, pass, block, layer, op. Point at a bar for its figures; a click or ",
      "touch makes it as wide as the page, another on a bar above it goes back. Bytes are operands, weights and ",
      "outputs, once each." }, legend(rows),
    e.div{ class = "flame", flame(root, root.seconds) }, e.h2{ "Blocks" }, close_ups(root), e.h2{ "Ops" },
    row_table(rows, root.seconds) }, style)
end

--- Writes the page of what a run measured. Returns true, or nil and a message.
function profile.write(run, path, title)
  return lurcher.write_file(path, profile.page(profile.rows(run), title or "Time of a step by op"))
end

return profile
