--- lurcher.report.chart: lines and bars over a horizontal axis, as SVG. Values show as titles under the pointer, and
-- where the page's script runs (lurcher.report.script), in a line below the chart, by touch too.
--
--     chart{ title = "loss", x = "epoch", series = { { name = "training", colour = 1, points = { { 1, 0.7 }, ... } } },
--       log = false, marks = { { 12, "stage 2" } }, share = false }
--
-- Series: colour, 1 to 8, of the page's palette; points, { x, y }, or { x, y, new = true } where a new line begins;
-- best, the x of a point that gets a ring and its value beside it; best_word, the word there, or "" ("best"); dots = false: no
-- dots; line = false: dots alone.
-- Chart: log: a logarithmic axis. marks: dashed lines at an x, with a word. share, x_share: values from 0 to 1 as
-- percent. box: { x0, x1, y0, y1 }, bounds that do not depend on the values. bars: { x0, x1, y, title, weak = true,
-- colour }. diagonal: a line from corner to corner. note: a text below. Points whose value is not finite leave a gap.

local format = require "lurcher".format
local html = require "lurcher.report.html"
local e = html.element

local width <const>, height <const> = 360, 220
local right <const>, top <const>, bottom <const> = 18, 18, 38
local letter <const> = 6.8 -- width of a digit of the page's chart font

local function is_finite(value) return value - value == 0 end

--- Bounds of all finite values, and of x; nil where there is none.
local function bounds(spec)
  local x0, x1, y0, y1
  if spec.box then return table.unpack(spec.box) end
  for _, line in ipairs(spec.series) do
    for _, point in ipairs(line.points) do
      local x, y = point[1], point[2]
      if is_finite(x) and is_finite(y) and (not spec.log or y > 0) then
        x0, x1 = math.min(x0 or x, x), math.max(x1 or x, x)
        y0, y1 = math.min(y0 or y, y), math.max(y1 or y, y)
      end
    end
  end
  return x0, x1, y0, y1
end

--- A step of 1, 2 or 5 times a power of ten that makes about `count` parts of a span.
local function nice_step(span, count)
  local raw = span / count
  local power = 10 ^ math.floor(math.log(raw, 10))
  local share = raw / power
  return (share <= 1 and 1 or share <= 2 and 2 or share <= 5 and 5 or 10) * power
end

