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
---entropy from 0 to 1, and sample weights finite and not negative; an error names the first row that is not (from 0).
---On
---a GPU, targets and weights of more than 1 MiB that are there already are not checked.
---@alias lurcher.batch table<string, lurcher.tensor|number[]>

---The module: `local lurcher = require "lurcher"`. In the session and after -e it is the global lurcher.
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
---@usage lurcher.seed(7)
function lurcher.seed(seed) end

---A device; it is opened at its first use. Raises, with the reason, where it cannot be opened.
---@param name? "auto"|"cpu"|"ref"|"cuda"|string default "auto": "cuda:0" where it can be used, else "cpu"
---@return lurcher.device
---@usage device = lurcher.device "cpu"
function lurcher.device(name) end

---The devices that can be opened here.
---@return string[] names of the devices that can be opened here: "ref", "cpu", "cuda:0"...
---@return string? reason why there is no CUDA device; nil when there is one
---@usage print(table.concat(lurcher.devices(), " "))
function lurcher.devices() end

---The number of compute threads.
---@return integer threads compute threads: LURCHER_THREADS in the environment, else one per core
---@usage print(lurcher.threads())
function lurcher.threads() end

---Asks every run to stop between steps with an "interrupted" error, as Ctrl-C does.
function lurcher.interrupt() end

---Acknowledges a request by Ctrl-C or lurcher.interrupt(): true once per request.
---@return boolean interrupted
function lurcher.interrupted() end

---Whether the code that runs was typed at the prompt of an interactive session, where Ctrl-C ends a fit and not more.
---@return boolean
function lurcher.at_prompt() end

---The width of the terminal on a stream at present; where the stream is no terminal, that of the environment variable
---COLUMNS.
---@param stream? "stdout"|"stderr" default "stdout"
---@return integer? columns nil where neither is known
---@return boolean terminal whether the stream is a terminal
---@usage width = lurcher.columns() or 80
function lurcher.columns(stream) end

---The time of a clock that never goes back: `local start = lurcher.time()`.
---@return number seconds of a monotonic clock with an arbitrary origin
function lurcher.time() end

---Waits. A signal, Ctrl-C for one, ends it early.
---@param seconds number from 0 to 1000000
function lurcher.sleep(seconds) end

---The memory of this process.
---@return { rss: integer, peak: integer } bytes of resident memory of this process: at present, and the maximum so far
---@usage print(lurcher.memory().peak / 1e6 .. " MB")
function lurcher.memory() end

---The number of handles that are open.
---@return integer count number of open handles, for tests that look for leaks
---@usage before = lurcher.handles()
function lurcher.handles() end

---XXH3-128 of a string, or of a tensor's dtype, shape and elements.
---@param value string|lurcher.tensor
---@return string digits 32 hexadecimal digits
---@usage digits = lurcher.hash(t)
function lurcher.hash(value) end

---"Did you mean": the candidate nearest to a word, by insertions, deletions, replacements and swaps of neighbours;
---at most two of them, and fewer than half of the word's length.
---@param word string
---@param candidates string[]
---@return string? nearest nil when none is near
---@usage lurcher.nearest("strides", { "stride", "padding" }) -- "stride"
function lurcher.nearest(word, candidates) end

---string.format with a decimal point in numbers, whatever the locale (os.setlocale, or a program that embeds Lua).
---@param format string
---@param ... any
---@return string
---@usage lurcher.format("%.2f", 0.5) -- "0.50"
function lurcher.format(format, ...) end

---tonumber with a decimal point, whatever the locale.
---@param text string
---@return number? number nil where the text is not a number
---@usage lurcher.number "0.5" -- 0.5
function lurcher.number(text) end

---Text that may come from elsewhere (names of files, classes and layers), for printing: control characters, bytes that
---are not UTF-8, and marks that change the direction of text are written as \x1b and \u{202e}, so that a terminal
---does not obey them.
---@param text string
---@param lines? boolean newlines and tabs stay; default false
---@return string
---@usage print(lurcher.visible(name))
function lurcher.visible(text, lines) end

