--- Tests of on.ema and on.best on a small network: the formula, which callback sees which weights, resuming to the same
-- bits.
local harness = require "harness"
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises
local same, weights_of = harness.same, harness.weights

local folder = harness.folder "averaging"

--- A network with a batch norm and a dropout, and a frozen layer in front.
local function network()
  lurcher.seed(3)
  local x = nn.input("x", 4)
  local first = nn.dense{ 4, name = "first" }
  local h = nn.batchnorm{ name = "norm", momentum = 0.8 }(nn.dense{ 8, activation = "relu", name = "hidden" }(first(x)))
  first:freeze()
  return nn.model{ y = nn.dense{ 3, activation = "softmax", name = "head" }(nn.dropout{ 0.2, name = "dropout" }(h)) }
end

local function compiled(model, batchnorm)
  return (model or network()):compile{ optimizer = optim.sgd{ lr = 0.3, momentum = 0.9 },
    loss = "categorical_crossentropy", batchnorm = batchnorm }
end

local function batches()
  lurcher.seed(4)
  local list = {}
  for i = 1, 5 do
    local x = lurcher.uniform{ 8, 4 }
    list[i] = { x = x, y = x:argmax(2):minimum(2) }
  end
  return list
end

local function train(run, options)
  options.progress = false
  return fit(run, batches(), options)
end

test("lerp: interpolates in place, and rejects wrong tensors", function()
  local a, b = lurcher.tensor{ 1, 2, 3 }, lurcher.tensor{ 3, 2, -1 }
  assert(a:lerp(b, 0.25) == a)
  near(a, { 1.5, 2, 2 })
  local long, other = lurcher.zeros(100000), lurcher.ones(100000)
  near(long:lerp(other, 0.5):sum(), 50000)
  raises("equal shapes", a.lerp, a, lurcher.zeros(4), 0.5)
  raises("f32 expected", a.lerp, a, lurcher.tensor{ 1, 2, 3, dtype = "i32" }, 0.5)
end)

test("ema: the average follows the formula, batch norm statistics included; frozen layers stay as they are", function()
  local run <close> = compiled()
  local wanted, before = weights_of(run.model), weights_of(run.model)
  local t, live = 0, nil
  local follow = { on_batch_end = function(_, _, _, state)
    t, live = t + 1, weights_of(state.model)
    local decay = math.min(0.9, (1 + t) / (10 + t))
    for name, value in pairs(live) do wanted[name] = wanted[name] * decay + value * (1 - decay) end
  end }
  train(run, { epochs = 16, follow, on.ema{ decay = 0.9 } })
  assert(t == 80)
  local after = weights_of(run.model)
  for name, value in pairs(after) do near(value, wanted[name], 1e-5) end
  assert(not same(after, live) and after["norm/moving_mean"])
  near(after["first/kernel"], before["first/kernel"], 0)
  assert((after["norm/moving_mean"] - live["norm/moving_mean"]):abs():max() > 0)
end)

test("ema: statistics of a frozen batch norm that move as in 2017 are averaged too", function()
  local model = network()
  model:layer "norm":freeze()
  local run <close> = compiled(model, "batch")
  local wanted, live = weights_of(model)["norm/moving_mean"], nil
  train(run, { on.ema{ decay = 0.9, warmup = 0 }, { on_batch_end = function(_, _, _, state)
    live = weights_of(state.model)["norm/moving_mean"]
    wanted = wanted * 0.9 + live * 0.1
  end } })
  near(weights_of(model)["norm/moving_mean"], wanted, 1e-5)
  assert((wanted - live):abs():max() > 0.01)
end)

test("ema: validation sees averages, training live weights, and so do checkpoints and the best", function()
  local run <close> = compiled()
  local seen = {}
  local watch = {
    on_epoch_end = function(_, epoch, logs, state)
      seen[epoch] = { average = weights_of(state.model), loss = logs.val_loss,
        again = fit.evaluate(state.run, batches()).loss }
    end,
    on_epoch_done = function(_, epoch, _, state) seen[epoch].live = weights_of(state.model) end,
  }
  train(run, { epochs = 3, valid = batches(), on.checkpoint(folder .. "/seen-{epoch}.safetensors"),
    on.checkpoint{ folder .. "/best.safetensors", best_only = true }, watch, on.ema{ decay = 0.9, warmup = 0 } })
  local best
  for epoch = 0, 2 do
    near(seen[epoch].loss, seen[epoch].again, 0)
    assert(not same(seen[epoch].average, seen[epoch].live))
    local model <close> = assert(nn.load(("%s/seen-%d.safetensors"):format(folder, epoch + 1)))
    assert(same(seen[epoch].live, weights_of(model)))
    if not best or seen[epoch].loss < best.loss then best = seen[epoch] end
  end
  assert(same(seen[2].average, weights_of(run.model)))
  local model <close> = assert(nn.load(folder .. "/best.safetensors"))
  assert(same(best.average, weights_of(model)))
end)

