--- Tests of on.nan_guard: it names the layer and the kind of divergence, restores the last good weights, and overwrites
-- no checkpoint.
local harness = require "harness"
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises
local same, copy_of = harness.same, harness.weights

local folder = harness.folder "nan_guard"

--- y = head(relu(norm(hidden(x)))), or with a square root, whose slope at 0 is infinite, in place of relu.
local function network(activation)
  lurcher.seed(3)
  local h = nn.dense{ 6, name = "hidden" }(nn.input("x", 4))
  h = nn.activation{ activation or "relu", name = "bend" }(nn.batchnorm{ name = "norm" }(h))
  return nn.model{ y = nn.dense{ 1, name = "head" }(h) }
end

local function batches(n)
  lurcher.seed(4)
  local list = {}
  for i = 1, n do list[i] = { x = lurcher.uniform{ 8, 4 }, y = lurcher.uniform{ 8, 1 } } end
  return list
end

--- Trains with a guard that prints nothing. Returns the history and the weights after each good step.
local function train(run, list, options)
  local steps, written = { [0] = copy_of(run.model) }, {}
  options.progress = false
  local guard = { out = { write = function(_, ...) written[#written + 1] = table.concat{ ... } end } }
  for name, value in pairs(options.guard or {}) do guard[name] = value end
  options.guard = nil
  table.insert(options, 1, on.nan_guard(guard))
  options[#options + 1] = { on_batch_end = function(_, _, _, state)
    if not state.failed then steps[#steps + 1] = copy_of(state.model) end
  end }
  local history = fit(run, list, options)
  assert((history.failed ~= nil) == (#written == 1) and (written[1] or "\n") == (history.failed or "") .. "\n")
  return history, steps
end

local function compiled(model, lr)
  return model:compile{ optimizer = optim.sgd{ lr = lr or 0.01 }, loss = "mean_squared_error" }
end

local function blames(history, ...)
  assert(history.failed, "training went on")
  for _, text in ipairs{ ... } do
    assert(history.failed:find(text, 1, true), ("'%s' expected in: %s"):format(text, history.failed))
  end
end

test("nan_guard: a training without NaN is not affected", function()
  local run <close> = compiled(network())
  local other <close> = compiled(network())
  local history = train(run, batches(4), { epochs = 2, valid = batches(2) })
  fit(other, batches(4), { epochs = 2, valid = batches(2), progress = false })
  assert(not history.failed and #history == 2 and same(copy_of(run.model), copy_of(other.model)))
end)

test("nan_guard: an image that is NaN", function()
  local run <close> = compiled(network())
  local list = batches(5)
  list[3].x:set(0 / 0, 2, 1)
  local history, steps = train(run, list, { epochs = 3 })
  blames(history, "loss is nan in step 3 of epoch 1", "the batch itself has values in 'x'", "before that step")
  assert(#history == 0 and #steps == 2 and same(copy_of(run.model), steps[2]))
end)

test("nan_guard: a layer that overflows, the first of several that are not finite", function()
  local run <close> = compiled(network())
  local list = batches(5)
  list[4].x:fill(3e38)
  run.model:layer "hidden":set_weight("kernel", lurcher.full({ 4, 6 }, 2))
  local history, steps = train(run, list, { epochs = 3 })
  blames(history, "in step 4 of epoch 1", "the output of layer 'hidden' is the first that is not finite")
  assert(same(copy_of(run.model), steps[3]))
end)

test("nan_guard: a gradient that is not finite where outputs are", function()
  local run <close> = compiled(network "sqrt")
  run.model:layer "norm":set_weight("gamma", lurcher.zeros(6))
  local history, steps = train(run, batches(2), { epochs = 1 })
  blames(history, "step 1 of epoch 1", "outputs are finite, but the gradient of layer 'norm'")
  assert(#steps == 0 and same(copy_of(run.model), steps[0]))
end)

test("nan_guard: a step that is too long for finite gradients", function()
  local model = nn.model{ y = nn.dense{ 1, name = "head", use_bias = false }(nn.input("x", 1)) }
  model:layer "head":set_weight("kernel", lurcher.zeros(1, 1))
  local run <close> = compiled(model, 1e9)
  local history = train(run, { { x = { { 1e15 } }, y = { { 1e19 } } } }, { epochs = 2 })
  blames(history, "'head/kernel' is not finite in step 1 of epoch 1", "'head/kernel' after the update is not")
  near(model:layer "head":weights().kernel, { { 0 } })
end)

test("nan_guard: the checkpoint is not overwritten, and is restored with its optimizer state", function()
  local path = folder .. "/last.safetensors"
  local run <close> = compiled(network())
  local list, good = batches(3), nil
  local history = train(run, list, { epochs = 4, guard = { restore = path }, on.checkpoint{ path, steps = 1 },
    { on_batch_end = function(_, step, _, state)
      if state.epoch == 1 and step == 1 then
        good = copy_of(state.model)
        list[2].x:set(1 / 0, 1, 1)
      end
    end } })
  blames(history, "step 2 of epoch 2", "The weights of", path)
  assert(#history == 1 and run.iterations == 4 and same(copy_of(run.model), good))
  local model <close> = assert(nn.load(path))
  assert(same(copy_of(model), good))
end)

test("nan_guard: the best epoch is restored, rather than the last good step", function()
  local run <close> = compiled(network())
  local list, best = batches(3), nil
  local history = train(run, list, { epochs = 4, valid = batches(2), on.best{},
    { on_epoch_end = function(_, epoch, _, state)
      if epoch == 0 then
        best = copy_of(state.model)
        state.run.lr = 0.5
        list[3].x:fill(0 / 0)
      end
    end } })
  blames(history, "step 3 of epoch 2")
  assert(same(copy_of(run.model), best))
end)

test("nan_guard: validation that is NaN, and weights that are NaN from the beginning", function()
  local run <close> = compiled(network())
  local valid = batches(1)
  valid[1].x:fill(0 / 0)
  local history = train(run, batches(2), { epochs = 2, valid = valid })
  blames(history, "val_loss is nan", "losses and weights of the training steps are finite")
  assert(#history == 0)
  run.model:layer "head":set_weight("bias", lurcher.full({ 1 }, 1 / 0))
  raises("'head/bias' is not finite before training begins", train, run, batches(1), {})
  raises("unknown option 'path' to 'on.nan_guard'", on.nan_guard, { path = "x" })
  raises("bad option 'every'", on.nan_guard, { every = 0 })
end)
