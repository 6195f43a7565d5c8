---@meta
-- api.lua - everything the bindings register, as annotations for the Lua language server: point "workspace.library"
-- at this file. It is never run. tests/lua/api.lua compares it with what is registered, name by name, in both
-- directions: a name is added here in the same commit that registers it.
--
-- Conventions. Tables count from 1; tensors hold ids from 0. So `t[1]`, axes, row numbers in Lua tables
-- and argmax without an axis count from 1, while the elements of i32 tensors (class ids, index inputs, argmax along an axis,
-- rows given to :select as a tensor) are the engine's own, from 0. A Lua table that becomes an id tensor is lowered by one.
-- Misuse raises an error at the caller's line. What the world can refuse (files, pictures) returns
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

---Opens a device once.
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

---@param spec { mean?: number, deviation?: number, [integer]: integer } extents, mean 0, deviation 1
---@return lurcher.tensor f32
function lurcher.normal(spec) end

---Joins tensors along one dimension; the other extents must agree.
---@param list { axis?: integer, [integer]: lurcher.tensor } axis 1 by default
---@return lurcher.tensor
function lurcher.concat(list) end

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

-- ---- nn ----

---Layer kinds, nodes and models. A layer owns weights; calling it on nodes makes a new node:
---`nn.dense{ 10 }(x)`, `nn.add()(a, b)`, `layer{ a, b }`. Every constructor takes a table of options, whose list part gives the
---first options in order, and also a bare number or string for the first: `nn.dropout(0.5)`. Called with nodes it
---applies at once: `nn.gather(f, rows)`, `nn.concat(a, b)`, `nn.concat{ a, b, axis = 1 }`.
---All take `name` (default kind_1, kind_2, ...) and `trainable` (true). Shapes are one sample's, and axes count its dimensions from 1: the batch is not among them.
---@class lurcher.nn
lurcher.nn = {}
local nn = lurcher.nn

---A named input.
---@param name string|{ name: string, shape: integer[], dtype?: lurcher.dtype }
---@param ... integer extents of one sample: h, w, c
---@return lurcher.node
function nn.input(name, ...) end
---A named vector of row numbers, for gather; its length is a batch size of its own.
---@param name string
---@return lurcher.node
function nn.index(name) end
---Layers, models or functions applied in order: `nn.seq{ a, b, c }(x)`.
---@param list (lurcher.layer|lurcher.model|function)[]
---@return lurcher.chain
function nn.seq(list) end
---Outputs by name, or one node named after its layer, or `{ inputs = { n1, ... }, outputs = ... }`. Inputs: the given nodes in
---order, else every input the outputs reach, by name.
---@param spec lurcher.node|table<string, lurcher.node>|{ inputs: lurcher.node[], outputs: lurcher.node|table<string, lurcher.node> }
---@return lurcher.model
function nn.model(spec) end
---The model of a checkpoint, with its weights.
---@param path string
---@return lurcher.model? model
---@return string extra text saved with the checkpoint; or message
---@return string? code
function nn.load(path) end
---@param text string as model:json() gives it
---@return lurcher.model? model weights drawn anew
---@return string? message, string? code
function nn.from_json(text) end
---The options of a layer kind.
---@param kind string "conv2d"
---@return { name: string, type: string, default: string?, help: string }[] options
---@return string help one line about the kind
function nn.options(kind) end
---@return string[] every layer kind
function nn.kinds() end

