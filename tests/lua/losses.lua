--- Tests of losses of one's own: functions of nodes and graphs, names of losses, targets, checkpoints.
-- LURCHER_TEST_DEVICE names the device (default: cpu).
local harness = require "harness"
local lurcher = require "lurcher"
local fit = require "lurcher.fit"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises

local device = os.getenv "LURCHER_TEST_DEVICE" or "cpu"
local root = harness.folder "losses"
local classes = 4

local function network(activation)
  lurcher.seed(5)
  local h = nn.dense{ 12, activation = "tanh", name = "hidden" }(nn.input("x", 6))
  return nn.model{ y = nn.dense{ classes, activation = activation or "softmax", name = "head" }(h) }
end

local function batch_of(rows)
  lurcher.seed(9)
  local y = { dtype = "i32" }
  for i = 1, rows do y[i] = (i * 3) % classes end
  return { x = lurcher.normal{ rows, 6 }, y = lurcher.tensor(y) }
end

local batch = batch_of(12)
local function log(x) return nn.activation{ "log" }(x) end
local function sum(x) return nn.reduce{ "sum" }(x) end

--- Keras's categorical cross entropy with label smoothing s, of probabilities.
local function smoothed(s)
  return function(prediction, target)
    local truth = nn.one_hot(target, classes) * (1 - s) + s / classes
    return -sum(truth * log(prediction))
  end
end

--- Losses of `steps` training steps, the accuracy and the weights after them.
local function train(loss, steps, options)
  options = options or {}
  local model = network(options.activation)
  local run <close> = model:compile{ device = device, optimizer = optim.sgd{ lr = 0.2, momentum = 0.9 }, loss = loss,
    label_smoothing = options.label_smoothing, target = options.target, weight = options.weight }
  local losses, accuracy = {}
  for i = 1, steps do
    local results = run:train(options.batch or batch)
    losses[i], accuracy = results.loss, results.acc
  end
  local weights = {}
  for name, tensor in pairs(harness.weights(model)) do weights[name] = tensor:to "cpu" end
  return losses, weights, accuracy
end

-- ---- against the losses of the engine ----

test("label-smoothed cross entropy as a function equals the engine's", function()
  local ours, mine, accuracy = train(smoothed(0.1), 20)
  local theirs, expected, known = train("categorical_crossentropy", 20, { label_smoothing = 0.1 })
  near(ours, theirs, 1e-5)
  for name, tensor in pairs(expected) do near(mine[name], tensor, 1e-4) end
  near(accuracy, known, 0)
  assert(theirs[20] < theirs[1])
end)

test("mean squared and mean absolute error as functions, and their names", function()
  local target = lurcher.normal{ 12, classes }
  local values = { batch = { x = batch.x, y = target }, activation = "linear", target = "values" }
  local squared = function(p, t) return (p - t)^2 end
  local absolute = function(p, t) return nn.activation{ "abs" }(p - t) end
  near(train(squared, 5, values), train("mean_squared_error", 5, values), 1e-5)
  near(train("mse", 5, values), train("mean_squared_error", 5, values), 0)
  near(train("mae", 5, values), train(absolute, 5, values), 0)
  near(train("mean_absolute_error", 1, values)[1], train("mae", 1, values)[1], 0)
  local run <close> = network "linear":compile{ device = device, loss = "mae" }
  local difference = run:predict(values.batch).y - target
  near(run:evaluate(values.batch).loss, difference:abs():mean(), 1e-5)
end)

test("names that others use", function()
  for _, name in ipairs{ "crossentropy", "sparse_categorical_crossentropy" } do
    near(train(name, 3), train("categorical_crossentropy", 3), 0)
  end
  local sigmoid = { activation = "sigmoid", batch = { x = batch.x, y = lurcher.uniform{ 12, classes } } }
  near(train("bce", 3, sigmoid), train("binary_crossentropy", 3, sigmoid), 0)
end)

-- ---- reduction, weights ----

