--- lurcher.report.chart: lines over a horizontal axis, as SVG. No script: values show as titles under the pointer.
--
--     chart{ title = "loss", x = "epoch", series = { { name = "training", colour = 1, points = { { 1, 0.7 }, ... } } },
--       log = false, marks = { { 12, "best" } }, share = false }
--
-- colour: 1 to 8, of the page's palette. log: a logarithmic axis. marks: dashed lines at an x, with a word. share:
-- values from 0 to 1 as percent. Points whose value is not finite leave a gap.

local format = require "lurcher".format
local html = require "lurcher.report.html"
local e = html.element

local width <const>, height <const> = 460, 240
local left <const>, right <const>, top <const>, bottom <const> = 48, 12, 14, 30

local function is_finite(value) return value - value == 0 end

--- Bounds of all finite values, and of x; nil where there is none.
local function bounds(series, log)
  local x0, x1, y0, y1
  for _, line in ipairs(series) do
    for _, point in ipairs(line.points) do
      local x, y = point[1], point[2]
      if is_finite(y) and (not log or y > 0) then
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
  for power = math.floor(math.log(low, 10)), math.ceil(math.log(high, 10)) do
    for _, factor in ipairs(factors) do
      local value = factor * 10.0 ^ power
      if value >= low * 0.999 and value <= high * 1.001 then list[#list + 1] = value end
    end
  end
  return list
end

local function number_text(value, share)
  if share then return (format("%.1f", 100 * value):gsub("%.0$", "")) .. " %" end
  return (format("%.3g", value))
end

--- Maps of x and y to the image, and the ticks of both axes.
local function scales(spec, x0, x1, y0, y1)
  local log = spec.log and math.log or function(v) return v end
  if y0 == y1 then y0, y1 = spec.log and y0 / 2 or y0 - math.max(math.abs(y0) * 0.1, 1e-9),
    spec.log and y1 * 2 or y1 + math.max(math.abs(y1) * 0.1, 1e-9) end
  if not spec.log then
    local room = (y1 - y0) * 0.05
    y0, y1 = y0 >= 0 and math.max(0, y0 - room) or y0 - room, spec.share and math.min(1, y1 + room) or y1 + room
  end
  if x0 == x1 then x0, x1 = x0 - 1, x1 + 1 end
  local function to_x(x) return left + (x - x0) / (x1 - x0) * (width - left - right) end
  local function to_y(y) return height - bottom - (log(y) - log(y0)) / (log(y1) - log(y0)) * (height - top - bottom) end
  local y_ticks = spec.log and log_ticks(y0, y1) or steps_between(y0, y1, nice_step(y1 - y0, 5))
  return to_x, to_y, steps_between(x0, x1, math.max(1, nice_step(x1 - x0, 8))), y_ticks
end

local function axes(spec, to_x, to_y, x_ticks, y_ticks)
  local parts = {}
  for _, y in ipairs(y_ticks) do
    local at = format("%.1f", to_y(y))
    parts[#parts + 1] = e.line{ class = "grid", x1 = left, x2 = width - right, y1 = at, y2 = at }
    parts[#parts + 1] = e.text{ x = left - 6, y = format("%.1f", to_y(y) + 4), ["text-anchor"] = "end",
      number_text(y, spec.share) }
  end
  for _, x in ipairs(x_ticks) do
    parts[#parts + 1] = e.text{ x = format("%.1f", to_x(x)), y = height - bottom + 16, ["text-anchor"] = "middle",
      format("%g", x) }
  end
  parts[#parts + 1] = e.text{ x = width - right, y = height - 2, ["text-anchor"] = "end", spec.x or "epoch" }
  for _, mark in ipairs(spec.marks or {}) do
    local at = format("%.1f", to_x(mark[1]))
    local late = to_x(mark[1]) > width * 0.7
    parts[#parts + 1] = e.line{ class = "mark", x1 = at, x2 = at, y1 = top, y2 = height - bottom }
    parts[#parts + 1] = e.text{ x = format("%.1f", to_x(mark[1]) + (late and -4 or 4)), y = top + 8,
      ["text-anchor"] = late and "end" or "start", mark[2] }
  end
  return parts
end

--- One series: a path with gaps, and dots that have the values as titles.
local function curve(spec, line, to_x, to_y)
  local path, dots, open = {}, {}, false
  local colour = ("var(--c%d)"):format(line.colour)
  for _, point in ipairs(line.points) do
    local good = is_finite(point[2]) and (not spec.log or point[2] > 0)
    if good then
      local x, y = format("%.1f", to_x(point[1])), format("%.1f", to_y(point[2]))
      path[#path + 1] = (open and "L" or "M") .. x .. " " .. y
      local value = spec.share and number_text(point[2], true) or format("%.4g", point[2])
      dots[#dots + 1] = e.circle{ cx = x, cy = y, r = #line.points > 60 and 1 or 2.5, fill = colour,
        e.title{ format("%s, %s %g: %s", line.name, spec.x or "epoch", point[1], value) } }
    end
    open = good
  end
  return { e.path{ class = "curve", d = table.concat(path), stroke = colour }, dots }
end

local function legend(series)
  local keys = {}
  for _, line in ipairs(series) do
    keys[#keys + 1] = e.span{ class = "key", e.i{ style = ("background:var(--c%d)"):format(line.colour) }, line.name }
  end
  return #series > 1 and e.div(keys)
end

--- The chart as an element, or false where no series has a finite value.
return function(spec)
  local x0, x1, y0, y1 = bounds(spec.series, spec.log)
  if not x0 then return false end
  local to_x, to_y, x_ticks, y_ticks = scales(spec, x0, x1, y0, y1)
  local parts = axes(spec, to_x, to_y, x_ticks, y_ticks)
  for _, line in ipairs(spec.series) do parts[#parts + 1] = curve(spec, line, to_x, to_y) end
  return e.div{ class = "card",
    e.h3{ style = "margin-top:0", spec.title, spec.log and e.span{ class = "soft", " (log scale)" } },
    e.svg{ viewBox = ("0 0 %d %d"):format(width, height), role = "img", ["aria-label"] = spec.title, parts },
    legend(spec.series) }
end
