--- Tests of layers, nodes, chains and models in Lua.
local harness = require "harness"
local lurcher = require "lurcher"
local nn = lurcher.nn
local test, near, raises = harness.test, harness.near, harness.raises

test("constructors: tables, bare values, lists", function()
  assert(tostring(nn.dense(10)):find "units = 10")
  assert(tostring(nn.dropout(0.5)):find "rate = 0.5")
  assert(tostring(nn.activation "relu"):find "relu")
  assert(tostring(nn.conv2d{ 8, 3, stride = 2 }):find "filters = 8, kernel = {3,3}, stride = {2,2}")
  assert(tostring(nn.conv2d(8, 3)):find "kernel = {3,3}")
  for _, reshape in ipairs{ nn.reshape(2, -1), nn.reshape{ 2, -1 }, nn.reshape{ { 2, -1 } }, nn.reshape{ shape = { 2, -1 } } } do
    near(reshape(nn.input("x", 6)).shape, { 2, 3 })
  end
  local layer = nn.dense{ 3, name = "fc", trainable = false }
  assert(layer.name == "fc" and layer.kind == "dense" and layer.trainable == false)
  layer.trainable = true
  assert(layer:freeze().trainable == false and layer:unfreeze().trainable)
end)

test("every layer kind can be made, and its error messages list its options", function()
  for _, kind in ipairs(nn.kinds()) do
    local options, help = nn.options(kind)
    assert(#options >= 2 and #help > 0, kind)
  end
end)

test("constructors: mistakes name the option", function()
  raises("nn.lua:%d+: unknown option 'strid' to 'conv2d' %(did you mean 'stride'%?%)", function()
    nn.conv2d{ 8, 3, strid = 2 }
  end)
  raises("bad option 'stride' to 'conv2d' %(.-2x", function() nn.conv2d{ 8, 3, stride = "2x" } end)
  raises("'units'", function() nn.dense{} end)
  raises("bad option 'activation' to 'dense'", function() nn.dense{ 3, activation = "rellu" } end)
  raises("got function", function() nn.dense{ print } end)
  raises("no field 'nome'", function() nn.dense{ 3 }.nome = "x" end)
  raises("'name' of a lurcher.layer cannot be assigned", function() nn.dense{ 3 }.name = "x" end)
  raises("unknown layer kind 'conv3d'", nn.options, "conv3d")
end)

test("applying makes nodes; one layer, many nodes", function()
  local a, b = nn.input("a", 4), nn.input{ name = "b", shape = { 4 } }
  local layer = nn.dense{ 2, name = "fc" }
  local fa, fb = layer(a), layer(b)
  near(fa.shape, { 2 })
  assert(fa.name == "fc" and fa.layer == layer and fa ~= fb)
  assert(tostring(fa):find "dense 'fc' 2")
  raises("fc.*got a lurcher.tensor; compile a model", layer, lurcher.zeros(1, 4))
  raises("fc.*nodes, got number", layer, 3)
  raises("fc", layer, nn.input("c", 5))
end)

test("activation gelu: x (1 + erf(x / sqrt 2)) / 2, the default of Keras and PyTorch", function()
  local x = { -3, -1, 0, 0.5, 2 }
  local expected = { -0.00404969409489031, -0.158655253931457, 0, 0.345731230630037, 1.95449973610364 }
  for _, device in ipairs{ "ref", "cpu" } do
    local one = nn.dense{ 1, activation = "gelu" }
    local model = nn.model{ y = nn.activation "gelu"(nn.input("x", 5)),
      z = one(nn.input("w", 1)) }
    one:weights().kernel:fill(2)
    local run <close> = model:compile{ device = device }
    local out = run:predict{ x = { x }, w = { { 1 } } }
    near(out.y, { expected }, 1e-6)
    near(out.z, { { expected[5] } }, 1e-6)
  end
end)

test("merging: constructors on nodes, operators, numbers", function()
  local a, b = nn.input("a", 4), nn.input("b", 4)
  near(nn.add(a, b).shape, { 4 })
  near(nn.add()(a, b).shape, { 4 })
  near(nn.concat{ a, b, axis = 1, name = "both" }.shape, { 8 })
  assert(nn.concat{ a, b, name = "both_2" }.name == "both_2")
  near(nn.gather(a, nn.index "rows").shape, { 4 })
  local model = nn.model{ y = ((a - b) ^ 2 * 3 + 1 - b * a / 2 + -a + (2 - a)) }
  local run <close> = model:compile{ device = "cpu" }
  local x, z = { 1, 2, 3, 4 }, { 4, 3, 2, 1 }
  local want = {}
  for i = 1, 4 do want[i] = (x[i] - z[i]) ^ 2 * 3 + 1 - z[i] * x[i] / 2 - x[i] + (2 - x[i]) end
  near(run:predict{ a = { x }, b = { z } }.y, { want })
  raises("got string as input 2", function() return a + "x" end)
end)

test("chains", function()
  local chain = nn.seq{ nn.dense{ 8, activation = "relu" }, function(x) return x + 1 end, nn.dense{ 3 } }
  near(chain(nn.input("x", 5)).shape, { 3 })
  chain:freeze()
  assert(not chain[1].trainable and not chain[3].trainable)
  chain:unfreeze()
  assert(chain[1].trainable and tostring(chain):find "^nn.seq{ nn.dense")
  raises("at position 2, got number", nn.seq, { nn.dense{ 2 }, 3 })
  raises("empty", nn.seq, {})
end)

--- x -> a_dense -> a_relu -> b_dense -> b_relu -> out
local function build()
  local x = nn.input("x", 4)
  local h = nn.relu{ name = "a_relu" }(nn.dense{ 5, name = "a_dense" }(x))
  h = nn.relu{ name = "b_relu" }(nn.dense{ 6, name = "b_dense" }(h))
  return nn.model{ y = nn.dense{ 2, name = "out" }(h) }
end

local function frozen(model)
  local names = {}
  for _, layer in ipairs(model.layers) do
    if not layer.trainable then names[#names + 1] = layer.name end
  end
  return table.concat(names, " ")
end

test("models: layers, indices, nodes, parameters", function()
  local model = build()
  assert(#model.layers == 6 and model.layers[2].name == "a_dense" and model:index "a_dense" == 1)
  assert(model:index "nothing" == nil and model:layer "out".kind == "dense")
  near(model:node "a_relu".shape, { 5 })
  assert(model.inputs[1] == "x" and model.outputs[1] == "y")
  local total, trainable = model:parameters()
  assert(total == 25 + 36 + 14 and trainable == total)
  raises("no layer 'a_dens' %(did you mean 'a_dense'%?%)", model.layer, model, "a_dens")
  local text = tostring(model)
  assert(text:find "1  a_dense  dense  5%s+25  yes        x\n" and text:find "6 layers, 75 parameters, 75 trainable; outputs: y$", text)
end)

test("models: ways to be made", function()
  local a, b = nn.input("a", 2), nn.input("b", 2)
  local sum = nn.add{ name = "sum" }(a, b)
  assert(nn.model(sum).outputs[1] == "sum")
  local ordered = nn.model{ inputs = { b, a }, outputs = sum }
  assert(ordered.inputs[1] == "b" and ordered.outputs[1] == "sum")
  local two = nn.model{ outputs = { z = sum, a_out = a + 1 } }
  assert(two.outputs[1] == "a_out" and two.outputs[2] == "z")
  local u, v = two(nn.input("c", 2), nn.input("d", 2))
  near(u.shape, { 2 })
  near(v.shape, { 2 })
  near(ordered{ u, v }.shape, { 2 })
  raises("output 'y' must be a node, got 3", nn.model, { y = 3 })
  raises("at least one output", nn.model, {})
  raises("node or table of nodes expected", nn.model, 3)
  raises("unknown option 'input'", nn.model, { input = { a }, outputs = sum })
end)

test("models: freezing", function()
  local model = build()
  assert(model:freeze() == model and frozen(model) == "x a_dense a_relu b_dense b_relu out")
  model:unfreeze{ from = "b_dense" }
  assert(frozen(model) == "x a_dense a_relu")
  model:unfreeze():freeze{ to = "a_relu" }
  assert(frozen(model) == "x a_dense a_relu")
  model:unfreeze():freeze{ below = 2 }
  assert(frozen(model) == "x a_dense")
  model:unfreeze():freeze{ from = 4 }
  assert(frozen(model) == "b_relu out")
  model:unfreeze():freeze{ "b_dense", model:layer "out" }
  assert(frozen(model) == "b_dense out")
  model:unfreeze():freeze(function(layer, index) return layer.kind == "dense" and index < 2 end)
  assert(frozen(model) == "a_dense")
  model:unfreeze():freeze "out"
  assert(frozen(model) == "out" and select(2, model:parameters()) == 61)
  model:unfreeze():freeze{ from = "a", to = "b" }
  assert(frozen(model) == "a_dense a_relu b_dense b_relu")
  model:unfreeze()
  raises("no layer 'nowhere'", model.freeze, model, { "a_dense", "nowhere" })
  assert(frozen(model) == "")
  raises("unknown option 'too' to 'freeze' %(did you mean 'to'%?%)", model.freeze, model, { too = "out" })
  raises("index from 0 to 6", model.freeze, model, { below = 105 })
end)

test("weights: by name, shared, replaced, initialised again", function()
  lurcher.seed(3)
  local layer = nn.dense{ 2, name = "weights_test" }
  assert(next(layer:weights()) == nil)
  raises("made when it is first applied", layer.set_weight, layer, "kernel", lurcher.zeros(3, 2))
  layer(nn.input("x", 3))
  local weights = layer:weights()
  near(weights.kernel.shape, { 3, 2 })
  local before = weights.kernel:clone()
  layer:set_weight("kernel", lurcher.ones(3, 2))
  assert(layer:weights().kernel:sum() == 6 and weights.kernel:sum() == 6)
  layer:reset()
  near(layer:weights().kernel, before, 0)
  raises("no weight 'kernle' %(did you mean 'kernel'%?%)", layer.set_weight, layer, "kernle", before)
  raises("weights_test.*2x2", layer.set_weight, layer, "kernel", lurcher.zeros(2, 2))
end)

test("definitions and weight files", function()
  local model, folder = build(), harness.folder "nn"
  local same = assert(nn.from_json(model:json()))
  assert(tostring(same) == tostring(model))
  assert(model:save(folder .. "/w.h5"))
  local report = assert(same:load(folder .. "/w.h5", { by = "name", strict = true }))
  assert(report.loaded == 3 and report.missing == 0 and report.mismatched == 0)
  near(same:layer "out":weights().kernel, model:layer "out":weights().kernel, 0)
  local nothing, message, code = model:load(folder .. "/nothing.h5")
  assert(nothing == nil and message:find "nothing.h5" and code == "EIO")
  assert(lurcher.write_file(folder .. "/bad.h5", "not hdf5"))
  nothing, message, code = model:load(folder .. "/bad.h5")
  assert(nothing == nil and message:find "bad.h5" and code == "EFORMAT")
  raises("\"auto\", \"name\" or \"order\" expected, got \"nmae\"", model.load, model, "x", { by = "nmae" })
  nothing, message = nn.from_json "{}"
  assert(nothing == nil and message)
end)

test("a model with an input that nothing reads is saved and read again", function()
  local a, b = nn.input("a", 3), nn.input("b", 2)
  local model = nn.model{ inputs = { a, b }, outputs = { y = nn.relu(a) } }
  local again = assert(nn.from_json(model:json()))
  assert(table.concat(again.inputs, " ") == "a b" and again:json() == model:json())
end)
