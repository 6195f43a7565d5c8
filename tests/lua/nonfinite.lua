--- Tests of NaN and infinity in models: cpu gives them where ref does, accuracies count no NaN as right, and targets
-- and sample weights that cannot be are refused by name. Also accuracies of one unit.
local harness = require "harness"
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises

local nan, inf = 0 / 0, 1 / 0

--- "n" for NaN, "+" and "-" for infinities, "." for numbers, in order.
local function kinds(tensor)
  local list = {}
  for i, v in ipairs(tensor:view(tensor.count):totable()) do
    list[i] = v ~= v and "n" or v == inf and "+" or v == -inf and "-" or "."
  end
  return table.concat(list)
end

local input = nn.input("x", 12, 12, 3)
local convs = {
  conv = function() return nn.conv2d{ 8, 3, padding = "same", activation = "relu", name = "a" }(input) end,
  pointwise = function() return nn.conv2d{ 8, 1, activation = "relu", name = "a" }(input) end,
  strided = function() return nn.conv2d{ 8, 3, stride = 2, activation = "relu", name = "a" }(input) end,
  depthwise = function() return nn.depthwise_conv2d{ 3, activation = "relu", name = "a" }(input) end,
  separable = function() return nn.separable_conv2d{ 8, 3, activation = "relu", name = "a" }(input) end,
  norm = function()
    return nn.activation "relu"(nn.batchnorm{ name = "b" }(nn.conv2d{ 8, 3, use_bias = false, name = "a" }(input)))
  end,
  residual = function()
    local x = nn.conv2d{ 8, 1, activation = "relu", name = "a" }(input)
    return nn.activation "relu"(nn.add()(x, nn.batchnorm{}(nn.conv2d{ 8, 1, name = "b" }(x))))
  end,
  pooled = function()
    return nn.max_pool{ 3, stride = 2 }(nn.conv2d{ 8, 3, activation = "relu", name = "a" }(input))
  end,
}

local function predicted(build, device, change)
  lurcher.seed(5)
  local features = build()
  local hidden = nn.dense{ 6, activation = "relu", name = "hidden" }(nn.global_avg_pool()(features))
  local model = nn.model{ features = features, y = nn.dense{ 3, activation = "softmax", name = "y" }(hidden) }
  local x = lurcher.uniform{ 2, 12, 12, 3, low = -1, high = 1 }
  change(model, x)
  local run <close> = model:compile{ device = device }
  return run:predict{ x = x }
end

local function spoil(layer, weight, value)
  return function(model)
    local w = model:layer(layer):weights()[weight]
    model:layer(layer):set_weight(weight, w:fill(value))
  end
end

