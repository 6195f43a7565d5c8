--- Arithmetic with nodes: broadcasting, numbers, parameters, comparisons, and what is built from them. Gradients are
-- held against finite differences.
local lurcher = require "lurcher"
local harness = require "harness"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises

--- The output of a model of one node, for inputs by name.
local function predict(node, inputs, device)
  local run <close> = nn.model{ y = node }:compile{ device = device or "cpu" }
  return run:predict(inputs).y
end

--- A run that learns output y from squared errors by plain SGD.
local function squares(model, device, lr)
  return model:compile{ device = device, loss = { y = "mean_squared_error" }, optimizer = optim.sgd{ lr = lr } }
end

test("operators broadcast over samples as NumPy does", function()
  local x, s, c = nn.input("x", 2, 3), nn.input("s", 1), nn.input("c", 2, 1)
  local a = { x = { { { 1, 2, 3 }, { 4, 5, 6 } } }, s = { { 10 } }, c = { { { 100 }, { 200 } } } }
  near(predict(x + s, a), { { { 11, 12, 13 }, { 14, 15, 16 } } })
  near(predict(s - x, a), { { { 9, 8, 7 }, { 6, 5, 4 } } })
  near(predict(x * c, a), { { { 100, 200, 300 }, { 800, 1000, 1200 } } })
  near(predict(c / x, a), { { { 100, 50, 100 / 3 }, { 50, 40, 200 / 6 } } }, 1e-5)
  near(predict(nn.maximum{ x, s, c, broadcast = true }, a), { { { 100, 100, 100 }, { 200, 200, 200 } } })
  near(predict(nn.where(nn.gt(x, 3), x, c), a), { { { 100, 100, 100 }, { 4, 5, 6 } } })
  assert(tostring((x + s).layer) == "nn.add{ broadcast = true }" and tostring((x + x).layer) == "nn.add{}")
end)

test("merge layers refuse unequal shapes unless told to broadcast", function()
  local x, s, w = nn.input("x", 2, 3), nn.input("s", 3), nn.input("w", 4)
  raises("input 1 is 2x3, input 2 is 3 %(equal shapes expected; broadcast = true repeats", nn.add, x, s)
  raises("input 1 is 2x3, input 2 is 4 %(equal shapes expected%)", nn.add, x, w)
  raises("input 1 is 2x3, input 2 is 4 %(equal extents, or 1, expected, aligned", function() return x + w end)
  raises("where 'where_%d+': input 1 is 2x3, input 3 is 4", nn.where, x, x, w)
  near(nn.add{ x, s, broadcast = true }.shape, { 2, 3 })
  near(nn.minimum(x, 1).shape, { 2, 3 })
end)

test("batches of different sizes do not broadcast", function()
  local x, rows = nn.input("x", 2), nn.index("rows")
  local run <close> = nn.model{ y = x + nn.gather(x, rows) }:compile{ device = "cpu" }
  local message = raises("input 1 has 3 rows, input 2 has 1", run.predict, run,
    { x = lurcher.ones(3, 2), rows = lurcher.tensor{ 0 }:cast "i32" })
  assert(message)
end)

test("numbers on either side", function()
  local x = nn.input("x", 3)
  local a = { x = { { 1, 2, 4 } } }
  local function is(node, want) near(predict(node, a), { want }, 1e-5) end
  is((x * 2 + 1) / 4 - 1, { -0.25, 0.25, 1.25 })
  is(1 - (2 - x), { 0, 1, 3 })
  is(8 / x, { 8, 4, 2 })
  is(-x, { -1, -2, -4 })
  is(2 ^ x, { 2, 4, 16 })
  is(x ^ x, { 1, 4, 256 })
  for _, k in ipairs{ 0, 1, 2, 3, 4, 0.5, 1.5, -1, -2, -0.5, -3.5 } do is(x ^ k, { 1, 2.0 ^ k, 4.0 ^ k }) end
  is(nn.pow(x, 3), { 1, 8, 64 })
  is(nn.sub(1, x), { 0, -1, -3 })
  is(nn.maximum(x, 2), { 2, 2, 4 })
  is(nn.minimum{ 2, x }, { 1, 2, 2 })
  is(nn.where(nn.lt(x, 2), 0, x), { 0, 2, 4 })
  is(nn.ge(x, 2), { 0, 1, 1 })
  is(nn.le(x, 2), { 1, 1, 0 })
  is(nn.eq(2, x), { 0, 1, 0 })
  is(nn.ne(x, 2), { 1, 0, 1 })
  is(x + nn.constant{ 5, shape = { 3 } }, { 6, 7, 9 })
  is(nn.neg(x), { -1, -2, -4 })
  raises("divided by 0", function() return x / 0 end)
  raises("got string as input 2", function() return x + "x" end)
  raises("got boolean as input 2", function() return x ^ true end)
  raises("nn.parameter{ init = tensor", function() return x + lurcher.ones(3) end)
end)

