--- Tests of lurcher report --watch: a page that follows a training, and that ends with it, however it ends.
local harness = require "harness"
local lfs = require "lfs"
local files = require "lurcher.files"
local lurcher = require "lurcher"
local test = harness.test

local work = harness.folder "report_watch"

--- Waits until f returns true; machines are shared, so the limit is generous.
local function wait_for(what, f)
  local limit = lurcher.time() + 120
  while not f() do
    if lurcher.time() > limit then error("waited in vain: " .. what, 2) end
    lurcher.sleep(0.05)
  end
end

local function exists(name) return lfs.attributes(work .. "/" .. name) ~= nil end
local function touch(name) assert(lurcher.write_file(work .. "/" .. name, "")) end

--- What stands for a training: it keeps its record and its history, and goes on where the test makes a file.
local training <const> = [[
  local lurcher = require "lurcher"
  local lfs, path = require "lfs", arg[1]
  local record = require "lurcher.recipe.training_record".begin(require "lurcher.recipe.run_folder".at(path))
  local rows = "epoch,loss,val_loss\n"
  local function wait(name) while not lfs.attributes(path .. "/" .. name) do lurcher.sleep(0.05) end end
  for epoch = 1, 2 do
    rows = rows .. ("%d,%d,%d\n"):format(epoch, 9 - epoch, 10 - epoch)
    assert(lurcher.write_file(path .. "/history.csv", rows))
    record:write "running"
    assert(lurcher.write_file(path .. "/did" .. epoch, ""))
    wait("go" .. epoch)
  end
  record:write "finished"
  wait "end"]]

--- Runs a command in the background; returns its process id.
local function background(command, log)
  return (harness.run(("cd '%s' && { %s > '%s' 2>&1 & echo $!; }"):format(work, command, log)):gsub("%s", ""))
end

local function begin(name)
  assert(lfs.mkdir(work .. "/" .. name) and lfs.mkdir(work .. "/" .. name .. "/checkpoints"))
  assert(lurcher.write_file(work .. "/" .. name .. "/settings.json",
    lurcher.json.encode{ recipe = "mine", options = { epochs = 2 } }))
  assert(lurcher.write_file(work .. "/training.lua", training))
  local trains = background(("exec '%s' training.lua '%s/%s'"):format(harness.program, work, name), name .. "-train.log")
  wait_for("the first epoch", function() return exists(name .. "/did1") end)
  local watches = background(("exec '%s' report %s --watch --every 0.1"):format(harness.program, name),
    name .. "-watch.log")
  return trains, watches
end

local function page_of(name) return files.read(work .. "/" .. name .. "/report.html") or "" end
local function log_of(name) return files.read(work .. "/" .. name .. "-watch.log") or "" end
local function ended(name) return log_of(name):find("\nreport: ", 1, true) ~= nil end

test("sleep waits as long as asked", function()
  local before = lurcher.time()
  lurcher.sleep(0.05)
  assert(lurcher.time() - before >= 0.049)
  harness.raises("seconds from 0 to 1000000 expected", lurcher.sleep, -1)
  harness.raises("seconds from 0 to 1000000 expected", lurcher.sleep, 0 / 0)
end)

test("report --watch: the page follows the epochs, refreshes itself, and stops with the training", function()
  begin "run"
  wait_for("the first page", function() return page_of "run":find("1 epoch of 2 done", 1, true) end)
  local page = page_of "run"
  assert(page:find('<body data-refresh="0.1">', 1, true) and page:find('http%-equiv="refresh"'))
  assert(page:find("training is running", 1, true))
  touch "run/go1"
  wait_for("the second epoch", function() return page_of "run":find("2 epochs of 2 done", 1, true) end)
  assert(not ended "run")
  touch "run/go2"
  touch "run/end"
  wait_for("the end", function() return ended "run" end)
  page = page_of "run"
  assert(not page:find("<body data-refresh", 1, true) and not page:find("training is running", 1, true))
  assert(page:find("Curves", 1, true) and not exists "run/checkpoints/running")
  assert(log_of "run":find("^watching 'run' until its training ends: run/report.html\n"), log_of "run")
  -- nothing runs any more: the page is made once
  local output, code = harness.run(("cd '%s' && '%s' report run --watch"):format(work, harness.program))
  assert(code == 0 and output:find("no training runs in 'run'", 1, true), output)
end)

test("report --watch: a training that was killed", function()
  local trains = begin "killed"
  wait_for("the first page", function() return page_of "killed":find("1 epoch of 2 done", 1, true) end)
  harness.run("kill -9 " .. trains)
  wait_for("the end", function() return ended "killed" end)
  assert(page_of "killed":find("training stopped without an end: its process is gone", 1, true))
  assert(not page_of "killed":find("<body data-refresh", 1, true) and exists "killed/checkpoints/running")
end)

test("report --watch: Ctrl-C leaves a page that does not refresh itself, and the training goes on", function()
  local trains, watches = begin "left"
  wait_for("the first page", function() return page_of "left":find("1 epoch of 2 done", 1, true) end)
  harness.run("kill -INT " .. watches)
  wait_for("the page", function() return not page_of "left":find("<body data-refresh", 1, true) end)
  assert(page_of "left":find("training is running", 1, true))
  local _, code = harness.run("kill -0 " .. trains)
  assert(code == 0, "the training has ended")
  for _, name in ipairs{ "go1", "go2", "end" } do touch("left/" .. name) end
  wait_for("the training's end", function() return select(2, harness.run("kill -0 " .. trains)) ~= 0 end)
end)
