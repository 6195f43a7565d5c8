---@meta
-- lurcher.lua - the module itself, tensors, JSON. With nn.lua, run.lua and data.lua beside it, this is the reference of
-- all that the bindings register, as annotations for the Lua language server: add this folder to "workspace.library". The files
-- are never run. tests/lua/api.lua compares them with what is registered, name by name, in both directions.
--
-- Conventions
--   Indices. Tables count from 1, tensors hold ids from 0. So t[1], axes, row numbers in Lua tables, and the argmax of
--     a whole tensor count from 1; the elements of i32 tensors (class ids, index inputs, argmax along an axis, rows
--     given to :select as a tensor) count from 0. A table that becomes a tensor of ids is lowered by one.
--   Errors. A mistake in the script (wrong type, shape, name or option) raises at the caller's line. A failure of the
--     environment (a missing file, a damaged image) returns nil, a message and a code such as "EIO" or "EFORMAT": where
--     the script cannot continue, write assert(...).
--   Lifetimes. Tensors, models, runs, loaders and other handles are freed by the collector, by handle:close(), or at
--     the end of the scope of `local x <close> = ...`. Use after close raises.
--   Options are named in a table: nn.conv2d{ 64, 3, stride = 2 }. An unknown name raises with the nearest known one.

---@alias lurcher.dtype "f32"|"f16"|"bf16"|"i32"|"u8"
---@alias lurcher.activation "linear"|"relu"|"sigmoid"|"tanh"|"softmax"|"gelu"|"silu"|"leaky_relu"|"elu"|"relu6"
---|"hard_sigmoid"|"hard_swish"|"softplus"|"square"|"abs"|"exp"|"log"|"sqrt"
---@alias lurcher.init "glorot_uniform"|"he_normal"|"normal"|"zeros"|"ones"
---@alias lurcher.number_or_tensor number|lurcher.tensor

---A batch: inputs by the model's input names, targets by its output names, optional sample weights (n) by
---"NAME_weight". Other fields are ignored. A table of numbers stands for a tensor; for an index input, or the class
---ids of a categorical loss, a flat table of whole numbers counts from 1. Targets must be finite, those of a cross
---entropy from 0 to 1, and sample weights finite and not negative; an error names the first row that is not (from 0). On
---a GPU, targets and weights of more than 1 MiB that are there already are not checked.
---@alias lurcher.batch table<string, lurcher.tensor|number[]>

---@class lurcher
---@field version string "0.1.0"
---@field nn lurcher.nn layers and models
---@field data lurcher.data datasets and loaders
---@field optim lurcher.optim optimizers
---@field image lurcher.image image files
---@field json lurcher.json
local lurcher = {}

-- ---- context ----

---Seeds the context: weights of layers, dropout of runs, and random tensors that are made after the call follow from
---it.
---@param seed? integer omitted: the seed is only returned
---@return integer seed the present seed; 0 at the start
function lurcher.seed(seed) end

---A device; it is opened at its first use. Raises, with the reason, where it cannot be opened.
---@param name? "auto"|"cpu"|"ref"|"cuda"|string default "auto": "cuda:0" where it can be used, else "cpu"
---@return lurcher.device
function lurcher.device(name) end

---@return string[] names of the devices that can be opened here: "ref", "cpu", "cuda:0"...
---@return string? reason why there is no CUDA device; nil when there is one
function lurcher.devices() end

---@return integer threads compute threads: LURCHER_THREADS in the environment, else one per core
function lurcher.threads() end

---Asks every run to stop between steps with an "interrupted" error, as Ctrl-C does.
function lurcher.interrupt() end

---Acknowledges a request by Ctrl-C or lurcher.interrupt(): true once per request.
---@return boolean interrupted
function lurcher.interrupted() end

---@return number seconds of a monotonic clock with an arbitrary origin
function lurcher.time() end

---@return { rss: integer, peak: integer } bytes of resident memory of this process: at present, and the maximum so far
function lurcher.memory() end