test("a chain of constants is one op in a plan", function()
  local x = nn.input("x", 3)
  local run <close> = nn.model{ y = -((x * 2 + 1) / 4 - 1) }:compile{ device = "cpu" }
  near(run:predict{ x = { { 1, 2, 4 } } }.y, { { 0.25, -0.25, -1.25 } })
  local _, count = tostring(run):gsub("affine", "")
  assert(count >= 1 and tostring(run):find "affine", tostring(run))
  local whole <close> = nn.model{ y = -((x * 2 + 1) / 4 - 1) }:compile{ device = "cpu", passes = { fold = false } }
  near(whole:predict{ x = { { 1, 2, 4 } } }.y, { { 0.25, -0.25, -1.25 } })
end)

test("activations by name and as layers", function()
  local x = nn.input("x", 4)
  local a = { x = { { -4, -1, 0.5, 8 } } }
  local function sigmoid(v) return 1 / (1 + math.exp(-v)) end
  local function relu6(v) return math.max(0, math.min(v, 6)) end
  local functions = {
    silu = function(v) return v * sigmoid(v) end,
    leaky_relu = function(v) return v > 0 and v or 0.01 * v end,
    elu = function(v) return v > 0 and v or math.exp(v) - 1 end,
    relu6 = relu6,
    hard_sigmoid = function(v) return relu6(v + 3) / 6 end,
    hard_swish = function(v) return v * relu6(v + 3) / 6 end,
    softplus = function(v) return math.log(1 + math.exp(v)) end,
    abs = math.abs,
    exp = math.exp,
  }
  for name, f in pairs(functions) do
    local want = {}
    for i, v in ipairs(a.x[1]) do want[i] = f(v) end
    near(predict(nn[name](x), a), { want }, 2e-6 * math.exp(8))
    near(predict(nn.activation(name)(x), a), { want }, 2e-6 * math.exp(8))
  end
  near(predict(nn.leaky_relu{ slope = 0.3 }(x), a), { { -1.2, -0.3, 0.5, 8 } })
  raises("bad option 'slope'", nn.leaky_relu, { slope = -1 })
  near(predict(nn.sqrt(nn.abs(x)), a), { { 2, 1, 0.5 ^ 0.5, 8 ^ 0.5 } }, 1e-6)
  near(predict(nn.log(nn.exp(x)), a), a.x, 1e-5)
end)

test("parameters: shapes, first values, names, files", function()
  local x = nn.input("x", 2, 3)
  local gain = nn.parameter{ shape = { 3 }, init = "ones", name = "gain" }
  local shift = nn.parameter{ { 2, 1 }, 0.5, name = "shift" }
  local table_ = nn.parameter{ init = lurcher.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }, trainable = false, name = "table" }
  near(table_.shape, { 2, 3 })
  near(nn.parameter(4, 5).shape, { 4, 5 })
  near(nn.parameter{ shape = {} }.shape, {})
  assert(tostring(gain) == "lurcher.node parameter 'gain' 3, not per sample")
  assert(tostring(x * gain) :find "2x3$")
  local model = nn.model{ y = x * gain + shift + table_ }
  near(model:layer("gain"):weights().value, { 1, 1, 1 })
  near(model:layer("shift"):weights().value, { { 0.5 }, { 0.5 } })
  local run <close> = model:compile{ device = "cpu" }
  local input = { x = lurcher.ones(4, 2, 3) }
  local want = { { 2.5, 3.5, 4.5 }, { 5.5, 6.5, 7.5 } }
  near(run:predict(input).y, { want, want, want, want })
  local total, trainable = model:parameters()
  assert(total == 11 and trainable == 5)
  local folder = harness.folder "parameters"
  for _, file in ipairs{ "m.h5", "m.safetensors" } do
    model:layer("gain"):set_weight("value", lurcher.tensor{ 1, 2, 3 })
    assert(model:save(folder .. "/" .. file))
    local other = nn.from_json(model:json())
    assert(other:load(folder .. "/" .. file, { strict = true }))
    near(other:layer("gain"):weights().value, { 1, 2, 3 })
    near(other:layer("table"):weights().value, { { 1, 2, 3 }, { 4, 5, 6 } })
  end
  raises("bad option 'init'", nn.parameter, { shape = { 3 }, init = "one" })
  raises("missing option 'shape'", nn.parameter, { init = "ones" })
  raises("at most 5 extents", nn.parameter, { shape = { 1, 1, 1, 1, 1, 1 } })
  raises("depends on no input", nn.model, { y = gain * 2 })
