---@meta
-- nn.lua - annotations of layers, graphs, models, runs and optimizers; see lurcher.lua.

---@type lurcher
local lurcher = require "lurcher"

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
---@return { name: string, type: string, default: string?, help: string, choices?: string[] }[] options
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
--- - `momentum` (0.99): share of the moving statistics that is kept at every update
--- - `epsilon` (0.001): added to the variance
--- - `center` (true): a learned shift, beta
--- - `scale` (true): a learned factor, gamma
---@param options? number|{ momentum?: number, epsilon?: number, center?: boolean, scale?: boolean } options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.batchnorm(options, ...) end
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
---exp(x), divided by its sum over the last dimension.
---@param options? table options, or nodes to apply to at once
---@param ... any further options of the list, or nodes
---@return lurcher.layer|lurcher.node
function nn.softmax(options, ...) end
---x * x.
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
---scale * x + shift, with constants.
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
--- - `function`: sum, mean, max or min
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

---print(model) is the layer table. Calling a model applies its layers to other nodes with the same weights: `backbone(a)`, `backbone(a, b)`, `backbone{ a, b }`.
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
---The node of a layer's first application: cut a backbone anywhere.
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
---The names under which `load` finds the model's weights in a PyTorch state dict (.safetensors). With a table, sets them and
---returns the model; without one, returns them. Models of lurcher.models.xception have those of timm's Xception.
---@param names? table<string, string> name in the file to LAYER/WEIGHT: { ["conv1.weight"] = "block1_conv1/kernel" }
---@return lurcher.model|table<string, string>
function model:weight_names(names) end
---Reads weights, whatever the file is called: Keras .h5, .weights.h5 or .keras, .safetensors (Lurcher's, a checkpoint's, or
---PyTorch's where the model has names for it).
---@param path string
---@param options? { by?: "auto"|"name"|"order", strict?: boolean, names?: table<string, string> } names: as for weight_names, which they replace; auto: by name, and by order where no name fits; strict: anything missing or mismatched changes nothing and fails
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
---@field precision? "f32"|"tf32"|"bf16"|"f16"|"int8" what images are computed in (default f32); bf16 and f16 on cuda only; int8 on the CPU, for predict and evaluate alone and after run:calibrate: convolutions multiply bytes, everything else is f32
---@field input_gradients? boolean run:gradient serves inputs too
---@field graph? boolean false: on a GPU every step is launched kernel by kernel, instead of being captured once and replayed
---@field check? boolean guard zones round every buffer and NaN-filled outputs: slow, for tests
---@field passes? { prune?: boolean, fold?: boolean, split?: boolean, arena?: boolean } false switches a pass off, for tests

-- ---- run ----

---A model compiled for a device. print(run) shows steps, bytes and the ten largest holders of the plan last used.
---Results are tables of numbers named as Keras names them (loss, acc; with several outputs NAME_loss, NAME_acc) and `samples`.
---@class lurcher.run
---@field lr number assignable
---@field watch boolean assignable; true: every step finds out, at no more waiting, whether the weights it moved are finite
---@field finite boolean? what the last step found; nil while watch is off, or before a step
---@field iterations integer optimizer steps made
---@field model lurcher.model
---@field device string
---@field arena_bytes integer of the plan last used
---@field state_bytes integer of weights, gradients and optimizer state
---@field graph string "recorded": steps are captured at their second use and replayed from then on; else the reason why not
local run = {}
---Sends the inputs of the next batch to the device while it computes the present one: call it before train, and give the
---same tensors to the train after. fit does it. Needs a loader made for the device to gain anything; does nothing on the CPU.
---@param batch lurcher.batch what is missing is sent when its turn comes
---@return lurcher.run self
function run:prefetch(batch) end
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
---For precision "int8": computes the batch in f32 and notes least, greatest and mean of every channel that a convolution
---reads. A few dozen images of the kind to come, in one call or several; the second adds to the first. Predict
---and evaluate raise before it. Raises for other precisions.
---@param batch lurcher.batch targets are not needed
---@return lurcher.run self
function run:calibrate(batch) end
---What calibrate found, layer by layer: a tensor 3 x channels: least, greatest, mean. lurcher.save_tensors keeps it, and
---calibration(ranges) gives it to another run of the model instead of calibrate; a layer that is left out stays f32.
---@param ranges? table<string, lurcher.tensor>
---@return lurcher.run|table<string, lurcher.tensor>
function run:calibration(ranges) end
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
---@param tensors? table<string, lurcher.tensor> host tensors to keep beside them; lurcher.load_tensors gives them as "lurcher.extra/NAME"
---@return boolean? ok, string? message, string? code
function run:save(path, extra, tensors) end
---Restores weights, optimizer state and counters into a run of an equal model.
---@param path string
---@return string? extra text saved with the checkpoint
---@return string? message, string? code
function run:restore(path) end
---@param on? boolean switches profiling; omitted: returns what was measured since
---@return lurcher.run|{ layer: string, op: string, pass: string, type: string, seconds: number, flops: number, bytes: number, calls: integer }[]
function run:profile(on) end
function run:close() end

-- ---- optim ----

---Optimizers: options only, the state lives in the run. tostring prints them. A bare number is lr. Formulas are
---those of Keras 2.0.6, AdamW's Loshchilov and Hutter's.
---@class lurcher.optim
lurcher.optim = {}
local optim = lurcher.optim

---What all of them take.
---@class lurcher.optimizer_options
---@field lr? number learning rate; default 0.01 of sgd, 0.001 of adam and adamw, 0.002 of nadam
---@field decay? number default 0: lr / (1 + decay * steps made)
---@field weight_decay? number default 0, of adamw 0.01: pull of kernels towards zero, added to the gradient, in adamw to the
--- step (decoupled); biases and batch norm never decay
---@field clip_norm? number default 0: scales all gradients down to this global norm; 0: off
---@field clip_value? number default 0: clips every gradient to [-v, v]; 0: off

---@class lurcher.sgd_options: lurcher.optimizer_options
---@field momentum? number default 0: share of the velocity that stays
---@field nesterov? boolean default false: looks ahead along the velocity

---@class lurcher.adam_options: lurcher.optimizer_options
---@field beta_1? number default 0.9: decay of the mean
---@field beta_2? number default 0.999: decay of the mean square
---@field epsilon? number default 1e-7: added to the root (1e-8: Keras before 2.1.3)

---@class lurcher.nadam_options: lurcher.adam_options
---@field schedule_decay? number default 0.004: of the momentum schedule

---@param options? lurcher.sgd_options|number
---@return lurcher.optimizer
function optim.sgd(options) end
---@param options? lurcher.adam_options|number
---@return lurcher.optimizer
function optim.adam(options) end
---@param options? lurcher.adam_options|number
---@return lurcher.optimizer
function optim.adamw(options) end
---@param options? lurcher.nadam_options|number
---@return lurcher.optimizer
function optim.nadam(options) end

---@class lurcher.optimizer
---@field kind string "sgd"
local optimizer = {}
function optimizer:close() end
