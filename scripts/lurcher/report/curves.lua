--- lurcher.report.curves: the charts of a history: each loss and metric of training and validation in one chart, then
-- the learning rate. For lurcher compare, several runs in one chart, a colour per run.

local format = require "lurcher".format
local chart = require "lurcher.report.chart"

local curves = {}

local function is_time(name) return name:find "seconds$" ~= nil end

--- The names of a history's results, without val_, in the order of the columns.
local function results_of(names)
  local seen, list = {}, {}
  for _, name in ipairs(names) do
    local base = name:gsub("^val_", "")
    if not seen[base] and base ~= "epoch" and base ~= "stage" and base ~= "lr" and not is_time(base) then
      seen[base], list[#list + 1] = true, base
    end
  end
  return list
end

local function points_of(history, name)
  local points = {}
  for _, row in ipairs(history.rows) do
    if row[name] then points[#points + 1] = { row.epoch, row[name] } end
  end
  return points
end

--- Whether values need a logarithmic axis: the largest is more than 8 times the smallest.
local function spans_much(series)
  local low, high
  for _, line in ipairs(series) do
    for _, point in ipairs(line.points) do
      local y = point[2]
      if y - y == 0 and y > 0 then low, high = math.min(low or y, y), math.max(high or y, y) end
    end
  end
  return low ~= nil and high / low > 8
end

local function is_share(name) return name:find "acc$" ~= nil end

local function title_of(name)
  if name == "acc" then return "accuracy" end
  return (name:gsub("_acc$", ": accuracy"):gsub("_loss$", ": loss"))
end

--- Marks at the beginning of each further stage, and at the best epoch.
local function marks_of(record)
  local marks, before = {}, nil
  for _, row in ipairs(record.history.rows) do
    if before and row.stage and row.stage ~= before then
      marks[#marks + 1] = { row.epoch - 0.5, format("stage %g", row.stage) }
    end
    before = row.stage
  end
  if record.best and #record.history.rows > 1 then marks[#marks + 1] = { record.best.epoch, "best" } end
  return marks
end

--- Charts of one run: a list of elements.
function curves.of(record)
  local list, marks = {}, marks_of(record)
  for _, name in ipairs(results_of(record.history.names)) do
    local series = { { name = "training", colour = 1, points = points_of(record.history, name) },
      { name = "validation", colour = 2, points = points_of(record.history, "val_" .. name) } }
    if #series[2].points == 0 then series[2] = nil end
    list[#list + 1] = chart{ title = title_of(name), series = series, marks = marks, share = is_share(name),
      log = not is_share(name) and spans_much(series) }
  end
  local rate = { { name = "learning rate", colour = 3, points = points_of(record.history, "lr") } }
  list[#list + 1] = chart{ title = "learning rate", series = rate, log = spans_much(rate), marks = {} }
  return list
end

--- Charts of several runs: of validation where the run has one, else of training.
function curves.over(records)
  local names, seen, list = {}, {}, {}
  for _, record in ipairs(records) do
    for _, name in ipairs(record.history and results_of(record.history.names) or {}) do
      if not seen[name] then seen[name], names[#names + 1] = true, name end
    end
  end
  names[#names + 1] = "lr"
  for _, name in ipairs(names) do
    local series = {}
    for i, record in ipairs(records) do
      local checked = record.history and points_of(record.history, "val_" .. name) or {}
      local points = #checked > 0 and checked or record.history and points_of(record.history, name) or {}
      if #points > 0 then series[#series + 1] = { name = record.name, colour = (i - 1) % 8 + 1, points = points } end
    end
    list[#list + 1] = chart{ title = name == "lr" and "learning rate" or title_of(name), series = series,
      share = is_share(name), log = not is_share(name) and spans_much(series) }
  end
  return list
end

return curves
