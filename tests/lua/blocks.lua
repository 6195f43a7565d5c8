--- Tests of what papers are made of, written as their readers would write it: blocks of layers and losses as functions
-- of nodes, each checked against finite differences and trained for a few steps. LURCHER_TEST_DEVICE names the device
-- (default: cpu).
local harness = require "harness"
local lurcher = require "lurcher"
local nn, optim = lurcher.nn, lurcher.optim
local test = harness.test

local device = os.getenv "LURCHER_TEST_DEVICE" or "cpu"
local classes = 4

--- Images of size x size x 3 whose class is the corner that is bright.
local function images(rows, size)
  lurcher.seed(11)
  local x, y = lurcher.normal{ rows, size, size, 3, std = 0.3 }, { dtype = "i32" }
  local half = size // 2
  for i = 1, rows do
    local class = (i - 1) % classes
    local top, left = class // 2 * half, class % 2 * half
    for r = 1, half do
      for c = 1, half do x:set(x:get(i, top + r, left + c, 1) + 1, i, top + r, left + c, 1) end
    end
    y[i] = class
  end
  return { x = x, y = lurcher.tensor(y) }
end

--- Checks the gradients of a classifier's run, trains it, and checks that it has learned.
local function check(model, batch, options)
  local run <close> = model:compile{ device = device, optimizer = optim.adam(options.lr or 0.01), loss = options.loss
    or "crossentropy", weight = options.weight }
  local first = run:evaluate(batch)
  assert(harness.check_gradients(run, batch, options) >= options.weights)
  for _ = 1, options.steps or 25 do run:train(batch) end
  local last = run:evaluate(batch)
  assert(last.loss < 0.7 * first.loss, lurcher.format("loss %.4f, then %.4f", first.loss, last.loss))
  return last
end

local function classifier(features)
  return nn.model{ y = nn.dense{ classes, activation = "softmax", name = "head" }(features) }
end

-- ---- blocks ----

