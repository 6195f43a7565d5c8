---@meta
-- run.lua - compiling, losses, runs and optimizers; see lurcher.lua for the conventions.

---@type lurcher
local lurcher = require "lurcher"

-- ---- compile ----

---A loss by name:
--- - categorical_crossentropy (crossentropy, sparse_categorical_crossentropy): of class ids, or rows of probabilities
--- - binary_crossentropy (bce), mean_squared_error (mse), mean_absolute_error (mae): of rows like the predictions
--- - output: the mean of the output itself, which needs no target; for losses that are nodes of the model
---
---Or a loss of one's own: a function that gets the nodes of the prediction and the target, and nn, and returns a node
---that is computed from them. The mean over a sample's elements is the sample's loss; the mean over the batch, with the
---sample weights if there are any (sum of weight times loss, divided by the number of samples), is reported and
---differentiated. The function is called once, at compile. Checkpoints have the graph that it built, and its weights if
---it has layers with weights: nn.load(path).losses gives the losses back without the function. Results have an accuracy
---where the target is class ids and the function makes nn.one_hot(target, n) of them, n being the number of
---predictions.
---
---    -- focal loss (Lin et al., "Focal loss for dense object detection", 2017)
---    local function focal(prediction, target, nn)
---      local p = nn.reduce{ "sum" }(nn.one_hot(target, 100) * prediction)
---      return -((1 - p)^2 * nn.activation{ "log" }(p))
---    end
---    local run = model:compile{ loss = { breed = focal }, optimizer = "nadam" }
---
---The losses with a name are computed so that they are finite; in a function, the logarithm of a probability that is 0
---is not: nn.maximum(prediction, 1e-7) before it clips as Keras does, and from logits x with y = x - max(x) it is
---y - log(sum(exp(y))) (log_softmax in tests/lua/blocks.lua, beside ArcFace and center loss).
---@alias lurcher.loss_function fun(prediction: lurcher.node, target: lurcher.node, nn: lurcher.nn): lurcher.node
---@alias lurcher.loss string|lurcher.model|lurcher.loss_function

---The target of a loss of one's own: "ids" (i32, one class id per sample), "values" (f32, of the shape of the
---predictions), or the shape of a sample and a dtype ("f32" by default).
---@alias lurcher.target "ids"|"values"|{ [integer]: integer, shape?: integer[], dtype?: lurcher.dtype }

---@class lurcher.compile_options
---@field device? lurcher.device|string where to compute: auto, cpu, ref, cuda or cuda:N; default "auto"
---@field optimizer? lurcher.optimizer|string updates the weights; without one, train and step raise
---@field loss? lurcher.loss|table<string, lurcher.loss> categorical_crossentropy, binary_crossentropy,
--- mean_squared_error, mean_absolute_error or output; or a function of prediction, target and nn that returns a node;
--- without one, inference only; a table by output, or one loss for a model with one output
---@field target? lurcher.target|table<string, lurcher.target> what the target of such a function is: ids, values or
--- { shape =, dtype = }; default: ids where a sample's predictions are a vector of two numbers or more, else values
---@field weight? number|table<string, number> factor of the loss; 0: reported, but without a gradient; default 1
---@field label_smoothing? number|table<string, number> share of a target spread evenly over all classes, in cross
--- entropies; default 0
---@field batchnorm? "moving"|"batch" statistics of frozen batch norms in training; batch: those of the batch, as in
--- Keras 2.0.6; default "moving"
---@field precision? "f32"|"tf32"|"bf16"|"f16"|"int8" number format of activations; weights are always f32; default
--- "f32". tf32, bf16 and f16 need a GPU. int8 needs the CPU, is for predict and evaluate only, after run:calibrate,
--- and computes convolutions in 8 bits, everything else in f32
---@field input_gradients? boolean makes run:gradient return gradients of inputs, too; default false
---@field graph? boolean on a GPU, captures each kind of step as a CUDA graph and replays it; default true
---@field check? boolean guard zones around buffers and NaN-filled outputs: slow, for tests; default false
---@field passes? table<string, boolean> false switches a pass off, for tests: prune, fold, lifetimes, arena

-- ---- run ----

---@class lurcher.run_weight
---@field layer string
---@field name string "kernel"
---@field tensor lurcher.tensor
---@field learned boolean

