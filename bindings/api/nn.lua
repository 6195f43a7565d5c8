---@meta
-- nn.lua - layers, nodes and models; see lurcher.lua for the conventions, and run.lua for what trains a model.

---@type lurcher
local lurcher = require "lurcher"

-- ---- nn ----

---Layers, nodes and models. A layer owns weights; calling it on nodes makes a new node: `nn.dense{ 10 }(x)`,
---`nn.add()(a, b)`, `layer{ a, b }`. Every constructor takes a table of options, whose list part gives the first
---options in order, or a bare number or string for the first one: `nn.dropout(0.5)`. Called with nodes, it makes the
---layer and applies it at once: `nn.gather(f, rows)`, `nn.concat(a, b)`, `nn.concat{ a, b, axis = 1 }`; the first
---options may follow the nodes, as in `nn.one_hot(ids, 10)`. Every kind takes `name` (default kind_1, kind_2, ...) and
---`trainable` (true). Shapes are those of one sample: the batch dimension is not among them, and axes count from 1
---without it.
---@class lurcher.nn
lurcher.nn = {}
local nn = lurcher.nn

---A named input of a model: `nn.input("image", 299, 299, 3)`.
---@param name string|{ name: string, shape: integer[], dtype?: lurcher.dtype } dtype: default "f32"
---@param ... integer extents of one sample: height, width, channels
---@return lurcher.node
function nn.input(name, ...) end
---A named input of row numbers for nn.gather. Its length is independent of the batch size of other inputs.
---@param name string
---@return lurcher.node
---@usage rows = nn.index "rows"
function nn.index(name) end
---@class lurcher.parameter_options
---@field shape? integer[] extents; {} is one number. May be left out where init is a tensor
---@field init? "zeros"|"ones"|"normal"|"truncated_normal"|"uniform"|"glorot_uniform"|"he_normal"|number|lurcher.tensor
--- default "zeros": first values; a number is the value of every element
---@field init_deviation? number default 0.05, at least 0: standard deviation of the normal ones, limit of "uniform"
---@field value? number default 0: the value of init = "constant"
---@field decay? boolean default false: weight decay applies to it
---@field name? string
---@field trainable? boolean default true

---A learned tensor as a node without inputs. It has no batch dimension: in operators and functions that broadcast it
---meets every sample, `nn.gather(table, index)` takes rows of its first dimension, and it is saved, frozen and loaded
---like the weights of any layer, under the name "value": `node.layer:weights().value`. `nn.parameter{ { 3, 4 },
---"normal" }`, `nn.parameter(3, 4)`, `nn.parameter{ init = tensor, trainable = false }`.
---@param options integer|lurcher.parameter_options
---@param ... integer further extents
---@return lurcher.node
function nn.parameter(options, ...) end
---A number as a node without inputs, where a function needs one; operators and functions of several nodes take plain
---numbers too.
--- - `value`: of every element
--- - `shape` ({}): extents; default: one number, which meets every shape
---@param options number|{ value: number, shape?: integer[] } options
---@param ... any further options of the list
---@return lurcher.node
function nn.constant(options, ...) end
---Layers, models or functions that are applied in order: `nn.seq{ a, b, c }(x)`.
---@param list (lurcher.layer|lurcher.model|function)[]
---@return lurcher.chain
function nn.seq(list) end
---@class lurcher.model_spec
---@field inputs? lurcher.node[] the inputs in order; default: every input that the outputs depend on, sorted by name
---@field outputs lurcher.node|table<string, lurcher.node>

---A model: `nn.model{ score = node }` with outputs by name, `nn.model(node)` with one that is named after its layer, or
---`nn.model{ inputs = { a, b }, outputs = ... }`.
---@param spec lurcher.node|table<string, lurcher.node>|lurcher.model_spec
---@return lurcher.model
function nn.model(spec) end
---Loads the model of a checkpoint, with its weights.
---@param path string
---@return lurcher.model? model
---@return string metadata the text that was saved with the checkpoint; or message
---@return string? code
---@usage model = assert(nn.load "pug.safetensors")
function nn.load(path) end
---Makes a model from a definition, with new weights.
---@param text string as model:json() returns it
---@return lurcher.model? model
---@return string? message, string? code
---@usage copy = assert(nn.from_json(model:json()))
function nn.from_json(text) end
---The options of a layer kind.
---@param kind string "conv2d"
---@return { name: string, type: string, default: string?, help: string, choices?: string[] }[] options default nil:
--- required
---@return string help the kind in one line
---@usage options, meaning = nn.options "conv2d"
function nn.options(kind) end
---The names of all layer kinds.
---@return string[] kinds
---@usage print(table.concat(nn.kinds(), " "))
function nn.kinds() end
---The options of model:compile.
---@return { name: string, type: string, default: string, help: string, choices?: string[] }[]
---@usage for _, o in ipairs(nn.compile_options()) do print(o.name, o.help) end
function nn.compile_options() end

