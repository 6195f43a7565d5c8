--- lurcher.ticker: a progress line of long work. On a terminal it is redrawn in place and takes one line, however
-- narrow the terminal is or becomes; elsewhere (a pipe, a log file) it becomes whole lines, one every `every` seconds.
--
--     local tick = ticker{ label = "predicting", total = #set }
--     for ... do tick:count(done) end
--     tick:finish("predicted ...")
--
-- Options: label, total (nil: unknown), every (30 seconds between lines, where the output is not a terminal), out
-- (io.stdout; any object with write and flush), terminal (whether the output is one; nil: checked), columns (function
-- that gives the terminal's width; nil: it is asked before every line).
-- A line is a text, or a list of parts { text, rank } in their order: where it is too long for the terminal, the parts
-- of the largest rank are left out first. The first part always stays.

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"
local suggest = require "lurcher.suggest"

local ticker = {}
ticker.__index = ticker

local GAP <const> = "  "

--- Number of characters of a text, each taken for one column.
local function length(text) return utf8.len(text) or #text end

--- The first `count` characters of a text.
local function cut(text, count)
  if length(text) <= count then return text end
  if not utf8.len(text) then return text:sub(1, count) end
  return text:sub(1, utf8.offset(text, count + 1) - 1)
end

--- The parts of a line that fit into `width` columns, as a text.
function ticker.fitted(parts, width)
  local kept, total = {}, -#GAP
  for i, part in ipairs(parts) do
    kept[i] = true
    total = total + length(part[1]) + #GAP
  end
  while total > width do
    local worst
    for i = 2, #parts do
      if kept[i] and (not worst or parts[i][2] >= parts[worst][2]) then worst = i end
    end
    if not worst then break end
    kept[worst], total = false, total - length(parts[worst][1]) - #GAP
  end
  local texts = {}
  for i, part in ipairs(parts) do if kept[i] then texts[#texts + 1] = part[1] end end
  return cut(table.concat(texts, GAP), width)
end

--- A line of texts or parts, as it is shown.
function ticker:line(line)
  if type(line) == "table" then
    local shown = {}
    for i, part in ipairs(line) do shown[i] = { lurcher.visible(part[1]), part[2] } end
    -- One column stays free: in the last one, some terminals wrap, and others erase the last character.
    return ticker.fitted(shown, self.terminal and self.columns() - 1 or math.huge)
  end
  return lurcher.visible(line, true)
end

--- Whether a line is due now; if so, the next is due after the interval.
function ticker:is_due()
  local now = lurcher.time()
  if now - self.shown < (self.terminal and 0.1 or self.every) then return false end
  self.shown = now
  return true
end

--- Shows a line that the next one replaces on a terminal.
function ticker:show(line)
  line = self:line(line)
  if self.terminal then self.out:write("\r", cut(line, self.columns() - 1), "\27[K") else self.out:write(line, "\n") end
  self.out:flush()
  self.open = self.terminal
end

--- Shows a line that stays.
function ticker:finish(line)
  line = self:line(line)
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

--- "[=====     ]"
function ticker.bar(done, total)
  local width = 20
  local filled = math.min(width, width * done // total)
  return ("[%s%s]"):format(("="):rep(filled), (" "):rep(width - filled))
end

--- "label  320/1674  [====      ]  12 images/s  ETA 1:50", when it is due.
function ticker:count(done)
  if done == 0 or not self:is_due() then return end
  local seconds = lurcher.time() - self.started
  local parts = { { self.label, 1 }, { self.total and ("%d/%d"):format(done, self.total) or ("%d"):format(done), 2 } }
  if self.total and self.terminal then parts[#parts + 1] = { ticker.bar(done, self.total), 5 } end
  parts[#parts + 1] = { ticker.rate(done, seconds), 4 }
  if self.total then
    parts[#parts + 1] = { "ETA " .. logs_of.duration(seconds / done * (self.total - done)), 3 }
  end
  self:show(parts)
end

return setmetatable(ticker, { __call = function(_, given)
  suggest.check(given, { "label", "total", "every", "out", "terminal", "columns" }, "ticker", 2)
  local stream = given.out == io.stderr and "stderr" or "stdout"
  local o = setmetatable({ label = given.label, total = given.total, every = given.every or 30,
    out = given.out or io.stdout, started = lurcher.time(), shown = lurcher.time(), open = false }, ticker)
  o.columns = given.columns or function() return lurcher.columns(stream) or 80 end
  if given.terminal ~= nil then o.terminal = given.terminal else o.terminal = select(2, lurcher.columns(stream)) end
  return o
end })
