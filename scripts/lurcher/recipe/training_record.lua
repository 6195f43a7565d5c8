--- lurcher.recipe.training_record: what a training records of itself in its folder, in training.json, for reports:
--   state            running, finished, interrupted or diverged
--   device           that it ran on, as run.device names it
--   parameters, learned   numbers of parameters of what trained, and of those that learned
--   seconds          of the whole training over all its starts, with what came before the first epoch
--   feature_seconds  of these, before training began: opening images, computing features of a frozen backbone
-- The file is written at the start, after each epoch and at the end. A process that trains also holds a lock on
-- checkpoints/running until it ends, however it ends: by that `lurcher report --watch` tells a training that runs
-- from one that was killed.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files = require "lurcher.files"

local training_record = {}
training_record.__index = training_record

local LOCK <const> = "checkpoints/running"

local held -- the lock of this process's newest training, released when the Lua state closes

local lock = {}

--- Releases the lock, once.
function lock:__gc()
  if not self.file then return end
  self.file:close()
  self.file = nil
  os.remove(self.path)
end

--- Takes the lock of a folder; where that cannot be had (a file system without locks), nothing depends on it.
local function take_lock(path)
  local before = held
  if before and before.path == path then lock.__gc(before) end -- closing it later would release the new one, too
  local file = io.open(path, "a+")
  if not file then return end
  if lfs.lock(file, "w") then held = setmetatable({ file = file, path = path }, lock) else file:close() end
  if before then lock.__gc(before) end -- a run of stages is never without a lock
end

local function number(value) return type(value) == "number" and value == value and value or 0 end

--- Begins the record of a training in a folder (of run_folder).
function training_record.begin(folder)
  local before = lurcher.json.decode(files.read(folder:file "training.json") or "")
  if type(before) ~= "table" then before = {} end
  take_lock(folder:file(LOCK))
  return setmetatable({ folder = folder, started = lurcher.time(), seconds = number(before.seconds),
    feature_seconds = number(before.feature_seconds), values = {} }, training_record)
end

--- Writes the record with a state.
function training_record:write(state)
  local values = { state = state, seconds = self.seconds + lurcher.time() - self.started,
    feature_seconds = self.feature_seconds }
  for name, value in pairs(self.values) do values[name] = value end
  self.folder:write("training.json", lurcher.json.encode(values, true) .. "\n")
end

--- What trains is ready: the features are computed.
function training_record:ready(run, model)
  self.feature_seconds = self.feature_seconds + lurcher.time() - self.started
  local parameters, learned = model:parameters()
  self.values = { device = run.device, parameters = parameters, learned = learned }
  self:write "running"
end

--- The callback that keeps the record up to date.
function training_record:callback()
  return { kind = "training_record", on_epoch_done = function() self:write "running" end }
end

--- Whether a training holds the lock of a folder.
function training_record.is_running(folder)
  local file = io.open(folder .. "/" .. LOCK, "r")
  if not file then return false end
  local ok = lfs.lock(file, "r")
  file:close()
  return not ok
end

return training_record