---Replaces a file atomically: writes a temporary file in the same folder, syncs it, and renames it.
---@param path string
---@param text string
---@return boolean? ok, string? message, string? code
---@usage assert(lurcher.write_file("names.txt", "pug\nboxer\n"))
function lurcher.write_file(path, text) end

---Explains a name, a value, or searches for words: `lurcher.help "conv2d"`, `lurcher.help(x)`,
---`lurcher.help "learning rate"`. In the session it is `help`, at the shell `lurcher help TOPIC`. Prints what is known:
---signature, meaning, options with their defaults.
---@param topic? any a name, words, or a value: a function, module, tensor, layer, callback...; nil: lists the topics
---@param as_text? boolean returns the text instead of printing it; default false
---@return string? text with as_text
---@return boolean? found with as_text: whether something was found
function lurcher.help(topic, as_text) end

-- ---- making tensors ----

---A tensor of given values: `lurcher.tensor{ {1, 2}, {3, 4} }`, `lurcher.tensor{ 1, 2, dtype = "i32" }`; or of a
---given shape: `lurcher.tensor{ shape = {2, 3}, fill = 1 }`; or a scalar: `lurcher.tensor(3)`. One argument, no more.
---Values are stored as they are: ids that count from 0 stay so.
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
---@usage lurcher.ones(2, 3)
function lurcher.ones(...) end

---A tensor whose elements are all equal.
---@param shape integer[] { extents..., dtype = "f32", device = "cpu" }
---@param value number
---@return lurcher.tensor
---@usage lurcher.full({ 2, 3 }, 0.5)
function lurcher.full(shape, value) end

---The whole numbers from 0.
---@param n integer
---@return lurcher.tensor i32, n: 0, 1, ... n-1
---@usage lurcher.range(3) -- 0 1 2
function lurcher.range(n) end

---Uniformly distributed random numbers. They follow from lurcher.seed.
---@param spec { low?: number, high?: number, [integer]: integer } extents; low (0), high (1, excluded), device
---@return lurcher.tensor f32
---@usage lurcher.uniform{ 2, 3, low = -1, high = 1 }
function lurcher.uniform(spec) end

---Normally distributed random numbers. They follow from lurcher.seed.
---@param spec { mean?: number, std?: number, [integer]: integer } extents; mean (0), std (1), device
---@return lurcher.tensor f32
---@usage lurcher.normal{ 2, 3, mean = 0, std = 0.1 }
function lurcher.normal(spec) end

---Joins tensors along one dimension; the other extents must agree.
---@param list { axis?: integer, [integer]: lurcher.tensor } axis: from 1, default 1
---@return lurcher.tensor
---@usage lurcher.concat{ t, t, axis = 2 }
function lurcher.concat(list) end
---The same as concat.
---@param list { axis?: integer, [integer]: lurcher.tensor }
---@return lurcher.tensor
---@usage lurcher.cat{ t, t }
function lurcher.cat(list) end

---Joins tensors of equal shapes along a new dimension.
---@param list { axis?: integer, [integer]: lurcher.tensor } axis: the new one's place, from 1, default 1
---@return lurcher.tensor
---@usage lurcher.stack{ t, t }
function lurcher.stack(list) end

---Chooses per element: `lurcher.where(t:gt(0), t, 0)`. The three broadcast.
---@param mask lurcher.tensor
---@param a lurcher.number_or_tensor where the mask is true (any element but 0)
---@param b lurcher.number_or_tensor elsewhere
---@return lurcher.tensor of the dtype of a and b where they agree, else f32
function lurcher.where(mask, a, b) end

---1 at the id, 0 elsewhere.
---@param ids integer[]|lurcher.tensor a table counts from 1, a tensor (i32 or u8, of any shape) from 0
---@param classes integer
---@return lurcher.tensor f32: the shape of ids, and a last dimension of `classes`
---@usage lurcher.one_hot({ 1, 3 }, 3)
function lurcher.one_hot(ids, classes) end