test("ema: plain training takes the same steps", function()
  local with <close> = compiled()
  local without <close> = compiled()
  local live
  train(with, { epochs = 2, valid = batches(), on.ema{}, { on_epoch_done = function(_, _, _, state)
    live = weights_of(state.model)
  end } })
  train(without, { epochs = 2, valid = batches() })
  assert(same(live, weights_of(without.model)))
end)

--- Trains, interrupted after `steps` steps and resumed in a new run; returns the last weights and the validation
-- losses.
local function stopped_after(steps)
  local path = folder .. "/last.safetensors"
  local function options(resume, count)
    return { epochs = 3, valid = batches(), resume = resume, interrupt = "return", on.checkpoint(path), on.ema{ decay = 0.9 },
      on.best{ path = folder .. "/kept.safetensors" },
      { on_batch_end = function()
        count = count - 1
        if count == 0 then lurcher.interrupt() end
      end } }
  end
  local first <close> = compiled()
  local history = train(first, options(nil, steps))
  if steps >= 15 then return weights_of(first.model), history end
  assert(history.interrupted)
  local second <close> = compiled()
  history = train(second, options(path, math.huge))
  return weights_of(second.model), history
end

test("ema, best: a resume ends with the same bits, from every step", function()
  local whole, history = stopped_after(1000)
  for steps = 1, 14 do
    local parts, again = stopped_after(steps)
    assert(same(whole, parts))
    for i, logs in ipairs(history) do assert(again[i].val_loss == logs.val_loss, ("step %d"):format(steps)) end
  end
end)

test("ema: weights of a checkpoint that holds averages load as those of any other", function()
  local run <close> = compiled()
  local other <close> = network()
  train(run, { on.checkpoint(folder .. "/plain.safetensors"), on.ema{} })
  local report = assert(other:load(folder .. "/plain.safetensors"))
  assert(report.missing == 0 and report.unused == 0 and report.mismatched == 0, report.text)
  local text = assert(run:restore(folder .. "/plain.safetensors"))
  raises("its text alone has no averages", train, run, { epochs = 2, resume = text, on.ema{} })
end)

test("ema: misspelt and impossible options", function()
  raises("averaging.lua.*unknown option 'decoy' to 'on.ema' %(did you mean 'decay'%?%)",
    function() on.ema{ decoy = 1 } end)
  raises("bad option 'decay' to 'on.ema' %(number of at least 0 and under 1 expected, got 1%)", on.ema, { decay = 1 })
  raises("bad option 'warmup'", on.ema, { warmup = -1 })
end)

test("best: the best epoch's weights are restored at the end, and training is not stopped", function()
  for _, path in ipairs{ false, folder .. "/brought.safetensors" } do
    local run <close> = compiled()
    local best, seen = math.huge, nil
    local watch = { on_epoch_end = function(_, epoch, logs, state)
      state.run.lr = epoch < 2 and 0.3 or 3
      if logs.val_loss < best then best, seen = logs.val_loss, weights_of(state.model) end
    end }
    local history = train(run, { epochs = 6, valid = batches(), on.best{ path = path }, watch })
    assert(#history == 6 and history[6].val_loss > best, tostring(history[6].val_loss))
    assert(same(seen, weights_of(run.model)))
    near(fit.evaluate(run, batches()).loss, best, 0)
  end
end)

test("fit: times of training, waiting and validation", function()
  local run <close> = compiled()
  local slow = function()
    local i = 0
    return function()
      i = i + 1
      local till = lurcher.time() + 0.02
      while lurcher.time() < till do end
      return batches()[i]
    end
  end
  local logs = train(run, { valid = slow })[1]
  assert(logs.check_seconds >= 0.1 and logs.wait_seconds < 0.1, logs.check_seconds)
  logs = fit(run, slow, { progress = false })[1]
  assert(logs.wait_seconds >= 0.1 and logs.seconds >= logs.wait_seconds and not logs.check_seconds)
end)
