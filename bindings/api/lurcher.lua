---@meta
-- lurcher.lua - with nn.lua and data.lua beside it, everything the bindings register, as annotations for the Lua language
-- server: point "workspace.library" at this folder. It is never run. tests/lua/api.lua compares the folder with what is
-- registered, name by name, in both directions: a name is added here in the same commit that registers it.
-- This file: the module itself, tensors, JSON.
--
-- Conventions. Tables count from 1; tensors hold ids from 0. So `t[1]`, axes, row numbers in Lua tables
-- and argmax without an axis count from 1, while the elements of i32 tensors (class ids, index inputs, argmax along an axis,
-- rows given to :select as a tensor) are the engine's own, from 0. A Lua table that becomes an id tensor is lowered by one.
-- Misuse raises an error at the caller's line. What the world can refuse (files, images) returns
-- nil, message, code instead, code being "EIO", "EFORMAT" and so on: write assert(...).
-- Every handle has :close(), is closed by the collector, and can be declared <close>; use after close raises.

---@alias lurcher.dtype "f32"|"f16"|"bf16"|"i32"|"u8"
---@alias lurcher.activation "linear"|"relu"|"sigmoid"|"tanh"|"softmax"|"square"|"abs"|"exp"|"log"|"sqrt"
---@alias lurcher.init "glorot_uniform"|"he_normal"|"normal"|"zeros"|"ones"
---@alias lurcher.number_or_tensor number|lurcher.tensor
---@alias lurcher.batch table<string, lurcher.tensor|number[]> inputs by input name, targets by output name, sample weights by "NAME_weight"; other names are ignored. A table of whole numbers for an index input counts from 1

---@class lurcher
---@field version string "0.1.0"
---@field nn lurcher.nn
---@field data lurcher.data
---@field optim lurcher.optim
---@field image lurcher.image
---@field json lurcher.json
local lurcher = {}

-- ---- context ----

---Seeds what is made from now on: weights of layers, dropout of runs, uniform and normal tensors.
---@param seed? integer omitted: nothing changes
---@return integer seed the seed in force; 0 at the start
function lurcher.seed(seed) end

---Opens a device once. Raises where it cannot be had, with the reason.
---@param name? "auto"|"cpu"|"ref"|string default "auto": "cuda:0" where it can be used, else "cpu"
---@return lurcher.device
function lurcher.device(name) end

---@return string[] names of the devices that can be opened here: "ref", "cpu", "cuda:0"...
---@return string? reason why there is no CUDA device
function lurcher.devices() end

---@return integer threads compute threads (one a core; LURCHER_THREADS in the environment overrides)
function lurcher.threads() end

---Asks every run to stop between steps with an "interrupted" error, as Ctrl-C does.
function lurcher.interrupt() end

---@return boolean interrupted true once after a Ctrl-C or lurcher.interrupt(): the request is taken back
function lurcher.interrupted() end

---@return number seconds monotonic, from an arbitrary start
function lurcher.time() end

---@return { rss: integer, peak: integer } bytes of resident memory of this process, now and at most
function lurcher.memory() end

---@return integer count of handles that are open: what a leak test compares
function lurcher.handles() end

---XXH3-128 of a string, or of a tensor's dtype, shape and elements.
---@param value string|lurcher.tensor
---@return string digits 32 hexadecimal ones
function lurcher.hash(value) end

---"Did you mean": the candidate nearest to a word, by insertions, deletions, replacements and swaps of neighbours; at most
---two of them, and fewer than half of the word's length.
---@param word string
---@param candidates string[]
---@return string? nearest nil when none is near
function lurcher.nearest(word, candidates) end

---Replaces a file atomically: written beside it, synced, renamed.
---@param path string
---@param text string
---@return boolean? ok, string? message, string? code
function lurcher.write_file(path, text) end

-- ---- making tensors ----

---A tensor from nested tables (or one number: a scalar), or from a specification.
---`lurcher.tensor{ {1, 2}, {3, 4} }`, `lurcher.tensor{ 1, 2, dtype = "i32" }`, `lurcher.tensor{ shape = {2, 3}, fill = 1 }`.
---Numbers are taken as they are: ids from 0 stay ids from 0.
---@param values number|table nested tables of equal lengths; keys shape, dtype ("f32"), device ("cpu"), fill (0)
---@return lurcher.tensor
function lurcher.tensor(values) end

