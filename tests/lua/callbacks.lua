--- Tests of lurcher.callbacks and lurcher.fit on a run that plays back given losses. The epochs at which callbacks act
-- are those of keras/callbacks.py: of Keras 2.0.6 with era = "2017", of Keras 2.1.6 and later without.
local harness = require "harness"
local lurcher = require "lurcher"
local fake_run = require "fake_run"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local schedules, logs_of = require "lurcher.schedules", require "lurcher.logs"
local test, near, raises = harness.test, harness.near, harness.raises

local one_batch = { { samples = 4 } }

--- Runs `epochs` epochs with these validation losses; returns the run and the history.
local function play(losses, epochs, callbacks)
  local run = fake_run{ evaluate = losses }
  local options = { epochs = epochs, valid = one_batch, progress = false }
  table.move(callbacks, 1, #callbacks, 1, options)
  return run, fit(run, one_batch, options)
end

--- The bad epochs, counted from 1 after the first good epoch, at whose end the learning rate was reduced.
local function cuts(history)
  local found = {}
  for i = 2, #history do
    if history[i].lr < history[i - 1].lr then found[#found + 1] = i - 2 end
  end
  return table.concat(found, " ")
end

test("early_stop: today's Keras stops at bad epoch `patience`", function()
  for patience, stops_after in pairs{ [0] = 2, [1] = 2, [3] = 4 } do
    local _, history = play({ 1 }, 20, { on.early_stop{ patience = patience } })
    assert(#history == stops_after, ("patience %d: %d epochs"):format(patience, #history))
  end
end)

test("early_stop: Keras 2.0.6 stops one bad epoch later", function()
  for patience, stops_after in pairs{ [0] = 2, [1] = 3, [3] = 5 } do
    local _, history = play({ 1 }, 20, { on.early_stop{ patience = patience, era = "2017" } })
    assert(#history == stops_after, ("patience %d: %d epochs"):format(patience, #history))
  end
end)

test("early_stop: improvement resets the wait, and must beat min_delta", function()
  local _, history = play({ 1, 1.1, 0.9, 1, 1, 1 }, 20, { on.early_stop{ patience = 2 } })
  assert(#history == 5)
  _, history = play({ 1, 0.95, 0.92, 0.85, 0.84 }, 20, { on.early_stop{ patience = 2, min_delta = 0.1 } })
  assert(#history == 3)
end)

test("early_stop: a NaN is never an improvement", function()
  local _, history = play({ 1, 0 / 0, 0 / 0 }, 20, { on.early_stop{ patience = 2 } })
  assert(#history == 3)
end)

test("early_stop: accuracies are better when larger", function()
  local run = fake_run{}
  local accuracies, i = { 0.5, 0.6, 0.7, 0.6, 0.6 }, 0
  function run.evaluate() -- luacheck: ignore 122
    i = i + 1
    return { loss = 1, acc = accuracies[i] or 0.1, samples = 1 }
  end
  local history = fit(run, one_batch, { epochs = 20, valid = one_batch, progress = false,
    on.early_stop{ monitor = "val_acc", patience = 2 } })
  assert(#history == 5)
end)

test("early_stop: the error for an unknown monitor lists the logs", function()
  raises("no log named 'val_lost' to monitor %(there are: .*val_loss", play, { 1 }, 2,
    { on.early_stop{ monitor = "val_lost" } })
end)

test("reduce_lr: 2.0.6 cuts at bad epochs 4 7 10 13, later ones at 3 6 9 12 (patience 3)", function()
  local _, history = play({ 1 }, 16, { on.reduce_lr{ patience = 3, era = "2017" } })
  assert(cuts(history) == "4 7 10 13", cuts(history))
  _, history = play({ 1 }, 15, { on.reduce_lr{ patience = 3 } })
  assert(cuts(history) == "3 6 9 12", cuts(history))
end)

test("reduce_lr: factor, min_lr, cooldown", function()
  local run, history = play({ 1 }, 12, { on.reduce_lr{ patience = 1, factor = 0.5, min_lr = 0.2 } })
  near(run.lr, 0.2)
  near(history[2].lr, 1)
  near(history[3].lr, 0.5)
  local _, cooled = play({ 1 }, 9, { on.reduce_lr{ patience = 1, factor = 0.5, cooldown = 2 } })
  assert(cuts(cooled) == "1 3 5 7", cuts(cooled))
end)

test("reduce_lr: a gain below min_delta does not count", function()
  local _, history = play({ 1, 0.99999, 0.99998, 0.99997 }, 4, { on.reduce_lr{ patience = 2 } })
  assert(cuts(history) == "2", cuts(history))
end)

test("schedule: sets the learning rate at the beginning of each epoch, from 0", function()
  local run = fake_run{}
  local history = fit(run, one_batch, { epochs = 4, progress = false, on.schedule(schedules.list{ 1e-4, 1e-4, 1e-5 }) })
  near(history[1].lr, 1e-4)
  near(history[3].lr, 1e-5)
  near(history[4].lr, 1e-5)
  raises("a number expected", fit, run, one_batch, { progress = false, on.schedule(function() end) })
end)

test("schedules: values", function()
  near(schedules.step{ lr = 1, factor = 0.5, every = 2 }(3), 0.5)
  near(schedules.exponential{ lr = 1, factor = 0.5 }(3), 0.125)
  local cosine = schedules.cosine{ lr = 1, epochs = 12, warmup = 2 }
  near(cosine(0), 1 / 3)
  near(cosine(2), 1)
  near(cosine(7), 0.5)
  near(cosine(12), 0)
  near(schedules.trick()(9), 1e-6)
  raises("bad option 'lr' to 'schedules.cosine'", schedules.cosine, { epochs = 3 })
end)

test("checkpoint: period 2 saves after epochs 1, 3, 5; names carry logs, epochs by era", function()
  local run = play({ 0.5 }, 6, { on.checkpoint{ "a-{epoch:02d}-{val_acc:.2f}.st", every = 2 } })
  assert(table.concat(run.saved, " ") == "a-02-0.25.st a-04-0.25.st a-06-0.25.st")
  run = play({ 0.5 }, 6, { on.checkpoint{ "a-{epoch:02d}-{val_acc:.2f}.st", every = 2, era = "2017" } })
  assert(table.concat(run.saved, " ") == "a-01-0.25.st a-03-0.25.st a-05-0.25.st")
end)

test("checkpoint: best_only compares strictly", function()
  local run = play({ 3, 2, 2, 2.5, 1 }, 5, { on.checkpoint{ "{epoch}", best_only = true } })
  assert(table.concat(run.saved, " ") == "1 2 5", table.concat(run.saved, " "))
end)

test("checkpoint: an unknown log in the name, and a full disk, end training with one line", function()
  raises("no log named 'val_ctg_out_1_acc' for the file name", play, { 1 }, 2,
    { on.checkpoint "x{epoch:02d}-{val_ctg_out_1_acc:.2f}.st" })
  local run = fake_run{ full = true }
  raises("on.checkpoint: .*x: no space left", fit, run, one_batch, { progress = false, on.checkpoint "x" })
end)

test("callbacks: misspelt options", function()
  raises("unknown option 'patiense' to 'on.early_stop' %(did you mean 'patience'%?%)", on.early_stop, { patiense = 3 })
  raises("bad option 'era'", on.reduce_lr, { era = 2017 })
  raises("unknown option 'epoch' to 'fit' %(did you mean 'epochs'%?%)", fit, fake_run{}, one_batch, { epoch = 3 })
  raises("a run expected", fit, nil, one_batch)
  raises("bad option 'patience' to 'on.early_stop' %(a number expected, got string%)", on.early_stop, { patience = "3" })
  raises("bad option 'monitor' to 'on.best' %(a string expected, got number%)", on.best, { monitor = 3 })
end)

test("fit: errors for what is not a run, a loader or a count", function()
  local x = lurcher.nn.input("x", 4)
  local model <close> = lurcher.nn.model(lurcher.nn.dense{ 2, name = "y" }(x))
  raises("a run expected as first argument, got lurcher.model %(model:compile", fit, model, one_batch)
  raises("a run expected as first argument, got number", fit, 3, one_batch)
  raises("a loader expected as second argument, got lurcher.model %(data.loader", fit, fake_run{}, model)
  raises("a loader expected as option 'valid', got string", fit, fake_run{}, one_batch, { valid = "dogs/valid" })
  raises("bad option 'epochs' to 'fit' %(a number of at least 0 expected, got string%)", fit, fake_run{}, one_batch,
    { epochs = "3" })
  raises("bad option 'steps' to 'fit' %(a number of at least 1 expected, got 0%)", fit, fake_run{}, one_batch,
    { steps = 0 })
end)

test("callbacks: a missing folder is an error before the first step", function()
  for _, callback in ipairs{ on.checkpoint "no/folder/{epoch}.st", on.csv "no/folder/history.csv" } do
    local run = fake_run{}
    raises("there is no folder 'no/folder' for 'no/folder/", fit, run, one_batch, { progress = false, callback })
    assert(run.iterations == 0, "a step was made")
  end
end)

test("callbacks: errors for what is not a callback", function()
  raises("callback 1: a table of methods expected, got number", fit, fake_run{}, one_batch, { 3 })
end)

test("fit: means are weighted by batch size", function()
  local run = fake_run{ train = { 1, 4 }, evaluate = { 1, 7 } }
  local batches = { { samples = 3 }, { samples = 1 } }
  local history = fit(run, batches, { epochs = 1, valid = batches, progress = false })
  near(history[1].loss, (3 * 1 + 1 * 4) / 4)
  near(history[1].val_loss, (3 * 1 + 1 * 7) / 4)
  near(history[1].acc, 0.5)
end)

test("fit: steps end an epoch, for samplers that never do", function()
  local run = fake_run{}
  local endless = function() return function() return { samples = 1 } end end
  fit(run, endless, { epochs = 2, steps = 5, valid = endless, valid_steps = 3, progress = false })
  assert(run.iterations == 10 and run.evaluations == 6)
end)

test("fit: an empty loader is an error", function()
  raises("gave no batch", fit, fake_run{}, {}, { progress = false })
end)

test("fit: Ctrl-C stops after the step it came in, and keeps the rest", function()
  local run = fake_run{}
  local batches = { {}, {}, {}, {} }
  local history = fit(run, batches, { epochs = 3, progress = false, interrupt = "return", on.checkpoint "last", {
    on_batch_end = function(_, step, _, state)
      if state.epoch == 1 and step == 2 then lurcher.interrupt() end
    end } })
  assert(run.iterations == 6 and #history == 1 and history.interrupted)
  assert(run.files.last.iterations == 6)
end)

test("fit: outside the prompt Ctrl-C raises when the callbacks are done, and so it does in an evaluation", function()
  local run, ended = fake_run{}, false
  raises("^interrupted$", fit, run, { {}, {} }, { epochs = 3, progress = false, on.checkpoint "last", {
    on_batch_end = lurcher.interrupt, on_train_end = function() ended = true end } })
  assert(ended and run.iterations == 1 and run.files.last.iterations == 1)
  lurcher.interrupt()
  raises("^interrupted$", fit.evaluate, run, { {}, {} })
  lurcher.interrupt()
  local results, why = fit.evaluate(run, { {}, {} }, nil, "return")
  assert(results == nil and why == "interrupted")
  raises("bad option 'interrupt' to 'fit'", fit, run, { {} }, { interrupt = "stop" })
end)

--- Trains once without interruption, and once interrupted after `steps` steps and resumed: calls and logs must be
-- equal.
local function resumes(steps)
  local batches = { { samples = 2 }, { samples = 2 }, { samples = 1 } }
  local losses, evaluations = {}, {}
  for i = 1, 40 do losses[i], evaluations[i] = 1 / i, 1 + (i % 4) / 10 end
  local function callbacks(interrupt_at)
    local count = 0
    return { on_batch_end = function()
      count = count + 1
      if count == interrupt_at then lurcher.interrupt() end
    end }
  end
  local function go(run, resume, interrupt_at)
    return fit(run, batches, { epochs = 6, valid = batches, progress = false, resume = resume, interrupt = "return",
      callbacks(interrupt_at), on.early_stop{ patience = 4 }, on.reduce_lr{ patience = 2 }, on.checkpoint "last" })
  end
  local whole_run = fake_run{ train = losses, evaluate = evaluations }
  local whole = go(whole_run)
  local run = fake_run{ train = losses, evaluate = evaluations }
  local part = go(run, nil, steps)
  assert(part.interrupted)
  run.lr = 123
  local rest = go(run, "last")
  assert(run.iterations == whole_run.iterations, ("%d steps, %d whole"):format(run.iterations, whole_run.iterations))
  assert(#rest == #whole and run.lr == whole_run.lr)
  for i, logs in ipairs(whole) do
    for name, value in pairs(logs) do
      if not name:find "seconds$" then assert(rest[i][name] == value, ("epoch %d %s"):format(i, name)) end
    end
  end
end

test("fit: a resume gives the same logs to the bit, from every step", function()
  for steps = 1, 18 do resumes(steps) end
end)

test("fit: resume of a missing or foreign checkpoint", function()
  raises("cannot resume: nowhere: no such file", fit, fake_run{}, one_batch, { resume = "nowhere" })
  local run = fake_run{}
  run:save("foreign", "hello")
  raises("fit did not write this checkpoint", fit, run, one_batch, { resume = "foreign" })
end)

test("csv: one line per epoch, in Keras's order, whole after every epoch", function()
  local history = { { epoch = 0, val_acc = 0.5, loss = 1, val_loss = 2, acc = 0.25, lr = 0.1, seconds = 3 },
    { epoch = 1, loss = 0.5 } }
  assert(logs_of.csv(history, { "predictions" }) ==
    "epoch,loss,acc,val_loss,val_acc,lr,seconds\n1,1,0.25,2,0.5,0.1,3\n2,0.5,,,,,\n")
  local names = logs_of.names({ loss = 1, b_loss = 1, a_loss = 1, a_acc = 1, b_acc = 1, val_loss = 1, val_b_acc = 1,
    val_a_loss = 1 }, { "b", "a" })
  assert(table.concat(names, " ") == "loss b_loss a_loss b_acc a_acc val_loss val_a_loss val_b_acc")
end)

local real_time = lurcher.time

--- The text that a progress callback writes in two epochs of three batches. results: names of further results.
local function progress_text(terminal, every, columns, results)
  local parts = {}
  local out = { write = function(_, ...) for _, part in ipairs{ ... } do parts[#parts + 1] = part end end,
    flush = function() end }
  local run = fake_run{}
  if results then
    local train, evaluate = run.train, run.evaluate
    local function with(run_method)
      return function(self, batch)
        local all = run_method(self, batch)
        for _, name in ipairs(results) do all[name] = 0.5 end
        lurcher.time = function() return real_time() + 3600 * self.iterations end -- a line is due at every step
        return all
      end
    end
    run.train, run.evaluate = with(train), with(evaluate)
  end
  fit(run, { { samples = 8 }, { samples = 8 }, { samples = 4 } }, { epochs = 2, valid = one_batch,
    on.progress{ out = out, terminal = terminal, every = every, columns = columns } })
  lurcher.time = real_time
  return table.concat(parts)
end

test("progress: plain lines where the output is not a terminal", function()
  local text = progress_text(false)
  local _, lines = text:gsub("\n", "")
  assert(lines == 2 and not text:find "[\r\27]", text)
  assert(text:find("epoch 1/2  loss 1.0000  acc 0.5000  val_loss 1.0000  val_acc 0.2500  lr 1", 1, true), text)
  assert(text:find "images/s" and text:find "ETA")
  assert(progress_text(false, 0):find("epoch 1/2  2/3  loss", 1, true))
end)

test("progress: one line redrawn in place on a terminal", function()
  local text = progress_text(true)
  assert(text:find "\r" and text:find "\27%[K", text)
end)

test("progress: a line takes no more than the terminal's width, and the most important parts", function()
  local heads = { "one_loss", "one_acc", "two_loss", "two_acc" }
  local columns = function() return 80 end
  for _, results in ipairs{ {}, heads } do
    local text, count = progress_text(true, nil, columns, results), 0
    for line in text:gsub("\27%[K", ""):gmatch "[^\r\n]+" do
      count = count + 1
      assert(#line <= 79, line)
      assert(line:find "^epoch [12]/2  " and line:find "loss %d" and line:find "acc %d", line)
      if line:find " [12]/3  " then assert(line:find "ETA", line) end
    end
    assert(count >= 7, text) -- a line for each of six steps, and for the first epoch
  end
  for line in progress_text(true, nil, function() return 24 end, heads):gsub("\27%[K", ""):gmatch "[^\r\n]+" do
    assert(#line <= 23 and line:find "^epoch", line)
  end
  -- the terminal may become narrower at any time
  local width = 100
  local text = progress_text(true, nil, function()
    width = width - 3
    return width
  end, heads)
  for line in text:gsub("\27%[K", ""):gmatch "[^\r\n]+" do assert(#line < 100, line) end
  -- elsewhere nothing is left out
  text = progress_text(false, 0, columns, heads)
  assert(text:find("two_loss 0.5000  one_acc", 1, true) or text:find("one_loss 0.5000  two_loss", 1, true), text)
end)

test("durations", function()
  assert(logs_of.duration(7.6) == "8 s" and logs_of.duration(125) == "2:05" and logs_of.duration(3723) == "1:02:03")
end)
