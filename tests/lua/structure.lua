--- Tests of the layers that change the shape (matmul, permute, slice, pad, reduce, upsample) and of layernorm and
--- groupnorm, and a block of attention made of them.
local harness = require "harness"
local lurcher = require "lurcher"
local nn = lurcher.nn
local test, near, raises = harness.test, harness.near, harness.raises

--- Runs the model of one input and one output on both devices and compares with the expected numbers.
local function computes(layer, shape, x, expected, tolerance)
  local input = nn.input("x", table.unpack(shape))
  local model = nn.model{ y = layer(input) }
  for _, device in ipairs{ "ref", "cpu" } do
    local run <close> = model:compile{ device = device, check = true }
    local y = run:predict{ x = lurcher.tensor(x):reshape(1, table.unpack(shape)) }.y
    near(y:totable()[1], expected, tolerance or 1e-6)
  end
end

test("permute, slice, pad: elements count from 1, ends are included", function()
  local x = { 1, 2, 3, 4, 5, 6 }
  computes(nn.permute{ { 2, 1 } }, { 2, 3 }, x, { { 1, 4 }, { 2, 5 }, { 3, 6 } })
  computes(nn.slice{ { 2, -2 } }, { 2, 3 }, x, { { 5, 6 } })
  computes(nn.slice{ axis = -1, to = 2 }, { 2, 3 }, x, { { 1, 2 }, { 4, 5 } })
  computes(nn.slice{ axis = 1, from = -1 }, { 2, 3 }, x, { { 4, 5, 6 } })
  computes(nn.pad(1), { 1, 2 }, { 1, 2 }, { { 0, 0 }, { 1, 2 }, { 0, 0 } })
  computes(nn.pad{ { 0, 0 }, { 1, 1 }, value = 7 }, { 1, 2 }, { 1, 2 }, { { 1, 2, 7 }, { 7, 7, 7 } })
  near(nn.pad{ 3 }(nn.input("image", 8, 9, 3)).shape, { 14, 15, 3 })
  raises("slice 'part': from 4 to %-1 along dimension 1, which has 3 elements",
    nn.slice{ { 4 }, name = "part" }, nn.input("v", 3))
end)

test("reduce over several axes; op is another name of function", function()
  local x = { 1, 2, 3, 4, 5, 6, 7, 8 }
  computes(nn.reduce{ op = "sum", axis = { 1, -1 } }, { 2, 2, 2 }, x, { 14, 22 })
  computes(nn.reduce{ op = "max", axis = { 1, 2 }, keep = true }, { 2, 2, 2 }, x, { { { 7, 8 } } })
  computes(nn.reduce{ "mean", { 2, 3 } }, { 2, 2, 2 }, x, { 2.5, 6.5 })
  computes(nn.reduce{ op = "var", axis = 0 }, { 2, 2, 2 }, x, 5.25)
  computes(nn.reduce{ op = "var", axis = { 1, 2 } }, { 2, 2, 2 }, { 1001, 2, 1003, 2, 1005, 2, 1007, 2 }, { 5, 0 })
  raises("reduce 'r': axis 3 of samples of 2 dimensions", nn.reduce{ "sum", { 1, 3 }, name = "r" },
    nn.input("m", 2, 2))
  raises("option 'function' to 'reduce' is given twice", nn.reduce, { "sum", op = "sum" })
end)

test("layernorm, groupnorm: Keras's formulas", function()
  computes(nn.layernorm{ epsilon = 1e-9 }, { 2, 2 }, { 1, 3, 2, 6 }, { { -1, 1 }, { -1, 1 } })
  local r = 1 / math.sqrt(6) -- 1, 3, 5 and 7 have the variance 5
  computes(nn.groupnorm{ 2, epsilon = 1 }, { 2, 4 }, { 1, 3, 2, 2, 5, 7, 2, 2 },
    { { -3 * r, -r, 0, 0 }, { r, 3 * r, 0, 0 } })
  local layer = nn.layernorm{ scale = false }
  layer(nn.input("x", 5))
  assert(layer:weights().beta and not layer:weights().gamma)
  raises("groupnorm 'g': 6 channels cannot be divided into 4 groups", nn.groupnorm{ 4, name = "g" },
    nn.input("x", 2, 6))
end)

test("upsample: nearest and bilinear, by a factor or to a size", function()
  computes(nn.upsample(2), { 1, 2, 1 }, { 1, 3 },
    { { { 1 }, { 1 }, { 3 }, { 3 } }, { { 1 }, { 1 }, { 3 }, { 3 } } })
  computes(nn.upsample{ { 1, 2 }, "bilinear" }, { 1, 2, 1 }, { 1, 3 }, { { { 1 }, { 1.5 }, { 2.5 }, { 3 } } })
  computes(nn.upsample{ size = { 1, 3 }, interpolation = "bilinear" }, { 1, 2, 1 }, { 1, 3 },
    { { { 1 }, { 2 }, { 3 } } })
end)

