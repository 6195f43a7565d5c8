---@meta
-- tensorboard.lua - require "lurcher.tensorboard"; see lurcher.lua for the conventions.

---Writes event files that TensorBoard shows. on.tensorboard is the callback over it.
---
---    local tensorboard = require "lurcher.tensorboard"
---    local writer <close> = tensorboard.writer "logs/first"
---    writer:scalar("loss", 0.7, 1)
---    writer:image("sample", image, 1)
---
---A writer makes a new file in its folder, which TensorBoard reads after the earlier ones; one folder is one run. What
---is written is on disk after writer:flush() or writer:close(). All methods return the writer, and raise where the file
---cannot be written. Steps are integers from 0.
---@class lurcher.tensorboard
local tensorboard = {}
---Makes a writer: tensorboard.writer "FOLDER", or { "FOLDER", from_step = N }: where steps from N on are in earlier
---files that also have this option, these do not count any more (a training that was resumed); clock = function() ->
---seconds since 1970. Makes the folder. Raises where that fails.
---@param given string|{ from_step?: integer, clock?: function, [integer]: string }
---@return lurcher.tensorboard_writer
function tensorboard.writer(given) end
---The histogram of a tensor: 30 buckets of equal width from its least value to its largest, or one where all values
---are equal: { min, max, count, sum, sum_squares, limits, counts }. nil where a value is not finite.
function tensorboard.histogram(tensor) end

---A writer of event files. Every method returns the writer.
---@class lurcher.tensorboard_writer
---@field scalar fun(self, tag: string, value: number, step: integer) a number at a step; NaN and infinities are allowed
---@field image fun(self, tag: string, image: lurcher.tensor, step: integer) an image, values from 0 to 255
---@field histogram fun(self, tag: string, tensor: lurcher.tensor, step: integer) the distribution of a tensor's values
---@field text fun(self, tag: string, text: string, step: integer) a text, shown as Markdown
---@field hparams fun(self, values: table, metrics?: table) the hyperparameters of the run
---@field finish fun(self, status: "success"|"failure") the end of the run
---@field flush fun(self) writes what is in memory to the file
---@field close fun(self) closes the file
