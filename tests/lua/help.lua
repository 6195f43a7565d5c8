--- Tests of lurcher.help: that every public name, of C and of Lua, is explained, and how.
local harness = require "harness"
local lurcher = require "lurcher"
local test = harness.test
local nn = lurcher.nn

local function help(topic)
  local text, found = lurcher.help(topic, true)
  assert(type(text) == "string" and text:find "\n$", tostring(topic))
  return text, found
end

local function expect(topic, pattern)
  local text, found = help(topic)
  assert(found and text:find(pattern), ("%s\nexpected: %s\ngot: %s"):format(tostring(topic), pattern, text))
end

test("a name: signature, meaning, options with defaults", function()
  for _, topic in ipairs{ "conv2d", "nn.conv2d", "lurcher.nn.conv2d", "NN.Conv2D", "conv2d()" } do
    expect(topic, "^nn%.conv2d%(options, %.%.%.%)\n\n  Convolution.*\n    padding +default \"valid\"")
  end
  for _, topic in ipairs{ "tensor:sum", "t:sum", "sum" } do expect(topic, "tensor:sum%(axes%)\n\n  Sum over") end
  expect("loader", "^data%.loader%(options%)\n.*\n    batch +images per batch.*\nloader\n.*functions:\n    epoch ")
  expect("optim.sgd", "\n    lr +at least 0: learning rate.*\n    momentum ")
end)

test("a value: functions, modules, classes, layers", function()
  expect(nn.conv2d, "^nn%.conv2d%(")
  expect(nn.dense(3), "^nn%.dense%(")
  expect(lurcher.zeros(2), "^tensor\n")
  expect(lurcher.zeros(2).sum, "^tensor:sum%(")
  expect(require "lurcher.callbacks".early_stop{ patience = 2 }, "^callbacks%.early_stop%(")
  expect(require "lurcher.samplers".shuffled{ 10 }, "^samplers%.shuffled%(")
  expect(require "lurcher.fit", "^fit\n")
  expect(lurcher.optim, "^optim\n.*sgd +Stochastic")
  expect(lurcher.optim.adam(), "^optimizer\n")
  local text, found = help(3)
  assert(not found and text:find "this number", text)
end)

test("words are searched for: names before sentences before options", function()
  expect("learning rate", "occurs in:\n.*run, lr %- learning rate")
  expect("label_smoothing", "compile_options, label_smoothing")
  local text, found = help "convv2d"
  assert(not found and text == "no help about 'convv2d' (did you mean 'conv2d'?)\n", text)
  text, found = help "\27[31m"
  assert(not found and not text:find "\27", text)
end)

test("questions, and names of Keras and PyTorch", function()
  for topic, pattern in pairs{ ["custom loss"] = "^loss: .*focal", EarlyStopping = "^callbacks%.early_stop%(",
    ["how to predict one image?"] = "^prediction\n", callback = "^callback\n.*on_epoch_end",
    fit = "^fit\n.*valid_steps",
    schedule = "^callbacks%.schedule%(", Dataset = "^dataset\n", ["data augmentation"] = "^data%.augment%(",
    ImageFolder = "^data%.folder" } do
    expect(topic, pattern)
  end
end)

test("every word of another library leads to a page", function()
  local path = harness.root .. "/scripts/lurcher/reference.lua"
  local file <close> = assert(io.open(path))
  local list = file:read "a":match "local elsewhere <const> = (%b{})"
  local count = 0
  for topic in pairs(assert(load("return " .. list))()) do
    local text, found = help(topic)
    assert(found and not text:find "occurs in:", topic)
    count = count + 1
  end
  assert(count > 20)
end)

test("without a topic: the topics", function()
  expect(nil, "\n  nn +Layers, nodes and models")
end)

test("lines fit the width", function()
  for _, columns in ipairs{ 60, 80 } do
    local output = harness.run(("COLUMNS=%d '%s' help compile"):format(columns, harness.program))
    for line in output:gmatch "[^\n]+" do assert(#line <= columns or line:find "^      %S", line) end -- code
  end
end)