test("matmul: batches, and a factor with fewer dimensions", function()
  local a, b = nn.input("a", 2, 2), nn.input("b", 2, 2)
  local model = nn.model{ ab = nn.matmul(a, b), abt = nn.matmul{ a, b, transpose_b = true } }
  local batch = { a = lurcher.tensor{ { { 1, 2 }, { 3, 4 } }, { { 1, 0 }, { 0, 2 } } },
    b = lurcher.tensor{ { { 1, 1 }, { 0, 1 } }, { { 5, 6 }, { 7, 8 } } } }
  for _, device in ipairs{ "ref", "cpu" } do
    local run <close> = model:compile{ device = device, check = true }
    local got = run:predict(batch)
    near(got.ab:totable(), { { { 1, 3 }, { 3, 7 } }, { { 5, 6 }, { 14, 16 } } })
    near(got.abt:totable(), { { { 3, 2 }, { 7, 4 } }, { { 5, 7 }, { 12, 16 } } })
  end
  near(nn.matmul(nn.input("p", 4, 3, 2), nn.input("q", 2, 5)).shape, { 4, 3, 5 })
  raises("matmul 'm': input 1 is 2x2 per sample, input 2 is 3x2 %(the columns of input 1", nn.matmul{ name = "m" }, a,
    nn.input("r", 3, 2))
  raises("at least 2 dimensions each expected", nn.matmul, a, nn.input("v", 2))
end)

