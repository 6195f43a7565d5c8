--- lurcher.report.reliability: how far a model's confidence can be trusted: the calibration diagram with the expected
-- calibration error, and the accuracy of what is left when the least confident predictions are rejected. figures.lua
-- defines both.

local lurcher = require "lurcher"
local chart = require "lurcher.report.chart"
local html = require "lurcher.report.html"
local e, format = html.element, lurcher.format

local reliability = {}

local function percent(share, digits) return format("%." .. (digits or 1) .. "f\u{a0}%%", 100 * share) end

--- The diagram: a bar per bin of confidence, as high as its accuracy, stronger where there are more predictions; a dot
-- at the mean confidence, which is on the diagonal where the model is calibrated.
local function diagram(calibration, count)
  local bars, dots, most = {}, {}, 0
  for _, bin in ipairs(calibration.bins) do most = math.max(most, bin.count) end
  for _, bin in ipairs(calibration.bins) do
    if bin.count > 0 then
      local title = ("confidence %s to %s: %d of %d right (%s), mean confidence %s"):format(percent(bin.low, 0),
        percent(bin.high, 0), bin.right, bin.count, percent(bin.accuracy), percent(bin.confidence))
      bars[#bars + 1] = { bin.low, bin.high, bin.accuracy, title = title,
        opacity = format("%.2f", 0.3 + 0.6 * math.sqrt(bin.count / most)) }
      dots[#dots + 1] = { bin.confidence, bin.accuracy }
    end
  end
  return chart{ title = "calibration", x = "confidence (highest probability)", x_share = true, share = true,
    box = { 0, 1, 0, 1 }, diagonal = true, bars = bars, series = { { name = "accuracy", colour = 2, points = dots,
      line = false } },
    note = ("ECE %s over %d predictions. Bars are the accuracy at a confidence, stronger where there are more "
      .. "predictions; below the dashed line the model is too sure of itself, above it not sure enough."):format(
      percent(calibration.ece), count) }
end

--- At most `most` of the points, evenly, always with the first and the last.
local function thinned(points, most)
  if #points <= most then return points end
  local list = {}
  for i = 1, most do list[i] = points[1 + (i - 1) * (#points - 1) // (most - 1)] end
  return list
end

--- The point that keeps at least a share of the predictions.
local function at_least(coverage, share)
  for _, point in ipairs(coverage) do if point.coverage >= share - 1e-9 then return point end end
end

local function rejection(coverage)
  local points, least = {}, 1
  for i, point in ipairs(coverage) do
    points[#coverage - i + 1] = { 1 - point.coverage, point.accuracy }
    least = math.min(least, point.accuracy)
  end
  return chart{ title = "accuracy against rejection", x = "rejected, the least confident first", x_share = true,
    share = true, box = { 0, 1, math.max(0, math.min(0.95, least - 0.02)), 1 },
    series = { { name = "accuracy", colour = 1, points = thinned(points, 200), dots = #points <= 30 } } }
end

local function kept_table(coverage)
  local lines, before = {}, nil
  for _, share in ipairs{ 1, 0.95, 0.9, 0.8, 0.5 } do
    local point = at_least(coverage, share)
    if point ~= before then
      lines[#lines + 1] = e.tr{ e.td{ class = "n", percent(1 - point.coverage) }, e.td{ class = "n",
        percent(point.accuracy) }, e.td{ class = "n", percent(point.confidence) } }
    end
    before = point
  end
  return e.div{ class = "card", e.h3{ style = "margin-top:0", "what a threshold gives" }, e.div{ class = "scroll",
    e.table{ e.thead{ e.tr{ e.th{ class = "n", "rejected" }, e.th{ class = "n", "accuracy of the rest" },
      e.th{ class = "n", "least confidence" } } }, e.tbody{ lines } } } }
end

--- The charts of figures.of's result.
function reliability.charts(found)
  return e.div{ class = "charts", diagram(found.calibration, found.count), rejection(found.coverage),
    kept_table(found.coverage) }
end

return reliability
