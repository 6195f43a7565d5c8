--- lurcher.ticker: a progress line of long work. On a terminal it is redrawn in place; elsewhere (a pipe, a log file)
-- it becomes whole lines, one every `every` seconds.
--
--     local tick = ticker{ label = "predicting", total = #set }
--     for ... do tick:count(done) end
--     tick:finish("predicted ...")
--
-- Options: label, total (nil: unknown), every (30 seconds between lines, where the output is not a terminal), out
-- (io.stdout; any object with write and flush), terminal (whether the output is one; nil: checked).

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"

local ticker = {}
ticker.__index = ticker

--- Whether a line is due now; if so, the next is due after the interval.
function ticker:is_due()
  local now = lurcher.time()
  if now - self.shown < (self.terminal and 0.1 or self.every) then return false end
  self.shown = now
  return true
end

--- Shows a line that the next one replaces on a terminal.
function ticker:show(line)
  line = lurcher.visible(line, true)
  if self.terminal then self.out:write("\r", line, "\27[K") else self.out:write(line, "\n") end
  self.out:flush()
  self.open = self.terminal
end

--- Shows a line that stays.
function ticker:finish(line)
  line = lurcher.visible(line, true)
  self.out:write(self.terminal and "\r" or "", line, self.terminal and "\27[K\n" or "\n")
  self.out:flush()
  self.open = false
end

--- Ends an open line, if any.
function ticker:break_line()
  if self.open then self.out:write "\n" end
  self.open = false
end

--- Images per second as text.
function ticker.rate(count, seconds)
  if seconds <= 0 then return "" end
  local rate = count / seconds
  return ("%s images/s"):format(rate < 10 and lurcher.format("%.2g", rate) or lurcher.format("%.0f", rate))
end

--- "label  320/1674  12 images/s  ETA 1:50", when it is due.
function ticker:count(done)
  if done == 0 or not self:is_due() then return end
  local seconds = lurcher.time() - self.started
  local parts = { self.label, self.total and ("%d/%d"):format(done, self.total) or ("%d"):format(done),
    ticker.rate(done, seconds) }
  if self.total then parts[4] = "ETA " .. logs_of.duration(seconds / done * (self.total - done)) end
  self:show(table.concat(parts, "  "))
end

--- Whether standard output is a terminal; Lua itself cannot tell.
local function is_terminal()
  return os.execute "test -t 1" == true
end

return setmetatable(ticker, { __call = function(_, given)
  local o = setmetatable({ label = given.label, total = given.total, every = given.every or 30,
    out = given.out or io.stdout, started = lurcher.time(), shown = lurcher.time(), open = false }, ticker)
  if given.terminal ~= nil then o.terminal = given.terminal else o.terminal = is_terminal() end
  return o
end })
