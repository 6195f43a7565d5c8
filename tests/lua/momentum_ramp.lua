--- Tests of lurcher.momentum_ramp: batch norms in the first steps of a training from nothing, and the line that fit says
-- where validation is as good as guessing.
local harness = require "harness"
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local momentum_ramp = require "lurcher.momentum_ramp"
local test, near = harness.test, harness.near
local nn, optim = lurcher.nn, lurcher.optim

local folder = harness.folder "momentum_ramp"
local CLASSES <const> = 6

--- Batches of noise around a mean of each class, far from 0 and 1, where fresh statistics are wrong.
local function batches(count, seed)
  lurcher.seed(seed)
  local list, ids = {}, { dtype = "i32" }
  for i = 1, 24 do ids[i] = i % CLASSES end
  ids = lurcher.tensor(ids)
  local one_hot = ids:view(24, 1):eq(lurcher.range(CLASSES):view(1, CLASSES)):cast "f32"
  for i = 1, count do
    local x = one_hot:view(24, 1, 1, CLASSES) * lurcher.ones(1, 4, 4, 1) * 4 + lurcher.normal{ 24, 4, 4, CLASSES }
    list[i] = { x = x * 20 + 300, y = ids }
  end
  return list
end

local function model_of(momentum)
  lurcher.seed(1)
  local x = nn.input("x", 4, 4, CLASSES)
  for i = 1, 3 do
    x = nn.activation{ "relu", name = "a" .. i }(nn.batchnorm{ momentum = momentum, name = "norm" .. i }(nn.conv2d{ 24, 1, name = "c" .. i,
      use_bias = false }(x)))
  end
  return nn.model(nn.dense{ CLASSES, activation = "softmax", name = "y" }(nn.global_avg_pool{ name = "pool" }(x)))
end

--- Trains 42 steps; returns the last logs and what was printed.
local function trained(options)
  local text, run <close> = {}, model_of(0.99):compile{ device = "cpu", optimizer = optim.adam{ lr = 0.004 },
    loss = "categorical_crossentropy" }
  options.epochs, options.valid = 3, batches(4, 9)
  options[1] = on.progress{ out = { write = function(_, ...) text[#text + 1] = table.concat{ ... } end,
    flush = function() end } }
  local history = fit(run, batches(14, 5), options)
  return history[#history], table.concat(text)
end

test("a short training from nothing validates as it trains; without the ramp it does not, and says so", function()
  local logs, text = trained{}
  assert(logs.acc > 0.9 and logs.val_acc > 0.9, ("%s %s"):format(logs.acc, logs.val_acc))
  assert(not text:find "guessing", text)
  logs, text = trained{ bn_ramp = false }
  assert(logs.acc > 0.9 and logs.val_acc < 0.3, ("%s %s"):format(logs.acc, logs.val_acc))
  local line = text:match "[^\n]*guessing[^\n]*\n"
  assert(line and line:find("of 6 classes", 1, true) and line:find("lower bn_momentum", 1, true), text)
  assert(select(2, text:gsub("guessing", "")) == 1, text)
end)

test("the statistics are the mean over the first batches, then those of the momentum", function()
  local model <close> = nn.model(nn.batchnorm{ momentum = 0.75, name = "norm" }(nn.input("x", 3)))
  local run <close> = model:compile{ device = "cpu", optimizer = "sgd", loss = "mean_squared_error" }
  lurcher.seed(3)
  local expected, list = nil, {}
  for n = 0, 7 do
    list[n + 1] = { x = lurcher.normal{ 16, 3 } * (n + 1) + n, norm = lurcher.zeros(16, 3) }
    local mean, momentum = list[n + 1].x:mean(1), math.min(0.75, 1 - 1 / (n + 1))
    expected = expected and expected * momentum + mean * (1 - momentum) or mean
  end
  fit(run, list, { progress = false })
  near(model:layer "norm":weights().moving_mean, expected, 1e-4)
end)

test("trained, frozen and shared batch norms are left alone", function()
  local model <close> = model_of(0.9)
  assert(momentum_ramp.new(model):is_active() and #momentum_ramp.new(model).names == 3)
  local run <close> = model:compile{ device = "cpu", optimizer = "sgd", loss = "categorical_crossentropy" }
  fit(run, batches(1, 2), { progress = false, bn_ramp = false })
  assert(not momentum_ramp.new(model):is_active())
  local frozen <close> = model_of(0.9)
  frozen:freeze()
  assert(not momentum_ramp.new(frozen):is_active())
  local norm = nn.batchnorm{ momentum = 0.9, name = "norm" }
  local a, b = nn.input("a", 3), nn.input("b", 3)
  local towers <close> = nn.model(norm(a) - norm(b))
  assert(not momentum_ramp.new(towers):is_active())
end)

test("a resume ends with the same bits, from every step", function()
  local path = folder .. "/last.safetensors"
  local function weights_after(steps)
    local function train(resume, count)
      local run <close> = model_of(0.9):compile{ device = "cpu", optimizer = optim.sgd{ lr = 0.01, momentum = 0.9 },
        loss = "categorical_crossentropy" }
      fit(run, batches(5, 4), { epochs = 3, progress = false, resume = resume, interrupt = "return", on.checkpoint(path),
        { on_batch_end = function()
          count = count - 1
          if count == 0 then lurcher.interrupt() end
        end } })
      return harness.weights(run.model)
    end
    local whole = train(nil, steps)
    return steps < 15 and train(path, math.huge) or whole
  end
  local whole = weights_after(1000)
  for _, steps in ipairs{ 1, 4, 5, 7, 9, 10, 11, 14 } do
    local equal, name = harness.same(whole, weights_after(steps))
    assert(equal, ("step %d: %s"):format(steps, name))
  end
end)
