--- lurcher.report.record: reads a run folder's settings, history and figures. Files may be missing, and columns differ:
-- an interrupted run has no model, and each recipe has columns of its own.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files = require "lurcher.files"

local record = {}

--- The words between commas, empty ones too.
local function fields(line)
  local list = {}
  for word in (line .. ","):gmatch "([^,]*)," do list[#list + 1] = word end
  return list
end

--- history.csv as { names = { column, ... }, rows = { { column = number }, ... } }; nil where there is none. Fields
-- that are not numbers (empty ones) are left out of their row.
local function read_history(path)
  local text = files.read(path)
  if not text then return nil end
  local names, rows
  for line in text:gmatch "[^\r\n]+" do
    if not names then
      names = fields(line)
    else
      local row = {}
      for i, word in ipairs(fields(line)) do
        if names[i] then row[names[i]] = word:find "nan" and 0 / 0 or lurcher.number(word) end
      end
      row.epoch = row.epoch or #(rows or {}) + 1
      rows = rows or {}
      rows[#rows + 1] = row
    end
  end
  return { names = names or {}, rows = rows or {} }
end

--- The row of least val_loss, or of greatest validation accuracy where there is no loss; nil without validation. In a
-- run of several stages, of the last one, whose model the run has: losses of stages have different weights.
local function best_row(history)
  local best
  local rows = history and history.rows or {}
  local stage = #rows > 0 and rows[#rows].stage or nil
  for _, row in ipairs(rows) do
    local value = row.val_loss or row.val_acc and -row.val_acc
    local is_number = value and value == value
    if is_number and row.stage == stage and (not best or value < best.value) then
      best = { value = value, row = row }
    end
  end
  return best and best.row
end

--- Sum of a column over the history, and whether any epoch has it.
function record.total(history, name)
  local sum, found = 0, false
  for _, row in ipairs(history and history.rows or {}) do
    if row[name] then sum, found = sum + row[name], true end
  end
  return sum, found
end

--- Scores that tests wrote into the folder, by the file's name.
local function tests_of(path)
  local found = {}
  for name in lfs.dir(path) do
    local base = name:match "^(.+)%.json$"
    local results = base and base ~= "figures" and lurcher.json.decode(files.read(path .. "/" .. name) or "")
    if type(results) == "table" and type(results.top_1) == "number" and type(results.log_loss) == "number" then
      found[base] = results
    end
  end
  return found
end

--- Everything about the run in a folder: { path, name, settings (recipe, version, options, threads, started), command,
-- history, best (row), figures (by set: top_1, log_loss, ...: those of figures.json, and of tests whose predictions
-- were written here; {} where there are none) }. Raises where the folder is not a run's.
function record.read(path)
  path = path:gsub("(.)/+$", "%1")
  local settings = files.read_json(path .. "/settings.json")
  if not settings and not lfs.attributes(path .. "/history.csv") then
    error(("'%s' is not a run folder: it has neither settings.json nor history.csv"):format(path), 0)
  end
  local name = path:match "[^/]+$" or path
  if not settings then -- a stage of a run
    settings, name = files.read_json(path .. "/../settings.json") or {}, path:match "[^/]+/[^/]+$" or name
  end
  for _, field in ipairs{ "recipe", "version", "started" } do
    if type(settings[field]) ~= "string" then settings[field] = nil end
  end
  if type(settings.options) ~= "table" then settings.options = {} end
  local history, figures = read_history(path .. "/history.csv"), tests_of(path)
  for set_name, found in pairs(files.read_json(path .. "/figures.json") or {}) do
    if type(set_name) == "string" and type(found) == "table" then figures[set_name] = found end
  end
  return { path = path, name = name, settings = settings, history = history,
    command = (files.read(path .. "/command.txt") or ""):gsub("%s+$", ""), best = best_row(history),
    figures = figures }
end

--- Adds the figures of a set to the folder's figures.json.
function record.add_figures(path, set_name, found)
  local all = {}
  for name, figures in pairs(files.read_json(path .. "/figures.json") or {}) do
    if type(name) == "string" then all[name] = figures end
  end
  all[set_name] = found
  assert(lurcher.write_file(path .. "/figures.json", lurcher.json.encode(all, true) .. "\n"))
end

return record