---@return integer count number of open handles, for tests that look for leaks
function lurcher.handles() end

---XXH3-128 of a string, or of a tensor's dtype, shape and elements.
---@param value string|lurcher.tensor
---@return string digits 32 hexadecimal digits
function lurcher.hash(value) end

---"Did you mean": the candidate nearest to a word, by insertions, deletions, replacements and swaps of neighbours;
---at most two of them, and fewer than half of the word's length.
---@param word string
---@param candidates string[]
---@return string? nearest nil when none is near
function lurcher.nearest(word, candidates) end

---string.format with a decimal point in numbers, whatever the locale (os.setlocale, or a program that embeds Lua).
---@param format string
---@param ... any
---@return string
function lurcher.format(format, ...) end

---tonumber with a decimal point, whatever the locale.
---@param text string
---@return number? number nil where the text is not a number
function lurcher.number(text) end

---Text that may come from elsewhere (names of files, classes and layers), for printing: control characters, bytes that
---are not UTF-8, and marks that change the direction of text are written as \x1b and \u{202e}, so that a terminal
---does not obey them.
---@param text string
---@param lines? boolean newlines and tabs stay; default false
---@return string
function lurcher.visible(text, lines) end

---Replaces a file atomically: writes a temporary file in the same folder, syncs it, and renames it.
---@param path string
---@param text string
---@return boolean? ok, string? message, string? code
function lurcher.write_file(path, text) end

-- ---- making tensors ----

---A tensor of given values: `lurcher.tensor{ {1, 2}, {3, 4} }`, `lurcher.tensor{ 1, 2, dtype = "i32" }`; or of a
---given shape: `lurcher.tensor{ shape = {2, 3}, fill = 1 }`; or a scalar: `lurcher.tensor(3)`. Values are stored as
---they are: ids that count from 0 stay so.
---@param values number|table nested tables of equal lengths; options dtype ("f32"), device (host), shape, fill (0)
---@return lurcher.tensor
function lurcher.tensor(values) end

---A tensor of zeros: `lurcher.zeros(2, 3)`, `lurcher.zeros{ 2, 3, dtype = "i32" }`.
---@param ... integer extents, or one table { extents..., dtype = "f32", device = "cpu" }
---@return lurcher.tensor
function lurcher.zeros(...) end

---A tensor of ones.
---@param ... integer extents, as of zeros
---@return lurcher.tensor
function lurcher.ones(...) end

---A tensor whose elements are all equal.
---@param shape integer[] { extents..., dtype = "f32", device = "cpu" }
---@param value number
---@return lurcher.tensor
function lurcher.full(shape, value) end

---The whole numbers from 0.
---@param n integer
---@return lurcher.tensor i32, n: 0, 1, ... n-1
function lurcher.range(n) end

---Uniformly distributed random numbers. They follow from lurcher.seed.
---@param spec { low?: number, high?: number, [integer]: integer } extents; low (0), high (1, excluded), device
---@return lurcher.tensor f32
function lurcher.uniform(spec) end

---Normally distributed random numbers. They follow from lurcher.seed.
---@param spec { mean?: number, std?: number, [integer]: integer } extents; mean (0), std (1), device
---@return lurcher.tensor f32
function lurcher.normal(spec) end

---Joins tensors along one dimension; the other extents must agree.
---@param list { axis?: integer, [integer]: lurcher.tensor } axis: from 1, default 1
---@return lurcher.tensor
function lurcher.concat(list) end

---Linear interpolation in place: every tensor a of the first list becomes a + share * (b - a), b being the tensor at
---the same position of the second list. Asynchronous on a GPU.
---@param list lurcher.tensor[] f32, all on one device
---@param towards lurcher.tensor[] of the same shapes
---@param share number 0: unchanged; 1: copied
function lurcher.lerp(list, towards, share) end

