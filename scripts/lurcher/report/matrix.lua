--- lurcher.report.matrix: the confusion matrix as a heat map, and the table of classes.

local format = require "lurcher".format
local html = require "lurcher.report.html"
local e = html.element

local matrix = {}

--- Side of a cell, and whether there is room for numbers.
local function cell_of(n)
  if n <= 12 then return 34, true end
  if n <= 30 then return 24, true end
  return math.max(7, 720 // n), false
end

local function short(name, most)
  if utf8.len(name) and utf8.len(name) > most then return name:sub(1, utf8.offset(name, most) - 1) .. "\u{2026}" end
  return name
end

--- A cell of at least one image, coloured by its share of the row.
local function cell(i, j, count, total, classes, side, numbers, margin)
  local share, x, y = count / total, margin + (j - 1) * side, margin + (i - 1) * side
  local title = ("%s taken for %s: %d of %d"):format(classes[i], classes[j], count, total)
  if i == j then title = ("%s: %d of %d right"):format(classes[i], count, total) end
  return e.g{
    e.title{ title },
    e.rect{ x = x, y = y, width = side - 1, height = side - 1, fill = i == j and "var(--accent)" or "var(--warm)",
      ["fill-opacity"] = format("%.2f", i == j and 0.12 + 0.6 * share or math.min(1, 0.25 + 1.5 * share)) },
    numbers and e.text{ x = x + (side - 1) / 2, y = y + side / 2 + 4, ["text-anchor"] = "middle",
      style = "fill:var(--ink)", count } }
end

--- The heat map of a confusion matrix (rows truth, columns prediction).
function matrix.heat_map(counts, classes)
  local side, numbers = cell_of(#classes)
  local longest = 0
  for _, name in ipairs(classes) do longest = math.max(longest, utf8.len(name) or #name) end
  local most = 24
  local margin = math.min(longest, most) * 6.2 + 12
  local size, parts = margin + side * #classes + 4, {}
  for i, name in ipairs(classes) do
    local at = margin + (i - 0.5) * side
    parts[#parts + 1] = e.text{ x = margin - 6, y = at + 4, ["text-anchor"] = "end", short(name, most) }
    parts[#parts + 1] = e.text{ transform = format("translate(%.1f %.1f) rotate(-90)", at + 4, margin - 6),
      short(name, most) }
    parts[#parts + 1] = e.rect{ x = margin, y = margin + (i - 1) * side, width = side * #classes - 1, height = side - 1,
      fill = "var(--line)", ["fill-opacity"] = 0.35 }
    local total = 0
    for _, count in ipairs(counts[i]) do total = total + count end
    for j, count in ipairs(counts[i]) do
      if count > 0 then parts[#parts + 1] = cell(i, j, count, total, classes, side, numbers, margin) end
    end
  end
  return e.div{ class = "card scroll", e.svg{ viewBox = format("0 0 %.0f %.0f", size, size),
    style = format("width:%.0fpx;max-width:none;margin:auto", size), role = "img", ["aria-label"] = "confusion matrix",
    parts } }
end

local function percent(share) return share and format("%.1f %%", 100 * share) or "\u{2013}" end

--- The table of classes, worst F1 first. rows: figures.of's classes.
function matrix.class_table(rows, classes)
  local sorted = table.move(rows, 1, #rows, 1, {})
  table.sort(sorted, function(a, b)
    local x, y = a.f1 or 2, b.f1 or 2
    if x ~= y then return x < y end
    return a.name < b.name
  end)
  local lines = {}
  for i, row in ipairs(sorted) do
    local bar = e.span{ class = (row.f1 or 1) < 0.9 and "bar low" or "bar",
      style = format("width:%.0fpx", 90 * (row.f1 or 0)) }
    lines[i] = e.tr{ e.td{ row.name }, e.td{ class = "n", row.count }, e.td{ class = "n", percent(row.precision) },
      e.td{ class = "n", percent(row.recall) },
      e.td{ style = "white-space:nowrap", e.span{ class = "track", bar }, percent(row.f1) },
      e.td{ row.taken and ("%s (%d)"):format(classes[row.taken], row.taken_count) or "" } }
  end
  return e.div{ class = "card scroll", e.table{
    e.tr{ e.th{ "class" }, e.th{ class = "n", "images" }, e.th{ class = "n", "precision" },
      e.th{ class = "n", "recall" }, e.th{ "F1" }, e.th{ "most taken for" } }, lines } }
end

return matrix
