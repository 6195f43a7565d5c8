--- lurcher.tensorboard.event: the messages in TensorBoard's event files, as bytes. Field numbers are those of
-- TensorFlow's event.proto, summary.proto and tensor.proto (tensorflow/core/util, tensorflow/core/framework), and of
-- TensorBoard's plugins/hparams/{plugin_data,api}.proto; the encoding is that of Protocol Buffers ("Encoding",
-- protobuf.dev). Only what the writer needs is here, and nothing is read.

local event = {}

-- ---- wire types ----

local function varint(value)
  local bytes = {}
  repeat
    local low = value & 0x7F
    value = value >> 7
    bytes[#bytes + 1] = string.char(value ~= 0 and low | 0x80 or low)
  until value == 0
  return table.concat(bytes)
end

local function key(number, wire) return varint(number << 3 | wire) end

local function integer(number, value) return key(number, 0) .. varint(value) end
local function double(number, value) return key(number, 1) .. string.pack("<d", value) end
local function bytes(number, text) return key(number, 2) .. varint(#text) .. text end

--- The same, and nothing for an empty text.
local function some_bytes(number, text) return text ~= "" and bytes(number, text) or "" end

--- A number as f32; beyond its range infinite, as a cast in C.
local function float(number, value)
  local largest <const> = 3.4028235677973366e38 -- rounds to infinity
  if value >= largest then value = math.huge elseif value <= -largest then value = -math.huge end
  return key(number, 5) .. string.pack("<f", value)
end

--- A packed list of doubles.
local function doubles(number, list)
  local parts = {}
  for i, value in ipairs(list) do parts[i] = string.pack("<d", value) end
  return bytes(number, table.concat(parts))
end

-- ---- messages ----

--- An event: wall_time in seconds, step, and one of the contents below.
function event.new(wall_time, step, content)
  return double(1, wall_time) .. (step ~= 0 and integer(2, step) or "") .. content
end

--- The first event of a file.
event.version = bytes(3, "brain.Event:2")

--- The beginning of a session: what was written for this step and later ones is not valid any more.
event.session_start = bytes(7, integer(1, 1))

--- A summary of one value.
local function summary(value) return bytes(5, bytes(1, value)) end

function event.scalar(tag, value) return summary(bytes(1, tag) .. float(2, value)) end

--- encoded: a PNG or JPEG; channels: 1 or 3.
function event.image(tag, height, width, channels, encoded)
  return summary(bytes(1, tag)
    .. bytes(4, integer(1, height) .. integer(2, width) .. integer(3, channels) .. bytes(4, encoded)))
end

--- h: min, max, count, sum, sum_squares; limits, the upper end of each bucket; counts, how many values it has.
function event.histogram(tag, h)
  return summary(bytes(1, tag) .. bytes(5, double(1, h.min) .. double(2, h.max) .. double(3, h.count)
    .. double(4, h.sum) .. double(5, h.sum_squares) .. doubles(6, h.limits) .. doubles(7, h.counts)))
end

--- SummaryMetadata of a plugin.
local function metadata(plugin, content) return bytes(9, bytes(1, bytes(1, plugin) .. some_bytes(2, content))) end

--- A text, shown as Markdown: a tensor of one string (data type 7).
function event.text(tag, text)
  return summary(bytes(1, tag) .. bytes(8, integer(1, 7) .. bytes(2, bytes(2, integer(1, 1))) .. bytes(8, text))
    .. metadata("text", ""))
end

-- ---- hyperparameters ----

--- google.protobuf.Value of a number, boolean or string.
local function value_of(value)
  if type(value) == "boolean" then return integer(4, value and 1 or 0) end
  if type(value) == "number" then return double(2, value) end
  return bytes(3, tostring(value))
end

--- A summary with HParamsPluginData (version 0), and the empty tensor that its readers expect (data type 1, one zero).
local function hparams_data(tag, content)
  local zero = integer(1, 1) .. bytes(2, bytes(2, integer(1, 1))) .. bytes(5, string.pack("<f", 0))
  return summary(bytes(1, tag) .. bytes(8, zero) .. metadata("hparams", content))
end

--- The beginning of a run with these hyperparameters, numbers, booleans and strings by name.
function event.hparams(values, group, seconds)
  local names, parts = {}, {}
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  for i, name in ipairs(names) do parts[i] = bytes(1, bytes(1, name) .. bytes(2, value_of(values[name]))) end
  return hparams_data("_hparams_/session_start_info",
    bytes(3, table.concat(parts) .. some_bytes(4, group) .. double(5, seconds)))
end

--- Which hyperparameters and metrics there are. metrics: { { group = subfolder, tag = }, ... }.
function event.experiment(values, metrics, seconds)
  local names, parts, kinds = {}, { double(3, seconds) }, { string = 1, boolean = 2, number = 3 }
  for name in pairs(values) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    parts[#parts + 1] = bytes(4, bytes(1, name) .. integer(4, kinds[type(values[name])]))
  end
  for _, metric in ipairs(metrics) do
    parts[#parts + 1] = bytes(5, bytes(1, bytes(1, metric.group) .. bytes(2, metric.tag)))
  end
  return hparams_data("_hparams_/experiment", bytes(2, table.concat(parts)))
end

--- The end of a run. status: "success" or "failure".
function event.hparams_end(status, seconds)
  return hparams_data("_hparams_/session_end_info",
    bytes(4, integer(1, status == "success" and 1 or 2) .. double(2, seconds)))
end

return event
