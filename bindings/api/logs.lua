---@meta
-- logs.lua - require "lurcher.logs"; see lurcher.lua for the conventions.

---Names, order and formats of logs, for callbacks and reports. It keeps no state.
---@class lurcher.logs
local logs_of = {}
---The names of the numbers in a table of logs, in the order of Keras: the total loss, the outputs' losses in the
---model's order, the accuracies, then the same of validation. outputs: list of output names, or nil.
function logs_of.names(logs, outputs) end
---Fills in {name} and {name:02d} of a pattern, as Python's str.format does for numbers. Raises for a name that is not
---in `values`; its message lists the names of `logs` (by default values).
function logs_of.fill(pattern, values, logs) end
---A history as CSV text: a header, and a line per epoch (counted from 1); every log that any epoch has is a column.
function logs_of.csv(history, outputs) end
---What happens to an image that could not be read: another one replaces it in training, and validation leaves it out.
function logs_of.unread(leaves_out) end
---A line for each image that a loader could not read in its last epoch, and that is not in the set `named` yet, which
---then has it; a last line sums up. Only loaders of data.loader have such lines, and what is put around them.
---leaves_out: whether the loader (its field leaves_out) or who uses it leaves such images out.
function logs_of.damage(loader, named, leaves_out) end
---A line about the files of a dataset's folders that are not in it, or nil for none: "passed over in 'd/train': 3
---.bmp, 1 .txt (only JPEG and PNG files are read), 2 images in no class folder".
function logs_of.passed_over(set, path) end
---Seconds as text: "8 s", "2:05", "1:02:03".
function logs_of.duration(seconds) end
---Bytes as text: "8.2 kB", "105.3 MB", "1.7 GB".
function logs_of.size(bytes) end