---Numbers at equal distances, the first and the last included.
---@param first number
---@param last number
---@param n integer
---@return lurcher.tensor f32, n
---@usage lurcher.linspace(0, 1, 5)
function lurcher.linspace(first, last, n) end

---1 on the diagonal, 0 elsewhere.
---@param n integer rows
---@param m? integer columns; default n
---@return lurcher.tensor f32, n x m
---@usage lurcher.eye(3)
function lurcher.eye(n, m) end

---Linear interpolation in place: every tensor a of the first list becomes a + share * (b - a), b being the tensor at
---the same position of the second list. Asynchronous on a GPU.
---@param list lurcher.tensor[] f32, all on one device
---@param towards lurcher.tensor[] of the same shapes
---@param share number 0: unchanged; 1: copied
---@usage lurcher.lerp({ t }, { t:clone() }, 0.1)
function lurcher.lerp(list, towards, share) end

---Writes named tensors as a safetensors file, atomically.
---@param path string
---@param tensors table<string, lurcher.tensor>
---@param metadata? table<string, string>
---@return boolean? ok, string? message, string? code
---@usage assert(lurcher.save_tensors("t.safetensors", { t = t }))
function lurcher.save_tensors(path, tensors, metadata) end

---Reads all tensors of a safetensors file.
---@param path string
---@return table<string, lurcher.tensor>? tensors nil when the file cannot be read, or is damaged
---@return table<string, string>|string metadata; or message
---@return string? code
---@usage tensors, metadata = assert(lurcher.load_tensors "t.safetensors")
function lurcher.load_tensors(path) end

-- ---- metrics ----

---Top-k accuracy.
---@param scores lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@param k? integer default 1
---@return number share of the rows whose id is among the k highest scores; of equal scores, the earlier class is
--- higher;
---a NaN is never among them
---@usage lurcher.top_k(scores, ids, 5)
function lurcher.top_k(scores, ids, k) end

---Cross-entropy of predicted probabilities.
---@param probabilities lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@return number loss mean of -log p[id] (natural logarithm), with p clipped to [1e-15, 1]
---@usage lurcher.log_loss(scores:softmax(), ids)
function lurcher.log_loss(probabilities, ids) end

---Confusion matrix.
---@param scores lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@param counts? lurcher.tensor i32 c x c, to add to; default: a new one of zeros
---@return lurcher.tensor counts rows: true class; columns: predicted class. A row of scores that are all NaN predicts
--- no
---class and is not counted
---@usage counts = lurcher.confusion(scores, ids)
function lurcher.confusion(scores, ids, counts) end

---A device that computes: "cpu", "cuda:0"...
---@class lurcher.device
---@field name string "ref", "cpu" or "cuda:N"
local device = {}
---Closes the handle. The device stays open for other handles and tensors.
function device:close() end

-- ---- tensor ----

---Axes in the list part, from 1 or from -1 backwards; none: all.
---@class lurcher.reduce_options
---@field keepdim? boolean dimensions that are reduced stay, with extent 1; default false
---@field [integer] integer

