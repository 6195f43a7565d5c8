--- lurcher.progress: the callback behind on.progress. On a terminal one line is redrawn in place; anywhere else (a
-- pipe, a log file) whole lines are written, one an epoch and one every `every` seconds of a long epoch.
--
-- Options: every (30 seconds between lines of one epoch, where the output is no terminal), out (io.stdout; any object
-- with write and flush), terminal (nil: found out).

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"

--- Whether standard output is a terminal; Lua itself cannot tell.
local function is_terminal()
  return os.execute "test -t 1" == true
end

local function value_text(name, value)
  if name == "lr" then return ("lr %.3g"):format(value) end
  return ("%s %.4f"):format(name, value)
end

--- "loss 0.5123  acc 0.8125", without counters and times.
local function logs_text(logs, outputs)
  local parts = {}
  for _, name in ipairs(logs_of.names(logs, outputs)) do
    if name ~= "epoch" and name ~= "seconds" then parts[#parts + 1] = value_text(name, logs[name]) end
  end
  return table.concat(parts, "  ")
end

local function rate_text(state)
  if state.seconds <= 0 then return "" end
  local rate = state.samples / state.seconds
  return ("%s images/s"):format(rate < 10 and ("%.2g"):format(rate) or ("%.0f"):format(rate))
end

--- Batches of an epoch where the loader knows, else nil.
local function batches_of(loader)
  if type(loader) == "function" then return nil end
  local ok, count = pcall(function() return #loader end)
  return ok and type(count) == "number" and count > 0 and count or nil
end

local function bar(done, total)
  local width = 20
  local filled = math.min(width, width * done // total)
  return ("[%s%s]"):format(("="):rep(filled), (" "):rep(width - filled))
end

local progress = {}
progress.__index = progress

function progress:on_train_begin(state)
  self.started, self.first = lurcher.time(), state.epoch
  self.batches = batches_of(state.loader)
  local digits = #tostring(state.epochs)
  self.head = "epoch %" .. digits .. "d/%d"
end

function progress:on_epoch_begin(_, _, state)
  self.epoch_started, self.shown = lurcher.time(), lurcher.time()
  self.first_step = state.step
end

--- The line within an epoch: place, means so far, rate, time left in the epoch.
function progress:running(step, logs, state)
  local now = lurcher.time()
  local total = self.batches
  local parts = { self.head:format(state.epoch + 1, state.epochs) }
  parts[#parts + 1] = total and ("%d/%d"):format(step, total) or ("batch %d"):format(step)
  if total and self.terminal then parts[#parts + 1] = bar(step, total) end
  parts[#parts + 1] = logs_text(logs, state.model and state.model.outputs)
  parts[#parts + 1] = rate_text(state)
  if total and step > self.first_step then
    local left = (now - self.epoch_started) / (step - self.first_step) * (total - step)
    parts[#parts + 1] = "ETA " .. logs_of.duration(left)
  end
  return table.concat(parts, "  ")
end

function progress:on_batch_end(step, logs, state)
  local now = lurcher.time()
  if now - self.shown < (self.terminal and 0.1 or self.every) then return end
  self.shown = now
  local line = self:running(step, logs, state)
  if self.terminal then self.out:write("\r", line, "\27[K") else self.out:write(line, "\n") end
  self.out:flush()
end

--- Names the pictures that could not be read, once each.
function progress:damaged(state)
  local ok, summary = pcall(function() return state.loader.summary end)
  if not ok or type(summary) ~= "table" then return end
  for _, entry in ipairs(summary) do
    local text = tostring(entry)
    if type(entry) == "table" then text = ("%s: %s"):format(entry.path or "?", entry.message or "damaged") end
    if not self.named[text] then
      self.named[text] = true
      self.out:write("  skipped ", text, "\n")
    end
  end
end

function progress:on_epoch_done(epoch, logs, state)
  local now = lurcher.time()
  local line = { self.head:format(epoch + 1, state.epochs), logs_text(logs, state.model and state.model.outputs),
    logs_of.duration(now - self.epoch_started), rate_text(state) }
  local left = state.epochs - epoch - 1
  if left > 0 and not state.stop then
    line[#line + 1] = "ETA " .. logs_of.duration((now - self.started) / (epoch + 1 - self.first) * left)
  end
  self.out:write(self.terminal and "\r" or "", table.concat(line, "  "), self.terminal and "\27[K\n" or "\n")
  self:damaged(state)
  self.out:flush()
end

function progress:on_train_end(state)
  if state.interrupted then
    self.out:write(self.terminal and "\n" or "", ("interrupted in epoch %d after %d batches\n"):format(state.epoch + 1,
      state.step))
  elseif state.stop and state.epoch < state.epochs then
    self.out:write(("stopped after epoch %d: no further improvement\n"):format(state.epoch))
  end
  self.out:flush()
end

return function(given)
  local o = setmetatable({ kind = "progress", every = given.every or 30, out = given.out or io.stdout, named = {} },
    progress)
  if given.terminal ~= nil then o.terminal = given.terminal else o.terminal = is_terminal() end
  return o
end
