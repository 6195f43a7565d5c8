--- Tests of lurcher.temperature: it recovers the temperature with which the classes were drawn.
local harness = require "harness"
local lurcher = require "lurcher"
local temperature = require "lurcher.temperature"
local nn = lurcher.nn
local test, near = harness.test, harness.near

--- Probabilities of c classes for n rows, and classes drawn from them.
local function drawn(n, c)
  lurcher.seed(5)
  local logits = lurcher.normal{ n, c } * 2
  local p, random, ids = logits:softmax():totable(), lurcher.data.random(7, 0), {}
  for i, row in ipairs(p) do
    local u, at = random:unit(), 1
    while u >= row[at] and at < c do u, at = u - row[at], at + 1 end
    ids[i] = at - 1
  end
  return logits, lurcher.tensor(ids):cast "i32"
end

test("temperature: calibrated probabilities give 1; divided logits give the divisor", function()
  local logits, ids = drawn(4000, 5)
  near(temperature.fit(logits:softmax(), ids), 1, 0.05)
  local at_one = temperature.fit(logits:softmax(), ids)
  for _, t in ipairs{ 0.25, 3 } do
    near(temperature.fit((logits * t):softmax(), ids) / t, at_one, 2e-3)
  end
end)

test("temperature: the result has the least log-loss, and is limited, without errors, at both ends", function()
  local logits, ids = drawn(300, 4)
  local t = temperature.fit((logits * 1.7):softmax(), ids)
  local function loss(at) return lurcher.log_loss((logits * 1.7 / at):softmax(), ids) end
  assert(loss(t) <= loss(t * 1.01) and loss(t) <= loss(t / 1.01))
  local sure = lurcher.tensor{ { 0.6, 0.4 }, { 0.3, 0.7 } }
  near(temperature.fit(sure, lurcher.tensor{ 0, 1 }:cast "i32"), 1 / 20, 1e-3)
  near(temperature.fit(sure, lurcher.tensor{ 1, 0 }:cast "i32"), 20, 0.1)
end)

test("temperature: a layer's softmax is that of its logits over t", function()
  lurcher.seed(2)
  local head = nn.dense{ 3, activation = "softmax", name = "head" }
  local model = nn.model{ y = head(nn.input("x", 4)) }
  local x = lurcher.normal{ 6, 4 }
  local run <close> = model:compile{ device = "cpu" }
  head:weights().bias:copy(lurcher.tensor{ 0.5, -1, 2 })
  local before = run:predict{ x = x }.y
  temperature.apply(head, 2.5)
  near((run:predict{ x = x }.y - (before:log() / 2.5):softmax()):abs():max(), 0, 1e-6)
end)