local function steps_between(low, high, step)
  local list = {}
  for i = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) do list[#list + 1] = i * step end
  return list
end

--- Powers of ten between low and high, and multiples of them where these are few.
local function log_ticks(low, high)
  local list = {}
  local decades = math.log(high / low, 10)
  local factors = decades > 3 and { 1 } or decades > 1.2 and { 1, 3 } or { 1, 1.5, 2, 3, 5, 7 }
  local every = decades > 6 and math.ceil(decades / 6) or 1
  for power = math.floor(math.log(low, 10)), math.ceil(math.log(high, 10)), every do
    for _, factor in ipairs(factors) do
      local value = factor * 10.0 ^ power
      if value >= low * 0.999 and value <= high * 1.001 then list[#list + 1] = value end
    end
  end
  return list
end

--- A number in few characters: "0.05", "1.5e-4", "2e6".
local function short(value, digits)
  local size = math.abs(value)
  if size ~= 0 and (size < 1e-3 or size >= 1e5) then
    local mantissa, exponent = format("%." .. digits - 1 .. "e", value):match "^(.-)e(.*)$"
    if mantissa:find("%.") then mantissa = mantissa:gsub("%.?0+$", "") end
    return ("%se%d"):format(mantissa, math.tointeger((exponent:gsub("^%+", ""))) or 0)
  end
  return (format("%." .. digits .. "g", value))
end

local function as_percent(value, digits)
  return (format("%." .. digits .. "f", 100 * value):gsub("%.0*$", "")) .. "\u{a0}%"
end

--- The labels of ticks: as few digits as tell them apart.
local function labels(ticks, share)
  for digits = share and 0 or 1, 6 do
    local list, seen, good = {}, {}, true
    for i, value in ipairs(ticks) do
      list[i] = share and as_percent(value, digits) or short(value, digits)
      local shown = share and format("%." .. digits .. "f", 100 * value) or format("%." .. digits .. "g", value)
      local error_of = math.abs(require "lurcher".number(shown) - (share and 100 or 1) * value)
      good = good and not seen[list[i]] and error_of <= 1e-6 * math.abs((share and 100 or 1) * value) + 1e-12
      seen[list[i]] = true
    end
    if good or digits == 6 then return list end
  end
end

--- A value beside a dot.
local function value_text(value, share) return share and as_percent(value, 1) or short(value, 4) end

--- Bounds with room around the values; a flat line is in the middle.
local function room(spec, y0, y1)
  if spec.box then return y0, y1 end
  if y0 == y1 then
    if spec.log then return y0 / 2, y1 * 2 end
    local half = math.max(math.abs(y0) * 0.1, 1e-9)
    return y0 - half, spec.share and math.max(1, y1) or y1 + half
  end
  if spec.log then
    local factor = (y1 / y0) ^ 0.06
    return y0 / factor, y1 * factor
  end
  local more = (y1 - y0) * 0.05
  return y0 >= 0 and math.max(0, y0 - more) or y0 - more, spec.share and math.min(1, y1 + more) or y1 + more
end

--- The frame: maps of x and y to the image, and the ticks of both axes with their labels.
local function frame_of(spec, x0, x1, y0, y1)
  local flat = y0 == y1 and y0
  y0, y1 = room(spec, y0, y1)
  if x0 == x1 then x0, x1 = x0 - 1, x1 + 1 end
  local log = spec.log and math.log or function(v) return v end
  local frame = { y_ticks = flat and { flat } or spec.log and log_ticks(y0, y1)
    or steps_between(y0, y1, nice_step(y1 - y0, 5)) }
  if #frame.y_ticks == 0 then frame.y_ticks = { y0, y1 } end
  frame.y_labels = flat and { value_text(flat, spec.share) } or labels(frame.y_ticks, spec.share)
  local longest = 0
  for _, text in ipairs(frame.y_labels) do longest = math.max(longest, utf8.len(text)) end
  frame.left = math.max(30, longest * letter + 12)
  local foot = 0 -- room for what is written below the lowest ring
  for _, line in ipairs(spec.series) do if line.best then foot = 18 end end
  local inner, high = width - frame.left - right, height - top - bottom - foot
  frame.x_ticks = steps_between(x0, x1, spec.x_share and 0.2 or math.max(1, nice_step(x1 - x0, 6)))
  frame.x_labels = labels(frame.x_ticks, spec.x_share)
  function frame.to_x(x) return frame.left + (x - x0) / (x1 - x0) * inner end
  function frame.to_y(y)
    return height - bottom - foot - (log(y) - log(y0)) / (log(y1) - log(y0)) * high
  end
  return frame
end

local function at(value) return format("%.1f", value) end

local function axes(spec, frame)
  local parts = {}
  for i, y in ipairs(frame.y_ticks) do
    local place = frame.to_y(y)
    parts[#parts + 1] = e.line{ class = "grid", x1 = at(frame.left), x2 = width - right, y1 = at(place),
      y2 = at(place) }
    parts[#parts + 1] = e.text{ x = at(frame.left - 7), y = at(place + 4), ["text-anchor"] = "end", frame.y_labels[i] }
  end
  for i, x in ipairs(frame.x_ticks) do
    parts[#parts + 1] = e.text{ x = at(frame.to_x(x)), y = height - bottom + 17, ["text-anchor"] = "middle",
      frame.x_labels[i] }
  end
  parts[#parts + 1] = e.text{ x = at((frame.left + width - right) / 2), y = height - 4, ["text-anchor"] = "middle",
    spec.x or "epoch" }
  for _, mark in ipairs(spec.marks or {}) do
    local place = frame.to_x(mark[1])
    local late = place > width * 0.7
    parts[#parts + 1] = e.line{ class = "mark", x1 = at(place), x2 = at(place), y1 = top, y2 = height - bottom }
    parts[#parts + 1] = e.text{ x = at(place + (late and -5 or 5)), y = top - 5, ["text-anchor"] = late and "end"
      or "start", mark[2] }
  end
  if spec.diagonal then
    parts[#parts + 1] = e.line{ class = "mark", x1 = at(frame.left), x2 = width - right, y1 = height - bottom,
      y2 = top }
  end
  return parts
end

local function bar(entry, frame)
  local x0, x1, y, foot = frame.to_x(entry[1]), frame.to_x(entry[2]), frame.to_y(entry[3]), height - bottom
  return e.rect{ class = entry.weak and "gap" or false, x = at(x0 + 1), y = at(math.min(y, foot - 1)),
    width = at(math.max(1, x1 - x0 - 2)), height = at(math.max(1, foot - y)),
    fill = ("var(--c%d)"):format(entry.colour or 1), ["fill-opacity"] = entry.opacity or 0.75, e.title{ entry.title } }
end

--- A ring around the best point, and its value: below a loss, which is the least of its curve, and below what is close
-- to the top; else above.
local function best_of(spec, line, x, y, value)
  local low, anchor, aside = not spec.share or y < top + 22, "middle", 0
  if x > width * 0.72 then anchor, aside = "end", 6 elseif x < width * 0.3 then anchor, aside = "start", -6 end
  return { e.circle{ class = "ring", cx = at(x), cy = at(y), r = 5, stroke = ("var(--c%d)"):format(line.colour) },
    e.text{ class = "best", x = at(x + aside), y = at(y + (low and 19 or -10)), ["text-anchor"] = anchor,
      ((line.best_word or "best") .. " " .. value_text(value, spec.share)):match "%S.*" } }
end

--- One series: a path with gaps, and dots that have the values as titles.
local function curve(spec, line, frame)
  local path, dots, open, best = {}, {}, false, false
  local colour = ("var(--c%d)"):format(line.colour)
  for _, point in ipairs(line.points) do
    local good = is_finite(point[2]) and (not spec.log or point[2] > 0)
    if good then
      local x, y = frame.to_x(point[1]), frame.to_y(point[2])
      path[#path + 1] = (open and not point.new and "L" or "M") .. at(x) .. " " .. at(y)
      local where = spec.x_share and as_percent(point[1], 1) or format("%g", point[1])
      local r = line.dots == false and 0.4 or #line.points > 60 and 1 or 2.5
      dots[#dots + 1] = e.circle{ cx = at(x), cy = at(y), r = r, fill = colour,
        e.title{ ("%s, %s %s: %s"):format(line.name, spec.x or "epoch", where, value_text(point[2], spec.share)) } }
      if point[1] == line.best then best = best_of(spec, line, x, y, point[2]) end
    end
    open = good
  end
  local drawn = line.line ~= false and e.path{ class = "curve", d = table.concat(path), stroke = colour }
  return { drawn, dots, best }
end

local function legend(series)
  local keys = {}
  for _, line in ipairs(series) do
    keys[#keys + 1] = e.span{ class = "key", e.i{ style = ("background:var(--c%d)"):format(line.colour) },
      html.breaking(line.name) }
  end
  return #series > 1 and e.div(keys)
end

--- The chart as an element, or false where no series has a finite value.
return function(spec)
  local x0, x1, y0, y1 = bounds(spec)
  if not x0 then return false end
  local frame = frame_of(spec, x0, x1, y0, y1)
  local parts = axes(spec, frame)
  for _, entry in ipairs(spec.bars or {}) do parts[#parts + 1] = bar(entry, frame) end
  for _, line in ipairs(spec.series) do parts[#parts + 1] = curve(spec, line, frame) end
  return e.div{ class = "card",
    e.h3{ style = "margin-top:0", spec.title, spec.log and e.span{ class = "soft", " (log scale)" } or false },
    e.svg{ class = "chart", viewBox = ("0 0 %d %d"):format(width, height), role = "img", ["aria-label"] = spec.title,
      parts }, legend(spec.series), spec.note and e.p{ class = "soft small", spec.note } or false }
end
