---@meta
-- progress.lua - require "lurcher.progress"; see lurcher.lua for the conventions.

---The callback behind on.progress: a line per epoch, and within an epoch its place, images per
---second and remaining time. On a terminal a line takes no more than its width: what matters least is left out first.
---It also says, in one line, where training accuracy is high and validation accuracy that of guessing. lurcher.ticker
---has the options, and decides how lines appear on a terminal and elsewhere.
---@class lurcher.progress
---@overload fun(options: lurcher.progress_options): lurcher.callback
local progress = {}