test("the mean over a sample's elements, over samples with weights, times the loss's weight", function()
  local model = network()
  local function loss_of(given, options)
    local run <close> = model:compile{ device = device, loss = function(p) return p * p end, weight = options }
    return run:evaluate(given).loss, run:predict(given).y
  end
  local plain, p = loss_of{ x = batch.x }
  near(plain, (p * p):mean())
  near(loss_of({ x = batch.x }, 3), 3 * plain, 1e-5)
  local weight = lurcher.uniform{ 12 }
  near(loss_of{ x = batch.x, y_weight = weight }, ((p * p):mean(2) * weight):sum() / 12)
  raises("sample weights 'y_weight': 5 f32 %(one f32 per row expected: 12%)", loss_of,
    { x = batch.x, y_weight = lurcher.uniform{ 5 } })
end)

test("sample weights have gradients as the engine's losses have", function()
  local weighted = { x = batch.x, y = batch.y, y_weight = lurcher.uniform{ 12 } }
  near(train(smoothed(0), 8, { batch = weighted }), train("crossentropy", 8, { batch = weighted }), 1e-5)
end)

test("several outputs: a function, a name, and the mean of an output", function()
  lurcher.seed(2)
  local x, label = nn.input("x", 6), nn.input{ name = "label", shape = {}, dtype = "i32" }
  local h = nn.dense{ 8, activation = "tanh", name = "h" }(x)
  local p = nn.dense{ classes, activation = "softmax", name = "p" }(h)
  local model = nn.model{ a = p, b = nn.dense{ classes, activation = "softmax", name = "q" }(h),
    total = -sum(nn.one_hot(label, classes) * log(p)) }
  local run <close> = model:compile{ device = device, optimizer = optim.sgd(0.1), weight = { b = 0.5, total = 2 },
    loss = { a = smoothed(0), b = "crossentropy", total = "output" } }
  local given = { x = batch.x, label = batch.y, a = batch.y, b = batch.y }
  local first = run:train(given)
  near(first.total_loss, first.a_loss, 1e-5)
  near(first.loss, first.a_loss + 0.5 * first.b_loss + 2 * first.total_loss, 1e-5)
  assert(first.a_acc and first.b_acc and not first.total_acc and first.samples == 12)
  for _ = 1, 20 do run:train(given) end
  local last = run:evaluate(given)
  assert(last.loss < first.loss and last.total_loss < first.total_loss)
  near(run:predict(given).total:mean(), last.total_loss, 1e-5)
  raises("class ids 'label': row 0 holds 4 %(0 to 3 expected%)", run.evaluate, run,
    { x = batch.x, label = batch.y * 0 + 4, a = batch.y, b = batch.y })
end)

test("loss = \"output\" of a model with one output needs no target", function()
  lurcher.seed(2)
  local x = nn.input("x", 6)
  local model = nn.model{ energy = nn.square()(nn.dense{ 3, name = "h" }(x)) }
  local run <close> = model:compile{ device = device, optimizer = optim.sgd(0.1), loss = "output" }
  local first = run:train{ x = batch.x }
  near(first.samples, 12)
  for _ = 1, 10 do run:train{ x = batch.x } end
  assert(run:evaluate{ x = batch.x }.loss < 0.9 * first.loss)
  harness.check_gradients(run, { x = batch.x })
end)

-- ---- focal loss ----

--- Lin et al., "Focal loss for dense object detection" (2017), equation 4, with gamma = 2.
local function focal(prediction, target)
  local p = sum(nn.one_hot(target, classes) * prediction)
  return -((1 - p)^2 * log(p))
end

test("focal loss: gradients, and it learns", function()
  local run <close> = network():compile{ device = device, optimizer = optim.adam(0.02), loss = focal }
  assert(harness.check_gradients(run, batch) == 4)
  local first = run:evaluate(batch)
  for _ = 1, 40 do run:train(batch) end
  local last = run:evaluate(batch)
  assert(last.loss < 0.3 * first.loss and last.acc > first.acc, tostring(last.loss))
end)

-- ---- targets ----

