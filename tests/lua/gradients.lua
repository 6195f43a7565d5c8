--- Tests of training loops of one's own: weights, gradients and their norms, backward from outputs, steps of several
-- batches, by hand and by fit. LURCHER_TEST_DEVICE names the device (default: cpu).
local harness = require "harness"
local lurcher = require "lurcher"
local fit = require "lurcher.fit"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises

local device = os.getenv "LURCHER_TEST_DEVICE" or "cpu"
local classes = 3

local function network()
  lurcher.seed(5)
  local h = nn.dense{ 12, activation = "tanh", name = "hidden" }(nn.input("x", 6))
  return nn.model{ y = nn.dense{ classes, activation = "softmax", name = "head" }(h) }
end

local function batch_of(seed, rows)
  lurcher.seed(seed)
  local y = { dtype = "i32" }
  for i = 1, rows do y[i] = (i * seed) % classes end
  return { x = lurcher.normal{ rows, 6 }, y = lurcher.tensor(y) }
end

local function compile(model, optimizer)
  return model:compile{ device = device, loss = "crossentropy",
    optimizer = optimizer or optim.sgd{ lr = 0.1, momentum = 0.9 } }
end

--- The batches of a list as one.
local function joined(list)
  local x, y = {}, {}
  for i, batch in ipairs(list) do x[i], y[i] = batch.x, batch.y end
  return { x = lurcher.concat(x, 1), y = lurcher.concat(y, 1) }
end

local function on_host(model)
  local all = {}
  for name, tensor in pairs(harness.weights(model)) do all[name] = tensor:to "cpu" end
  return all
end

local function near_all(got, want, tolerance)
  for name, tensor in pairs(want) do near(got[name], tensor, tolerance) end
end

test("weights: every one, in the model's order, shared with its layer", function()
  lurcher.seed(1)
  local h = nn.batchnorm{ name = "norm" }(nn.dense{ 4, name = "fc" }(nn.input("x", 6)))
  local model = nn.model{ y = nn.dense{ 2, name = "out" }(h) }
  model:layer "fc":freeze()
  local run <close> = model:compile{ device = device }
  local seen = {}
  for i, entry in ipairs(run:weights()) do
    seen[i] = ("%s/%s %s"):format(entry.layer, entry.name, entry.learned)
  end
  assert(table.concat(seen, ", ") == "fc/kernel false, fc/bias false, norm/gamma true, norm/beta true, " ..
    "norm/moving_mean false, norm/moving_variance false, out/kernel true, out/bias true", table.concat(seen, ", "))
  run:weights()[8].tensor:fill(3)
  near(model:layer "out":weights().bias:to "cpu", { 3, 3 }, 0)
  raises("gradient: no backward has run yet", run.gradients, run)
  raises("gradient: no backward has run yet", run.gradient_norms, run)
end)