for name, build in pairs(convs) do
  test("NaN and infinity pass through fused layers as on ref: " .. name, function()
    local changes = {
      function(_, x) x:fill(nan) end,
      function(_, x) x:fill(inf) end,
      function(_, x) x:set(nan, 2, 4, 4, 2) end,
      function(_, x) x:set(-inf, 1, 5, 5, 1) end,
      spoil("hidden", "bias", nan),
      spoil("hidden", "bias", -inf),
      spoil("hidden", "kernel", nan),
    }
    for _, weight in ipairs(name == "separable" and { "depthwise_kernel", "pointwise_kernel" }
      or { name == "depthwise" and "depthwise_kernel" or "kernel" }) do
      changes[#changes + 1] = spoil("a", weight, nan)
      changes[#changes + 1] = spoil("a", weight, -inf)
    end
    for i, change in ipairs(changes) do
      local ref, cpu = predicted(build, "ref", change), predicted(build, "cpu", change)
      for _, output in ipairs{ "features", "y" } do
        local a, b = kinds(ref[output]), kinds(cpu[output])
        assert(a == b, ("change %d, %s: %s on ref, %s on cpu"):format(i, output, a, b))
      end
      assert(i > 1 or kinds(cpu.y) == "nnnnnn")
    end
  end)
end

test("a step on NaN gives NaN, and the guard ends training, on cpu as on ref", function()
  for _, device in ipairs{ "ref", "cpu" } do
    lurcher.seed(1)
    local hidden = nn.dense{ 4, activation = "relu" }(nn.input("x", 8))
    local model = nn.model{ y = nn.dense{ 3, activation = "softmax" }(hidden) }
    local run <close> = model:compile{ device = device, optimizer = "sgd", loss = "categorical_crossentropy" }
    local batch = { x = lurcher.zeros{ 2, 8 }, y = { 1, 2 } }
    local spoiled = { x = lurcher.zeros{ 2, 8 }:fill(nan), y = { 1, 2 } }
    local text = {}
    local guard = on.nan_guard{ out = { write = function(_, ...) text[#text + 1] = table.concat{ ... } end } }
    local history = fit(run, { batch, spoiled }, { guard, epochs = 1, progress = false })
    assert(history.failed and history.failed:find("loss is nan in step 2", 1, true), history.failed)
    local results = run:evaluate(spoiled)
    assert(results.loss ~= results.loss and results.acc == 0)
  end
end)

-- ---- accuracy ----

--- A model of `units` outputs that are its inputs.
local function identity(units, activation)
  local layer = nn.dense{ units, activation = activation, use_bias = false, name = "y" }
  local model = nn.model{ y = layer(nn.input("x", units)) }
  local rows = {}
  for i = 1, units do
    rows[i] = {}
    for j = 1, units do rows[i][j] = i == j and 1 or 0 end
  end
  layer:set_weight("kernel", lurcher.tensor(rows))
  return model
end

local function accuracy(model, loss, x, y)
  local run <close> = model:compile{ loss = loss }
  return run:evaluate{ x = lurcher.tensor(x), y = y }.acc
end

test("accuracy of one unit is binary, of probabilities", function()
  local categorical, binary = "categorical_crossentropy", "binary_crossentropy"
  local x, ids = { { -3 }, { 0.2 }, { 0.7 }, { 5 } }, lurcher.zeros{ 4, dtype = "i32" }
  local ones, mixed = lurcher.ones{ 4, 1 }, lurcher.tensor{ { 0 }, { 0 }, { 1 }, { 1 } }
  near(accuracy(identity(1, "softmax"), categorical, x, ones), 1) -- the softmax of one number is 1
  near(accuracy(identity(1, "softmax"), categorical, x, ids), 1)
  near(accuracy(identity(1, "softmax"), categorical, x, { 1, 1, 1, 1 }), 1)
  near(accuracy(identity(1, "softmax"), categorical, x, lurcher.zeros{ 4, 1 }), 0)
  near(accuracy(identity(1, "softmax"), categorical, x, mixed), 0.5)
  near(accuracy(identity(1, "sigmoid"), binary, x, mixed), 0.75) -- 0.2 is a logit
  near(accuracy(identity(1, "sigmoid"), binary, x, lurcher.tensor{ 0, 1, 1, 1, dtype = "i32" }), 1)
  near(accuracy(identity(1, "linear"), binary, { { 0.1 }, { 0.2 }, { 0.7 }, { 0.9 } }, mixed), 1)
  near(accuracy(identity(1, "softmax"), binary, x, ones), 1)
  near(accuracy(identity(1, "linear"), categorical, { { 0.1 }, { 0.2 }, { 0.7 }, { 0.9 } }, mixed), 1)
  raises("target 'y': row 1 holds 1 %(0 to 0 expected%)", accuracy, identity(1, "softmax"), categorical,
    { { 1 }, { 1 } }, lurcher.tensor{ 0, 1, dtype = "i32" })
end)

test("accuracy of several units: categorical by the loss, else of each unit", function()
  local x = { { 0.9, 0.6 }, { 0.2, 0.4 } }
  near(accuracy(identity(2, "softmax"), "categorical_crossentropy", x, { 1, 2 }), 1)
  near(accuracy(identity(2, "linear"), "binary_crossentropy", x, lurcher.tensor{ { 1, 0 }, { 0, 0 } }), 0.75)
end)

test("a NaN is never right", function()
  local x = { { nan, nan }, { 2, 1 }, { nan, 1 }, { 1, nan } }
  near(accuracy(identity(2, "softmax"), "categorical_crossentropy", x, { 1, 1, 1, 1 }), 0.25)
  near(accuracy(identity(1, "sigmoid"), "binary_crossentropy", { { nan }, { -1 } }, lurcher.zeros{ 2, 1 }), 0.5)
  near(accuracy(identity(1, "softmax"), "categorical_crossentropy", { { nan }, { -1 } }, lurcher.ones{ 2, 1 }), 0.5)
  local scores, ids = lurcher.tensor{ { nan, nan }, { 0.8, 0.2 } }, lurcher.zeros{ 2, dtype = "i32" }
  near(lurcher.top_k(scores, ids, 1), 0.5)
  near(lurcher.top_k(scores, ids, 2), 0.5)
  near(lurcher.top_k(lurcher.tensor{ { nan }, { 1 } }, ids, 1), 0.5)
  near(lurcher.confusion(scores, ids), { { 1, 0 }, { 0, 0 } })
end)

-- ---- targets ----

test("targets that cannot be are refused, by output, row and value", function()
  lurcher.seed(2)
  local x = nn.input("x", 4)
  local model = nn.model{ kind = nn.dense{ 3, activation = "softmax" }(x), size = nn.dense{ 2 }(x),
                          same = nn.dense{ 1, activation = "sigmoid" }(x) }
  local run <close> = model:compile{ optimizer = optim.sgd{ lr = 0.1 }, loss = {
    kind = "categorical_crossentropy", same = "binary_crossentropy", size = "mean_squared_error" } }
  local function batch() return { x = lurcher.uniform{ 3, 4 },
    kind = lurcher.tensor{ { 1, 0, 0 }, { 0, 0.5, 0.5 }, { 0, 0, 1 } },
    same = lurcher.tensor{ { 1 }, { 0.25 }, { 0 } }, size = lurcher.tensor{ { -7, 1e30 }, { 0, 3 }, { 1, 1 } },
    kind_weight = lurcher.tensor{ 1, 0, 2.5 } } end
  local function refused(message, field, value, ...)
    local b = batch()
    b[field]:set(value, ...)
    local before = harness.weights(model)
    raises(message, run.train, run, b)
    raises(message, run.evaluate, run, b)
    assert(harness.same(before, harness.weights(model)))
  end
  run:train(batch())
  refused("target 'kind': row 1 holds %-5 in column 2 %(a probability from 0 to 1 expected%)", "kind", -5, 2, 3)
  refused("target 'kind': row 0 holds NaN in column 0 ", "kind", nan, 1, 1)
  refused("target 'kind': row 2 holds 1.5 in column 1 ", "kind", 1.5, 3, 2)
  refused("target 'same': row 2 holds 2 %(a probability", "same", 2, 3, 1)
  refused("target 'same': row 0 holds inf ", "same", inf, 1, 1)
  refused("target 'size': row 1 holds NaN in column 1 %(a finite number expected%)", "size", nan, 2, 2)
  refused("target 'size': row 0 holds %-inf in column 0 ", "size", -inf, 1, 1)
  refused("sample weights 'kind_weight': row 1 holds %-1 %(a finite number that is not negative expected%)",
    "kind_weight", -1, 2)
  refused("sample weights 'kind_weight': row 2 holds NaN ", "kind_weight", nan, 3)
  local near_one = batch()
  near_one.kind:set(1.0000001, 1, 1) -- the rounding of a mixture
  run:train(near_one)
  local ids = batch()
  ids.kind = lurcher.tensor{ 0, 3, 1, dtype = "i32" }
  raises("target 'kind': row 1 holds 3 %(0 to 2 expected%)", run.train, run, ids)
  ids.kind = lurcher.tensor{ 0, 2, 1 }
  raises("target of output 'kind': 3 f32 ", run.train, run, ids)
end)

test("label smoothing takes targets from 0 to 1", function()
  local run <close> = identity(3, "softmax"):compile{ loss = { y = "categorical_crossentropy" }, label_smoothing = 0.1,
    optimizer = "sgd" }
  assert(run:train{ x = lurcher.ones{ 2, 3 }, y = lurcher.tensor{ { 1, 0, 0 }, { 0.3, 0.7, 0 } } }.loss > 0)
end)

