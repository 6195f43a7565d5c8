--- lurcher.report.matrix: the confusion matrix as a heat map, and the table of classes.

local format = require "lurcher".format
local html = require "lurcher.report.html"
local e = html.element

local matrix = {}

local letter <const> = 6.6 -- width of a letter of a label

--- Side of a cell in the drawing's units, and whether there is room for numbers.
local function cell_of(n)
  if n <= 12 then return 36, true end
  if n <= 40 then return 22, true end
  return math.max(4, 800 // n), false
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
    e.rect{ x = format("%.1f", x), y = format("%.1f", y), width = side - 1, height = side - 1,
      fill = i == j and "var(--accent)" or "var(--warm)",
      ["fill-opacity"] = format("%.2f", i == j and 0.12 + 0.6 * share or math.min(1, 0.25 + 1.5 * share)) },
    numbers and e.text{ x = format("%.1f", x + (side - 1) / 2), y = format("%.1f", y + side / 2 + 4),
      ["text-anchor"] = "middle", style = "fill:var(--ink)", count } }
end

--- The names along both axes; of many classes every k-th, so that they do not overlap.
local function names_of(classes, side, margin, most)
  local parts, every = {}, math.ceil(13 / side)
  for i = 1, #classes, every do
    local name, place = short(classes[i], most), margin + (i - 0.5) * side
    parts[#parts + 1] = e.text{ x = format("%.1f", margin - 6), y = format("%.1f", place + 4), ["text-anchor"] = "end",
      name }
    parts[#parts + 1] = e.text{ transform = format("translate(%.1f %.1f) rotate(-90)", place + 4, margin - 6), name }
  end
  return parts
end

--- What the axes are: true classes downwards, predictions to the right.
local function axis_titles(margin, size)
  local middle = (margin + size) / 2
  return { e.text{ class = "axis", x = format("%.1f", middle), y = 14, ["text-anchor"] = "middle", "predicted class" },
    e.text{ class = "axis", transform = format("translate(14 %.1f) rotate(-90)", middle), ["text-anchor"] = "middle",
      "true class" } }
end

--- The heat map of a confusion matrix (rows truth, columns prediction), as wide as its card, and on small screens no
-- smaller than its names can be read.
function matrix.heat_map(counts, classes)
  local side, numbers = cell_of(#classes)
  local longest, most = 0, 22
  for _, name in ipairs(classes) do longest = math.max(longest, utf8.len(name) or #name) end
  local margin = math.min(longest, most) * letter + 34
  local size = margin + side * #classes + 4
  local parts = { axis_titles(margin, size), names_of(classes, side, margin, most) }
  for i = 1, #classes do
    parts[#parts + 1] = e.rect{ x = format("%.1f", margin), y = format("%.1f", margin + (i - 1) * side),
      width = side * #classes - 1, height = side - 1, fill = "var(--line)", ["fill-opacity"] = 0.35 }
    local total = 0
    for _, count in ipairs(counts[i]) do total = total + count end
    for j, count in ipairs(counts[i]) do
      if count > 0 then parts[#parts + 1] = cell(i, j, count, total, classes, side, numbers, margin) end
    end
  end
  return e.div{ class = "card scroll", e.svg{ class = "map", viewBox = format("0 0 %.0f %.0f", size, size),
    style = format("max-width:%.0fpx;min-width:%.0fpx;margin:auto", math.max(size, math.min(size * 1.6, 860)),
      size * 0.6), role = "img", ["aria-label"] = "confusion matrix", parts } }
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
  local function number(value, text) return e.td{ class = "n", ["data-v"] = value or "", text } end
  for i, row in ipairs(sorted) do
    local bar = e.span{ class = (row.f1 or 1) < 0.9 and "bar low" or "bar",
      style = format("width:%.0fpx", 90 * (row.f1 or 0)) }
    lines[i] = e.tr{ e.td{ class = "name", html.breaking(row.name) }, number(row.count, row.count),
      number(row.precision, percent(row.precision)), number(row.recall, percent(row.recall)),
      e.td{ style = "white-space:nowrap", ["data-v"] = row.f1 or "", e.span{ class = "track", bar }, percent(row.f1) },
      e.td{ class = "name", row.taken and { html.breaking(classes[row.taken]), (" (%d)"):format(row.taken_count) }
        or "" } }
  end
  return e.div{ class = "card scroll", e.table{ class = "sort",
    e.thead{ e.tr{ e.th{ "class" }, e.th{ class = "n", "images" }, e.th{ class = "n", "precision" },
      e.th{ class = "n", "recall" }, e.th{ "F1" }, e.th{ "most taken for" } } }, e.tbody{ lines } } }
end

return matrix