test("gradients: one per learned weight, and their norms", function()
  local run <close> = compile(network())
  local batch = batch_of(1, 8)
  run:accumulate(batch)
  local squares, list = {}, run:gradients()
  assert(#list == 4 and list[1].layer == "hidden" and list[1].name == "kernel" and list[1].learned)
  for _, entry in ipairs(list) do
    near(entry.tensor, run:gradient(entry.layer, entry.name), 0)
    squares[entry.layer] = (squares[entry.layer] or 0) + (entry.tensor^2):sum()
  end
  local norms, total = run:gradient_norms()
  near(norms.hidden, math.sqrt(squares.hidden))
  near(norms.head, math.sqrt(squares.head))
  near(total, math.sqrt(squares.hidden + squares.head))
  assert(harness.check_gradients(run, batch) == 4)
  run:recompile{}
  run.model:freeze()
  run:recompile{}
  near(#run:gradients(), 0)
  raises("gradient norm: nothing in this run learns", run.gradient_norms, run)
end)

test("a finite-difference check fails where a gradient is wrong", function()
  local run <close> = compile(network())
  local gradients = run.gradients
  local wrong = setmetatable({}, { __index = function(_, key)
    if key == "gradients" then
      return function()
        local list = gradients(run)
        list[3].tensor = list[3].tensor * 1.1
        return list
      end
    end
    local method = run[key]
    return type(method) == "function" and function(_, ...) return method(run, ...) end or method
  end })
  raises("gradient of head/kernel", harness.check_gradients, wrong, batch_of(1, 8))
end)

-- ---- steps ----

test("step{ scale = 1/4 } makes the gradients of four batches their mean", function()
  local parts = { batch_of(1, 6), batch_of(2, 6), batch_of(4, 6), batch_of(5, 6) }
  for _, optimizer in ipairs{ optim.sgd{ lr = 0.1, momentum = 0.9, weight_decay = 1e-3 }, optim.adam(),
    optim.sgd{ lr = 0.1, clip_norm = 0.05 } } do
    local one, four = network(), network()
    local whole <close> = compile(one, optimizer)
    local split <close> = compile(four, optimizer)
    for _ = 1, 3 do
      whole:train(joined(parts))
      for _, part in ipairs(parts) do split:accumulate(part) end
      split:step{ scale = 1 / 4 }
    end
    near_all(on_host(four), on_host(one), 2e-6)
    assert(split.iterations == 3)
  end
  local run <close> = compile(network())
  run:accumulate(parts[1])
  raises("step: scale is 0 %(a positive number expected%)", run.step, run, { scale = 0 })
  raises("unknown option 'factor' to 'step'", run.step, run, { factor = 2 })
  raises('bad option .scale. to .step. %(number expected, got "all"%)', run.step, run, { scale = "all" })
end)

test("fit{ accumulate = 4 } equals batches of four times the size", function()
  local parts = {}
  for i = 1, 10 do parts[i] = batch_of(i, 6) end -- the third step has two batches
  local large = { joined{ table.unpack(parts, 1, 4) }, joined{ table.unpack(parts, 5, 8) },
    joined{ table.unpack(parts, 9, 10) } }
  local function trained(loader, options)
    local model, steps, epochs = network(), {}, 2
    options.epochs, options.progress = epochs, false
    options[1] = { on_batch_end = function(_, step, logs)
      steps[#steps + 1] = ("%d:%d"):format(step, logs.batch.samples)
    end }
    local run <close> = compile(model, optim.adam{ lr = 0.01 })
    local history = fit(run, loader, options)
    return on_host(model), history, table.concat(steps, " "), run.iterations
  end
  local want, expected, theirs = trained(large, {})
  local got, history, steps, iterations = trained(parts, { accumulate = 4 })
  near_all(got, want, 2e-6)
  assert(steps == theirs and steps == "1:24 2:24 3:12 1:24 2:24 3:12" and iterations == 6, steps)
  near(history[2].loss, expected[2].loss, 1e-5)
  near(history[2].acc, expected[2].acc, 1e-6)
  local _, _, limited = trained(parts, { accumulate = 4, steps = 2 })
  assert(limited == "1:24 2:24 1:24 2:24", limited)
  local run <close> = compile(network())
  raises("bad option 'accumulate' to 'fit' %(a whole number expected, got 1.5%)", fit, run, parts, { accumulate = 1.5 })
  raises("bad option 'accumulate' to 'fit'", fit, run, parts, { accumulate = 0 })
end)

test("Ctrl-C within a step of several batches: the step is completed, and a resume gives the same bits", function()
  local root = harness.folder "accumulate"
  local parts = {}
  for i = 1, 8 do parts[i] = batch_of(i, 6) end
  local function trained(stop_at, path, resume)
    local model, drawn = network(), 0
    local run <close> = compile(model, optim.nadam())
    local function loader()
      local i = 0
      return function()
        i, drawn = i + 1, drawn + 1
        if drawn == stop_at then lurcher.interrupt() end
        return parts[i]
      end
    end
    local saver = { on_train_end = function(_, state)
      local saved, tensors = state.snapshot()
      assert(run:save(path, lurcher.json.encode{ fit = saved }, tensors))
    end }
    local history = fit(run, loader, { epochs = 2, accumulate = 4, progress = false, resume = resume,
      interrupt = "return", saver })
    return on_host(model), history
  end
  local want = trained(0, root .. "/whole.safetensors")
  local _, history = trained(6, root .. "/part.safetensors") -- the second batch of step 2
  assert(history.interrupted)
  local got, rest = trained(0, root .. "/part.safetensors", root .. "/part.safetensors")
  assert(not rest.interrupted and harness.same(got, want))
end)

-- ---- backward from outputs ----

test("backward: a loss computed by the caller has the gradients of the engine's", function()
  local model, batch = network(), batch_of(1, 8)
  local free <close> = model:compile{ device = device, optimizer = optim.sgd(0.1) }
  local engine <close> = compile(model)
  engine:accumulate(batch)
  local p = free:forward({ x = batch.x }, { training = true }).y
  local truth = { dtype = "f32" }
  for i, id in ipairs(batch.y:totable()) do for c = 1, classes do truth[#truth + 1] = c - 1 == id and 1 or 0 end end
  free:backward{ y = lurcher.tensor(truth):reshape(8, classes) / p * (-1 / 8) } -- d(-mean log p[target]) / dp
  for i, entry in ipairs(free:gradients()) do near(entry.tensor, engine:gradients()[i].tensor, 1e-6) end
  local before = on_host(model)
  local gradient = free:gradient("head", "bias")
  free:step()
  near(on_host(model)["head/bias"], before["head/bias"] - gradient * 0.1, 1e-6)
end)

test("weights of a loss: learned, checked, saved and restored", function()
  local path = harness.folder "loss_weights" .. "/run.safetensors"
  local function distance(prediction, target, given)
    local scaled = given.dense{ classes, use_bias = false, name = "mixing" }(prediction)
    return (scaled - given.one_hot(target, classes))^2
  end
  local batch = batch_of(1, 8)
  local function make(loss, model)
    return (model or network()):compile{ device = device, optimizer = optim.adam(0.05), loss = loss }
  end
  local run <close> = make(distance)
  local last = run:weights()[5]
  assert(last.layer == "mixing" and last.name == "kernel" and last.learned)
  assert(harness.check_gradients(run, batch) == 5)
  for _ = 1, 3 do run:train(batch) end
  assert(run:save(path))
  local want = run:train(batch).loss
  local again <close> = make(distance)
  assert(again:restore(path))
  near(again:train(batch).loss, want, 0)
  local model = assert(nn.load(path))
  local loaded <close> = make(model.losses, model)
  assert(loaded:restore(path))
  near(loaded:train(batch).loss, want, 0)
  assert(#model.layers == 3 and assert(network():load(path)).unused == 0) -- they are no part of the model
  raises("compile: a loss has a layer 'head', and so has the model: give one of them another name", make,
    function(p, t) return (nn.dense{ classes, name = "head" }(p) - nn.one_hot(t, classes))^2 end)
end)

test("weights of a loss in callbacks: averaged, and restored after a NaN", function()
  local on = require "lurcher.callbacks"
  local batch, said = batch_of(1, 8), {}
  local function distance(prediction, target, given)
    return (given.dense{ classes, name = "mixing" }(prediction) - given.one_hot(target, classes))^2
  end
  local run <close> = network():compile{ device = device, optimizer = optim.sgd(0.1), loss = distance }
  local average = on.ema{ decay = 0.9 }
  fit(run, { batch, batch }, { epochs = 2, progress = false, average })
  assert(average:tensors()["mixing/kernel"] and average:tensors()["head/kernel"])
  local kernel = run:weights()[5].tensor
  local before
  local breaker = { on_batch_end = function(_, step)
    if step == 1 then before, run.lr = kernel:to "cpu":clone(), math.huge end
  end }
  local history = fit(run, { batch, batch, batch, batch }, { progress = false, breaker,
    on.nan_guard{ out = { write = function(_, text) said[#said + 1] = text end } } })
  assert(history.failed and said[1]:find "is not finite in step 2", tostring(history.failed))
  near(kernel:to "cpu", before, 0)
end)
