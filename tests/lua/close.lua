--- Tests of lifetimes: every handle can be closed more than once, and using it afterwards is an error.
local harness = require "harness"
local lurcher = require "lurcher"
local nn, optim = lurcher.nn, lurcher.optim
local test, raises = harness.test, harness.raises

--- One open handle of each class.
local function one_of_each()
  local x = nn.input("x", 4)
  local layer = nn.dense{ 2, name = "y" }
  local y = layer(x)
  local model = nn.model(y)
  return {
    tensor = lurcher.zeros(2), device = lurcher.device "cpu", node = x, layer = layer, model = model,
    optimizer = optim.sgd{}, run = model:compile{ loss = "mean_squared_error", optimizer = "sgd" },
  }
end

test("close is idempotent, and use after it raises", function()
  for class, handle in pairs(one_of_each()) do
    assert(tostring(handle) ~= nil)
    handle:close()
    handle:close()
    assert(tostring(handle):find "%(closed%)", class)
    raises("attempt to use a closed lurcher." .. class, function()
      if class == "node" then return handle + 1 end
      if class == "layer" then return handle:weights() end
      if class == "tensor" then return handle[1] end
      if class == "device" then return handle.name end
      if class == "optimizer" then return handle.kind end
      if class == "run" then return handle:train{} end
      return handle:parameters()
    end)
  end
end)

test("<close> closes at the end of the scope", function()
  local before = lurcher.handles()
  do
    local t <close> = lurcher.zeros(2)
    local u <close> = t:view(1, 2)
    assert(lurcher.handles() == before + 2 and u)
  end
  assert(lurcher.handles() == before)
end)

test("a failed constructor leaves nothing open", function()
  collectgarbage()
  collectgarbage()
  local before = lurcher.handles()
  for _ = 1, 20 do
    pcall(lurcher.tensor, { { 1, 2 }, { 3 } })
    pcall(nn.dense, { -1 })
    pcall(nn.conv2d, { 1, 2, 3, 4, 5, 6, 7, 8, 9 })
    pcall(nn.model, { y = 1 })
    pcall(lurcher.device, "toaster")
    nn.load "/nowhere"
  end
  collectgarbage()
  collectgarbage()
  assert(lurcher.handles() == before)
end)

test("objects hold what they need: the order of closing does not matter", function()
  local all = one_of_each()
  all.model:close()
  all.layer:close()
  all.node:close()
  all.optimizer:close()
  local result = all.run:train{ x = lurcher.ones(3, 4), y = lurcher.ones(3, 2) }
  assert(result.loss >= 0 and result.samples == 3)
  local t = lurcher.range(4)
  local view = t:view(2, 2)
  t:close()
  assert(view:get(2, 2) == 3)
end)

test("handles of one object are equal", function()
  local all = one_of_each()
  assert(all.run.model == all.model and all.model:layer "y" == all.layer and all.model.layers[2] == all.layer)
  assert(all.layer ~= all.model and all.tensor ~= lurcher.zeros(2))
end)

test("a foreign value is an error that names its type", function()
  raises("lurcher.tensor expected, got no value", lurcher.zeros(1).sum)
  raises("lurcher.tensor expected, got FILE", lurcher.zeros(1).close and lurcher.zeros(1).sum, io.stdout)
  raises("expected, got FILE", lurcher.zeros(1).close, io.stdout)
  raises("expected, got lurcher.layer", lurcher.zeros(1).clone, nn.dense{ 1 })
end)

test("the collector runs at every step of a training", function()
  local pause, multiplier = collectgarbage("setpause", 0), collectgarbage("setstepmul", 1000000)
  for _ = 1, 20 do
    local all = one_of_each()
    local a = lurcher.uniform{ 4, 4 }
    local b = (a + 1):matmul(a):sum(1):view(2, 2)
    local out = all.run:predict{ x = a }
    assert(out.y.shape[1] == 4 and b.count == 4)
    all.run:train{ x = { { 1, 2, 3, 4 } }, y = { { 1, 2 } } }
  end
  collectgarbage("setpause", pause)
  collectgarbage("setstepmul", multiplier)
end)

test("out of memory: an error, and the session continues", function()
  raises("memory", function() return lurcher.zeros(1000000, 1000000) end)
  assert(lurcher.ones(3):sum() == 3)
end)