---A dense array.
---
---**Operators.** + - * / // % ^ and unary -, and & | ~ of masks, with numbers or tensors, broadcasting as in NumPy:
---aligned at the last dimension, extents must be equal or 1. // and % round towards minus infinity, as in Lua.
---
---**Dtypes.** Two i32 tensors, or an i32 tensor and a whole number, give i32: results saturate, / truncates, a division
---by 0 saturates (0 / 0 is 0), and % 0 is 0. Everything else is computed in, and gives, f32. Means, roots and
---exponentials are always f32. Comparisons give masks: i32 tensors of 0 and 1, so that `mask:sum()` counts; `a & b`,
---`a | b`, `a ~ b` (exclusive or) and `~a` combine them. Where a mask is taken, every element but 0 is true, of any
---dtype. `a == b` asks whether two handles are of one tensor: `a:equal(b)` and `a:eq(b)` compare elements. What only
---moves elements (slices, sorting, concat, where) keeps the dtype.
---
---**Indices.** `t[i]` is row i, or a number when t has one dimension (nil one past the end, so that ipairs works).
---`t[{...}]` is a part, with one entry per dimension: an index, which drops the dimension; `{ first, last }`, both
---included; `{ first, last, step }`; `{ i }`, which keeps the dimension; `{}`, all of it. Dimensions that are left out
---stay whole: `t[{ {1, 3}, 2 }]`, `t[{ {}, 2 }]` for a column. Only indices, one per dimension, give a number. Indices
---and axes count from 1, or backwards from -1, the last. Ids in tensors (argmax, sort, select, gather) count from 0.
---
---**Writing.** `t[i] = v` and `t[{...}] = v` write a tensor, nested tables, or one number to every element. Into
---t[{...}], tensors broadcast and are cast to t's dtype; a row takes a tensor of its shape and dtype.
---
---**Views and copies.** `t[i]`, rows, view, reshape, squeeze, unsqueeze and flatten share memory with t. All else
---gives a new tensor, t[{...}], narrow, split, permute and expand included: a tensor has no strides.
---
---`#t` is the first extent. tostring shows shape, dtype, device and values: all of a small tensor, the corners of a
---large one; NaN is written nan. Except for what copies (clone, to, cast, copy, fill), functions take tensors in host
---memory: `t:to "cpu"`. An unknown field raises.
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
---@operator idiv(lurcher.number_or_tensor): lurcher.tensor
---@operator mod(lurcher.number_or_tensor): lurcher.tensor
---@operator pow(lurcher.number_or_tensor): lurcher.tensor
---@operator band(lurcher.number_or_tensor): lurcher.tensor
---@operator bor(lurcher.number_or_tensor): lurcher.tensor
---@operator bxor(lurcher.number_or_tensor): lurcher.tensor
---@operator bnot: lurcher.tensor
---@operator unm: lurcher.tensor
---@operator len: integer
---@field [integer] lurcher.number_or_tensor
local tensor = {}

