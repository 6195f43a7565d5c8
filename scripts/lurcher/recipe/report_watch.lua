--- lurcher.recipe.report_watch: keeps the page of a training that runs up to date: `lurcher report RUN --watch`.
-- The page is replaced, whole or not at all, whenever the training has written something (an epoch, its end), and
-- asks the browser to load it again every few seconds. While training runs it has the curves and the settings: nothing
-- is computed that would take time from the training. When the training's process has ended, the page is made once
-- more: evaluated, as without --watch, if there is a model, and without the request to load it again.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files, report = require "lurcher.files", require "lurcher.report"
local training_record = require "lurcher.recipe.training_record"

local report_watch = {}

--- The run's folder, and those of its stages.
local function folders_of(path)
  local list = { path }
  for _, name in ipairs(files.folders(path)) do list[#list + 1] = path .. "/" .. name end
  return list
end

local function is_running(path)
  for _, folder in ipairs(folders_of(path)) do
    if training_record.is_running(folder) then return true end
  end
  return false
end

--- A text that changes with the files that a training writes.
local function state_of(path)
  local parts = {}
  for _, folder in ipairs(folders_of(path)) do
    for _, name in ipairs{ "history.csv", "training.json", "stage.json", "settings.json" } do
      local found = lfs.attributes(folder .. "/" .. name)
      if found then
        parts[#parts + 1] = ("%s/%s %d %d %d"):format(folder, name, found.ino, found.size, found.modification)
      end
    end
  end
  return table.concat(parts, "\n")
end

--- Whether the page is one that still asks to be loaded again. The training itself may have made the final one.
local function is_live(path)
  local text = files.read(path)
  return not text or text:find("<body data-refresh", 1, true) ~= nil
end

--- Ends the watch: the last page. Returns its path.
local function finish(path, page, o)
  if not is_live(page) then return page end
  local last = { out = page, ended = true }
  for name, value in pairs(o) do last[name] = last[name] or value end
  return report.write(path, last)
end

--- Watches the run in a folder until its training ends, or until Ctrl-C. o: the options of report.write, and every,
-- the seconds between two looks. Returns the page's path, or nil after Ctrl-C.
function report_watch.run(path, o)
  path = files.trimmed(path)
  local page, before = report.page_path(path, o), nil
  repeat
    local running, now = is_running(path), state_of(path)
    if running and now ~= before then
      report.write(path, { out = page, live = o.every })
      if not before then print(("watching '%s' until its training ends: %s"):format(path, page)) end
      before = now
    end
    if lurcher.interrupted() then
      if before then report.write(path, { out = page, training_only = true }) end
      return nil
    end
    if running then lurcher.sleep(o.every) end
  until not running
  if not before then
    print(("no training runs in '%s'"):format(path))
    return report.write(path, o)
  end
  return finish(path, page, o)
end

return report_watch