---@param ... integer extents, or one table { extents..., dtype = "f32", device = "cpu" }
---@return lurcher.tensor
function lurcher.zeros(...) end

---@param ... integer extents, as in zeros
---@return lurcher.tensor
function lurcher.ones(...) end

---@param shape integer[] { extents..., dtype = "f32", device = "cpu" }
---@param value number
---@return lurcher.tensor
function lurcher.full(shape, value) end

---@param n integer
---@return lurcher.tensor i32: 0, 1, ... n-1
function lurcher.range(n) end

---Drawn from the context's stream.
---@param spec { low?: number, high?: number, [integer]: integer } extents, low 0, high 1 (excluded)
---@return lurcher.tensor f32
function lurcher.uniform(spec) end

---@param spec { mean?: number, std?: number, [integer]: integer } extents, mean 0, std 1
---@return lurcher.tensor f32
function lurcher.normal(spec) end

---Joins tensors along one dimension; the other extents must agree.
---@param list { axis?: integer, [integer]: lurcher.tensor } axis 1 by default
---@return lurcher.tensor
function lurcher.concat(list) end

---Moves each of a list towards the one at its place in another, in place and in one go: a[i] + share * (b[i] - a[i]); share 1
---copies. All f32 and on one device, which is not waited for.
---@param list lurcher.tensor[]
---@param towards lurcher.tensor[] of equal shapes
---@param share number
function lurcher.lerp(list, towards, share) end

---Writes named tensors as a safetensors file, atomically.
---@param path string
---@param tensors table<string, lurcher.tensor>
---@param metadata? table<string, string>
---@return boolean? ok, string? message, string? code
function lurcher.save_tensors(path, tensors, metadata) end

---@param path string
---@return table<string, lurcher.tensor>? tensors nil when the file cannot be read or is damaged
---@return table<string, string>|string metadata or message
---@return string? code
function lurcher.load_tensors(path) end

-- ---- metrics ----

---@param scores lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@param k? integer default 1
---@return number share of rows whose id is among the k best scores (the earlier class wins ties)
function lurcher.top_k(scores, ids, k) end

---@param probabilities lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@return number loss mean of -log p[id], p clipped to [1e-15, 1]
function lurcher.log_loss(probabilities, ids) end

---@param scores lurcher.tensor n x c
---@param ids lurcher.tensor i32 n, from 0
---@param counts? lurcher.tensor i32 c x c, added to; default: a new one
---@return lurcher.tensor counts rows: truth, columns: prediction
function lurcher.confusion(scores, ids, counts) end

---@class lurcher.device
---@field name string "cpu"
local device = {}
---Closes the handle; the context keeps the device.
function device:close() end

-- ---- tensor ----

---Operators: + - * / ^ and unary -, with numbers or tensors, broadcasting as in NumPy (trailing extents equal or 1).
---`t[i]` is a view of row i, or a number when t has one dimension (nil just past the end, so that ipairs works);
---`t[i] = v` writes a number (the whole row) or a tensor. `#t` is the first extent.
---tostring shows shape, dtype, device and values: all of a small tensor, the corners of a large one.
---@class lurcher.tensor
---@field shape integer[] a copy
---@field dtype lurcher.dtype
---@field device string
---@field bytes integer
---@field count integer of elements
---@operator add(lurcher.number_or_tensor): lurcher.tensor
---@operator sub(lurcher.number_or_tensor): lurcher.tensor
---@operator mul(lurcher.number_or_tensor): lurcher.tensor
---@operator div(lurcher.number_or_tensor): lurcher.tensor
---@operator pow(lurcher.number_or_tensor): lurcher.tensor
---@operator unm: lurcher.tensor
---@operator len: integer
---@field [integer] lurcher.number_or_tensor
local tensor = {}