---One element.
---@param ... integer one index per dimension, from 1, or from -1 backwards
---@return number
---@usage t:get(1, 2)
function tensor:get(...) end
---Writes one element.
---@param value number
---@param ... integer one index per dimension, from 1, or from -1 backwards
---@return lurcher.tensor self
---@usage t:set(7, 1, 2)
function tensor:set(value, ...) end
---The value of a tensor of one element.
---@return number
---@usage t:sum{ 1, 2, keepdim = true }:item()
function tensor:item() end
---All elements as nested tables; of a scalar tensor, the number.
---@return table|number values
---@usage t:totable() -- { { 1, 2, 3 }, { 4, 5, 6 } }
function tensor:totable() end
---The same as totable.
---@return table|number values
---@usage t:tolist()
function tensor:tolist() end
---A view with another shape of the same number of elements.
---@param ... integer extents, or one table of them; one may be -1: what remains
---@return lurcher.tensor
---@usage t:view(3, -1)
function tensor:view(...) end
---The same as view.
---@param ... integer
---@return lurcher.tensor
---@usage t:reshape(-1)
function tensor:reshape(...) end
---A view of consecutive rows of the first dimension.
---@param first integer from 1, or from -1 backwards
---@param count? integer default: all up to the last
---@return lurcher.tensor
---@usage t:rows(2)
function tensor:rows(first, count) end
---A view without dimensions of extent 1.
---@param ... integer the axes, whose extents must be 1; default: all of extent 1
---@return lurcher.tensor
---@usage t:unsqueeze(1):squeeze()
function tensor:squeeze(...) end
---A view with a new dimension of extent 1.
---@param axis integer its place: from 1, or from -1 backwards, in the result
---@return lurcher.tensor
---@usage t:unsqueeze(1)
function tensor:unsqueeze(axis) end
---A view of one dimension.
---@return lurcher.tensor
---@usage t:flatten()
function tensor:flatten() end
---A part, as t[{...}].
---@param ranges table one entry per dimension: an index, { first, last }, { first, last, step }, { i } or {}
---@return lurcher.tensor|number part a copy; a number where all entries are indices
---@usage t:slice{ 1, { 2, 3 } }
function tensor:slice(ranges) end
---Consecutive elements along one dimension.
---@param axis integer
---@param first integer from 1, or from -1 backwards
---@param count integer
---@return lurcher.tensor copy
---@usage t:narrow(2, 1, 2)
function tensor:narrow(axis, first, count) end
---Cuts along one dimension.
---@param sizes integer|integer[] the size of every piece, of which the last may be smaller; or a size per piece
---@param axis? integer default 1
---@return lurcher.tensor[] pieces copies
---@usage first, second = table.unpack(t:split(1))
function tensor:split(sizes, axis) end
---Reorders dimensions: dimension d of the result is dimension order[d] of t, as in PyTorch.
---@param ... integer all axes in their new order, or one table of them
---@return lurcher.tensor copy
---@usage t:permute(2, 1)
function tensor:permute(...) end
---Reverses dimensions.
---@param ... integer axes, or one table of them
---@return lurcher.tensor copy
---@usage t:flip(2)
function tensor:flip(...) end
---Repeats extents of 1, and adds dimensions in front.
---@param ... integer extents, or one table of them; -1: as it is
---@return lurcher.tensor copy
---@usage t:unsqueeze(1):expand(4, -1, -1)
function tensor:expand(...) end
---Repeats the whole tensor, as numpy.tile and torch.tile.
---@param ... integer how often along each dimension, or one table; more numbers than dimensions add some in front
---@return lurcher.tensor copy
---@usage t:tile(2, 1)
function tensor:tile(...) end
---A copy on the same device.
---@return lurcher.tensor
---@usage t:clone()
function tensor:clone() end
---The tensor on a device: a copy, or the same memory when it is there already.
---@param dev lurcher.device|string
---@return lurcher.tensor
---@usage t:to "cpu"
function tensor:to(dev) end
---A copy with another dtype. To i32 and u8, fractions are truncated and values outside the range saturate.
---@param dtype lurcher.dtype
---@return lurcher.tensor
---@usage t:cast "i32"
function tensor:cast(dtype) end
---Copies the elements of another tensor into this one.
---@param src lurcher.tensor of the same shape and dtype, on any device
---@return lurcher.tensor self
---@usage t:copy(t:clone())
function tensor:copy(src) end
---Sets all elements.
---@param value number
---@return lurcher.tensor self
---@usage t:fill(0)
function tensor:fill(value) end
---Linear interpolation in place: self + share * (other - self). See lurcher.lerp.
---@param other lurcher.tensor f32, of the same shape and on the same device
---@param share number
---@return lurcher.tensor self
---@usage t:lerp(t:clone(), 0.1)
function tensor:lerp(other, share) end
---Compares element by element: ==.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self == other, else 0
---@usage (t:argmax(2):eq(ids):sum()) -- how many are right
function tensor:eq(other) end
---Compares element by element: ~=.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self ~= other, else 0
---@usage t:ne(0)
function tensor:ne(other) end
---Compares element by element: <.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self < other, else 0
---@usage t:lt(3)
function tensor:lt(other) end
---Compares element by element: <=.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self <= other, else 0
---@usage t:le(3)
function tensor:le(other) end
---Compares element by element: `t:gt(0)` is the mask of t > 0.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self > other, else 0
function tensor:gt(other) end
---Compares element by element: >=.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32: 1 where self >= other, else 0
---@usage t:ge(3)
function tensor:ge(other) end
---Whether another tensor has the same shape and elements; a NaN never equals anything.
---@param other lurcher.tensor
---@return boolean
---@usage t:equal(t:clone())
function tensor:equal(other) end
---Whether all |self - other| <= atol + rtol * |other|, after broadcasting, as numpy.allclose.
---@param other lurcher.number_or_tensor
---@param options? { rtol?: number, atol?: number, equal_nan?: boolean } rtol (1e-5), atol (1e-8), equal_nan (false):
---whether NaN is close to NaN
---@return boolean
---@usage t:allclose(t + 1e-7, { rtol = 1e-5 })
function tensor:allclose(other, options) end
---Where elements are NaN.
---@return lurcher.tensor mask
---@usage t:isnan():any()
function tensor:isnan() end
---Where elements are infinite.
---@return lurcher.tensor mask of both infinities
---@usage t:isinf():any()
function tensor:isinf() end
---Where elements are finite.
---@return lurcher.tensor mask of what is neither NaN nor infinite
---@usage t:isfinite():all()
function tensor:isfinite() end
---The opposite of a mask.
---@return lurcher.tensor mask: 1 where the element is 0, else 0
---@usage t:gt(3):logical_not()
function tensor:logical_not() end
---The larger of two values per element.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
---@usage t:maximum(0)
function tensor:maximum(other) end
---The smaller of two values per element.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
---@usage t:minimum(1)
function tensor:minimum(other) end
---Limits values to a range; NaN stays: `t:clamp(0, 1)`, `t:clamp(nil, 1)`, `t:clamp{ min = 0 }`.
---@param low? number|{ min?: number, max?: number } default: no limit
---@param high? number at least low; default: no limit
---@return lurcher.tensor
function tensor:clamp(low, high) end
---self ^ other per element.
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
---@usage t:pow(2)
function tensor:pow(other) end
---The same as unary minus.
---@return lurcher.tensor
---@usage t:neg()
function tensor:neg() end
---|x| per element.
---@return lurcher.tensor
---@usage t:abs()
function tensor:abs() end
---The largest whole number that is not above x.
---@return lurcher.tensor
---@usage t:floor()
function tensor:floor() end
---The smallest whole number that is not below x.
---@return lurcher.tensor
---@usage t:ceil()
function tensor:ceil() end
---The nearest whole number, halves to the even one, as in NumPy and PyTorch.
---@return lurcher.tensor
---@usage t:round()
function tensor:round() end
---x without its fraction.
---@return lurcher.tensor
---@usage t:trunc()
function tensor:trunc() end
---1, -1 or 0; NaN stays.
---@return lurcher.tensor
---@usage t:sign()
function tensor:sign() end
---Sine of an angle in radians.
---@return lurcher.tensor
---@usage t:sin()
function tensor:sin() end
---Cosine of an angle in radians.
---@return lurcher.tensor
---@usage t:cos()
function tensor:cos() end
---log(1 + x), exact near 0.
---@return lurcher.tensor
---@usage t:log1p()
function tensor:log1p() end
---e^x - 1, exact near 0.
---@return lurcher.tensor
---@usage t:expm1()
function tensor:expm1() end
---The error function: 2 / sqrt(pi) times the integral of e^(-u^2) from 0 to x.
---@return lurcher.tensor
---@usage t:erf()
function tensor:erf() end
---e^x per element.
---@return lurcher.tensor
---@usage t:exp()
function tensor:exp() end
---Natural logarithm per element.
---@return lurcher.tensor
---@usage t:log()
function tensor:log() end
---Square root per element.
---@return lurcher.tensor
---@usage t:sqrt()
function tensor:sqrt() end
---x * x per element.
---@return lurcher.tensor
---@usage t:square()
function tensor:square() end
---max(x, 0) per element.
---@return lurcher.tensor
---@usage t:relu()
function tensor:relu() end
---1 / (1 + e^-x) per element.
---@return lurcher.tensor
---@usage t:sigmoid()
function tensor:sigmoid() end
---Hyperbolic tangent per element.
---@return lurcher.tensor
---@usage t:tanh()
function tensor:tanh() end
---e^x divided by its sum over the last dimension.
---@return lurcher.tensor
---@usage t:softmax()
function tensor:softmax() end
---Sum over dimensions, which the result does not have: `t:sum(2)`, `t:sum{ 1, 3 }`; without axes, over all elements,
---as a number. `keepdim = true` keeps them with extent 1.
---@param axes? integer|lurcher.reduce_options from 1, or from -1 backwards
---@return lurcher.number_or_tensor
function tensor:sum(axes) end
---Product, over dimensions as in sum.
---@param axes? integer|lurcher.reduce_options
---@return lurcher.number_or_tensor
---@usage t:prod(2)
function tensor:prod(axes) end
---Mean, over dimensions as in sum.
---@param axes? integer|lurcher.reduce_options
---@return lurcher.number_or_tensor
---@usage t:mean(1)
function tensor:mean(axes) end
---Variance, over dimensions as in sum: the sum of squared distances to the mean, divided by n - ddof; NaN where that is
---not positive. The default ddof, 1, is PyTorch's; NumPy's and Keras's is 0.
---@param axes? integer|{ keepdim?: boolean, ddof?: integer, [integer]: integer }
---@return lurcher.number_or_tensor
---@usage t:var{ 1, ddof = 0 }
function tensor:var(axes) end
---Standard deviation: the square root of var.
---@param axes? integer|{ keepdim?: boolean, ddof?: integer, [integer]: integer }
---@return lurcher.number_or_tensor
---@usage t:std(1)
function tensor:std(axes) end
---Vector norm, over dimensions as in sum: (sum of |x|^p)^(1/p). A number alone is an axis, not p.
---@param axes? integer|{ keepdim?: boolean, p?: number, [integer]: integer } p (2): 1, 2...; math.huge: the largest
---|x|; 0: how many elements are not 0
---@return lurcher.number_or_tensor
---@usage t:norm{ 2, p = 2, keepdim = true }
function tensor:norm(axes) end
---Largest value, over dimensions as in sum. A NaN is larger and smaller than all.
---@param axes? integer|lurcher.reduce_options
---@return lurcher.number_or_tensor
---@usage t:max(2)
function tensor:max(axes) end
---Smallest value, over dimensions as in sum.
---@param axes? integer|lurcher.reduce_options
---@return lurcher.number_or_tensor
---@usage t:min()
function tensor:min(axes) end
---Position of the largest value, the first of equal ones. Without an axis: the flat index of the element, from 1. With
---one: an i32 tensor of ids from 0, to be compared with class ids by :eq.
---@param axis? integer|lurcher.reduce_options one axis
---@return integer|lurcher.tensor position
---@usage t:argmax(2)
function tensor:argmax(axis) end
---Position of the smallest value, as argmax.
---@param axis? integer|lurcher.reduce_options one axis
---@return integer|lurcher.tensor position
---@usage t:argmin(2)
function tensor:argmin(axis) end
---Whether any element is true (not 0), over dimensions as in sum.
---@param axes? integer|lurcher.reduce_options
---@return boolean|lurcher.tensor any a boolean without axes, else a mask
---@usage t:gt(5):any()
function tensor:any(axes) end
---Whether all elements are true (not 0), over dimensions as in sum.
---@param axes? integer|lurcher.reduce_options
---@return boolean|lurcher.tensor all a boolean without axes, else a mask
---@usage t:gt(0):all()
function tensor:all(axes) end
---Running sum.
---@param axis? integer default: the last
---@return lurcher.tensor f32, or i32 of i32
---@usage t:cumsum(2)
function tensor:cumsum(axis) end
---Sorts along one dimension; equal elements keep their order. NaN comes last, whether descending or not.
---@param axis? integer|{ descending?: boolean, [integer]: integer } default: the last
---@return lurcher.tensor values
---@return lurcher.tensor ids i32, from 0: where each was
---@usage values, order = t:sort{ 2, descending = true }
function tensor:sort(axis) end
---The ids of sort.
---@param axis? integer|{ descending?: boolean, [integer]: integer } default: the last
---@return lurcher.tensor ids i32, from 0
---@usage order = t:argsort(2)
function tensor:argsort(axis) end
---The k largest, in descending order; of equal elements the first. NaN comes after all numbers.
---@param k integer
---@param axis? integer|{ largest?: boolean, [integer]: integer } default: the last; largest = false: the k smallest,
---ascending
---@return lurcher.tensor values
---@return lurcher.tensor ids i32, from 0
---@usage values, classes = t:topk(2)
function tensor:topk(k, axis) end
---The different values, ascending; all NaN are one, the last.
---@return lurcher.tensor values
---@return lurcher.tensor inverse i32, of t's shape: where in values each element is, from 0
---@return lurcher.tensor counts i32: how often each value occurs
---@usage values, inverse, counts = t:unique()
function tensor:unique() end
---Matrix product over the last two dimensions, m x k by k x n; dimensions before them broadcast. A vector on the left
---is a row, on the right a column, and the result lacks its dimension.
---@param other lurcher.tensor
---@return lurcher.tensor
---@usage t:matmul(t:transpose())
function tensor:matmul(other) end
---Swaps two dimensions.
---@param first? integer default: 1, of a matrix
---@param second? integer default: 2, of a matrix
---@return lurcher.tensor copy
---@usage t:transpose()
function tensor:transpose(first, second) end
---Rows, or what lies along another dimension, in the given order.
---@param rows integer[]|lurcher.tensor a table counts from 1, an i32 tensor from 0
---@param axis? integer default 1
---@return lurcher.tensor copy
---@usage t:select({ 3, 1 }, 2)
function tensor:select(rows, axis) end
---One element per id: for axis 2 of a matrix, `y[i][j] = t[i][ids[i][j]]`, as torch.gather.
---@param ids lurcher.tensor i32, from 0: the result's shape; no larger than t but along axis
---@param axis? integer default 1
---@return lurcher.tensor
function tensor:gather(ids, axis) end
---The elements where a mask is true, in order: `t:masked_select(t:gt(0))`.
---@param mask lurcher.tensor broadcasts to t
---@return lurcher.tensor of one dimension
---@usage t:masked_select(t:gt(3))
function tensor:masked_select(mask) end
---A copy in which the elements where a mask is true are `value`, cast to t's dtype. The two broadcast.
---@param mask lurcher.tensor
---@param value number
---@return lurcher.tensor
function tensor:masked_fill(mask, value) end
---self where a mask is true, other elsewhere: lurcher.where(mask, self, other).
---@param mask lurcher.tensor
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
---@usage t:where(t:gt(3), 0)
function tensor:where(mask, other) end
---Positions of the elements that are not 0.
---@return lurcher.tensor positions i32, count x dimensions, from 0, in order
---@usage t:nonzero()
function tensor:nonzero() end
---Frees the memory now, unless a view shares it.
function tensor:close() end

-- ---- json ----

---JSON: `lurcher.json.encode{ a = 1 }`, `lurcher.json.decode(text)`.
---@class lurcher.json
---@field null userdata the value for JSON's null, in both directions
lurcher.json = {}
---Lua to JSON. A table with #t > 0, or one marked by json.array, becomes an array, any other table an object with
---sorted keys. NaN and infinities become null.
---@param value any number, string, boolean, nil, json.null or table
---@param indent? boolean default false: all on one line
---@return string
---@usage lurcher.json.encode({ name = "pug", share = 0.93 }, true)
function lurcher.json.encode(value, indent) end
---JSON to Lua. Whole numbers become integers; arrays are marked as by json.array.
---@param text string
---@return any value nil when the text is not JSON
---@return string? message, string? code
---@usage value = assert(lurcher.json.decode '{ "a": [1, 2] }')
function lurcher.json.decode(text) end
---Marks a table as an array, so that it is written as one even when it is empty.
---@param list table
---@return table list
---@usage lurcher.json.encode(lurcher.json.array{}) -- "[]"
function lurcher.json.array(list) end

return lurcher
