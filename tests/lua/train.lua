--- Tests of compile and run in Lua: batches in, results out, options kept and changed.
local harness = require "harness"
local lurcher = require "lurcher"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises

local function classifier()
  lurcher.seed(11)
  local x = nn.input("x", 4)
  local h = nn.dense{ 16, activation = "relu", name = "hidden" }(x)
  return nn.model{ y = nn.dense{ 3, activation = "softmax", name = "head" }(h) }
end

local function data()
  lurcher.seed(12)
  local x = lurcher.uniform{ 24, 4 }
  return { x = x, y = x:argmax(2):minimum(2) }
end

local loss = "categorical_crossentropy"

test("a network learns; results are Keras's names", function()
  local run <close> = classifier():compile{ optimizer = optim.adam{ lr = 0.02 }, loss = loss }
  local batch = data()
  local before = run:evaluate(batch)
  assert(before.samples == 24 and before.loss > 0.5 and before.acc <= 1)
  for _ = 1, 60 do run:train(batch) end
  local after = run:evaluate(batch)
  assert(after.loss < before.loss / 2 and run.iterations == 60)
  local y = run:predict{ x = batch.x }.y
  near(y.shape, { 24, 3 })
  near(lurcher.top_k(y, batch.y), after.acc)
  near(lurcher.log_loss(y, batch.y), after.loss, 1e-4)
  assert(run.device == "cpu" and run.arena_bytes > 0 and run.state_bytes > 0)
  assert(tostring(run):find "head" and #run:profile(true):profile() >= 0)
end)

test("two outputs: results, losses, weights by name", function()
  local x = nn.input("x", 4)
  local model = nn.model{ kind = nn.dense{ 2, activation = "softmax" }(x), size = nn.dense{ 1 }(x) }
  local run <close> = model:compile{ optimizer = "sgd", loss = { kind = loss, size = "mean_squared_error" }, weight = { size = 0.5 } }
  local results = run:train{ x = { { 1, 2, 3, 4 } }, kind = { 1 }, size = { { 0.5 } }, other = "ignored" }
  near(results.loss, results.kind_loss + 0.5 * results.size_loss, 1e-5)
  assert(results.kind_acc and results.samples == 1)
  raises("has 2 outputs", model.compile, model, { loss = loss })
  raises("no output 'sizes'; did you mean 'size'%?", model.compile, model, { loss = { kind = loss, sizes = loss } })
  raises("no output 'c'", model.compile, model, { loss = { kind = loss }, weight = { c = 1 } })
end)

test("tables in a batch count from 1, tensors from 0", function()
  local f, rows = nn.input("f", 2), nn.index "rows"
  local picked = nn.gather(f, rows)
  local run <close> = nn.model{ y = picked }:compile{}
  local values = { { 1, 2 }, { 3, 4 }, { 5, 6 } }
  near(run:predict{ f = values, rows = { 3, 1 } }.y, { { 5, 6 }, { 1, 2 } })
  near(run:predict{ f = values, rows = lurcher.tensor{ 2, 0, dtype = "i32" } }.y, { { 5, 6 }, { 1, 2 } })
  raises("rows%[1%] is 0: tables count from 1", run.predict, run, { f = values, rows = { 0 } })
  raises("rows", run.predict, run, { f = values, rows = { 4 } })
  local classes <close> = classifier():compile{ loss = loss }
  local x = lurcher.ones(1, 4)
  near(classes:evaluate{ x = x, y = { 2 } }.loss, classes:evaluate{ x = x, y = lurcher.tensor{ 1, dtype = "i32" } }.loss)
end)

test("batches: mistakes name the field", function()
  local run <close> = classifier():compile{ loss = loss, optimizer = "sgd" }
  local batch = data()
  raises("x", run.train, run, { y = batch.y })
  raises("y", run.train, run, { x = batch.x })
  raises("the batch has no 'x', an input of the model %(it has image%)", run.predict, run, { image = batch.x })
  raises("the batch has no 'y', the target of an output with a loss %(it has x, class%)", run.evaluate, run,
    { x = batch.x, class = batch.y, note = "no tensor" })
  raises("field 'x': lurcher.tensor or table of numbers expected, got string", run.train, run, { x = "x", y = batch.y })
  raises("batch %(a table of tensors by name%) expected", run.train, run, batch.x)
  raises("x.*5", run.predict, run, { x = lurcher.zeros(2, 5) })
  raises("y", run.train, run, { x = batch.x, y = batch.y:rows(1, 3) })
end)

test("compile: mistakes name the option", function()
  local model = classifier()
  local function compile(options) return function() model:compile(options) end end
  raises("train.lua:%d+: unknown option 'optimiser' to 'compile' %(did you mean 'optimizer'%?%)", compile{ optimiser = "sgd" })
  raises("sgdd", compile{ optimizer = "sgdd" })
  raises("bad option 'optimizer' to 'compile' %(lurcher.optimizer or a name expected, got number%)", compile{ optimizer = 3 })
  raises("unknown loss 'hinge' for output 'y' %(categorical_crossentropy, .* expected%)", compile{ loss = "hinge" })
  raises("did you mean 'binary_crossentropy'%?", compile{ loss = "binary_crosentropy" })
  raises("'batchnorm' to 'compile' %(\"moving\" or \"batch\" expected, got \"on\"%)", compile{ batchnorm = "on" })
  raises("unknown option 'fuse' to 'passes' %(.*fold.* expected%)", compile{ passes = { fuse = false } })
  raises("toaster", compile{ device = "toaster" })
  raises("unknown option 'momentun' to 'sgd' %(did you mean 'momentum'%?%)", optim.sgd, { momentun = 0.9 })
  assert(tostring(optim.sgd(0.5)):find "lr = 0.5")
end)

test("without an optimizer there is no step", function()
  local run <close> = classifier():compile{ loss = loss }
  raises("optimizer", run.train, run, data())
end)

test("accumulate, step, gradients, backward", function()
  local model = classifier()
  local run <close> = model:compile{ optimizer = optim.sgd{ lr = 0.1 }, loss = loss }
  local batch = data()
  run:accumulate(batch)
  local once = run:gradient("head", "kernel")
  run:accumulate(batch)
  near(run:gradient("head", "kernel"), once * 2, 1e-5)
  run:zero_gradients()
  near(run:gradient("head", "kernel"):abs():max(), 0)
  run:accumulate(batch)
  local before = model:layer "head":weights().kernel:clone()
  run:step()
  near(model:layer "head":weights().kernel, before - once * 0.1, 1e-5)
  local free <close> = classifier():compile{ input_gradients = true }
  local y = free:forward({ x = batch.x }, { training = true }).y
  free:backward{ y = y * 0 + 1 }
  near(free:gradient("x").shape, { 24, 4 })
  raises("does not have", free.backward, free, { z = y })
  raises("nothing", run.gradient, run, "nothing", "kernel")
end)

test("learning rate, scales", function()
  local model = classifier()
  local run <close> = model:compile{ optimizer = optim.sgd{ lr = 0.1 }, loss = loss }
  near(run.lr, 0.1)
  run.lr = 0
  local before = model:layer "head":weights().kernel:clone()
  run:train(data())
  near(model:layer "head":weights().kernel, before, 0)
  run.lr = 1
  run:scale("head", 0)
  run:train(data())
  near(model:layer "head":weights().kernel, before, 0)
  raises("number of at least 0 expected, got fast", function() run.lr = "fast" end)
  raises("nowhere", run.scale, run, "nowhere", 1)
end)

--- Weights of both layers as one list of numbers, and their gradients for one batch.
local function flat(model, run)
  local weights, gradients = {}, {}
  for _, layer in ipairs{ "hidden", "head" } do
    for _, name in ipairs{ "kernel", "bias" } do
      local w, g = model:layer(layer):weights()[name], run:gradient(layer, name)
      for _, value in ipairs(w:view(w.count):totable()) do weights[#weights + 1] = value end
      for _, value in ipairs(g:view(g.count):totable()) do gradients[#gradients + 1] = value end
    end
  end
  return weights, gradients
end

--- One SGD step with learning rate 1 and these clipping options: the gradients before clipping, and what was subtracted
-- from each weight.
local function clipped_step(options)
  local model = classifier()
  options.lr = 1
  local run <close> = model:compile{ optimizer = optim.sgd(options), loss = loss }
  run:accumulate(data())
  local before, gradients = flat(model, run)
  run:step()
  local taken = flat(model, run)
  for i, value in ipairs(taken) do taken[i] = before[i] - value end
  return gradients, taken
end

local function norm(list)
  local sum = 0
  for _, value in ipairs(list) do sum = sum + value * value end
  return math.sqrt(sum)
end

test("clip_norm scales all gradients by one factor, so that their global norm is at most the limit", function()
  local gradients, taken = clipped_step{ clip_norm = 0.05 }
  local length = norm(gradients)
  assert(length > 0.1)
  near(norm(taken), 0.05, 1e-6)
  for i, gradient in ipairs(gradients) do near(taken[i], gradient * 0.05 / length, 1e-6) end
  gradients, taken = clipped_step{ clip_norm = length * 1.01 }
  near(taken, gradients, 1e-6)
end)

test("clip_value clips each gradient by itself, after clip_norm", function()
  local gradients, taken = clipped_step{ clip_value = 0.01 }
  local clipped = 0
  for i, gradient in ipairs(gradients) do
    near(taken[i], math.max(-0.01, math.min(0.01, gradient)), 1e-6)
    if math.abs(gradient) > 0.01 then clipped = clipped + 1 end
  end
  assert(clipped > 0 and clipped < #gradients)
  gradients, taken = clipped_step{ clip_norm = 0.05, clip_value = 0.01 }
  local scale = 0.05 / norm(gradients)
  for i, gradient in ipairs(gradients) do near(taken[i], math.max(-0.01, math.min(0.01, gradient * scale)), 1e-6) end
end)

test("clipping: gradients of several batches are clipped as their sum", function()
  local model = classifier()
  local run <close> = model:compile{ optimizer = optim.sgd{ lr = 1, clip_norm = 0.05 }, loss = loss }
  run:accumulate(data())
  run:accumulate(data())
  local before = flat(model, run)
  run:step()
  local taken = flat(model, run)
  for i, value in ipairs(taken) do taken[i] = before[i] - value end
  near(norm(taken), 0.05, 1e-6)
  raises("clip_norm", optim.sgd, { clip_norm = -1 })
end)

test("recompile keeps the options that it is not given", function()
  local model = classifier()
  local run <close> = model:compile{ optimizer = optim.sgd{ lr = 0.1 }, loss = loss }
  run:train(data())
  model:freeze{ below = model:index "head" }
  local first = model.layers[2]:weights().kernel:clone()
  assert(run:recompile{ optimizer = optim.sgd{ lr = 0.01 } } == run)
  near(run.lr, 0.01)
  run:train(data())
  near(model.layers[2]:weights().kernel, first, 0)
end)

test("a checkpoint continues to the same bits", function()
  local path, batch = harness.folder "train" .. "/c.safetensors", data()
  local function start() return classifier():compile{ optimizer = optim.adam{}, loss = loss } end
  local run <close> = start()
  for _ = 1, 3 do run:train(batch) end
  assert(run:save(path, "epoch 3"))
  local model, extra = assert(nn.load(path))
  assert(extra == "epoch 3" and tostring(model) == tostring(run.model))
  local after = run:train(batch)
  local other <close> = start()
  assert(other:restore(path) == "epoch 3" and other.iterations == 3)
  local again = other:train(batch)
  assert(again.loss == after.loss)
  near(other:predict(batch).y, run:predict(batch).y, 0)
  local nothing, message, code = other:restore(path .. ".missing")
  assert(nothing == nil and message and code == "EIO")
  nothing, message, code = other:save "/nowhere/at/all.safetensors"
  assert(nothing == nil and message and code == "EIO")
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  local middle = #bytes // 2
  local flipped = bytes:sub(1, middle - 1) .. string.char(bytes:byte(middle) ~ 1) .. bytes:sub(middle + 1)
  for _, damaged in ipairs{ flipped, bytes:sub(1, middle), "" } do
    assert(lurcher.write_file(path, damaged))
    nothing, message, code = other:restore(path)
    assert(nothing == nil and message:find "c.safetensors" and code == "EFORMAT", message)
  end
end)

test("an interrupt stops a run between steps, once", function()
  local run <close> = classifier():compile{ optimizer = "sgd", loss = loss }
  local batch = data()
  run:train(batch)
  lurcher.interrupt()
  raises("interrupt", run.train, run, batch)
  run:train(batch)
  lurcher.interrupt()
  assert(lurcher.interrupted() and not lurcher.interrupted())
end)