---@class lurcher.conv2d_options
---@field filters integer at least 1: output channels
---@field kernel integer|integer[] at least 1: height and width of the window
---@field stride? integer|integer[] default 1, at least 1: step of the window
---@field padding? "valid"|"same" default "valid": valid: the window stays inside; same: out = ceil(in / stride)
---@field use_bias? boolean default true: adds a learned constant per channel
---@field activation? lurcher.activation default "linear": applied to the result
---@field init? lurcher.init default "glorot_uniform": first values of the kernel
---@field init_deviation? number default 0.05, at least 0: standard deviation of init = "normal"

---Convolution over height and width: h w c -> h' w' filters.
---@param options integer|lurcher.conv2d_options options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.conv2d{ 64, 3, stride = 2, padding = "same", activation = "relu" }(x)
function nn.conv2d(options, ...) end

---@class lurcher.depthwise_conv2d_options
---@field kernel integer|integer[] at least 1: height and width of the window
---@field stride? integer|integer[] default 1, at least 1: step of the window
---@field padding? "valid"|"same" default "valid": valid: the window stays inside; same: out = ceil(in / stride)
---@field use_bias? boolean default true: adds a learned constant per channel
---@field activation? lurcher.activation default "linear": applied to the result
---@field init? lurcher.init default "glorot_uniform": first values of the kernel
---@field init_deviation? number default 0.05, at least 0: standard deviation of init = "normal"

---One window per channel: h w c -> h' w' c.
---@param options integer|lurcher.depthwise_conv2d_options options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.depthwise_conv2d{ 3, padding = "same" }(x)
function nn.depthwise_conv2d(options, ...) end

---@class lurcher.separable_conv2d_options
---@field filters integer at least 1: output channels
---@field kernel integer|integer[] at least 1: height and width of the window
---@field stride? integer|integer[] default 1, at least 1: step of the window
---@field padding? "valid"|"same" default "valid": valid: the window stays inside; same: out = ceil(in / stride)
---@field use_bias? boolean default true: adds a learned constant per channel
---@field activation? lurcher.activation default "linear": applied to the result
---@field init? lurcher.init default "glorot_uniform": first values of the kernel
---@field init_deviation? number default 0.05, at least 0: standard deviation of init = "normal"

---Depthwise then 1x1 convolution: h w c -> h' w' filters.
---@param options integer|lurcher.separable_conv2d_options options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.separable_conv2d{ 64, 3, padding = "same", use_bias = false }(x)
function nn.separable_conv2d(options, ...) end

---@class lurcher.dense_options
---@field units integer at least 1: output features
---@field use_bias? boolean default true: adds a learned constant per channel
---@field activation? lurcher.activation default "linear": applied to the result
---@field init? lurcher.init default "glorot_uniform": first values of the kernel
---@field init_deviation? number default 0.05, at least 0: standard deviation of init = "normal"

---Matrix product over the last dimension: ... in -> ... units.
---@param options integer|lurcher.dense_options options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.dense{ 100, activation = "softmax" }(v)
function nn.dense(options, ...) end

---@class lurcher.batchnorm_options
---@field momentum? number default 0.99, from 0 to 1: fraction of the moving statistics that is kept at every update
---@field epsilon? number default 0.001, from 1e-12 to 1: added to the variance
---@field center? boolean default true: a learned shift, beta
---@field scale? boolean default true: a learned factor, gamma