--- Squeeze and excitation (Hu et al., "Squeeze-and-excitation networks", 2018): channels weighted by what the whole
-- image holds.
local function squeeze_excite(x, ratio)
  local channels = x.shape[3]
  local s = nn.dense{ channels // ratio, activation = "relu" }(nn.global_avg_pool()(x))
  return x * nn.reshape(1, 1, channels)(nn.dense{ channels, activation = "sigmoid" }(s))
end

test("squeeze and excitation", function()
  lurcher.seed(3)
  local x = nn.conv2d{ 8, 3, stride = 2, padding = "same", activation = "tanh", name = "stem" }(nn.input("x", 8, 8, 3))
  local model = classifier(nn.flatten()(squeeze_excite(x, 2)))
  check(model, images(12, 8), { weights = 8 })
end)

--- Generalised mean pooling with a learned exponent (Radenovic et al., "Fine-tuning CNN image retrieval with no human
-- annotation", 2019, equation 3).
local function gem(x)
  local p = nn.parameter{ shape = { 1 }, init = 3, name = "exponent" }
  local mean = nn.reduce{ "mean", axis = { 1, 2 } }(nn.maximum(x, 1e-6)^p)
  return mean^(1 / p)
end

test("GeM pooling", function()
  lurcher.seed(3)
  local x = nn.conv2d{ 8, 3, padding = "same", activation = "sigmoid", name = "stem" }(nn.input("x", 8, 8, 3))
  check(classifier(gem(nn.avg_pool{ 4 }(x))), images(12, 8), { weights = 5, lr = 0.1, steps = 60 })
end)

--- Attention with several heads (Vaswani et al., "Attention is all you need", 2017, section 3.2): tokens of t x d.
local function attention(x, heads)
  local t, d = x.shape[1], x.shape[2]
  local function split(name) -- heads x t x d / heads
    return nn.permute{ { 2, 1, 3 } }(nn.reshape(t, heads, d // heads)(nn.dense{ d, name = name }(x)))
  end
  local q, k, v = split "query", split "key", split "value"
  local scores = nn.matmul{ q, k, transpose_b = true } / math.sqrt(d // heads)
  local mixed = nn.matmul(nn.softmax()(scores), v)
  return nn.dense{ d, name = "out" }(nn.reshape(t, d)(nn.permute{ { 2, 1, 3 } }(mixed)))
end

test("multi-head attention", function()
  lurcher.seed(3)
  local tokens = nn.reshape(16, 12)(nn.input("x", 8, 8, 3)) -- not patches, but parts of rows
  local model = classifier(nn.flatten()(attention(tokens, 3)))
  -- A bias of the keys adds one number to all scores of a query, which a softmax does not see.
  check(model, images(12, 8), { weights = 9, skip = { ["key/bias"] = true } })
end)

--- A small vision transformer (Dosovitskiy et al., "An image is worth 16x16 words", 2021): pre-norm, with the mean of
-- the tokens as features.
local function vit(x, o)
  local function block(tokens, i)
    local function dense(units, name, activation)
      return nn.dense{ units, activation = activation or "linear", name = ("%s_%d"):format(name, i) }
    end
    local t, d = tokens.shape[1], tokens.shape[2]
    local function heads(y) return nn.permute{ { 2, 1, 3 } }(nn.reshape(t, o.heads, d // o.heads)(y)) end
    local n = nn.layernorm()(tokens)
    local scores = nn.matmul{ heads(dense(d, "query")(n)), heads(dense(d, "key")(n)), transpose_b = true }
    local mixed = nn.matmul(nn.softmax()(scores / math.sqrt(d // o.heads)), heads(dense(d, "value")(n)))
    local y = tokens + dense(d, "out")(nn.reshape(t, d)(nn.permute{ { 2, 1, 3 } }(mixed)))
    return y + dense(d, "mlp_2")(dense(2 * d, "mlp_1", "gelu")(nn.layernorm()(y)))
  end
  local patches = nn.conv2d{ o.width, o.patch, stride = o.patch, name = "patches" }(x)
  local t = patches.shape[1] * patches.shape[2]
  local tokens = nn.reshape(t, o.width)(patches)
  tokens = tokens + nn.parameter{ shape = { t, o.width }, init = "normal", name = "position" }
  for i = 1, o.depth do tokens = block(tokens, i) end
  return nn.reduce{ "mean", axis = 1 }(nn.layernorm()(tokens))
end

test("a small ViT", function()
  lurcher.seed(3)
  local model = classifier(vit(nn.input("x", 8, 8, 3), { patch = 4, width = 12, heads = 3, depth = 2 }))
  local last = check(model, images(12, 8), { weights = 35, steps = 30, skip = { ["key_1/bias"] = true,
    ["key_2/bias"] = true } })
  assert(last.acc > 0.9, tostring(last.acc))
end)

-- ---- losses ----

--- log(softmax(x)), which is finite wherever x is.
local function log_softmax(x)
  local y = x - nn.reduce{ "max", keep = true }(x)
  return y - nn.activation{ "log" }(nn.reduce{ "sum", keep = true }(nn.activation{ "exp" }(y)))
end

test("cross entropy of logits as a function of nodes", function()
  lurcher.seed(3)
  local x = nn.flatten()(nn.input("x", 8, 8, 3))
  local model = nn.model{ y = nn.dense{ classes, name = "head" }(x) * 200 } -- a softmax of them has zeros
  local batch = images(12, 8)
  local run <close> = model:compile{ device = device, loss = function(logits, target)
    return -nn.reduce{ "sum" }(nn.one_hot(target, classes) * log_softmax(logits))
  end }
  local y, want = run:predict(batch).y, 0
  for i = 1, 12 do
    local row, top = y[i]:totable(), -math.huge
    for _, v in ipairs(row) do top = math.max(top, v) end
    local sum = 0
    for _, v in ipairs(row) do sum = sum + math.exp(v - top) end
    want = want + top + math.log(sum) - row[batch.y:get(i) + 1]
  end
  harness.near(run:evaluate(batch).loss, want / 12, 1e-4)
end)

--- ArcFace (Deng et al., "ArcFace: additive angular margin loss for deep face recognition", 2019, equation 3): a margin
-- m is added to the angle between an embedding and the centre of its class; s scales the cosines.
local function arcface(s, m)
  return function(cosines, target)
    local truth = nn.one_hot(target, classes)
    local sines = nn.activation{ "sqrt" }(nn.maximum(1 - cosines^2, 1e-9))
    local logits = s * (cosines + truth * (cosines * math.cos(m) - sines * math.sin(m) - cosines))
    return -nn.reduce{ "sum" }(truth * log_softmax(logits))
  end
end

test("ArcFace", function()
  lurcher.seed(3)
  local x = nn.dense{ 8, name = "embedding" }(nn.flatten()(nn.input("x", 8, 8, 3)))
  local centres = nn.normalize()(nn.parameter{ shape = { classes, 8 }, init = "normal", name = "centres" })
  local cosines = nn.reshape(classes)(nn.matmul{ nn.reshape(1, 8)(nn.normalize()(x)), centres, transpose_b = true })
  local last = check(nn.model{ y = cosines }, images(12, 8), { weights = 3, loss = arcface(8, 0.3), step = 3e-3 })
  assert(last.acc > 0.9, tostring(last.acc))
end)

--- Center loss (Wen et al., "A discriminative feature learning approach for deep face recognition", 2016, equation 2);
-- the centres are weights of the loss and learn with the rest.
local function center_loss(features, target)
  local centres = nn.parameter{ shape = { classes, features.shape[1] }, init = "normal", name = "centres" }
  return nn.reduce{ "sum" }((features - nn.gather(centres, target))^2) / 2
end

test("center loss", function()
  lurcher.seed(3)
  local features = nn.dense{ 6, activation = "tanh", name = "features" }(nn.flatten()(nn.input("x", 8, 8, 3)))
  local model = nn.model{ features = features,
    y = nn.dense{ classes, activation = "softmax", name = "head" }(features) }
  local batch = images(12, 8)
  batch.features = batch.y
  local last = check(model, batch, { weights = 5, loss = { y = "crossentropy", features = center_loss },
    weight = { features = 0.1 } })
  assert(last.features_loss < 2 and last.y_acc > 0.9 and not last.features_acc)
end)
