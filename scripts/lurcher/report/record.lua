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

--- The row whose model was kept, of those of one stage: of least val_loss, or of greatest validation accuracy where
-- there is no loss; with `last`, the last one (era 2017 keeps the last epoch's model). nil without validation.
local function best_row(rows, last)
  local best
  for _, row in ipairs(rows) do
    local value = row.val_loss or row.val_acc and -row.val_acc
    local is_number = value and value == value
    if is_number and (last or not best or value < best.value) then best = { value = value, row = row } end
  end
  return best and best.row
end

--- The stages of a history, in order: { { number, name, rows, best }, ... }. A run that has none is one stage without a
-- number. names: of stages, by number.
local function stages_of(history, names, last)
  local list, of = {}, {}
  for _, row in ipairs(history and history.rows or {}) do
    local key = row.stage or 0
    if not of[key] then
      of[key] = { number = row.stage, name = names[key], rows = {} }
      list[#list + 1] = of[key]
    end
    local rows = of[key].rows
    rows[#rows + 1] = row
  end
  for _, stage in ipairs(list) do stage.best = best_row(stage.rows, last) end
  return list
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

--- Recipes that are one more stage of a run, in a folder with settings of its own.
local stage_recipes <const> = { trick_tune = true, retrain = true }

--- Whether a folder below a run is a stage that is not finished, and not a run of its own.
local function is_unfinished(folder)
  if not lfs.attributes(folder .. "/history.csv") then return false end
  local settings = lurcher.json.decode(files.read(folder .. "/settings.json") or "")
  return type(settings) ~= "table" or stage_recipes[settings.recipe] == true
end

--- The part of a run that each stage has a folder for: { { name, number, path, seconds }, ... }, in order. A stage that
-- is not finished has no number yet.
local function stage_folders(path)
  local list = {}
  for _, name in ipairs(files.folders(path)) do
    local folder = path .. "/" .. name
    local made = files.read_json(folder .. "/stage.json")
    local finished = made and math.tointeger(made.number)
    if finished or is_unfinished(folder) then
      list[#list + 1] = { name = name, number = finished or nil, path = folder,
        seconds = finished and type(made.seconds) == "number" and made.seconds or nil }
    end
  end
  table.sort(list, function(a, b)
    if a.number ~= b.number then return (a.number or math.huge) < (b.number or math.huge) end
    return a.name < b.name
  end)
  return list
end

--- Adds the epochs of a stage that is not finished, which are in its own history only, as those of the next stage.
-- Returns the history, and the set of the numbers of such stages.
local function add_unfinished(history, folders)
  local newest, added = 0, {}
  for _, row in ipairs(history and history.rows or {}) do newest = math.max(newest, row.stage or 0) end
  for _, folder in ipairs(folders) do newest = math.max(newest, folder.number or 0) end
  for _, folder in ipairs(folders) do
    local own = not folder.number and read_history(folder.path .. "/history.csv")
    if own then
      history = history or { names = own.names, rows = {} }
      local before = #history.rows
      newest = newest + 1
      for k, row in ipairs(own.rows) do
        row.epoch, row.stage = before + k, newest
        history.rows[before + k] = row
      end
      folder.number, added[newest] = newest, true
    end
  end
  return history, added
end

--- The newest stage that is finished, whose model the run has; of a run whose first is not, that one.
local function kept_stage(stages, unfinished)
  for i = #stages, 1, -1 do
    if not unfinished[stages[i].number or 0] then return stages[i] end
  end
  return stages[#stages]
end

--- What a training recorded of itself (training.json): { state, device, parameters, learned, seconds,
-- feature_seconds }, values of another type left out; {} where there is none.
local function training_of(path)
  local found, kinds = {}, { state = "string", device = "string", parameters = "number", learned = "number",
    seconds = "number", feature_seconds = "number" }
  local text = files.read(path .. "/training.json")
  local made = text and lurcher.json.decode(text)
  for name, kind in pairs(kinds) do
    local value = type(made) == "table" and made[name] or nil
    if type(value) == kind and value == value then found[name] = value end
  end
  return found
end

--- The same of a run of several stages: times are sums, the rest is the newest stage's.
local function joined_training(path, folders)
  local found = training_of(path)
  for _, folder in ipairs(folders) do
    local one = training_of(folder.path)
    one.seconds = one.seconds or folder.seconds
    for name, value in pairs(one) do
      found[name] = name:find "seconds$" and (found[name] or 0) + value or value
    end
  end
  return found
end

--- Everything about the run in a folder: { path, name, settings (recipe, version, options, threads, started), command,
-- history, stages, kept (the newest finished stage, whose model the run has), best (its row), training, figures (by
-- set: top_1, log_loss, ...: those of figures.json, and of tests whose predictions were written here; {} where there are
-- none) }. Losses of stages have different weights, and are never compared. Raises where the folder is not a run's.
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
  local folders, names = stage_folders(path), {}
  local history, unfinished = add_unfinished(read_history(path .. "/history.csv"), folders)
  local figures = tests_of(path)
  for _, folder in ipairs(folders) do if folder.number then names[folder.number] = folder.name end end
  local itself = files.read_json(path .. "/stage.json")
  if itself and math.tointeger(itself.number) and type(itself.name) == "string" then -- a stage by itself
    for _, row in ipairs(history and history.rows or {}) do row.stage = itself.number end
    names[itself.number] = itself.name
  end
  for set_name, found in pairs(files.read_json(path .. "/figures.json") or {}) do
    if type(set_name) == "string" and type(found) == "table" then figures[set_name] = found end
  end
  local stages = stages_of(history, names, settings.options.era == "2017")
  local kept = kept_stage(stages, unfinished)
  return { path = path, name = name, settings = settings, history = history, stages = stages, kept = kept,
    command = (files.read(path .. "/command.txt") or ""):gsub("%s+$", ""), best = kept and kept.best,
    training = joined_training(path, folders), figures = figures }
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