test("targets: ids, values, shapes", function()
  local function compile(options)
    options.device = device
    return network(options.activation):compile(options)
  end
  local run <close> = compile{ loss = smoothed(0) }
  near(run:evaluate{ x = batch.x, y = { 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4 } }.loss, -- tables count from 1
    run:evaluate{ x = batch.x, y = lurcher.tensor{ 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, dtype = "i32" } }.loss, 0)
  raises("class ids 'y': row 2 holds 7 %(0 to 3 expected%)", run.evaluate, run,
    { x = batch.x, y = lurcher.tensor{ 0, 1, 7, 3, 0, 1, 2, 3, 0, 1, 2, 3, dtype = "i32" } })
  raises("target of output 'y': 12x4 f32 %(12 i32 expected by its loss: see the option 'target' of compile%)",
    run.evaluate, run, { x = batch.x, y = lurcher.zeros(12, 4) })
  raises("the batch has no 'y', the target of an output with a loss", run.evaluate, run, { x = batch.x })
  local boxes <close> = compile{ loss = function(p, t) return (p - nn.reduce{ "mean", axis = 1 }(t))^2 end,
    target = { y = { 3, 4 } } }
  near(boxes:evaluate{ x = batch.x, y = lurcher.zeros(12, 3, 4) }.samples, 12)
  raises("target of output 'y': 12x4 f32 %(12x3x4 f32 expected", boxes.evaluate, boxes,
    { x = batch.x, y = lurcher.zeros(12, 4) })
  local unknown = lurcher.zeros(12, 12)
  unknown:set(0 / 0, 2, 3)
  raises("target 'y': row 1 holds NaN in column 2 %(a finite number expected%)", boxes.evaluate, boxes,
    { x = batch.x, y = unknown:reshape(12, 3, 4) })
  local one <close> = nn.model{ y = nn.dense{ 1 }(nn.input("x", 6)) }:compile{ device = device,
    loss = function(p, t) return (p - t)^2 end } -- one unit: values by default, and n numbers fit n x 1
  near(one:evaluate{ x = batch.x, y = lurcher.zeros(12) }.loss, (one:predict{ x = batch.x }.y^2):mean(), 1e-6)
end)

test("one_hot: ids of any shape, and what it is made of", function()
  local id = nn.input{ name = "id", shape = {}, dtype = "i32" }
  local pair = nn.input{ name = "pair", shape = { 2 }, dtype = "i32" }
  local model = nn.model{ one = nn.one_hot(id, 3), two = nn.one_hot{ 2 }(pair),
    three = nn.one_hot{ pair, classes = 2 } }
  local run <close> = model:compile{ device = device }
  local y = run:predict{ id = lurcher.tensor{ 2, 0, dtype = "i32" }, pair = { { 1, 0 }, { 0, 0 } } }
  near(y.one:totable(), { { 0, 0, 1 }, { 1, 0, 0 } }, 0)
  near(y.two:totable(), { { { 0, 1 }, { 1, 0 } }, { { 1, 0 }, { 1, 0 } } }, 0)
  near(y.three:totable(), y.two:totable(), 0)
  raises("class ids 'id': row 1 holds 3 %(0 to 2 expected%)", run.predict, run,
    { id = lurcher.tensor{ 0, 3, dtype = "i32" }, pair = { { 1, 0 }, { 0, 0 } } })
  raises("one_hot 'o': its input is f32 %(i32 class ids expected%)", nn.one_hot{ 3, name = "o" }, nn.input("x", 4))
  raises("'classes' to 'one_hot'", nn.one_hot, id, 0)
  raises("'classes'", nn.one_hot, id)
  assert(id.dtype == "i32" and nn.one_hot(id, 3).dtype == "f32")
end)

-- ---- mistakes ----

test("mistakes are found at compile, and name the output", function()
  local model, other = network(), nn.input("other", classes)
  local function compile(loss, options)
    options = options or {}
    options.device, options.loss = device, loss
    return function() model:compile(options) end
  end
  raises("^[^\n]*losses.lua:%d+: compile: loss of output 'y': the function must return a node, got nil$",
    compile(function() end))
  raises("loss of output 'y': the function must return a node, got 3$", compile{ y = function() return 3 end })
  raises("'y': its node, '[%w_]+' of shape 4, does not depend on the prediction",
    compile(function(_, t) return nn.one_hot(t, 4) end))
  raises("'y': it reads input 'other' of a model: a loss is computed from its prediction and its target alone",
    compile(function(p) return p * other end))
  raises("'y': .*losses.lua:%d+: .*%(prediction 4 f32, target one i32 per sample%)",
    compile(function(p, t) return p - t end))
  raises("'y': .*losses.lua:%d+: attempt to call", compile(function(p) return p:nothing() end))
  raises("loss of 'y' has label smoothing, which only cross entropies have", compile(focal, { label_smoothing = 0.1 }))
  raises("'loss' to 'compile' %(a name, a function, or a table of them by output expected, got number%)", compile(3))
  raises("'loss' to 'compile' %(a name or a function expected for output 'y', got boolean%)", compile{ y = true })
  raises("'loss' to 'compile' %(the model has no output 'z'", compile{ z = focal })
  raises("'target' to 'compile' %(\"ids\", \"values\" or .* expected, got 'id'%)", compile(focal, { target = "id" }))
  raises("'target' to 'compile' %(the model has no output 'z'", compile(focal, { target = { z = "ids" } }))
  raises("loss of 'y': it is made for predictions of shape 3 f32, the output is 4 f32",
    compile(nn.model{ loss = nn.square()(nn.input("prediction", 3)) }))
  local prediction = nn.input("prediction", 4)
  raises("loss of 'y': it has 2 outputs", compile(nn.model{ a = nn.square()(prediction), b = nn.relu()(prediction) }))
end)

