--- Tests of precision "int8": agreement with f32, calibration and its ranges, what is refused.
local harness = require "harness"
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local test, raises = harness.test, harness.raises
local nn, optim = lurcher.nn, lurcher.optim

--- A small backbone whose batch norms hold the statistics of the images, and those images.
local function small_backbone()
  lurcher.seed(3)
  local backbone = xception{ size = 64, width = 0.25, middle = 2, top = false, pooling = "avg", input = "image",
    momentum = 0 }
  local model = nn.model(nn.dense{ 4, activation = "softmax", name = "kind" }(backbone:node "avg_pool"))
  local images = lurcher.uniform{ 6, 64, 64, 3, low = -1, high = 1 }
  local run <close> = model:compile{ device = "cpu", loss = "categorical_crossentropy",
    optimizer = optim.sgd{ lr = 0 } }
  run:train{ image = images, kind = lurcher.tensor{ 0, 1, 2, 3, 0, 1 }:cast "i32" }
  return backbone, images
end

--- |a - b| over the std of b.
local function relative(a, b) return math.sqrt((a - b):square():mean() / (b - b:mean()):square():mean()) end

local function same(a, b) return (a - b):abs():max() == 0 end

for _, device in ipairs{ "cpu", "ref" } do
  test("int8 on " .. device .. " agrees with f32 within its steps, and describes what it does", function()
    local backbone, images = small_backbone()
    local run <close> = backbone:compile{ device = device, precision = "int8", check = true }
    assert(tostring(run):find "no plan yet")
    run:calibrate{ image = images }
    assert(tostring(run):find "plan for calibrate")
    local got = run:predict{ image = images }.avg_pool
    local f32 <close> = backbone:compile{ device = device }
    local error = relative(got, f32:predict{ image = images }.avg_pool)
    assert(error > 0 and error < 0.1, error)
    local text = tostring(run)
    assert(text:find "int8: %d+ layers calibrated on 6 samples", text)
    assert(text:find("relu+ +quantize", 1, true) and text:find " int8 %+batchnorm %+residual", text)
    local _, convolutions = text:gsub("conv2d[^\n]* int8 ", "")
    assert(convolutions == 19, text)
  end)
end

for _, device in ipairs{ "cpu", "ref" } do
  test("int8 on " .. device .. ": NaN is an error, because an 8-bit integer has none", function()
    local backbone, images = small_backbone()
    local run <close> = backbone:compile{ device = device, precision = "int8" }
    run:calibrate{ image = images }
    images:set(0 / 0, 2, 30, 30, 1)
    raises("the result is NaN, which an 8%-bit integer cannot be", run.predict, run, { image = images })
  end)
end

-- Two devices may round a sum that is close to a half differently, and each difference causes more in the next layer:
-- deep in a network two devices differ as much as int8 and f32 do. Only three layers are quantized here.
test("int8: cpu and ref agree far closer than int8 and f32 do", function()
  local backbone, images = small_backbone()
  local model = nn.model(backbone:node "block2_sepconv2_bn")
  local cpu <close> = model:compile{ device = "cpu", precision = "int8" }
  cpu:calibrate{ image = images }
  local name = model.outputs[1]
  local got = cpu:predict{ image = images }[name]
  local ref <close> = model:compile{ device = "ref", precision = "int8" }
  ref:calibration(cpu:calibration())
  local f32 <close> = model:compile{ device = "ref" }
  local definition = ref:predict{ image = images }[name]
  local apart, error = relative(got, definition), relative(got, f32:predict{ image = images }[name])
  assert(apart < 0.003 and error > 3 * apart, apart .. " " .. error)
end)

test("int8: profile reports the type that was read", function()
  local backbone, images = small_backbone()
  local run <close> = backbone:compile{ device = "cpu", precision = "int8" }
  run:calibrate{ image = images }
  run:predict{ image = images }
  run:profile(true)
  run:predict{ image = images }
  local count = { f32 = 0, u8 = 0 }
  for _, row in ipairs(run:profile()) do count[row.type] = count[row.type] + 1 end
  assert(count.u8 == 19 and count.f32 > count.u8)
end)

test("int8: calibration can be read and set, and recompile keeps it", function()
  local backbone, images = small_backbone()
  local run <close> = backbone:compile{ device = "cpu", precision = "int8" }
  run:calibrate{ image = images:rows(1, 3) }
  local before = run:predict{ image = images }.avg_pool
  run:calibrate{ image = images:rows(4, 3) }
  local ranges, expected = run:calibration(), run:predict{ image = images }.avg_pool
  assert(not same(before, expected), "a second calibration adds to the first")
  local name = next(ranges)
  assert(ranges[name].shape[1] == 3 and (ranges[name][1] - ranges[name][2]):max() <= 0)
  local other <close> = backbone:compile{ device = "cpu", precision = "int8" }
  assert(other:calibration(ranges) == other)
  assert(same(other:predict{ image = images }.avg_pool, expected))
  assert(tostring(other):find "ranges that were set")
  other:recompile{}
  assert(same(other:predict{ image = images }.avg_pool, expected))
  other:calibrate{ image = images }
  assert(same(other:calibration()[name], ranges[name]) or relative(other:calibration()[name], ranges[name]) < 1e-5)
  local few <close> = backbone:compile{ device = "cpu", precision = "int8" }
  few:calibration{ [name] = ranges[name] }
  few:predict{ image = images }
  local _, convolutions = tostring(few):gsub(" int8 ", "")
  assert(convolutions == 1, "layers without a range stay f32")
end)