--- Multi-head attention (Vaswani et al., "Attention is all you need", 2017, section 3.2.2) of the tokens of x.
local function attention(x, heads, name)
  local tokens, width = x.shape[1], x.shape[2]
  local function split(y) return nn.permute{ { 2, 1, 3 } }(nn.reshape{ tokens, heads, width // heads }(y)) end
  local q, k, v = split(nn.dense{ width, name = name }(x)), split(nn.dense(width)(x)), split(nn.dense(width)(x))
  local weights = nn.softmax()(nn.matmul{ q, k, transpose_b = true } * (width // heads) ^ -0.5)
  return nn.dense(width)(nn.reshape{ tokens, width }(nn.permute{ { 2, 1, 3 } }(nn.matmul(weights, v))))
end

--- A classifier of 5 tokens of 8 numbers, and a batch for it.
local function transformer()
  lurcher.seed(5)
  local x = nn.input("x", 5, 8)
  local hidden = x + attention(nn.layernorm{ epsilon = 1e-6, name = "norm" }(x), 2, "q")
  local first = nn.reshape{ 8 }(nn.slice{ axis = 1, to = 1 }(hidden)) + nn.reduce{ op = "mean", axis = 1 }(hidden)
  return nn.model{ class = nn.dense{ 3, activation = "softmax" }(first) },
    { x = lurcher.normal{ 4, 5, 8 }, class = lurcher.tensor{ 0, 1, 2, 1 }:cast "i32" }
end

test("multi-head attention is trained on ref and on cpu to the same losses", function()
  local model, batch = transformer()
  local text, losses = model:json(), {}
  for _, device in ipairs{ "ref", "cpu" } do
    lurcher.seed(7)
    local run <close> = nn.from_json(text):compile{ device = device, loss = "categorical_crossentropy",
      optimizer = "sgd", check = true }
    losses[device] = {}
    for step = 1, 4 do losses[device][step] = run:train(batch).loss end
    assert(losses[device][4] < losses[device][1])
  end
  near(losses.cpu, losses.ref, 1e-5)
end)

test("gradients through attention and layernorm agree with finite differences", function()
  local model, batch = transformer()
  local run <close> = model:compile{ device = "ref", loss = "categorical_crossentropy", optimizer = "sgd" }
  run:zero_gradients():accumulate(batch)
  for _, at in ipairs{ { "q", "kernel" }, { "norm", "gamma" } } do
    local gradient = run:gradient(at[1], at[2])
    local weight, flat = model:layer(at[1]):weights()[at[2]], gradient:view(gradient.count):totable()
    local start = weight:clone()
    for _, i in ipairs{ 1, 4, 7 } do
      local losses = {}
      for side = -1, 1, 2 do
        local values = start:view(start.count):totable()
        values[i] = values[i] + side / 64
        model:layer(at[1]):set_weight(at[2], lurcher.tensor(values):reshape(table.unpack(start.shape)))
        losses[side] = run:evaluate(batch).loss
      end
      near((losses[1] - losses[-1]) * 32, flat[i], 2e-4)
    end
    model:layer(at[1]):set_weight(at[2], start)
  end
end)

--- A vision transformer (Dosovitskiy et al., "An image is worth 16x16 words", 2021).
local function vit(image, width, depth, heads, patch)
  local grid = nn.conv2d{ width, patch, stride = patch }(image)
  local patches = grid.shape[1] * grid.shape[2]
  local token = nn.parameter{ shape = { 1, width } }
  local position = nn.parameter{ shape = { patches + 1, width }, init = "normal", init_deviation = 0.02 }
  local x = nn.concat{ token, nn.reshape{ patches, width }(grid), axis = 1 } + position
  for _ = 1, depth do
    x = x + attention(nn.layernorm(1e-6)(x), heads)
    x = x + nn.dense(width)(nn.dense{ 2 * width, activation = "gelu" }(nn.layernorm(1e-6)(x)))
  end
  return nn.flatten()(nn.slice{ nn.layernorm(1e-6)(x), axis = 1, to = 1 })
end

test("a small ViT: the same losses on ref and on cpu, and after a checkpoint", function()
  lurcher.seed(11)
  local image = nn.input("image", 12, 12, 3)
  local text = nn.model{ class = nn.dense{ 3, activation = "softmax" }(vit(image, 16, 2, 4, 4)) }:json()
  local batch = { image = lurcher.uniform{ 6, 12, 12, 3 }, class = lurcher.tensor{ 0, 1, 2, 0, 1, 2 }:cast "i32" }
  local path, losses = harness.folder "vit" .. "/vit.safetensors", {}
  local options = { loss = "categorical_crossentropy", optimizer = lurcher.optim.adam{ lr = 0.01 }, check = true }
  for _, device in ipairs{ "ref", "cpu" } do
    lurcher.seed(12)
    options.device, losses[device] = device, {}
    local run <close> = nn.from_json(text):compile(options)
    for step = 1, 6 do
      losses[device][step] = run:train(batch).loss
      if step == 3 then assert(run:save(path)) end
    end
    local again <close> = nn.from_json(text):compile(options)
    assert(again:restore(path))
    for step = 4, 6 do assert(again:train(batch).loss == losses[device][step]) end
    assert(losses[device][6] < losses[device][1])
  end
  near(losses.cpu, losses.ref, 1e-3)
end)

test("a small ViT trains to the same losses without the passes over its plan", function()
  lurcher.seed(11)
  local features = vit(nn.input("image", 12, 12, 3), 16, 1, 2, 4)
  local text = nn.model{ class = nn.dense{ 3, activation = "softmax" }(nn.groupnorm{ 4 }(features)) }:json()
  local batch = { image = lurcher.uniform{ 6, 12, 12, 3 }, class = lurcher.tensor{ 0, 1, 2, 0, 1, 2 }:cast "i32" }
  local losses = {}
  for _, on in ipairs{ true, false } do
    lurcher.seed(12)
    local run <close> = nn.from_json(text):compile{ device = "cpu", loss = "categorical_crossentropy",
      optimizer = "sgd", passes = { prune = on, fold = on, lifetimes = on, arena = on } }
    losses[on] = {}
    for step = 1, 3 do losses[on][step] = run:train(batch).loss end
  end
  near(losses[true], losses[false], 1e-6)
end)

test("matmul and concat repeat a parameter for every sample, and its gradient is the sum", function()
  lurcher.seed(3)
  local x = nn.input("x", 3, 2)
  local token = nn.parameter{ shape = { 1, 2 }, init = "ones", name = "token" }
  local factor = nn.parameter{ shape = { 2, 2 }, init = "ones", name = "factor" }
  local product = nn.matmul(nn.concat{ token, x, axis = 1 }, factor)
  local model = nn.model{ y = product }
  near(product.shape, { 4, 2 })
  for _, device in ipairs{ "ref", "cpu" } do
    local run <close> = model:compile{ device = device, check = true }
    for rows = 1, 3, 2 do -- a plan for each batch size; one row is no special case
      local batch = lurcher.ones(rows, 3, 2)
      near(run:forward({ x = batch }, { training = true }).y, lurcher.full({ rows, 4, 2 }, 2))
      run:zero_gradients():backward{ y = lurcher.ones(rows, 4, 2) }
      near(run:gradient("token", "value"), lurcher.full({ 1, 2 }, 2 * rows))
      near(run:gradient("factor", "value"), lurcher.full({ 2, 2 }, 4 * rows))
    end
  end
end)

test("inputs with different numbers of rows stay an error for matmul and concat", function()
  for _, kind in ipairs{ "matmul", "concat" } do
    local a, b = nn.input("a", 2, 2), nn.input("b", 2, 2)
    local run <close> = nn.model{ y = nn[kind](a, b) }:compile{ device = "cpu" }
    raises(kind .. ".*input 1 has 1 rows, input 2 has 3", run.predict, run,
      { a = lurcher.ones(1, 2, 2), b = lurcher.ones(3, 2, 2) })
  end
end)
