--- Tests of what fit takes without being told, and of what it answers to what others call by other names.
local harness = require "harness"
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local samplers, schedules = require "lurcher.samplers", require "lurcher.schedules"
local test = harness.test
local nn = lurcher.nn

local function raises(fn, pattern) return harness.raises(pattern, fn) end

local function classifier(input, output)
  local x = nn.input(input, 4)
  return nn.model{ [output] = nn.dense{ 3, activation = "softmax" }(x) }:compile{ device = "cpu", optimizer = "sgd",
    loss = "categorical_crossentropy" }
end

--- Batches as data.loader makes them.
local function batches()
  return { { image = lurcher.ones(2, 4), class = lurcher.tensor{ 0, 2, dtype = "i32" },
    index = lurcher.tensor{ 0, 1, dtype = "i32" } } }
end

local function quiet(more)
  more.progress = false
  return more
end

test("one input and one output take batch.image and batch.class", function()
  lurcher.seed(3)
  local named <close> = classifier("image", "class")
  local weights = named.model:layer "dense_1":weights()
  local other <close> = classifier("pixels", "breed")
  for name, value in pairs(weights) do other.model.layers[2]:set_weight(name, value:clone()) end
  local a = fit(named, batches(), quiet{ epochs = 3, valid = batches() })
  local list, fed = batches(), nil
  local b = fit(other, list, quiet{ epochs = 3, valid = batches(), { on_batch_end = function(_, _, _, state)
    fed = state.batch
  end } })
  for i = 1, 3 do assert(a[i].loss == b[i].loss and a[i].val_loss == b[i].val_loss) end
  assert(fed.pixels == list[1].image and fed.breed == list[1].class)
  assert(list[1].pixels == nil, "the loader's own table stays as it is")
end)

test("mixed classes come before class ids", function()
  local run <close> = classifier("image", "breed")
  local mixed = batches()
  mixed[1].target = lurcher.full({ 2, 3 }, 1 / 3)
  fit(run, mixed, quiet{ epochs = 1 })
  mixed[1].target = lurcher.ones(2, 4)
  raises(function() fit(run, mixed, quiet{ epochs = 1 }) end, "target of output 'breed'")
end)

test("an error names the model's inputs and outputs, and the batch's fields", function()
  local x = nn.input("left", 4) + nn.input("right", 4)
  local run <close> = nn.model{ same = nn.dense{ 3, activation = "softmax" }(x) }:compile{ device = "cpu",
    optimizer = "sgd", loss = "categorical_crossentropy" }
  raises(function() fit(run, batches(), quiet{}) end,
    "the batch has no 'left', an input of the model %(it has [%w, ]*image.*inputs 'left', 'right' and outputs 'same'")
end)

test("Keras's names are accepted, or answered", function()
  local run <close> = classifier("image", "breed")
  local list, ended = batches(), 0
  local history = fit(run, { list[1], list[1] }, quiet{ epochs = 1, validation_data = { list[1], list[1] },
    validation_steps = 1, steps_per_epoch = 1, callbacks = { { on_batch_end = function() ended = ended + 1 end } } })
  assert(history[1].val_loss and ended == 1)
  for name, answer in pairs{ lr = "optimizer", learning_rate = "optimizer",
    batch_size = "data.loader{ set, batch = 32 }",
    shuffle = "loader", verbose = "progress = false", class_weight = "OUTPUT_weight", validation_split = "valid",
    loss = "model:compile", metrics = "always" } do
    raises(function() fit(run, list, quiet{ [name] = 1 }) end, "unknown option '" .. name .. "' to 'fit': .*"
      .. answer:gsub("%p", "%%%0"))
  end
  raises(function() fit(run, list, quiet{ valid = list, validation_data = list }) end, "'valid' is given twice")
  raises(function() fit(run, list, quiet{ callbacks = on.csv "x.csv" }) end, "a list of callbacks expected")
  raises(function() on.early_stop{ restore_best_weights = true } end, "did you mean 'restore_best'")
  raises(function() on.checkpoint{ "x", save_best_only = true } end, "did you mean 'best_only'")
  raises(function() samplers.shuffled{ 10, batch_size = 3 } end, "did you mean 'batch'")
end)

test("unknown hooks and options raise", function()
  local run <close> = classifier("image", "breed")
  raises(function() fit(run, batches(), quiet{ { on_epoch_ends = print } }) end,
    "callback 1 .*'on_epoch_ends'.*did you mean 'on_epoch_end'")
  local class = { on_train_batch_end = print, kind = "mine" }
  class.__index = class
  raises(function() fit(run, batches(), quiet{ setmetatable({}, class) }) end,
    "callback 1 %(mine%).*did you mean 'on_batch_end'")
  raises(function() fit(run, batches(), { progress = { on_epoch = print } }) end, "callback progress .*'on_epoch'")
  raises(function() on.progress{ foo = 1 } end, "unknown option 'foo' to 'on.progress'")
  raises(function() on.early_stop(3) end, "named options")
  raises(function() on.EarlyStopping() end, "has no callback 'EarlyStopping' %(did you mean 'early_stop'")
  raises(function() return samplers.balanced end, "has no sampler 'balanced' %(there are: batch_swap, ")
  raises(function() return schedules.cosin end, "did you mean 'cosine'")
  raises(function() on.schedule(0.1) end, "a function of the epoch expected, got number")
  raises(function() schedules.constant{} end, "a learning rate of at least 0 expected, got table")
  raises(function() schedules.cosine{ lr = 1, epochs = 3, warmups = 1 } end, "did you mean 'warmup'")
  raises(function() schedules.step(3) end, "a table of options expected")
  raises(function() samplers.pk(lurcher.zeros(3)) end, "samplers.pk{ set, ... }, got lurcher.tensor")
  raises(function() samplers.shuffled() end, "samplers.shuffled{ set, ... }, got nil")
end)

test("#loader is the number of batches", function()
  local rows = {}
  for i = 1, 10 do rows[i] = { ("%d.jpg"):format(i), "pug" } end
  local set = assert(lurcher.data.list(rows))
  assert(#lurcher.data.loader{ set, size = 8, batch = 4 } == 3)
  assert(#lurcher.data.loader{ set, size = 8, batch = 4, drop_last = true } == 2)
  assert(#lurcher.data.loader{ set, size = 8, sampler = samplers.shuffled{ set, batch = 5 } } == 2)
end)