---Writes named tensors as a safetensors file, atomically.
---@param path string
---@param tensors table<string, lurcher.tensor>
---@param metadata? table<string, string>
---@return boolean? ok, string? message, string? code
function lurcher.save_tensors(path, tensors, metadata) end

---Reads all tensors of a safetensors file.
---@param path string
---@return table<string, lurcher.tensor>? tensors nil when the file cannot be read, or is damaged
---@return table<string, string>|string metadata; or message
---@return string? code
function lurcher.load_tensors(path) end

-- ---- metrics ----

---Top-k accuracy.
---@param scores lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@param k? integer default 1
---@return number share of the rows whose id is among the k highest scores; of equal scores, the earlier class is higher;
---a NaN is never among them
function lurcher.top_k(scores, ids, k) end

---Cross-entropy of predicted probabilities.
---@param probabilities lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@return number loss mean of -log p[id] (natural logarithm), with p clipped to [1e-15, 1]
function lurcher.log_loss(probabilities, ids) end

---Confusion matrix.
---@param scores lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@param counts? lurcher.tensor i32 c x c, to add to; default: a new one of zeros
---@return lurcher.tensor counts rows: true class; columns: predicted class. A row of scores that are all NaN predicts no
---class and is not counted
function lurcher.confusion(scores, ids, counts) end

---@class lurcher.device
---@field name string "ref", "cpu" or "cuda:N"
local device = {}
---Closes the handle. The device stays open for other handles and tensors.
function device:close() end

-- ---- tensor ----

---A dense array. Operators: + - * / ^ and unary -, with numbers or tensors, broadcasting as in NumPy: aligned at the
---last dimension, extents must be equal or 1. `t[i]` is a view of row i, or a number when t has one dimension (nil
---one past the end, so that ipairs works); `t[i] = v` writes a tensor, nested tables, or one number to the whole
---row. `#t` is the first extent. tostring shows shape, dtype, device and values: all of a small tensor, the corners
---of a large one. Functions return new tensors unless described otherwise; views share memory with the tensor they
---were made from.
---@class lurcher.tensor
---@field shape integer[] a copy of the extents
---@field dtype lurcher.dtype
---@field device string "cpu"
---@field bytes integer size of the elements
---@field count integer number of elements
---@operator add(lurcher.number_or_tensor): lurcher.tensor
---@operator sub(lurcher.number_or_tensor): lurcher.tensor
---@operator mul(lurcher.number_or_tensor): lurcher.tensor
---@operator div(lurcher.number_or_tensor): lurcher.tensor
---@operator pow(lurcher.number_or_tensor): lurcher.tensor
---@operator unm: lurcher.tensor
---@operator len: integer
---@field [integer] lurcher.number_or_tensor
local tensor = {}