end)

test("first values of parameters", function()
  local function values(options)
    options.shape, options.name = { 64, 128 }, options.init
    return nn.parameter(options).layer:weights().value
  end
  local function std(t) return (t * t):mean() ^ 0.5 end
  near(std(values{ init = "normal", init_deviation = 0.02 }), 0.02, 1e-3)
  local truncated = values{ init = "truncated_normal", init_deviation = 0.02 }
  assert(truncated:abs():max() <= 0.04 and std(truncated) > 0.015 and std(truncated) < 0.019)
  local uniform = values{ init = "uniform", init_deviation = 0.5 }
  assert(uniform:abs():max() <= 0.5 and std(uniform) > 0.27 and std(uniform) < 0.31)
  near(std(values{ init = "glorot_uniform" }), (2 / 192) ^ 0.5, 3e-3)
  near(std(values{ init = "he_normal" }), 0.8796 * (2 / 64) ^ 0.5, 5e-3)
end)

test("rows of a parameter: an embedding", function()
  local words = nn.parameter{ init = lurcher.tensor{ { 1, 2 }, { 3, 4 }, { 5, 6 } }, name = "words" }
  local word, x = nn.index "word", nn.input("x", 2)
  local model = nn.model{ y = nn.gather(words, word) + x }
  local run <close> = squares(model, "cpu", 1)
  local batch = { word = lurcher.tensor{ 2, 0, 2 }:cast "i32", x = lurcher.zeros(3, 2) }
  near(run:predict(batch).y, { { 5, 6 }, { 1, 2 }, { 5, 6 } })
  batch.y = lurcher.tensor{ { 5, 6 }, { 0, 2 }, { 5, 9 } }
  run:train(batch) -- dy = (y - target) / 3
  near(words.layer:weights().value, { { 1 - 1 / 3, 2 }, { 3, 4 }, { 5, 7 } }, 1e-6)
  raises("row 0 holds 3 %(0 to 2 expected%)", run.predict, run,
    { word = lurcher.tensor{ 3 }:cast "i32", x = lurcher.zeros(1, 2) })
end)

test("a comparison stops gradients, where selects them", function()
  local a, b = nn.parameter{ { 3 }, 1, name = "a" }, nn.parameter{ { 3 }, 2, name = "b" }
  local x = nn.input("x", 3)
  local model = nn.model{ y = nn.where(nn.gt(x, 0), a * x, b * x) }
  local run <close> = squares(model, "cpu", 3)
  run:train{ x = { { 1, -1, 2 } }, y = { { 0, 0, 0 } } } -- dy = 2 y / 3
  near(a.layer:weights().value, { 1 - 2, 1, 1 - 8 }, 1e-5)
  near(b.layer:weights().value, { 2, 2 - 4, 2 }, 1e-5)
end)

local function restore(model, weights)
  for _, layer in ipairs(model.layers) do
    for name in pairs(layer:weights()) do layer:set_weight(name, weights[layer.name .. "/" .. name]) end
  end
end

--- The slope of the run's loss along element i of a weight, by finite differences.
local function slope(run, batch, layer, name, i)
  local weight, step = layer:weights()[name], 1e-2
  local values = weight:reshape(-1):clone()
  local function loss(change)
    local moved = values:clone()
    moved:set(moved[i] + change, i)
    layer:set_weight(name, moved:reshape(table.unpack(weight.shape)))
    return run:evaluate(batch).loss
  end
  local result = (loss(step) - loss(-step)) / (2 * step)
  layer:set_weight(name, values:reshape(table.unpack(weight.shape)))
  return result
end

--- One step of SGD with learning rate 1 subtracts the gradient from each weight.
local function check_gradients_on(device, model, batch)
  local run <close> = squares(model, device, 1)
  local before, checked = harness.weights(model), 0
  run:train(batch)
  local after = harness.weights(model)
  restore(model, before)
  for _, layer in ipairs(model.layers) do
    for name in pairs(layer:weights()) do
      local key = layer.name .. "/" .. name
      local old, new = before[key]:reshape(-1), after[key]:reshape(-1)
      for i = 1, #old, math.max(1, #old // 6) do
        local want, got = slope(run, batch, layer, name, i), old[i] - new[i]
        assert(math.abs(got - want) <= 2e-3 * (1 + math.abs(want)),
          ("%s: %s element %d has gradient %s, differences give %s"):format(device, key, i, got, want))
        checked = checked + 1
      end
    end
  end
  assert(checked > 0)