test("int8: weights are quantized again when they change", function()
  local x = nn.input("x", 5, 5, 16)
  local h = nn.separable_conv2d{ 16, 3, name = "s" }(x)
  local model = nn.model(nn.conv2d{ 32, 3, name = "c", activation = "relu" }(h))
  local batch = { x = lurcher.uniform{ 2, 5, 5, 16 } }
  local run <close> = model:compile{ device = "cpu", precision = "int8" }
  local f32 <close> = model:compile{ device = "cpu" }
  run:calibrate(batch)
  assert(relative(run:predict(batch).c, f32:predict(batch).c) < 0.05)
  local weights = model:layer "c":weights()
  weights.kernel:copy(weights.kernel * -1)
  assert(relative(run:predict(batch).c, f32:predict(batch).c) < 0.05)
end)

test("int8: kernels that reach beyond the image read u8 where nothing is negative, and f32 elsewhere", function()
  for _, case in ipairs{ { "relu", 1 }, { "linear", 0 } } do
    local x = nn.conv2d{ 16, 3, activation = case[1], name = "a" }(nn.input("x", 9, 9, 3))
    local model = nn.model(nn.conv2d{ 64, 3, padding = "same", stride = 2, name = "b" }(x))
    local batch = { x = lurcher.uniform{ 2, 9, 9, 3, low = -1, high = 1 } }
    local run <close> = model:compile{ device = "cpu", precision = "int8" }
    local f32 <close> = model:compile{ device = "cpu" }
    run:calibrate(batch)
    assert(relative(run:predict(batch).b, f32:predict(batch).b) < 0.02)
    local _, convolutions = tostring(run):gsub("conv2d[^\n]* int8", "")
    assert(convolutions == case[2], tostring(run))
  end
end)

test("int8: a sum that 32 bits may not hold stays f32", function()
  for _, case in ipairs{ { 66312, 0 }, { 66311, 1 } } do
    local model = nn.model(nn.conv2d{ 128, 1, name = "b" }(nn.conv2d{ case[1], 1, name = "a" }(nn.input("x", 1, 1, 1))))
    local run <close> = model:compile{ device = "cpu", precision = "int8" }
    run:calibrate{ x = lurcher.ones(1, 1, 1, 1) }
    run:predict{ x = lurcher.ones(1, 1, 1, 1) }
    local _, convolutions = tostring(run):gsub("conv2d[^\n]* int8", "")
    assert(convolutions == case[2], tostring(run))
  end
end)

test("int8: evaluate has the losses of f32, nearly", function()
  local x = nn.input("x", 6, 6, 8)
  local h = nn.separable_conv2d{ 32, 3, padding = "same", name = "s" }(x)
  local model = nn.model(nn.dense{ 3, activation = "softmax", name = "k" }(nn.global_avg_pool()(h)))
  local batch = { x = lurcher.uniform{ 4, 6, 6, 8 }, k = lurcher.tensor{ 0, 1, 2, 0 }:cast "i32" }
  local loss = "categorical_crossentropy"
  local run <close> = model:compile{ device = "cpu", precision = "int8", loss = loss }
  local f32 <close> = model:compile{ device = "cpu", loss = loss }
  run:calibrate(batch)
  harness.near(run:evaluate(batch).loss, f32:evaluate(batch).loss, 0.01)
end)

test("int8: error messages state what to do", function()
  local backbone, images = small_backbone()
  local run <close> = backbone:compile{ device = "cpu", precision = "int8" }
  raises("run:calibrate%(batch%) with a few dozen samples first", run.predict, run, { image = images })
  raises("int8, which has no gradients: compile with precision 'f32'", run.forward, run, { image = images },
    { training = true })
  raises("the model has no layer 'nobody'", run.calibration, run, { nobody = lurcher.zeros(3, 4) })
  raises("tensor expected, got string", run.calibration, run, { nobody = "x" })
  local layer = "block2_sepconv1"
  raises("3 x channels f32", run.calibration, run, { [layer] = lurcher.zeros(2, 16) })
  raises("channel 1 goes from 1 to 0", run.calibration, run, { [layer] = lurcher.tensor{ { 1 }, { 0 }, { 0 } } })
  local small = nn.model(nn.separable_conv2d{ 16, 3, name = "s" }(nn.input("x", 5, 5, 16)))
  local nan <close> = small:compile{ device = "cpu", precision = "int8" }
  raises("the input of layer 's' is not finite", nan.calibrate, nan, { x = lurcher.zeros(1, 5, 5, 16) / 0 })
  local f32 <close> = backbone:compile{ device = "cpu" }
  raises("was not compiled with precision 'int8'", f32.calibrate, f32, { image = images })
  raises("was not compiled with precision 'int8'", f32.calibration, f32, { [layer] = lurcher.zeros(3, 16) })
end)