-- ---- checkpoints ----

local function adam() return optim.adam{ lr = 0.02 } end

test("a checkpoint has the loss's graph: resumed to the same bits, with the function or without", function()
  local path = root .. "/graph.safetensors"
  local run <close> = network():compile{ device = device, optimizer = adam(), loss = focal }
  for _ = 1, 3 do run:train(batch) end
  assert(run:save(path))
  local want = {}
  for i = 1, 3 do want[i] = run:train(batch).loss end
  local again <close> = network():compile{ device = device, optimizer = adam(), loss = focal }
  assert(again:restore(path))
  local model = assert(nn.load(path))
  local without <close> = model:compile{ device = device, optimizer = adam(), loss = model.losses }
  assert(without:restore(path))
  for i = 1, 3 do
    near(again:train(batch).loss, want[i], 0)
    near(without:train(batch).loss, want[i], 0)
  end
  assert(without:save(path)) -- the graph of a graph
  assert(nn.load(path)).losses.y:close()
  local definition = assert(nn.from_json(model:json()))
  assert(definition.losses.y and definition:json() == model:json())
end)

test("damaged losses in definitions are refused", function()
  local path = root .. "/damaged.safetensors"
  local run <close> = network():compile{ device = device, loss = focal }
  assert(run:save(path))
  local text = assert(nn.load(path)):json()
  local function refused(pattern, change)
    local definition = lurcher.json.decode(text)
    change(definition, definition.losses[1], definition.losses[1].graph)
    local model, message = nn.from_json(lurcher.json.encode(definition))
    assert(not model and message:find(pattern), tostring(message))
  end
  refused("the output of losses of entry 0", function(_, loss) loss.output = "z" end)
  refused("the output of losses of entry 0", function(_, loss) loss.output = 3 end)
  refused("losses of entry 0", function(definition) definition.losses = "none" end)
  refused("losses of entry 0", function(definition, loss) definition.losses = { loss, loss } end)
  refused("layers or nodes of entry 0", function(_, loss) loss.graph = nil end)
  refused("layers or nodes of entry 0", function(_, _, graph) graph.nodes = nil end)
  refused("an input of nodes of entry 0", function(_, _, graph) graph.nodes[1].inputs = lurcher.json.array{ 5 } end)
  refused("2001 nodes of a loss %(at most 2000 of each expected%)", function(_, _, graph)
    for i = #graph.nodes + 1, 2001 do graph.nodes[i] = graph.nodes[1] end
  end)
  refused("the loss of output 'y': it reads input 'other' of a model", function(_, _, graph)
    for _, layer in ipairs(graph.layers) do if layer.name == "target" then layer.name = "other" end end
  end)
end)

test("another loss is not resumed by mistake", function()
  local path = root .. "/other.safetensors"
  local run <close> = network():compile{ device = device, optimizer = adam(), loss = focal }
  assert(run:save(path))
  local other <close> = network():compile{ device = device, optimizer = adam(), loss = smoothed(0) }
  local restored, message = other:restore(path)
  assert(not restored and message:find "was trained with another loss of output 'y'", message)
  local plain <close> = network():compile{ device = device, optimizer = adam(), loss = "crossentropy" }
  assert(plain:restore(path))
end)

test("recompile keeps the graph", function()
  local calls = 0
  local model = network()
  local run <close> = model:compile{ device = device, optimizer = adam(), loss = function(...)
    calls = calls + 1
    return focal(...)
  end }
  local before = run:evaluate(batch).loss
  model:layer "hidden":freeze()
  run:recompile{ optimizer = optim.sgd(0.1) }
  near(run:evaluate(batch).loss, before, 0)
  run:train(batch)
  assert(calls == 1)
end)

