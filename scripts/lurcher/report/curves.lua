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

--- The values of a column, by epoch. A stage begins a new line, for its loss has other weights.
local function points_of(history, name)
  local points, before = {}, nil
  for _, row in ipairs(history.rows) do
    if row[name] then
      points[#points + 1] = { row.epoch, row[name], new = before and row.stage ~= before.stage or nil }
      before = row
    end
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

--- "stage 2: tuned", or "stage 2".
local function stage_name(stage)
  return format("stage %g", stage.number) .. (stage.name and ": " .. stage.name or "")
end

--- Marks at the beginning of each further stage.
local function marks_of(record)
  local marks = {}
  for i = 2, #record.stages do
    local stage = record.stages[i]
    marks[#marks + 1] = { stage.rows[1].epoch - 0.5, stage.number and stage_name(stage) or "" }
  end
  return marks
end

--- Charts of one run: a list of elements. The epoch whose model was kept has a ring in the curves of validation.
function curves.of(record)
  local list, marks = {}, marks_of(record)
  local best = #record.history.rows > 1 and record.best and record.best.epoch
  local word = record.settings.options.era == "2017" and "last" or "best"
  for _, name in ipairs(results_of(record.history.names)) do
    local series = { { name = "training", colour = 1, points = points_of(record.history, name) },
      { name = "validation", colour = 2, points = points_of(record.history, "val_" .. name), best = best or nil,
        best_word = name == "loss" and word or "" } } -- other results need not be their best there
    if #series[2].points == 0 then series[2] = nil end
    list[#list + 1] = chart{ title = title_of(name), series = series, marks = marks, share = is_share(name),
      log = not is_share(name) and spans_much(series) }
  end
  local rate = { { name = "learning rate", colour = 3, points = points_of(record.history, "lr") } }
  list[#list + 1] = chart{ title = "learning rate", series = rate, log = spans_much(rate), marks = marks }
  return list
end

--- The stages of several runs, each once: { { key, title, of = { [run's place] = stage } }, ... }. Stages of the same
-- number and name are one; a run without stages has the key "".
function curves.stages(records)
  local list, of = {}, {}
  for i, record in ipairs(records) do
    for _, stage in ipairs(record.stages) do
      local key = stage.number and stage_name(stage) or ""
      if not of[key] then
        of[key] = { key = key, number = stage.number or 0, of = {} }
        list[#list + 1] = of[key]
      end
      of[key].of[i] = stage
    end
  end
  table.sort(list, function(a, b)
    if a.number ~= b.number then return a.number < b.number end
    return a.key < b.key
  end)
  return list
end

--- The points of a column of a stage, by the stage's own epochs from 1.
local function stage_points(stage, name)
  local points = {}
  for i, row in ipairs(stage.rows) do
    if row[name] then points[#points + 1] = { i, row[name] } end
  end
  return points
end

--- The chart of one result in one stage of the runs that have it.
local function chart_over(records, stage, name)
  local series = {}
  for i, record in ipairs(records) do
    local of_run = stage.of[i]
    local checked = of_run and stage_points(of_run, "val_" .. name) or {}
    local points = #checked > 0 and checked or of_run and stage_points(of_run, name) or {}
    local best = #checked > 0 and of_run.best
    for k, row in ipairs(best and of_run.rows or {}) do if row == best then best = k end end
    if #points > 0 then
      series[#series + 1] = { name = record.name, colour = (i - 1) % 8 + 1, points = points, best = best,
        best_word = "" }
    end
  end
  local title = name == "lr" and "learning rate" or title_of(name)
  return chart{ title = stage.key == "" and title or title .. ", " .. stage.key, series = series,
    share = is_share(name), log = not is_share(name) and spans_much(series) }
end

--- Charts of several runs, stage by stage: of validation where the run has one, else of training.
function curves.over(records)
  local names, seen, list = {}, {}, {}
  for _, record in ipairs(records) do
    for _, name in ipairs(record.history and results_of(record.history.names) or {}) do
      if not seen[name] then seen[name], names[#names + 1] = true, name end
    end
  end
  names[#names + 1] = "lr"
  for _, stage in ipairs(curves.stages(records)) do
    for _, name in ipairs(names) do list[#list + 1] = chart_over(records, stage, name) end
  end
  return list
end

return curves