---One element.
---@param ... integer one index per dimension, from 1
---@return number
function tensor:get(...) end
---Writes one element.
---@param value number
---@param ... integer one index per dimension, from 1
---@return lurcher.tensor self
function tensor:set(value, ...) end
---The value of a tensor of one element.
---@return number
function tensor:item() end
---All elements as nested tables; of a scalar tensor, the number.
---@return table|number values
function tensor:totable() end
---A view with another shape of the same number of elements.
---@param ... integer extents, or one table of them; one may be -1: what remains
---@return lurcher.tensor
function tensor:view(...) end
---The same as view.
---@param ... integer
---@return lurcher.tensor
function tensor:reshape(...) end
---A view of consecutive rows of the first dimension.
---@param first integer from 1
---@param count? integer default: all up to the last
---@return lurcher.tensor
function tensor:rows(first, count) end
---A copy on the same device.
---@return lurcher.tensor
function tensor:clone() end
---The tensor on a device: a copy, or the same memory when it is there already.
---@param dev lurcher.device|string
---@return lurcher.tensor
function tensor:to(dev) end
---A copy with another dtype. To i32 and u8, fractions are truncated and values outside the range saturate.
---@param dtype lurcher.dtype
---@return lurcher.tensor
function tensor:cast(dtype) end
---Copies the elements of another tensor into this one.
---@param src lurcher.tensor of the same shape and dtype, on any device
---@return lurcher.tensor self
function tensor:copy(src) end
---Sets all elements.
---@param value number
---@return lurcher.tensor self
function tensor:fill(value) end
---Linear interpolation in place: self + share * (other - self). See lurcher.lerp.
---@param other lurcher.tensor f32, of the same shape and on the same device
---@param share number
---@return lurcher.tensor self
function tensor:lerp(other, share) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where equal, else 0
function tensor:eq(other) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self < other, else 0
function tensor:lt(other) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self <= other, else 0
function tensor:le(other) end
---The larger of two values per element.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
function tensor:maximum(other) end
---The smaller of two values per element.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
function tensor:minimum(other) end
---|x| per element.
---@return lurcher.tensor
function tensor:abs() end
---e^x per element.
---@return lurcher.tensor
function tensor:exp() end
---Natural logarithm per element.
---@return lurcher.tensor
function tensor:log() end
---Square root per element.
---@return lurcher.tensor
function tensor:sqrt() end
---x * x per element.
---@return lurcher.tensor
function tensor:square() end
---max(x, 0) per element.
---@return lurcher.tensor
function tensor:relu() end
---1 / (1 + e^-x) per element.
---@return lurcher.tensor
function tensor:sigmoid() end
---Hyperbolic tangent per element.
---@return lurcher.tensor
function tensor:tanh() end
---e^x divided by its sum over the last dimension.
---@return lurcher.tensor
function tensor:softmax() end
---Sum over one dimension, which the result does not have; without an axis, over all elements, as a number.
---@param axis? integer from 1; -1: the last
---@return lurcher.number_or_tensor
function tensor:sum(axis) end
---Mean, over dimensions as in sum.
---@param axis? integer from 1; -1: the last
---@return lurcher.number_or_tensor
function tensor:mean(axis) end
---Largest value, over dimensions as in sum.
---@param axis? integer from 1; -1: the last
---@return lurcher.number_or_tensor
function tensor:max(axis) end
---Smallest value, over dimensions as in sum.
---@param axis? integer from 1; -1: the last
---@return lurcher.number_or_tensor
function tensor:min(axis) end
---Position of the largest value. Without an axis: the flat index of the element, from 1. With one: an i32 tensor of ids
---from 0, to be compared with class ids by :eq.
---@param axis? integer from 1; -1: the last
---@return integer|lurcher.tensor position
function tensor:argmax(axis) end
---Position of the smallest value, as argmax.
---@param axis? integer from 1; -1: the last
---@return integer|lurcher.tensor position
function tensor:argmin(axis) end
---Matrix product of two matrices, m x k by k x n.
---@param other lurcher.tensor k x n
---@return lurcher.tensor m x n
function tensor:matmul(other) end
---The transpose of a matrix, copied.
---@return lurcher.tensor
function tensor:transpose() end
---Rows of the first dimension in the given order, copied.
---@param rows integer[]|lurcher.tensor a table counts from 1, an i32 tensor from 0
---@return lurcher.tensor
function tensor:select(rows) end
---Frees the memory now, unless a view shares it.
function tensor:close() end

-- ---- json ----

---@class lurcher.json
---@field null userdata the value for JSON's null, in both directions
lurcher.json = {}
---Lua to JSON. A table with #t > 0, or one marked by json.array, becomes an array, any other table an object with
---sorted keys. NaN and infinities become null.
---@param value any number, string, boolean, nil, json.null or table
---@param indent? boolean default false: all on one line
---@return string
function lurcher.json.encode(value, indent) end
---JSON to Lua. Whole numbers become integers; arrays are marked as by json.array.
---@param text string
---@return any value nil when the text is not JSON
---@return string? message, string? code
function lurcher.json.decode(text) end
---Marks a table as an array, so that it is written as one even when it is empty.
---@param list table
---@return table list
function lurcher.json.array(list) end

return lurcher