---Convolution over height and width: h w c -> h' w' filters.
--- - `filters`: output channels
--- - `kernel`: height and width of the window
--- - `stride` (1): step of the window
--- - `padding` (valid): valid: the window stays inside; same: out = ceil(in / stride)
--- - `use_bias` (true): adds a learned constant per channel
--- - `activation` (linear): applied to the result
--- - `init` (glorot_uniform): first values of the kernel
--- - `init_deviation` (0.05): standard deviation of init = "normal"
---@param options integer|{ filters: integer, kernel: integer|integer[], stride?: integer|integer[], padding?: "valid"|"same", use_bias?: boolean, activation?: lurcher.activation, init?: lurcher.init, init_deviation?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.conv2d(options, ...) end
---One window per channel: h w c -> h' w' c.
--- - `kernel`: height and width of the window
--- - `stride` (1): step of the window
--- - `padding` (valid): valid: the window stays inside; same: out = ceil(in / stride)
--- - `use_bias` (true): adds a learned constant per channel
--- - `activation` (linear): applied to the result
--- - `init` (glorot_uniform): first values of the kernel
--- - `init_deviation` (0.05): standard deviation of init = "normal"
---@param options integer|{ kernel: integer|integer[], stride?: integer|integer[], padding?: "valid"|"same", use_bias?: boolean, activation?: lurcher.activation, init?: lurcher.init, init_deviation?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.depthwise_conv2d(options, ...) end
---Depthwise then 1x1 convolution: h w c -> h' w' filters.
--- - `filters`: output channels
--- - `kernel`: height and width of the window
--- - `stride` (1): step of the window
--- - `padding` (valid): valid: the window stays inside; same: out = ceil(in / stride)
--- - `use_bias` (true): adds a learned constant per channel
--- - `activation` (linear): applied to the result
--- - `init` (glorot_uniform): first values of the kernel
--- - `init_deviation` (0.05): standard deviation of init = "normal"
---@param options integer|{ filters: integer, kernel: integer|integer[], stride?: integer|integer[], padding?: "valid"|"same", use_bias?: boolean, activation?: lurcher.activation, init?: lurcher.init, init_deviation?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.separable_conv2d(options, ...) end
---Matrix product over the last dimension: ... in -> ... units.
--- - `units`: output features
--- - `use_bias` (true): adds a learned constant per channel
--- - `activation` (linear): applied to the result
--- - `init` (glorot_uniform): first values of the kernel
--- - `init_deviation` (0.05): standard deviation of init = "normal"
---@param options integer|{ units: integer, use_bias?: boolean, activation?: lurcher.activation, init?: lurcher.init, init_deviation?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.dense(options, ...) end
---Normalises each channel by batch or moving statistics.
--- - `momentum` (0.99): share of the old moving statistics that stays at an update
--- - `epsilon` (0.001): added to the variance
--- - `center` (true): a learned shift, beta
--- - `scale` (true): a learned factor, gamma
---@param options? number|{ momentum?: number, epsilon?: number, center?: boolean, scale?: boolean } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.batchnorm(options, ...) end
---A function applied element by element, or softmax.
--- - `function`: which function
---@param options lurcher.activation|{ ["function"]: lurcher.activation } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.activation(options, ...) end
---Max(x, 0).
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.relu(options, ...) end
---1 / (1 + exp(-x)).
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.sigmoid(options, ...) end
---Hyperbolic tangent.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.tanh(options, ...) end
---Exp(x), divided by its sum over the last dimension.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.softmax(options, ...) end
---X * x.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.square(options, ...) end
---The largest value of each window: h w c -> h' w' c.
--- - `size` (2): height and width of the window
--- - `stride` (0): step of the window; default: its size
--- - `padding` (valid): valid: the window stays inside; same: out = ceil(in / stride)
---@param options? integer|{ size?: integer|integer[], stride?: integer|integer[], padding?: "valid"|"same" } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.max_pool(options, ...) end
---The mean of each window's real cells: h w c -> h' w' c.
--- - `size` (2): height and width of the window
--- - `stride` (0): step of the window; default: its size
--- - `padding` (valid): valid: the window stays inside; same: out = ceil(in / stride)
---@param options? integer|{ size?: integer|integer[], stride?: integer|integer[], padding?: "valid"|"same" } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.avg_pool(options, ...) end
---The mean over height and width: h w c -> c.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.global_avg_pool(options, ...) end
---The largest value over height and width: h w c -> c.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.global_max_pool(options, ...) end
---The sum of its inputs.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.add(options, ...) end
---The first input minus the second.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.sub(options, ...) end
---The product of its inputs, element by element.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.mul(options, ...) end
---The largest of its inputs, element by element.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.maximum(options, ...) end
---Its inputs joined along one dimension.
--- - `axis` (-1): dimension of a sample to join along, 1 the first; -1: the last
---@param options? integer|{ axis?: integer } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.concat(options, ...) end
---Scale * x + shift, with fixed numbers.
--- - `scale` (1): factor
--- - `shift` (0): added after the factor
---@param options? number|{ scale?: number, shift?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.affine(options, ...) end
---Drops elements at random in training.
--- - `rate`: share of elements set to 0 in training, under 1
---@param options number|{ rate: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.dropout(options, ...) end
---Divided by its Euclidean length over the last dimension.
--- - `epsilon` (1e-12): the smallest length divided by
---@param options? number|{ epsilon?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.normalize(options, ...) end
---Every sample as one vector.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.flatten(options, ...) end
---Every sample under another shape of as many elements.
--- - `shape`: extents of one sample; one of them may be -1: what is left
---@param options integer|{ shape: integer[] } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.reshape(options, ...) end
---Sum, mean, max or min over a dimension of each sample.
--- - `function`: what is computed
--- - `axis` (-1): dimension of a sample, 1 the first; -1: the last; 0: all
--- - `keep` (false): keeps the dimension, with extent 1
---@param options "sum"|"mean"|"max"|"min"|{ ["function"]: "sum"|"mean"|"max"|"min", axis?: integer, keep?: boolean } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.reduce(options, ...) end
---Rows of the first input, picked by an index.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.gather(options, ...) end

---A chain applies its layers in order; freeze and unfreeze reach all of them. The list part is the layers.
---@class lurcher.chain
---@field [integer] lurcher.layer|lurcher.model|function
---@overload fun(...: lurcher.node): lurcher.node
local chain = {}
---@return lurcher.chain self
function chain:freeze() end
---@return lurcher.chain self
function chain:unfreeze() end

---@class lurcher.layer
---@field name string
---@field kind string
---@field trainable boolean also assignable; runs notice at the next recompile
---@overload fun(...: lurcher.node|lurcher.node[]): lurcher.node
local layer = {}
---@return lurcher.layer self
function layer:freeze() end
---@return lurcher.layer self
function layer:unfreeze() end
---@return table<string, lurcher.tensor> weights by name ("kernel", "bias", "gamma"), sharing the layer's memory
function layer:weights() end
---@param name string
---@param value lurcher.tensor of the weight's shape
---@return lurcher.layer self
function layer:set_weight(name, value) end
---Draws the weights anew from the present seed.
---@return lurcher.layer self
function layer:reset() end
function layer:close() end

---One application of a layer. `a + b`, `a - b`, `a * b`, `a ^ 2` make merge layers; with numbers, affine ones.
---@class lurcher.node
---@field shape integer[] of one sample
---@field name string of the layer
---@field layer lurcher.layer
---@operator add(lurcher.node|number): lurcher.node
---@operator sub(lurcher.node|number): lurcher.node
---@operator mul(lurcher.node|number): lurcher.node
---@operator div(number): lurcher.node
---@operator pow(integer): lurcher.node
---@operator unm: lurcher.node
local node = {}
function node:close() end

---print(model) is the layer table. Calling a model applies its layers to other nodes with the same weights: `trunk(a)`, `trunk(a, b)`, `trunk{ a, b }`.
---@class lurcher.model
---@field layers lurcher.layer[] in Keras's model.layers order; Keras's index 105 is layers[106]
---@field inputs string[]
---@field outputs string[]
---@overload fun(...: lurcher.node|lurcher.node[]): lurcher.node, ...
local model = {}
---@param name string
---@return lurcher.layer raises, with the nearest name, when there is none
function model:layer(name) end
---@param name string
---@return integer? index Keras's, from 0; nil when there is none
function model:index(name) end
---The node of a layer's first application: cut a trunk anywhere.
---@param name string
---@return lurcher.node
function model:node(name) end
---Makes layers untrainable: all of them, or `{ to = "add_10" }` (that layer included), `{ from = "name" }`, `{ below = 105 }` (Keras index, excluded),
---`{ from = 105 }` (Keras index), `{ "name", "name2" }`, or those a function(layer, index0) says true to.
---@param which? table|fun(layer: lurcher.layer, index0: integer): boolean
---@return lurcher.model self
function model:freeze(which) end
---@param which? table|fun(layer: lurcher.layer, index0: integer): boolean as in freeze
---@return lurcher.model self
function model:unfreeze(which) end
---@return integer total
---@return integer trainable
function model:parameters() end
---Reads weights: Keras .h5, .safetensors.
---@param path string
---@param options? { by?: "auto"|"name"|"order", strict?: boolean } auto: by name, and by order where no name fits; strict: anything missing or mismatched changes nothing and fails
---@return { loaded: integer, missing: integer, unused: integer, mismatched: integer, text: string }? report counts of layers, text one line a trouble
---@return string? message, string? code
function model:load(path, options) end
---Writes weights: .h5 (Keras loads it) or .safetensors; atomic.
---@param path string
---@return boolean? ok, string? message, string? code
function model:save(path) end
---@return string text the definition: layers, options, wiring
function model:json() end
---@param options lurcher.compile_options
---@return lurcher.run
function model:compile(options) end
function model:close() end

---@class lurcher.compile_options
---@field device? lurcher.device|string default "auto"
---@field optimizer? lurcher.optimizer|string none: no step
---@field loss? string|table<string, string> "categorical_crossentropy", "binary_crossentropy" or "mean_squared_error", by output (a string where there is one output); none: inference only
---@field weight? number|table<string, number> default 1; 0: reported, no backward
---@field label_smoothing? number|table<string, number> default 0
---@field batchnorm? "moving"|"batch" frozen batch norms in training: "moving" (default), or batch statistics as Keras 2.0.6 used
---@field precision? "f32"|"tf32"|"bf16"|"f16" what pictures are computed in (default f32); bf16 and f16 on cuda only
---@field input_gradients? boolean run:gradient serves inputs too
---@field check? boolean guard zones round every buffer and NaN-filled outputs: slow, for tests
---@field passes? { prune?: boolean, fold?: boolean, split?: boolean, arena?: boolean } false switches a pass off, for tests

-- ---- run ----

---A model compiled for a device. print(run) shows steps, bytes and the ten largest holders of the plan last used.
---Results are tables of numbers named as Keras names them (loss, acc; with several outputs NAME_loss, NAME_acc) and `samples`.
---@class lurcher.run
---@field lr number assignable
---@field iterations integer optimizer steps made
---@field model lurcher.model
---@field device string
---@field arena_bytes integer of the plan last used
---@field state_bytes integer of weights, gradients and optimizer state
local run = {}
---Forward in training form, backward, optimizer step.
---@param batch lurcher.batch
---@return table<string, number> results
function run:train(batch) end
---Forward in inference form with losses.
---@param batch lurcher.batch
---@return table<string, number> results
function run:evaluate(batch) end
---@param batch lurcher.batch targets are not needed
---@return table<string, lurcher.tensor> outputs
function run:predict(batch) end
---train without the step; gradients are added to those already there.
---@param batch lurcher.batch
---@return table<string, number> results
function run:accumulate(batch) end
---Applies the gradients and zeroes them.
---@return lurcher.run self
function run:step() end
---@return lurcher.run self
function run:zero_gradients() end
---Forward only; targets are not needed.
---@param batch lurcher.batch
---@param options? { training?: boolean } default false
---@return table<string, lurcher.tensor> outputs
function run:forward(batch, options) end
---Backward of the last forward from given gradients of outputs; absent ones count as zero.
---@param gradients table<string, lurcher.tensor>
---@return lurcher.run self
function run:backward(gradients) end
---A copy of a gradient of the last backward.
---@param layer string or, without a weight, the name of an input
---@param weight? string "kernel"
---@return lurcher.tensor
function run:gradient(layer, weight) end
---Multipliers of the learning rate and of weight decay for one layer.
---@param layer string
---@param lr_scale number
---@param decay_scale? number default 1
---@return lurcher.run self
function run:scale(layer, lr_scale, decay_scale) end
---Drops plans and optimizer state and compiles anew, after freezing or with other options (those not given stay).
---@param options? lurcher.compile_options
---@return lurcher.run self
function run:recompile(options) end
---Writes a checkpoint: definition, weights, optimizer state, counters and the caller's text; atomic, checksummed.
---@param path string
---@param extra? string
---@return boolean? ok, string? message, string? code
function run:save(path, extra) end
---Restores weights, optimizer state and counters into a run of an equal model.
---@param path string
---@return string? extra text saved with the checkpoint
---@return string? message, string? code
function run:restore(path) end
---@param on? boolean switches profiling; omitted: returns what was measured since
---@return lurcher.run|{ layer: string, op: string, pass: string, seconds: number, flops: number, bytes: number, calls: integer }[]
function run:profile(on) end
function run:close() end

-- ---- optim ----

---Optimizers: options only, the state lives in the run. tostring prints them.
---All take lr, weight_decay (0), clip_norm (0: off), clip_value (0: off). A bare number is lr.
---@class lurcher.optim
lurcher.optim = {}
local optim = lurcher.optim
---@param options? { lr?: number, momentum?: number, nesterov?: boolean, decay?: number } lr 0.01, momentum 0
---@return lurcher.optimizer
function optim.sgd(options) end
---@param options? { lr?: number, beta_1?: number, beta_2?: number, epsilon?: number, decay?: number } lr 0.001
---@return lurcher.optimizer
function optim.adam(options) end
---@param options? { lr?: number, weight_decay?: number } weight_decay 0.01, decoupled
---@return lurcher.optimizer
function optim.adamw(options) end
---@param options? { lr?: number, schedule_decay?: number } lr 0.002
---@return lurcher.optimizer
function optim.nadam(options) end

---@class lurcher.optimizer
---@field kind string "sgd"
local optimizer = {}
function optimizer:close() end

-- ---- data ----

---Datasets and loaders. Pictures and classes count from 1 here; class and index tensors of batches hold ids from 0.
---@class lurcher.data
lurcher.data = {}
local data = lurcher.data
---Class folders: classes are the subdirectories in byte-wise order ("10" before "2"), pictures are found recursively.
---@param options string|{ [1]: string, classes?: string[], extensions?: string[] } the folder; `classes` fixes ids (another class found is an error); `extensions` without the dot, jpg jpeg png by default
---@return lurcher.dataset? set
---@return string? message, string? code "EIO": no such folder; "EFORMAT": no class folder, no picture, an unlisted class
function data.folder(options) end
---Pictures of one folder. `rule` finds the class in a file's name: "{class}_{}", "{class}_c{camera}s{}_{}"; other names in braces become columns. Without a rule there are no classes.
---@param options string|{ [1]: string, rule?: string, classes?: string[], extensions?: string[] }
---@return lurcher.dataset? set
---@return string? message, string? code
function data.flat(options) end
---Pictures from a list or CSV file (a path first; `root` goes before relative paths, default the file's folder), or from a table: data.list{ { "a.jpg", "pug" }, "b.jpg" }.
---@param options string|{ [1]: string, root?: string, separator?: string, header?: boolean, path_column?: string|integer, class_column?: string|integer, classes?: string[] } columns by name (with a header) or number; default 1 and, where there is one, 2
---@return lurcher.dataset? set
---@return string? message, string? code
function data.list(options) end
---Reads and decodes every picture: kinds "corrupt", "extension", "duplicate", "class-duplicate", "split-duplicate", "tiny", "imbalance".
---@param options lurcher.dataset|{ [integer]: lurcher.dataset, tiny?: integer, imbalance?: number, workers?: integer } tiny: sides below 32; imbalance: a class 10 times smaller than the largest
---@return { checked: integer, [integer]: { kind: string, text: string, set: integer, index: integer?, path: string?, name: string?, other_set: integer?, other: integer?, other_path: string? } } findings
function data.audit(options) end
---Batches of a dataset, made by worker threads ahead of time: `for batch in data.loader{ set, size = 299 }:epoch() do`.
---A batch is a table: image (f32 n h w c), class and index (i32 n, from 0; -1: no class), or for another picture field F: F, F_class, F_index; with mixup or cutmix also target (f32 n classes), F_target;
---further fields of the sampler (a list of whole numbers counts from 1 and becomes an i32 tensor from 0, fractions become f32); and what `targets` returns.
---A damaged picture is replaced by another of its class and listed in loader.summary.
---@param options lurcher.loader_options
---@return lurcher.loader
function data.loader(options) end
---Changes of pictures, drawn anew each time a picture is loaded: one affine map and one resampling, then colours, in Keras's order and
---meaning (era "2017": Keras 2.0.6's). With mixup or cutmix the batch has mixed targets. tostring prints what differs from the defaults. Options:
--- - `rotate` (0): degrees either way
--- - `height_shift` (0): share of the height either way
--- - `width_shift` (0): share of the width either way
--- - `shear` (0): degrees either way; radians in era 2017
--- - `zoom` (0): rows and columns each by 1 - zoom to 1 + zoom
--- - `zoom_min` (0): least zoom factor instead (0: by zoom)
--- - `zoom_max` (0): largest zoom factor instead (0: by zoom)
--- - `channel_shift` (0): added to channels, of 0..255, either way
--- - `hflip` (false): mirror left and right, half of the time
--- - `vflip` (false): mirror top and bottom, half of the time
--- - `fill` (nearest): what lies outside the picture
--- - `fill_value` (0): for fill = "constant"
--- - `interpolation` (auto): auto: bilinear, nearest in era 2017
--- - `era` (current): Keras 3's conventions, or Keras 2.0.6's
--- - `crop` (0): random resized crop: least share of the area (0: none)
--- - `crop_max` (1): its largest share
--- - `crop_ratio` (1.3333333333333333): its aspect ratio, 1/r to r
--- - `brightness` (0): factor 1 - b to 1 + b
--- - `contrast` (0): factor 1 - c to 1 + c
--- - `saturation` (0): factor 1 - s to 1 + s
--- - `hue` (0): turns of the colour circle either way
--- - `erase` (0): probability that a rectangle is erased
--- - `erase_min` (0.02): its least share of the area
--- - `erase_max` (0.33): its largest share
--- - `erase_ratio` (3.3): its aspect ratio, 1/r to r
--- - `erase_value` (127.5): what it is filled with
--- - `erase_noise` (false): fill it with noise instead
--- - `trivial` (false): TrivialAugment: one random change of fourteen
--- - `mixup` (0): alpha of mixup over the batch (0: none)
--- - `cutmix` (0): alpha of cutmix over the batch (0: none)
--- - `prescale` (true): halve far too large pictures while decoding
---@param options { rotate?: number, height_shift?: number, width_shift?: number, shear?: number, zoom?: number, zoom_min?: number, zoom_max?: number, channel_shift?: number, hflip?: boolean, vflip?: boolean, fill?: "nearest"|"constant"|"reflect"|"wrap", fill_value?: number, interpolation?: "auto"|"bilinear"|"nearest", era?: "current"|"2017", crop?: number, crop_max?: number, crop_ratio?: number, brightness?: number, contrast?: number, saturation?: number, hue?: number, erase?: number, erase_min?: number, erase_max?: number, erase_ratio?: number, erase_value?: number, erase_noise?: boolean, trivial?: boolean, mixup?: number, cutmix?: number, prescale?: boolean }
---@return lurcher.augment
function data.augment(options) end
---@return { name: string, type: string, default: string, help: string }[] options of data.augment
function data.augment_options() end
---A generator whose numbers depend on (seed, stream) alone, for samplers.
---@param seed? integer default: the context's
---@param stream? integer default 0; use the epoch
---@return lurcher.random
function data.random(seed, stream) end
---NumPy's legacy generator (MT19937), to repeat a Keras run draw for draw.
---@param seed integer 0 to 2^32-1
---@return lurcher.numpy_random
function data.numpy_random(seed) end

---@class lurcher.augment
local augment = {}
function augment:close() end

---@class lurcher.loader_options
---@field [1] lurcher.dataset
---@field size integer|integer[] side, or { height, width }
---@field sampler? function|table function(epoch, random) that returns an iterator of index tables ({ 3, 1, 2 } or { image = {...}, left = {...} }), or an object of lurcher.samplers; default: batches of the whole set
---@field batch? integer default 64
---@field shuffle? boolean default true
---@field drop_last? boolean default false: a last short batch is given
---@field images? string[] fields that are pictures; default { "image" }
---@field targets? fun(batch: table): table fields to add
---@field augment? lurcher.augment
---@field preprocess? "tf"|"caffe"|"rescale"|"none" default "tf": x / 127.5 - 1
---@field resize? "bilinear"|"nearest" as Pillow's; default "bilinear"
---@field channels? integer 3, or 1 for grayscale
---@field exif? boolean turn pictures as EXIF says; default false
---@field max_pixels? integer larger pictures count as damaged; default 100 million
---@field workers? integer threads; 0: none; default one a core
---@field prefetch? integer batches ahead; default 4
---@field seed? integer default: the context's
---@field strict? boolean a damaged picture raises; default false
---@field random? lurcher.numpy_random to draw from instead of the seed
---@field device? lurcher.device|string where batches go

---print(set) is a summary; #set is set.size.
---@class lurcher.dataset
---@field classes string[]
---@field counts integer[] pictures of each class
---@field columns string[] further columns, of data.flat
---@field size integer
local dataset = {}
---@param i integer
---@return string
function dataset:path(i) end
---@param i integer
---@return string name relative to the folder: "pug/0a1b.jpg"
function dataset:name(i) end
---@param i integer
---@return integer? class from 1; nil without one
function dataset:class(i) end
---@param i integer
---@param column string
---@return string
function dataset:column(i, column) end
---@return integer[][] lists of pictures, one a class
function dataset:by_class() end
---@return number[] weights that make every class count alike
function dataset:class_weights() end
---The given pictures in the given order, or those that a function(name, class, i) says true to; the same classes.
---@param which integer[]|fun(name: string, class: string?, i: integer): boolean
---@return lurcher.dataset
function dataset:subset(which) end
---Two parts: `share` (0.1) of each class chosen by seed (0), or those that `rule` says true to.
---@param options { share?: number, seed?: integer, rule?: fun(name: string, class: string?, i: integer): boolean }
---@return lurcher.dataset rest
---@return lurcher.dataset chosen
function dataset:split(options) end
function dataset:close() end

---#loader is the number of batches of an epoch, nil when only the sampler knows. `for batch in loader:epoch() do`, `for batch in loader() do`
---and `for batch in loader do` run through one epoch; leaving the loop frees the workers (the last form: at the next epoch, or with the loader).
---@class lurcher.loader
---@field summary { epoch: integer, batches: integer, damaged: integer, [integer]: { index: integer, times: integer, fresh: boolean, path: string, name: string, message: string } }? of the epoch that ended last
---@field set lurcher.dataset
---@field batch integer
---@field seed integer
---@overload fun(): function
local loader = {}
---@param number? integer from 0; default: one more than the last
---@param skip? integer batches drawn but not made: a place in the middle of an epoch
---@return function iterator, nil, nil, table closing what a for loop takes
function loader:epoch(number, skip) end
---@return { epoch: integer, batch: integer } position for resume
function loader:position() end
---The next epoch begins there.
---@param position { epoch: integer, batch: integer }
---@return lurcher.loader self
function loader:resume(position) end
function loader:close() end

---@class lurcher.random
local random = {}
---@return number in [0, 1)
function random:unit() end
---@param low number
---@param high number excluded
---@return number
function random:uniform(low, high) end
---@param n integer
---@return integer from 1 to n
function random:int(n) end
---@param n integer
---@return integer[] list 1 to n in random order
function random:permutation(n) end
---@param list table shuffled in place
---@return table list
function random:shuffle(list) end
function random:close() end

---@class lurcher.numpy_random
local numpy_random = {}
---@param seed integer
---@return lurcher.numpy_random self
function numpy_random:seed(seed) end
---@param low? number default 0
---@param high? number default 1
---@return number
function numpy_random:uniform(low, high) end
---@param n integer
---@return integer[] list 1 to n in NumPy's order
function numpy_random:permutation(n) end
function numpy_random:close() end

-- ---- image ----

---Pictures: u8 tensors of h x w x 3.
---@class lurcher.image
lurcher.image = {}
local image = lurcher.image
---JPEG or PNG, told by content.
---@param path string
---@param options? { exif?: boolean, max_pixels?: integer } exif: turn as EXIF says (false)
---@return lurcher.tensor? picture
---@return string? message, string? code
function image.load(path, options) end
---@param bytes string of a JPEG or PNG file
---@param options? { exif?: boolean, max_pixels?: integer }
---@return lurcher.tensor? picture
---@return string? message, string? code
function image.decode(bytes, options) end
---By extension: .png, .jpg, .jpeg; atomic.
---@param path string
---@param picture lurcher.tensor u8, or f32 in 0..255, h w 3 or h w 1
---@param options? { quality?: integer } of JPEG, 1 to 100; default 90
---@return boolean? ok, string? message, string? code
function image.save(path, picture, options) end
---Bit-equal to Pillow's.
---@param picture lurcher.tensor
---@param height integer
---@param width integer
---@param filter? "bilinear"|"nearest" default "bilinear"
---@return lurcher.tensor
function image.resize(picture, height, width, filter) end
---@param picture lurcher.tensor
---@param top integer from 1
---@param left integer from 1
---@param height integer
---@param width integer
---@return lurcher.tensor copy
function image.crop(picture, top, left, height, width) end
---A batch as one picture. low and high: the values that are black and white, -1 and 1 by default ("tf"); u8 is taken as it is.
---@param batch lurcher.tensor n h w 3 or n h w 1
---@param options? { low?: number, high?: number, columns?: integer, labels?: string[] } columns: about as many as rows
---@return lurcher.tensor picture
function image.montage(batch, options) end

return lurcher