---A model compiled for a device. print(run) shows the steps of the plan last used, its bytes and the ten largest
---users of memory. Results are tables of numbers with the names that Keras uses (loss, acc; with several outputs
---NAME_loss, NAME_acc) and `samples`.
---@class lurcher.run
---@field lr number learning rate; assignable
---@field watch boolean assignable; true: every step checks, without waiting for the device, that the updated weights
--- are finite
---@field finite boolean? result of the last step's check; nil while watch is false, and before the first step
---@field iterations integer number of optimizer steps
---@field model lurcher.model
---@field device string
---@field arena_bytes integer memory for activations, of the plan last used
---@field state_bytes integer memory for weights, gradients and optimizer state
---@field graph string "recorded": each kind of step is captured as a CUDA graph at its second use, and replayed from
--- then on; else the reason why not
local run = {}
---Copies the inputs of the next batch to the device while it computes the present one. Call it before train, and
---pass the same tensors to the next train; fit does so. It gains time only with a loader made for the device; on the
---CPU it does nothing.
---@param batch lurcher.batch inputs that are absent are copied by train
---@return lurcher.run self
---@usage run:prefetch(batch)
function run:prefetch(batch) end
---One step: forward in training form, backward, update.
---@param batch lurcher.batch
---@return table<string, number> results
---@usage results = run:train(batch) print(results.loss)
function run:train(batch) end
---Forward in inference form, with losses and accuracies.
---@param batch lurcher.batch
---@return table<string, number> results
---@usage results = run:evaluate(batch) print(results.loss, results.acc)
function run:evaluate(batch) end
---Forward in inference form.
---@param batch lurcher.batch targets are not needed
---@return table<string, lurcher.tensor> outputs by name
---@usage probabilities = run:predict(batch).breed
function run:predict(batch) end
---Calibrates a run with precision "int8", before predict and evaluate: computes the batch in f32 and records the
---minimum, maximum and mean of every channel that a convolution reads. A few dozen typical images are enough, in one
---call or several, whose ranges are merged. Raises for other precisions.
---@param batch lurcher.batch targets are not needed
---@return lurcher.run self
---@usage int8 = model:compile{ precision = "int8", device = "cpu" }:calibrate(batch)
function run:calibrate(batch) end
---The ranges that calibrate recorded, by layer: tensors 3 x channels (minimum, maximum, mean), for
---lurcher.save_tensors. Given to a run of the same model, they replace its calibration; a layer without ranges is
---computed in f32.
---@param ranges? table<string, lurcher.tensor> omitted: the ranges are returned
---@return lurcher.run|table<string, lurcher.tensor> self or ranges
---@usage ranges = model:compile{ precision = "int8", device = "cpu" }:calibrate(batch):calibration()
function run:calibration(ranges) end
---Forward in training form and backward, without an update. Gradients are added to those that are there.
---@param batch lurcher.batch
---@return table<string, number> results
---@usage run:accumulate(batch)
function run:accumulate(batch) end
---Updates the weights with the accumulated gradients, and zeroes these. `scale` multiplies the gradients first:
---
---    for _, batch in ipairs(four_batches) do run:accumulate(batch) end
---    run:step{ scale = 1 / 4 } -- as one batch of four times the size; fit{ accumulate = 4 } does the same
---@param options? { scale?: number } default 1
---@return lurcher.run self
function run:step(options) end
---Zeroes the gradients.
---@return lurcher.run self
---@usage run:zero_gradients()
function run:zero_gradients() end
---Forward without losses, in inference or training form.
---@param batch lurcher.batch targets are not needed
---@param options? { training?: boolean } default false
---@return table<string, lurcher.tensor> outputs by name
---@usage outputs = run:forward(batch, { training = true })
function run:forward(batch, options) end
---Backward of the last forward in training form, from gradients of any of its outputs: for losses that are computed in
---Lua. Gradients of weights are added to those that are there. An absent gradient counts as zero.
---
---    local outputs = run:forward({ image = images }, { training = true })
---    local difference = outputs.box - boxes                       -- the loss: the mean of difference^2
---    run:backward{ box = difference * (2 / #difference:reshape(-1)) }
---    run:step()                                                   -- run:gradient_norms() shows what it will do
---@param gradients table<string, lurcher.tensor> by output name
---@return lurcher.run self
function run:backward(gradients) end
---A copy of a gradient of the last backward.
---@param layer string a layer, or an input when `weight` is omitted (with the option input_gradients)
---@param weight? string "kernel"
---@return lurcher.tensor
---@usage run:train(batch) g = run:gradient("dense_1", "kernel")
function run:gradient(layer, weight) end
---Every weight that the run computes with, in the order of the model's layers; weights of losses come last. The tensors
---are the weights themselves, not copies. learned: steps change it.
---@return lurcher.run_weight[]
---@usage for _, w in ipairs(run:weights()) do print(w.layer, w.name, w.tensor:abs():max()) end
function run:weights() end
---Copies of the gradients of all learned weights, in the same order.
---@return lurcher.run_weight[]
---@usage run:accumulate(batch) for _, g in ipairs(run:gradients()) do print(g.layer, g.tensor:norm()) end
function run:gradients() end
---The Euclidean norm of each layer's gradients, by layer, and that of all of them.
---@return table<string, number> by_layer
---@return number total
---@usage run:accumulate(batch) norms, total = run:gradient_norms()
function run:gradient_norms() end
---Scales the learning rate and weight decay of one layer.
---@param layer string
---@param lr_scale number factor of the learning rate
---@param decay_scale? number factor of weight decay; default 1
---@return lurcher.run self
---@usage run:scale("dense_1", 0.1)
function run:scale(layer, lr_scale, decay_scale) end
---Compiles again, after layers were frozen or unfrozen, or with other options; options that are not given keep their
---values. Plans and optimizer state are dropped.
---@param options? lurcher.compile_options
---@return lurcher.run self
---@usage run:recompile{ optimizer = optim.sgd(0.01) }
function run:recompile(options) end
---Writes a checkpoint: definition, weights, optimizer state, counters and metadata; atomic, with checksums.
---@param path string
---@param metadata? string any text, which restore and nn.load return; default ""
---@param tensors? table<string, lurcher.tensor> further host tensors; lurcher.load_tensors returns them as
--- "lurcher.extra/NAME"
---@return boolean? ok, string? message, string? code
---@usage assert(run:save("pug.safetensors", "any text"))
function run:save(path, metadata, tensors) end
---Restores weights, optimizer state and counters from a checkpoint of an equal model.
---@param path string
---@return string? metadata the text that was saved with the checkpoint
---@return string? message, string? code
---@usage text = assert(run:restore "pug.safetensors")
function run:restore(path) end

---@class lurcher.profile_row
---@field layer string
---@field op string
---@field pass string "forward" or "backward"
---@field type string dtype of the computation
---@field seconds number in all calls
---@field flops number floating-point operations, in all calls
---@field bytes number read and written, in all calls
---@field calls integer

---Measures the time of every op.
---@param on? boolean true or false switches profiling; omitted: returns what was measured since it was switched on
---@return lurcher.run|lurcher.profile_row[] self or rows
---@usage run:profile(true):train(batch) rows = run:profile()
function run:profile(on) end
---Frees the run's memory on its device now.
function run:close() end

-- ---- optim ----

---Optimizers. An optimizer is its options, which tostring shows; the state that it updates belongs to the run. A
---bare number is the learning rate: `optim.sgd(0.1)`. The formulas are those of Keras 2.0.6; AdamW's are from
---Loshchilov and Hutter, "Decoupled Weight Decay Regularization".
---@class lurcher.optim
lurcher.optim = {}
local optim = lurcher.optim

---The options that all optimizers take.
---@class lurcher.optimizer_options
---@field lr? number at least 0: learning rate; default 0.01 (sgd), 0.001 (adam, adamw), 0.002 (nadam)
---@field decay? number at least 0: decay of the learning rate to lr / (1 + decay * steps); default 0
---@field weight_decay? number at least 0: weight decay (L2) of kernels, added to the gradient (adamw: decoupled,
--- applied to the
--- weights); biases and batch norm never decay; default 0 (adamw: 0.01)
---@field clip_norm? number scales all gradients down to this global norm (0: off); default 0
---@field clip_value? number clips every gradient to [-v, v] (0: off); default 0

---@class lurcher.sgd_options: lurcher.optimizer_options
---@field momentum? number from 0 to 1: fraction of the velocity that is kept; default 0
---@field nesterov? boolean looks ahead along the velocity; default false

---@class lurcher.adam_options: lurcher.optimizer_options
---@field beta_1? number from 0 to 0.999999: decay of the mean gradient; default 0.9
---@field beta_2? number from 0 to 1: decay of the mean squared gradient; default 0.999
---@field epsilon? number from 0 to 1: added to the square root (Keras before 2.1.3: 1e-8); default 1e-7

---@class lurcher.nadam_options: lurcher.adam_options
---@field schedule_decay? number from 0 to 1: decay of the momentum schedule; default 0.004

---Stochastic gradient descent, with momentum.
---@param options? lurcher.sgd_options|number
---@return lurcher.optimizer
---@usage optim.sgd{ lr = 0.01, momentum = 0.9, nesterov = true }
function optim.sgd(options) end
---Adam.
---@param options? lurcher.adam_options|number
---@return lurcher.optimizer
---@usage optim.adam{ lr = 1e-3, clip_norm = 1 }
function optim.adam(options) end
---Adam with decoupled weight decay.
---@param options? lurcher.adam_options|number
---@return lurcher.optimizer
---@usage optim.adamw{ lr = 1e-3, weight_decay = 0.05 }
function optim.adamw(options) end
---Adam with Nesterov momentum.
---@param options? lurcher.nadam_options|number
---@return lurcher.optimizer
---@usage optim.nadam(2e-3)
function optim.nadam(options) end

---What lurcher.optim returns: options of an optimizer, for model:compile.
---@class lurcher.optimizer
---@field kind string "sgd"
local optimizer = {}
---Closes the handle.
function optimizer:close() end