---Normalises each channel by batch or moving statistics.
---@param options? number|lurcher.batchnorm_options options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.batchnorm{ momentum = 0.9 }(x)
function nn.batchnorm(options, ...) end
---(x - mean) / sqrt(variance), with a given mean and variance per channel, that of a network's input (Keras's
---Normalization). Set them with set_weight ("mean", "variance"; at first 0 and 1); training changes neither.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.normalization()(x)
function nn.normalization(options, ...) end
---A function applied element by element, or softmax.
--- - `function`: name of the function
---@param options lurcher.activation|{ ["function"]: lurcher.activation } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.activation(options, ...) end
---max(x, 0).
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.relu()(x)
function nn.relu(options, ...) end
---1 / (1 + exp(-x)).
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.sigmoid()(x)
function nn.sigmoid(options, ...) end
---Hyperbolic tangent.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.tanh()(x)
function nn.tanh(options, ...) end
---exp(x), divided by its sum over the last dimension.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.softmax()(v)
function nn.softmax(options, ...) end
---x * x.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.square()(x)
function nn.square(options, ...) end
---|x|.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.abs()(x)
function nn.abs(options, ...) end
---exp(x).
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.exp()(x)
function nn.exp(options, ...) end
---Natural logarithm.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.log()(x)
function nn.log(options, ...) end
---Square root.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.sqrt()(x)
function nn.sqrt(options, ...) end
---x * Phi(x), Phi the cumulative distribution of the standard normal distribution, exact.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.gelu()(x)
function nn.gelu(options, ...) end
---x * sigmoid(x), also known as swish.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.silu()(x)
function nn.silu(options, ...) end
---x where x > 0, else slope * x.
--- - `slope` (0.01, from 0 to 1): factor of negative numbers; 0.3 is Keras's default
---
---0.01 is PyTorch's default; Keras's layer has 0.3, its activation by name 0.2. `activation = "leaky_relu"` means 0.01.
---@param options? number|{ slope?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.leaky_relu(options, ...) end
---x where x > 0, else exp(x) - 1.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.elu()(x)
function nn.elu(options, ...) end
---min(max(x, 0), 6).
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.relu6()(x)
function nn.relu6(options, ...) end
---min(max(x + 3, 0), 6) / 6.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.hard_sigmoid()(x)
function nn.hard_sigmoid(options, ...) end
---x * min(max(x + 3, 0), 6) / 6.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.hard_swish()(x)
function nn.hard_swish(options, ...) end
---log(1 + exp(x)).
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.softplus()(x)
function nn.softplus(options, ...) end

---@class lurcher.max_pool_options
---@field size? integer|integer[] default 2, at least 1: height and width of the window
---@field stride? integer|integer[] at least 1: step of the window; default: its size
---@field padding? "valid"|"same" default "valid": valid: the window stays inside; same: out = ceil(in / stride)

---The largest value of each window: h w c -> h' w' c.
---@param options? integer|lurcher.max_pool_options options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.max_pool{ 3, stride = 2, padding = "same" }(x)
function nn.max_pool(options, ...) end

---@class lurcher.avg_pool_options
---@field size? integer|integer[] default 2, at least 1: height and width of the window
---@field stride? integer|integer[] at least 1: step of the window; default: its size
---@field padding? "valid"|"same" default "valid": valid: the window stays inside; same: out = ceil(in / stride)

---The mean of each window's real cells: h w c -> h' w' c.
---@param options? integer|lurcher.avg_pool_options options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.avg_pool{ 2, stride = 2 }(x)
function nn.avg_pool(options, ...) end
---The mean over height and width: h w c -> c.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.global_avg_pool()(x)
function nn.global_avg_pool(options, ...) end
---The largest value over height and width: h w c -> c.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.global_max_pool()(x)
function nn.global_max_pool(options, ...) end
---The sum of its inputs. Shapes must be equal, so that a wrong shape is never a silent repeat, unless `broadcast` is
---true; the operators + - * / broadcast. Parameters meet every sample, and numbers every shape: `nn.add(x, 1)`.
--- - `broadcast` (false): repeats inputs along dimensions where they have extent 1 or none
---@param options? boolean|{ broadcast?: boolean } options, or nodes to apply to at once
---@param ... lurcher.node|number nodes, one of which may be a number
---@return lurcher.layer|lurcher.node
function nn.add(options, ...) end
---The first input minus the second. Shapes: as for nn.add.
--- - `broadcast` (false): repeats inputs along dimensions where they have extent 1 or none
---@param options? boolean|{ broadcast?: boolean } options, or nodes to apply to at once
---@param ... lurcher.node|number nodes, one of which may be a number
---@return lurcher.layer|lurcher.node
function nn.sub(options, ...) end
---The product of its inputs, element by element. Shapes: as for nn.add.
--- - `broadcast` (false): repeats inputs along dimensions where they have extent 1 or none
---@param options? boolean|{ broadcast?: boolean } options, or nodes to apply to at once
---@param ... lurcher.node|number nodes, one of which may be a number
---@return lurcher.layer|lurcher.node
function nn.mul(options, ...) end
---The largest of its inputs, element by element. Shapes: as for nn.add.
--- - `broadcast` (false): repeats inputs along dimensions where they have extent 1 or none
---@param options? boolean|{ broadcast?: boolean } options, or nodes to apply to at once
---@param ... lurcher.node|number nodes, one of which may be a number
---@return lurcher.layer|lurcher.node
function nn.maximum(options, ...) end
---The smallest of its inputs, element by element. Shapes: as for nn.add.
--- - `broadcast` (false): repeats inputs along dimensions where they have extent 1 or none
---@param options? boolean|{ broadcast?: boolean } options, or nodes to apply to at once
---@param ... lurcher.node|number nodes, one of which may be a number
---@return lurcher.layer|lurcher.node
function nn.minimum(options, ...) end
---The first input divided by the second. They broadcast as in NumPy, sample by sample: shapes are aligned at the last
---dimension, and extents are equal, 1 or missing. So do those of all functions below, down to nn.where.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.div()(x, x)
function nn.div(options, ...) end
---The first input to the power of the second. Negative bases need whole exponents.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.pow()(x, x)
function nn.pow(options, ...) end
---x to a constant power: `nn.power{ 3 }(x)`, which is `x ^ 3`.
--- - `exponent`: a constant
---@param options number|{ exponent: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.power(options, ...) end
---1 where the first input is greater than the second, else 0. Comparisons have no gradient; NaN compares as in Lua:
---`nn.where(nn.gt(x, 0), x, 0.1 * x)`.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.gt(options, ...) end
---1 where the first input is at least the second, else 0.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage mask = nn.ge()(x, x)
function nn.ge(options, ...) end
---1 where the first input is less than the second, else 0.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage mask = nn.lt()(x, x)
function nn.lt(options, ...) end
---1 where the first input is at most the second, else 0.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage mask = nn.le()(x, x)
function nn.le(options, ...) end
---1 where the inputs are equal, else 0.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage mask = nn.eq()(x, x)
function nn.eq(options, ...) end
---1 where the inputs differ, else 0.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage mask = nn.ne()(x, x)
function nn.ne(options, ...) end
---The second input where the first is not 0, else the third: `nn.where(condition, a, b)`. The condition has no
---gradient.
---@param options? table options, or nodes or numbers to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.where(options, ...) end
---Its inputs joined along one dimension. An input without a batch, a parameter, goes with every sample.
--- - `axis` (-1, from -1 to 5): dimension of a sample to join along, 1 the first; -1: the last
---@param options? integer|{ axis?: integer } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.concat(options, ...) end
---scale * x + shift, with constants.
--- - `scale` (1): factor
--- - `shift` (0): added after the factor
---@param options? number|{ scale?: number, shift?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.affine(options, ...) end
----x.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.neg()(x)
function nn.neg(options, ...) end
---Drops elements at random in training.
--- - `rate` (from 0 to 1): fraction of the elements set to 0 in training, below 1
---@param options number|{ rate: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.dropout(options, ...) end
---Divides by the Euclidean length over the last dimension.
--- - `epsilon` (1e-12, from 1e-30 to 1): lower limit of the length that is divided by
---@param options? number|{ epsilon?: number } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.normalize(options, ...) end
---Every sample as one vector.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.flatten()(x)
function nn.flatten(options, ...) end
---Every sample under another shape of as many elements.
--- - `shape`: extents of one sample; one of them may be -1: what is left
---@param options integer|{ shape: integer[] } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.reshape(options, ...) end
---@alias lurcher.reduction "sum"|"mean"|"max"|"min"|"var"

---Sum, mean, max, min or variance over dimensions of each sample: `nn.reduce{ op = "mean", axis = { 1, 2 } }`. The
---variance is divided by the number of elements, as in NumPy and Keras; torch.var divides by one less. The standard
---deviation is `nn.sqrt(nn.reduce{ x, op = "var" } + 1e-6)`: at 0 the root has no gradient.
--- - `function`, or `op`: sum, mean, max, min or var, the variance
--- - `axis` (-1, from -5 to 5): dimensions of a sample, 1 the first, -1 the last; 0: all
--- - `keep` (false): keeps the dimensions, with extent 1
---@param options lurcher.reduction|{ op: lurcher.reduction, axis?: integer|integer[], keep?: boolean } or nodes
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.reduce(options, ...) end

---Matrix product of two inputs over their last two dimensions: ... m k times ... k n -> ... m n. The dimensions before
---must be equal, or 1 in one input, which is then repeated; the input with fewer dimensions has 1 in those that it
---lacks, and an input without a batch (a parameter) goes with every sample. `nn.matmul{ q, k, transpose_b = true }`
---are the scores of attention.
--- - `transpose_a` (false): swaps the last two dimensions of the first input
--- - `transpose_b` (false): swaps the last two dimensions of the second input
---@param options? { transpose_a?: boolean, transpose_b?: boolean } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.matmul(options, ...) end
---The dimensions of every sample in another order, as Permute of Keras: `nn.permute{ { 3, 1, 2 } }` makes c h w of
---h w c.
--- - `order` (from 1 to 5): the input's dimension at each place of the output, 1 the first
---@param options { order: integer[] } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.permute(options, ...) end
---A part of every sample: a range along each dimension, or along the one that `axis` names. Elements count from 1, or
---from the end: -1 is the last. The ends are included, as in string.sub. `nn.slice{ { 2, 1 }, { -2, 3 } }` is all but
---the first and the last along dimension 1, and the first three along dimension 2; `nn.slice{ axis = 1, from = 1,
---to = 1 }` is the first along dimension 1, which stays, with extent 1. Dimensions that are not given stay whole.
--- - `from` (1): first element along each dimension; 1 is the first, -1 the last
--- - `to` (-1): last element along each dimension, included
--- - `axis` (0, from -5 to 5): the one dimension that from and to are for, 1 the first, -1 the last; 0: from the first
--- on
---@param options? { from?: integer|integer[], to?: integer|integer[], axis?: integer } options, or nodes
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.slice(options, ...) end
---Every sample with a margin of a constant value. Keras's ZeroPadding2D: `nn.pad(1)` is one pixel on all four sides,
---`nn.pad{ { 1, 2 } }` one row and two columns on each side, `nn.pad{ { 0, 0 }, { 1, 1 } }` a row below and a column on
---the right.
--- - `before` (at least 0): elements added before each dimension, the first first; one number: every dimension but the
--- last
--- - `after` (at least 0): elements added after each dimension; none given: as before
--- - `value` (0): what is added
---@param options integer|{ before: integer|integer[], after?: integer|integer[], value?: number } options, or nodes
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.pad(options, ...) end
---A learned factor per channel, small at first, so that a deep network begins close to the identity (LayerScale,
---Touvron et al., 2021). Weight: gamma.
--- - `init` (1e-6): first value of the factors
---@param options? number|{ init?: number } options, or nodes
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.layer_scale(options, ...) end
---Layer normalisation: every row of the last dimension is normalised by its own mean and variance, then scaled and
---shifted by learned vectors (Ba, Kiros and Hinton, 2016). Keras's defaults; PyTorch's epsilon is 1e-5. Weights: gamma,
---beta.
--- - `epsilon` (0.001, from 1e-12 to 1): added to the variance
--- - `center` (true): a learned shift, beta
--- - `scale` (true): a learned factor, gamma
---@param options? number|{ epsilon?: number, center?: boolean, scale?: boolean } options, or nodes
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.layernorm(options, ...) end
---Group normalisation: the channels (last dimension) are divided into groups of neighbours, and each group of each
---sample is normalised by its own mean and variance over all other dimensions (Wu and He, 2018). Keras's defaults;
---PyTorch's epsilon is 1e-5. Weights: gamma, beta, one of each per channel.
--- - `groups` (32, at least 1): groups that the channels are divided into
--- - `epsilon` (0.001, from 1e-12 to 1): added to the variance
--- - `center` (true): a learned shift, beta
--- - `scale` (true): a learned factor, gamma
---@param options? integer|{ groups?: integer, epsilon?: number, center?: boolean, scale?: boolean } options, or nodes
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.groupnorm(options, ...) end
---Images of another size: h w c -> h' w' c. As UpSampling2D of Keras, and interpolate of PyTorch with
---align_corners=False: `nn.upsample(2)`, `nn.upsample{ 2, "bilinear" }`, `nn.upsample{ size = { 14, 14 } }`.
--- - `factor` (2, at least 1): factors of height and width
--- - `mode` ("nearest"), or `interpolation`: nearest or bilinear, corners not aligned
--- - `size` (0, at least 0): height and width of the result; 0: by the factors
---@param options? integer|{ factor?: integer|integer[], mode?: "nearest"|"bilinear", size?: integer|integer[] }
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.upsample(options, ...) end
---Rows of the first input, selected by an index.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
---@usage y = nn.gather()(v, nn.index "rows")
function nn.gather(options, ...) end

---Class ids as rows of zeros with a one at the class: i32 samples of any shape become f32, with one more dimension.
---Ids count from 0. In a batch, those outside of the classes are an error; computed ones give zeros.
---`nn.one_hot(target, 10)` in a loss is target's ids of ten classes.
--- - `classes` (at least 1): how many there are: ids go from 0 to classes - 1
---@param options integer|{ classes?: integer } or a node, then the number of classes
---@param ... any further options of the list
---@return lurcher.layer|lurcher.node
function nn.one_hot(options, ...) end

---What nn.seq returns. The list part holds its members.
---@class lurcher.chain
---@field [integer] lurcher.layer|lurcher.model|function
---@overload fun(...: lurcher.node): lurcher.node
local chain = {}
---Freezes every member.
---@return lurcher.chain self
function chain:freeze() end
---Unfreezes every member.
---@return lurcher.chain self
function chain:unfreeze() end

---A layer owns weights. They are made when it is first applied to a node, and shared by all its applications.
---@class lurcher.layer
---@field name string
---@field kind string "conv2d"
---@field trainable boolean assignable; a run follows at its next recompile
---@overload fun(...: lurcher.node|lurcher.node[]): lurcher.node
local layer = {}
---Sets trainable to false: its weights are not updated, and batch norm uses its moving statistics.
---@return lurcher.layer self
---@usage layer:freeze()
function layer:freeze() end
---Sets trainable to true.
---@return lurcher.layer self
---@usage layer:unfreeze()
function layer:unfreeze() end
---The weights by name ("kernel", "bias", "gamma"). The tensors share the layer's memory.
---@return table<string, lurcher.tensor>
---@usage for name, value in pairs(layer:weights()) do print(name, value.shape[1]) end
function layer:weights() end
---Copies a tensor into a weight.
---@param name string
---@param value lurcher.tensor of the weight's shape
---@return lurcher.layer self
---@usage layer:set_weight("bias", lurcher.zeros(3))
function layer:set_weight(name, value) end
---Initializes the weights again, from the present seed.
---@return lurcher.layer self
---@usage layer:reset()
function layer:reset() end
---Closes the handle. The layer lives on in its nodes and models.
function layer:close() end

---One application of a layer. `a + b`, `a - b`, `a * b`, `a / b` and `a ^ b` are computed element by element; shapes
---broadcast as in NumPy, sample by sample: aligned at the last dimension, with extents that are equal, 1 or missing.
---Either may be a number: sums and products with numbers make affine layers, several of which in a row are one op in a
---plan. Comparisons are functions: nn.gt, nn.where. `print(node)` says "not per sample" of parameters and what is
---computed from them alone.
---@class lurcher.node
---@field shape integer[] of one sample
---@field dtype lurcher.dtype
---@field name string of the layer
---@field layer lurcher.layer
---@operator add(lurcher.node|number): lurcher.node
---@operator sub(lurcher.node|number): lurcher.node
---@operator mul(lurcher.node|number): lurcher.node
---@operator div(lurcher.node|number): lurcher.node
---@operator pow(lurcher.node|number): lurcher.node
---@operator unm: lurcher.node
local node = {}
---Closes the handle. The node lives on in its models.
function node:close() end

---print(model) shows the layer table. Calling a model applies its layers to other nodes, with the same weights:
---`backbone(a)`, `backbone(a, b)`, `backbone{ a, b }`.
---@class lurcher.model
---@field layers lurcher.layer[] in the order of Keras's model.layers; Keras's index 105 is layers[106]
---@field inputs string[] names
---@field outputs string[] names
---@field losses table<string, lurcher.model> losses of one's own that the model was saved with, by output, for compile
---@overload fun(...: lurcher.node|lurcher.node[]): lurcher.node, ...
local model = {}
---A layer by name. Raises, with the nearest name, when there is none.
---@param name string
---@return lurcher.layer
---@usage kernel = model:layer "dense_1":weights().kernel
function model:layer(name) end
---The Keras index of a layer.
---@param name string
---@return integer? index from 0; nil when there is no such layer
---@usage model:index "dense_1"
function model:index(name) end
---The node of a layer's first application. nn.model(model:node "add_10") cuts a backbone there.
---@param name string
---@return lurcher.node
---@usage features = nn.model(model:node "hidden")
function model:node(name) end
---Freezes layers: all of them; those of a range, `{ from = "name" }`, `{ to = "add_10" }` (included) or `{ below =
---105 }` (excluded), by layer name, block name ("block12") or Keras index; those listed, `{ "name", "name2" }`; or
---those for which a function returns true. A frozen batch norm uses its moving statistics. A run follows at its next
---recompile.
---@param which? table|fun(layer: lurcher.layer, index0: integer): boolean
---@return lurcher.model self
function model:freeze(which) end
---Makes layers trainable again.
---@param which? table|fun(layer: lurcher.layer, index0: integer): boolean as in freeze
---@return lurcher.model self
---@usage model:unfreeze{ from = "dense_1" }
function model:unfreeze(which) end
---The frozen backbone: what training does not change for a given image, and where to split the model so that this is
---computed once per image. There is one cut, or one per backbone where several apply to the image; none where a split
---gains nothing. `lurcher.frozen` splits by it.
---@param input string name of the input of the images
---@return string[] cuts names of the layers to split at
---@return table<string, boolean> frozen the frozen layers: true by name
function model:frozen(input) end
---The numbers of parameters.
---@return integer total
---@return integer trainable
---@usage total, trainable = model:parameters()
function model:parameters() end
---The names under which `load` finds the model's weights in a PyTorch state dict (.safetensors). With a table, sets
---them and returns the model; without one, returns them. Models of lurcher.models.xception have those of timm's
---Xception.
---@param names? table<string, string> name in the file to LAYER/WEIGHT: { ["conv1.weight"] = "block1_conv1/kernel" }
---@return lurcher.model|table<string, string>
function model:weight_names(names) end

---@class lurcher.load_report
---@field loaded integer layers whose weights were loaded
---@field missing integer layers of the model that the file does not have
---@field unused integer layers of the file that the model does not have
---@field mismatched integer layers whose shapes differ
---@field text string one line per layer that is missing, unused or mismatched

---Loads weights. The format follows from the file's content: Keras .h5, .weights.h5 or .keras; .safetensors (a
---checkpoint, or with PyTorch's names where the model has names for them). A file that has weights for fewer than half
---of the model's layers is a failure that changes no weight, unless a partial load is asked for.
---@param path string
---@param options? { by?: "auto"|"name"|"order", strict?: boolean, partial?: boolean, names?: table<string, string> }
--- by:
--- how layers are matched; "auto" (default): by name, Keras 3's files also by the layers' positions, or by order if no
--- name matches; strict (false): anything missing or mismatched is a failure that changes no weight; partial (false):
--- one layer is enough, the others keep their weights; names: as for weight_names, which they replace
---@return lurcher.load_report? report
---@return string? message, string? code
---@usage report = assert(model:load("pug.h5", { strict = true }))
function model:load(path, options) end
---Writes the weights atomically. The format follows from the extension: .h5, which Keras loads, or .safetensors.
---@param path string
---@return boolean? ok, string? message, string? code
---@usage assert(model:save "pug.h5")
function model:save(path) end
---The definition of the model: layers, options and connections, without weights.
---@return string text
---@usage text = model:json()
function model:json() end
---Compiles the model for a device. Plans for concrete batch sizes are made at their first use.
---@param options? lurcher.compile_options
---@return lurcher.run
---@usage run = model:compile{ loss = "categorical_crossentropy", optimizer = optim.adam{ lr = 1e-3 } }
function model:compile(options) end
---Closes the handle, and frees the model unless a run uses it.
function model:close() end