end

local function check_gradients(model, batch)
  for _, device in ipairs{ "ref", "cpu" } do check_gradients_on(device, model, batch) end
end

test("squeeze and excitation", function()
  lurcher.seed(3)
  local x = nn.input("x", 4, 4, 8)
  local pooled = nn.reshape(1, 1, 8)(nn.global_avg_pool(x))
  local scale = nn.dense{ 8, activation = "hard_sigmoid" }(nn.dense{ 2, activation = "silu" }(pooled))
  local y = nn.dense{ 2 }(nn.global_avg_pool(nn.hard_swish(x * scale)))
  check_gradients(nn.model{ y = y }, { x = lurcher.normal{ 3, 4, 4, 8 }, y = lurcher.normal{ 3, 2 } })
end)

test("GeM pooling with a learned exponent", function()
  lurcher.seed(4)
  local x, p = nn.input("x", 3, 3, 4), nn.parameter{ { 1 }, 3, name = "p" }
  local mean = nn.global_avg_pool(nn.maximum(x, 1e-6) ^ p)
  local y = nn.dense{ 2 }(mean ^ (1 / p))
  check_gradients(nn.model{ y = y }, { x = lurcher.uniform{ 3, 3, 3, 4 } + 0.5, y = lurcher.normal{ 3, 2 } })
end)

test("layer scale, a residual and a position table", function()
  lurcher.seed(5)
  local x = nn.input("x", 5, 6)
  local tokens = x + nn.parameter{ { 5, 6 }, "normal", name = "positions" }
  local scaled = tokens + nn.dense{ 6, activation = "gelu" }(tokens) * nn.parameter{ { 6 }, 0.1, name = "scale" }
  local model = nn.model{ y = nn.dense{ 3 }(nn.flatten(scaled)) }
  check_gradients(model, { x = lurcher.normal{ 4, 5, 6 }, y = lurcher.normal{ 4, 3 } })
end)

test("what is frozen, with parameters", function()
  local frozen = require "lurcher.frozen"
  local x = nn.input("x", 4)
  local mean = nn.parameter{ { 4 }, 0.5, name = "mean", trainable = false }
  local backbone = nn.dense{ 5, name = "backbone", trainable = false }((x - mean) * 2)
  local model = nn.model{ y = nn.dense{ 2, name = "head" }(backbone * nn.parameter{ { 5 }, 1, name = "gain" }) }
  assert(table.concat((model:frozen "x"), " ") == "backbone")
  local split = assert(frozen.split(model, "x"))
  local whole <close> = model:compile{ device = "cpu" }
  local first <close> = split.backbone:compile{ device = "cpu" }
  local second <close> = split.head:compile{ device = "cpu" }
  local batch = { x = lurcher.normal{ 3, 4 } }
  near(second:predict{ features = first:predict(batch).backbone }.y, whole:predict(batch).y, 1e-6)
end)

test("a model applied twice shares its parameters", function()
  local x = nn.input("x", 2)
  local model = nn.model{ y = x * nn.parameter{ { 2 }, 3, name = "p" } }
  local a = nn.input("a", 2)
  local twice = nn.model{ y = model(model(a)) }
  local run <close> = twice:compile{ device = "cpu" }
  near(run:predict{ a = { { 1, 2 } } }.y, { { 9, 18 } })
  assert(twice:parameters() == 2)
end)

test("checkpoints, freezing and decay of parameters", function()
  local x = nn.input("x", 2)
  local p = nn.parameter{ { 2 }, 1, name = "p", decay = true }
  local q = nn.parameter{ { 2 }, 1, name = "q" }
  local model = nn.model{ y = x * 0 + p * 0 + q * 0 }
  local run <close> = model:compile{ device = "cpu", loss = { y = "mean_squared_error" },
    optimizer = optim.sgd{ lr = 0.5, weight_decay = 0.5 } }
  local batch = { x = { { 0, 0 } }, y = { { 0, 0 } } }
  run:train(batch)
  near(p.layer:weights().value, { 0.75, 0.75 })
  near(q.layer:weights().value, { 1, 1 })
  local path = harness.folder "parameters" .. "/c.safetensors"
  assert(run:save(path))
  local loaded = assert(nn.load(path))
  near(loaded:layer("p"):weights().value, { 0.75, 0.75 })
  p.layer:freeze()
  run:recompile{}
  run:train(batch)
  near(p.layer:weights().value, { 0.75, 0.75 })
end)

harness.finish()
