--- lurcher.tensorboard: writes event files that TensorBoard shows. on.tensorboard is the callback over it.
--
--     local tensorboard = require "lurcher.tensorboard"
--     local writer <close> = tensorboard.writer "logs/first"
--     writer:scalar("loss", 0.7, 1)
--     writer:image("sample", image, 1)
--
-- A writer makes a new file in its folder, which TensorBoard reads after the earlier ones; one folder is one run. What
-- is written is on disk after writer:flush() or writer:close(). All methods return the writer, and raise where the file
-- cannot be written. Steps are integers from 0.

local lfs = require "lfs"
local lurcher = require "lurcher"
local event, record = require "lurcher.tensorboard.event", require "lurcher.tensorboard.record"
local files = require "lurcher.files"

local tensorboard = {}

local writer = {}
writer.__index = writer

-- ---- the file ----

--- A path that no file has yet, later in the alphabet than those of earlier seconds: TensorBoard reads files in order.
local function free_path(folder, seconds)
  for i = 0, 9999 do
    local path = ("%s/events.out.tfevents.%010d.lurcher.%04d"):format(folder, seconds, i)
    if not lfs.attributes(path) then return path end
  end
  error(("tensorboard: there are too many event files in '%s'"):format(folder), 0)
end

--- Seconds since 1970, with the fraction of the clock that goes on between two calls.
local function clock_of()
  local began, at = os.time(), lurcher.time()
  return function() return began + lurcher.time() - at end
end

local function write(self, step, content)
  if math.type(step) ~= "integer" or step < 0 then
    error(("tensorboard: an integer of at least 0 expected as step, got %s"):format(tostring(step)), 3)
  end
  if not self.file then error("tensorboard: the writer is closed", 3) end
  local ok, message = self.file:write(record.framed(event.new(self.clock(), step, content)))
  if not ok then error(("tensorboard: '%s' cannot be written: %s"):format(self.path, message), 0) end
  return self
end

--- Makes a writer: tensorboard.writer "FOLDER", or { "FOLDER", from_step = N }: where steps from N on are in earlier
-- files that also have this option, these do not count any more (a training that was resumed); clock =
-- function() -> seconds since 1970. Makes the folder. Raises where that fails.
function tensorboard.writer(given)
  local o = type(given) == "table" and given or { given }
  if type(o[1]) ~= "string" then error("tensorboard.writer: a folder expected", 2) end
  local ok, message = files.make_folders(o[1])
  if not ok then error("tensorboard: " .. message, 0) end
  local path = free_path(o[1], os.time())
  local file, trouble = io.open(path, "wb")
  if not file then error("tensorboard: " .. trouble, 0) end
  local self = setmetatable({ file = file, path = path, clock = o.clock or clock_of() }, writer)
  write(self, 0, event.version)
  if o.from_step then write(self, o.from_step, event.session_start) end
  return self:flush()
end

--- Writes what is in memory to the file.
function writer:flush()
  local ok, message = self.file:flush()
  if not ok then error(("tensorboard: '%s' cannot be written: %s"):format(self.path, message), 0) end
  return self
end

--- Closes the file. A closed writer may be closed again.
function writer:close()
  if not self.file then return end
  local ok, message = self.file:close()
  self.file = nil
  if not ok then error(("tensorboard: '%s' cannot be written: %s"):format(self.path, message), 0) end
end

function writer:__close()
  if self.file then self:close() end
end

-- ---- what it writes ----

local function check_tag(tag)
  if type(tag) ~= "string" or tag == "" then error("tensorboard: a tag (text) expected as first argument", 3) end
end

--- A number at a step. NaN and infinities are allowed.
function writer:scalar(tag, value, step)
  check_tag(tag)
  if type(value) ~= "number" then
    error(("tensorboard: a number expected for '%s', got %s"):format(tag, type(value)), 2)
  end
  return write(self, step, event.scalar(tag, value))
end

--- An image at a step: h x w x 3 or h x w x 1, values from 0 to 255, as lurcher.image.load returns. Stored as PNG.
function writer:image(tag, image, step)
  check_tag(tag)
  local shape = image.shape
  if #shape ~= 3 or shape[3] ~= 3 and shape[3] ~= 1 then
    error(("tensorboard: an image of h x w x 3 or h x w x 1 expected for '%s', got %s"):format(tag,
      table.concat(shape, " x ")), 2)
  end
  if shape[3] == 1 then image = lurcher.concat{ image, image, image, axis = 3 } end
  return write(self, step, event.image(tag, shape[1], shape[2], 3, lurcher.image.encode(image, { format = "png" })))
end

local BUCKETS <const> = 30 -- as many as tf.summary.histogram makes

--- The histogram of a tensor: 30 buckets of equal width from its least value to its largest, or one where all values
-- are equal: { min, max, count, sum, sum_squares, limits, counts }. nil where a value is not finite.
function tensorboard.histogram(tensor)
  if tensor.dtype ~= "f32" then tensor = tensor:cast "f32" end
  if tensor.device ~= "cpu" then tensor = tensor:to "cpu" end
  local low, high, count = tensor:min(), tensor:max(), 1
  for _, extent in ipairs(tensor.shape) do count = count * extent end
  if low - low ~= 0 or high - high ~= 0 then return nil end
  local h = { min = low, max = high, count = count, sum = tensor:mean() * count,
    sum_squares = tensor:square():mean() * count, limits = {}, counts = {} }
  if h.sum_squares - h.sum_squares ~= 0 then return nil end
  local n, before = low < high and BUCKETS or 1, 0
  for i = 1, n do
    local limit = i == n and high or low + (high - low) * i / n
    local up_to = i == n and count or math.floor(tensor:le(limit):cast "f32":mean() * count + 0.5)
    h.limits[i], h.counts[i], before = limit, up_to - before, up_to
  end
  return h
end

--- The distribution of a tensor's values at a step. A tensor with values that are not finite is left out.
function writer:histogram(tag, tensor, step)
  check_tag(tag)
  local h = tensorboard.histogram(tensor)
  return h and write(self, step, event.histogram(tag, h)) or self
end

--- A text at a step; TensorBoard shows it as Markdown.
function writer:text(tag, text, step)
  check_tag(tag)
  return write(self, step, event.text(tag, tostring(text)))
end

--- The hyperparameters of the run: numbers, booleans and texts by name. metrics: what to list beside them, { { group =
-- "validation", tag = "epoch_loss" }, ... }: tags of the folder `group` below the writer's.
function writer:hparams(values, metrics)
  for name, value in pairs(values) do
    local kind = type(value)
    if type(name) ~= "string" or kind ~= "number" and kind ~= "boolean" and kind ~= "string" then
      error(("tensorboard: hyperparameter '%s': a number, boolean or string expected, got %s"):format(tostring(name),
        kind), 2)
    end
  end
  local seconds = self.clock()
  if metrics then write(self, 0, event.experiment(values, metrics, seconds)) end
  return write(self, 0, event.hparams(values, "", seconds))
end

--- The end of the run. status: "success" or "failure".
function writer:finish(status) return write(self, 0, event.hparams_end(status, self.clock())) end

return tensorboard