---@param ... integer one index a dimension, from 1
---@return number
function tensor:get(...) end
---@param value number
---@param ... integer one index a dimension, from 1
---@return lurcher.tensor self
function tensor:set(value, ...) end
---@return number value of a tensor of one element
function tensor:item() end
---@return table|number values nested tables; a number for a scalar
function tensor:totable() end
---The same memory under another shape of as many elements.
---@param ... integer extents, or one table; one of them may be -1
---@return lurcher.tensor
function tensor:view(...) end
---Another name for view.
---@param ... integer
---@return lurcher.tensor
function tensor:reshape(...) end
---The same memory: `count` rows of the first dimension.
---@param first integer from 1
---@param count? integer default: to the end
---@return lurcher.tensor
function tensor:rows(first, count) end
---@return lurcher.tensor copy
function tensor:clone() end
---@param dev lurcher.device|string
---@return lurcher.tensor on dev; the same memory when it is there already
function tensor:to(dev) end
---@param dtype lurcher.dtype i32, u8: truncates, saturates
---@return lurcher.tensor copy
function tensor:cast(dtype) end
---Copies the elements of src, of equal shape and dtype, any device.
---@param src lurcher.tensor
---@return lurcher.tensor self
function tensor:copy(src) end
---@param value number
---@return lurcher.tensor self
function tensor:fill(value) end
---Moves every element towards other's, in place: self + share * (other - self). Both f32 and on one device.
---@param other lurcher.tensor of equal shape
---@param share number
---@return lurcher.tensor self
function tensor:lerp(other, share) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32, 1 where equal
function tensor:eq(other) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32, 1 where self < other
function tensor:lt(other) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor i32, 1 where self <= other
function tensor:le(other) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
function tensor:maximum(other) end
---@param other lurcher.number_or_tensor
---@return lurcher.tensor
function tensor:minimum(other) end
---@return lurcher.tensor
function tensor:abs() end
---@return lurcher.tensor
function tensor:exp() end
---@return lurcher.tensor
function tensor:log() end
---@return lurcher.tensor
function tensor:sqrt() end
---@return lurcher.tensor
function tensor:square() end
---@return lurcher.tensor
function tensor:relu() end
---@return lurcher.tensor
function tensor:sigmoid() end
---@return lurcher.tensor
function tensor:tanh() end
---@return lurcher.tensor over the last dimension
function tensor:softmax() end
---@param axis? integer from 1 (-1: the last), dropped from the shape
---@return lurcher.number_or_tensor number without an axis
function tensor:sum(axis) end
---@param axis? integer from 1 (-1: the last)
---@return lurcher.number_or_tensor number without an axis
function tensor:mean(axis) end
---@param axis? integer from 1 (-1: the last)
---@return lurcher.number_or_tensor number without an axis
function tensor:max(axis) end
---@param axis? integer from 1 (-1: the last)
---@return lurcher.number_or_tensor number without an axis
function tensor:min(axis) end
---@param axis? integer from 1 (-1: the last)
---@return integer|lurcher.tensor position without an axis: flat, from 1; with one: i32 ids from 0, comparable with class ids by :eq
function tensor:argmax(axis) end
---@param axis? integer from 1 (-1: the last)
---@return integer|lurcher.tensor position as argmax
function tensor:argmin(axis) end
---@param other lurcher.tensor k x n
---@return lurcher.tensor m x n, self being m x k
function tensor:matmul(other) end
---@return lurcher.tensor of a 2-D tensor
function tensor:transpose() end
---Rows of the first dimension, in the order given.
---@param rows integer[]|lurcher.tensor a table counts from 1, an i32 tensor from 0
---@return lurcher.tensor
function tensor:select(rows) end
---Frees the memory now unless a view or a clone shares it.
function tensor:close() end

-- ---- json ----

---@class lurcher.json
---@field null userdata what JSON's null becomes, and what is written as null
lurcher.json = {}
---Tables with #t > 0 and arrays made by json.array become arrays, other tables objects with sorted keys. NaN and infinities become null.
---@param value any
---@param indent? boolean default false: one line
---@return string
function lurcher.json.encode(value, indent) end
---@param text string
---@return any value nil when the text is no JSON
---@return string? message, string? code
function lurcher.json.decode(text) end
---Marks a table, empty ones in particular, as an array.
---@param list table
---@return table list
function lurcher.json.array(list) end

return lurcher