-- ---- killed and resumed by fit ----

local script = [[
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local nn, optim = lurcher.nn, lurcher.optim
local out, fatal, resume = arg[1], tonumber(arg[2]), arg[3]
lurcher.seed(5)
local model = nn.model{ y = nn.dense{ 4, activation = "softmax", name = "head" }(nn.dropout(0.2)(
  nn.dense{ 12, activation = "tanh", name = "hidden" }(nn.input("x", 6)))) }
local function focal(prediction, target, nn)
  local p = nn.reduce{ "sum" }(nn.one_hot(target, 4) * prediction)
  return -((1 - p)^2 * nn.activation{ "log" }(p))
end
local loss = focal
if resume then loss = assert(nn.load(resume)).losses end -- without the function
local run = model:compile{ device = "cpu", optimizer = optim.nadam(), loss = loss }
local steps = 0
local killer = { on_batch_end = function()
  steps = steps + 1
  if steps == fatal then os.execute "kill -9 $PPID" end
end }
local function loader(epoch)
  local random, i = lurcher.data.random(3, epoch), 0
  return function()
    i = i + 1
    if i > 6 then return nil end
    local x, y = {}, { dtype = "i32" }
    for k = 1, 48 do x[k] = random:uniform(-1, 1) end
    for k = 1, 8 do y[k] = (k + i) % 4 end
    return { x = lurcher.tensor(x):reshape(8, 6), y = lurcher.tensor(y) }
  end
end
fit(run, loader, { epochs = 3, progress = false, accumulate = 2, valid = loader, resume = resume,
  on.checkpoint{ out, steps = 2 }, killer })
assert(run:save(out))
]]

test("killed while it trains with a loss of its own: resumed to the same bits without the function", function()
  assert(lurcher.write_file(root .. "/train.lua", script))
  local function start(arguments)
    return harness.run(("cd '%s' && '%s' train.lua %s"):format(root, harness.program, arguments))
  end
  local output, code = start "whole.safetensors 0"
  assert(code == 0, output)
  output, code = start "killed.safetensors 5"
  assert(code == 137, output)
  output, code = start "killed.safetensors 0 killed.safetensors"
  assert(code == 0, output)
  local whole = assert(lurcher.load_tensors(root .. "/whole.safetensors"))
  assert(harness.same(whole, assert(lurcher.load_tensors(root .. "/killed.safetensors"))))
  assert(whole["optimizer/m/head/kernel"])
end)

-- ---- a frozen backbone ----

test("over frozen features: the head of a split model takes the same function", function()
  local frozen = require "lurcher.frozen"
  local model = network()
  model:layer "hidden":freeze()
  local split = assert(frozen.split(model, "x"))
  local whole <close> = model:compile{ device = device, optimizer = adam(), loss = focal }
  local backbone <close> = split.backbone:compile{ device = device }
  local features = backbone:predict{ x = batch.x }[split.backbone.outputs[1]]
  local head <close> = split.head:compile{ device = device, loss = focal }
  near(head:evaluate{ features = features, y = batch.y }.loss, whole:evaluate(batch).loss, 1e-6)
  local history = fit(whole, { batch, batch }, { epochs = 2, valid = { batch }, progress = false })
  assert(history[2].val_loss < history[1].val_loss and history[2].val_acc)
end)

if device:find "cuda" then
  test("the loss of an image in half precision is computed in f32", function()
    lurcher.seed(4)
    local y = nn.conv2d{ 2, 3, padding = "same", name = "c" }(nn.input("x", 8, 8, 3))
    local model = nn.model{ y = y }
    local given = { x = lurcher.normal{ 4, 8, 8, 3 }, y = lurcher.normal{ 4, 8, 8, 2 } }
    local function losses(precision)
      model:layer "c":reset()
      local run <close> = model:compile{ device = device, precision = precision, optimizer = optim.sgd(0.05),
        loss = function(p, t) return nn.activation{ "abs" }(p - t) * 1e-6 end, weight = 1e6 } -- below f16's range
      local list = {}
      for i = 1, 5 do list[i] = run:train(given).loss end
      return list
    end
    near(losses "bf16", losses "f32", 0.02)
    near(losses "f16", losses "f32", 0.02)
  end)
end
