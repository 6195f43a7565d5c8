---@meta
-- ticker.lua - require "lurcher.ticker"; see lurcher.lua for the conventions.

---@class lurcher.ticker_options
---@field label? string what the work is
---@field total? integer number of what is counted; default: not known
---@field every? number seconds between two lines where the output is not a terminal; default 30
---@field out? table object with write and flush; default io.stdout
---@field terminal? boolean whether that is a terminal; default: checked
---@field columns? fun(): integer gives the terminal's width; default: it is asked before every line

---A progress line of long work. On a terminal it is redrawn in place and takes one line, however
---narrow the terminal is or becomes; elsewhere (a pipe, a log file) it becomes whole lines, one every `every` seconds.
---
---    local tick = ticker{ label = "predicting", total = #set }
---    for ... do tick:count(done) end
---    tick:finish("predicted ...")
---
---A line is a text, or a list of parts { text, rank } in their order: where it is too long for the terminal, the parts
---of the largest rank are left out first. The first part always stays.
---@class lurcher.ticker
---@overload fun(options: lurcher.ticker_options): lurcher.ticker
local ticker = {}
---The parts of a line that fit into `width` columns, as a text.
function ticker.fitted(parts, width) end
---A line of texts or parts, as it is shown.
function ticker:line(line) end
---Whether a line is due now; if so, the next is due after the interval.
function ticker:is_due() end
---Shows a line that the next one replaces on a terminal.
function ticker:show(line) end
---Shows a line that stays.
function ticker:finish(line) end
---Ends an open line, if any.
function ticker:break_line() end
---Images per second as text.
function ticker.rate(count, seconds) end
---A bar as text: "[=====     ]".
function ticker.bar(done, total) end
---Shows "label  320/1674  [====      ]  12 images/s  ETA 1:50", when it is due.
function ticker:count(done) end
