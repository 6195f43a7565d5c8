--- lurcher.fit: the training loop, in plain Lua over run:train, run:evaluate and loader:epoch.
-- It has the logs and callbacks of Keras, resumes to the same bits, and stops between steps on Ctrl-C; anything else
-- that happens in an epoch belongs in a callback. A hand-written loop over the same methods works as well.
--
--     local fit, on = require "lurcher.fit", require "lurcher.callbacks"
--     local history = fit(run, train, { epochs = 30, valid = valid, on.early_stop{ patience = 3 } })
--
-- Options of fit(run, loader, options), beside callbacks in the list part:
--   epochs         number of the last epoch, counted from 1 over all resumed parts                  (1)
--   initial_epoch  index of the first epoch, from 0                                                 (0)
--   steps          most batches per epoch, for samplers that never end                             (all)
--   accumulate     batches per step: their gradients are averaged, for a batch that does not fit into memory. A step is
--                  then one update of the weights, in `steps`, callbacks and checkpoints; the last one of an epoch may
--                  have fewer batches                                                              (1)
--   valid          loader evaluated after each epoch                                                (nil)
--   valid_steps    most batches of it                                                               (all)
--   extra          table carried into every checkpoint (classes, preprocessing, ...)                 ({})
--   resume         checkpoint to continue: a path, or the text run:restore returned                 (nil)
--   progress       false: no progress lines; a callback: used instead of on.progress{}
--   bn_ramp        false: batch norms that have seen no batch yet have their momentum from the first step on, as in
--                  Keras; else it rises to that (lurcher.momentum_ramp), so that short trainings validate       (true)
--   callbacks      further callbacks, as a list: the same as in the list part                    ({})
--   interrupt      what Ctrl-C does once the callbacks are done. "raise": fit raises "interrupted", and a script ends
--                  with exit code 130; "return": fit returns        ("raise"; at the prompt of a session "return")
-- Keras's names validation_data, validation_steps and steps_per_epoch are taken for valid, valid_steps and steps.
-- A model with one input gets batch.image for it, and one with one output batch.class (batch.target, where images were
-- mixed), unless the batch has fields of their names.
-- A loader is anything with a method epoch(self, n, skip) that gives a for loop the batches of epoch n but the first
-- `skip`, a function n -> iterator, or a list of batches.
--
-- Returns the history: a list of logs, one table per epoch: `epoch` (from 0), the mean of every result over the epoch's
-- samples, the same of validation with the prefix val_, `lr`, and times: `seconds` of training, `wait_seconds` of these
-- waiting for the loader, and `check_seconds` of validation. history.interrupted is true where fit returned after
-- Ctrl-C; history.failed is the reason where a callback found that training diverged.
-- accumulate = 4 is one batch of four times the size, within rounding, where batches are of equal size and no layer
-- computes with the batch's statistics (batch norm) or random numbers.
-- Training means are taken while weights change, weighted by batch size (Keras 2.0.6, keras/callbacks.py, BaseLogger).
--
-- Callbacks are tables with any of these methods; all get the same table of logs, and may add to it:
--   on_train_begin(self, state)             on_epoch_begin(self, epoch, logs, state)
--   on_batch_end(self, step, logs, state)   on_epoch_end(self, epoch, logs, state)   in list order
--   on_epoch_done(self, epoch, logs, state) after every on_epoch_end: for what writes files or lines
--   on_use_begin(self, state)               before the model is used for inference: before validation, and before
--                                           on_train_end of a whole training
--   on_use_end(self, state)                 after that use: after on_epoch_end
--   on_train_end(self, state)
--   save(self) -> table, load(self, table)  state that a resume needs; with tensors(self) -> tensors by name, load gets
--                                           these as a second argument, or nil where resume is a text
-- state: run, model, loader, valid, epochs, steps, epoch, step (steps done in the epoch), batch (the last one),
-- history, stop (set it to end after this epoch), failed (set it to a reason to end at once: the epoch then does not
-- count), interrupted, done (the epoch is in the history), seconds, wait_seconds and samples (of this epoch in this
-- call), accumulate (batches per step), part (of a step of several: count of its batches so far, and sums of their
-- results), extra, snapshot() -> what a checkpoint holds, and tensors by name; in_use(f) calls f between on_use_begin
-- and on_use_end.

local lurcher = require "lurcher"
local momentum_ramp = require "lurcher.momentum_ramp"
local suggest = require "lurcher.suggest"

local fit = {}

--- Sums of results over batches, each weighted by its samples.
local means = {}
means.__index = means

--- New sums, or those of a checkpoint, where JSON has null for a number that was not finite.
local function new_means(saved)
  saved = saved or { samples = 0, sums = {}, weights = {} }
  local sums = {}
  for name, sum in pairs(saved.sums) do sums[name] = type(sum) == "number" and sum or 0 / 0 end
  return setmetatable({ samples = saved.samples, sums = sums, weights = saved.weights }, means)
end

function means:add(results)
  local samples = results.samples
  self.samples = self.samples + samples
  for name, value in pairs(results) do
    if name ~= "samples" then
      self.sums[name] = (self.sums[name] or 0) + value * samples
      self.weights[name] = (self.weights[name] or 0) + samples
    end
  end
end

function means:into(logs, prefix)
  for name, sum in pairs(self.sums) do logs[prefix .. name] = sum / self.weights[name] end
  return logs
end

--- The iterator without its first `skip` values.
local function skipping(skip, iterator, s, control, closing)
  for _ = 1, skip do
    control = iterator(s, control)
    if control == nil then break end
  end
  return iterator, s, control, closing
end

--- What a for loop needs for the batches of epoch n but the first `skip`, whatever the loader is. Skipped batches are
-- drawn, so that the rest of an interrupted epoch is what it would have been.
local function batches(loader, n, skip)
  if type(loader) == "function" then return skipping(skip, loader(n)) end
  if type(loader) == "table" and not loader.epoch then
    local i = skip
    return function()
      i = i + 1
      return loader[i]
    end
  end
  return loader:epoch(n, skip)
end

--- The names of a model's only input and only output, for `fed`; a field is nil where there are several.
local function feeds_of(model)
  if type(model) ~= "userdata" then return {} end -- what takes the place of a run may have another model, or none
  local inputs, outputs = model.inputs, model.outputs
  return { input = #inputs == 1 and inputs[1] or nil, output = #outputs == 1 and outputs[1] or nil }
end

--- The batch as the model takes it: its image for the only input, its class, or mixed classes, for the only output.
local function fed(batch, feeds)
  if type(batch) ~= "table" then return batch end
  local image, target
  if feeds.input and batch[feeds.input] == nil then image = batch.image end
  if feeds.output and batch[feeds.output] == nil then
    target = batch.target
    if target == nil then target = batch.class end
  end
  if image == nil and target == nil then return batch end
  local own = {}
  for name, value in pairs(batch) do own[name] = value end
  if image ~= nil then own[feeds.input] = image end
  if target ~= nil then own[feeds.output] = target end
  return own
end

--- The names that a batch's fields are to have, for the engine's message about one that is not there.
local function names_of(model)
  if type(model) ~= "userdata" then return "" end
  return ("; the model has inputs '%s' and outputs '%s'"):format(table.concat(model.inputs, "', '"),
    table.concat(model.outputs, "', '"))
end

--- Calls run:train or run:evaluate; nil after Ctrl-C, which the engine raises before a step or during inference, never
-- during a training step.
local function call_run(run, method, batch)
  local good, results = pcall(run[method], run, batch)
  if good then return results end
  if tostring(results):find "interrupted$" then return nil end
  if type(results) == "string" and results:find("the batch has no '", 1, true) then
    results = results .. names_of(run.model)
  end
  error(results, 0)
end

--- Whether Ctrl-C is to raise an error after it has stopped a fit or an evaluation. choice: the option `interrupt`.
local function raises_interrupt(choice)
  if choice == nil then return not lurcher.at_prompt() end
  return choice == "raise"
end

local function evaluated(run, loader, steps)
  local total, step, feeds = new_means(), 0, feeds_of(run.model)
  for batch in batches(loader, 0, 0) do
    local results = call_run(run, "evaluate", fed(batch, feeds))
    if not results then return nil, "interrupted" end
    total:add(results)
    step = step + 1
    if lurcher.interrupted() then return nil, "interrupted" end
    if step == steps then break end
  end
  if total.samples == 0 then error("evaluate: the loader gave no batch", 3) end
  return total:into({}, ""), total.samples
end

--- Means of run:evaluate over a loader, weighted by batch size, { loss = , acc = , ... }, and the number of samples.
-- steps: most batches. interrupt: as of fit; with "return" it returns nil, "interrupted" after Ctrl-C.
function fit.evaluate(run, loader, steps, interrupt)
  local results, count = evaluated(run, loader, steps)
  if not results and raises_interrupt(interrupt) then error("interrupted", 0) end
  return results, count
end

local function call(callbacks, method, ...)
  for _, callback in ipairs(callbacks) do
    if callback[method] then callback[method](callback, ...) end
  end
end

local known = { "epochs", "initial_epoch", "steps", "valid", "valid_steps", "extra", "resume", "progress", "accumulate",
  "bn_ramp", "interrupt", "callbacks" }

--- Keras's names that are accepted.
local renamed = { validation_data = "valid", validation_steps = "valid_steps", steps_per_epoch = "steps" }

--- Where the rest of what Keras's fit takes is set.
local elsewhere = {
  lr = "the learning rate is the optimizer's, model:compile{ optimizer = optim.adam{ lr = 1e-3 } }; run.lr and "
    .. "on.schedule change it",
  batch_size = "batches are made by the loader, data.loader{ set, batch = 32 }",
  shuffle = "the order is the loader's, data.loader{ set, shuffle = true }",
  verbose = "progress = false switches progress lines off",
  class_weight = "a batch may have sample weights, OUTPUT_weight, which the loader's option targets can add",
  validation_split = "valid takes a loader of another set of images",
  optimizer = "it is an option of model:compile", loss = "it is an option of model:compile",
  metrics = "losses and accuracies are always computed",
}
elsewhere.learning_rate, elsewhere.sample_weight, elsewhere.batch = elsewhere.lr, elsewhere.class_weight,
  elsewhere.batch_size

--- The methods of a callback that fit calls.
local hooks = { "on_train_begin", "on_epoch_begin", "on_batch_end", "on_epoch_end", "on_epoch_done", "on_use_begin",
  "on_use_end", "on_train_end" }

--- The options, with Keras's names replaced and the option callbacks in the list part.
local function accepted(options)
  if type(options) ~= "table" then
    error(("fit: a table of options expected as third argument, got %s"):format(type(options)), 3)
  end
  local own = {}
  for key, value in pairs(options) do
    local now = renamed[key] or key
    if own[now] ~= nil then error(("fit: option '%s' is given twice, once under Keras's name"):format(now), 3) end
    own[now] = value
  end
  if own.callbacks ~= nil then
    if type(own.callbacks) ~= "table" or own.callbacks.kind then
      error("bad option 'callbacks' to 'fit' (a list of callbacks expected)", 3)
    end
    for _, callback in ipairs(own.callbacks) do own[#own + 1] = callback end
  end
  return own
end

--- The least value of each option that is a number.
local least = { epochs = 0, initial_epoch = 0, steps = 1, valid_steps = 1, accumulate = 1 }

--- What a value is, for messages: "lurcher.model", "string".
local function kind_of(value)
  local meta = getmetatable(value)
  return type(meta) == "table" and type(meta.__name) == "string" and meta.__name or type(value)
end

local function has(value, method)
  if type(value) ~= "table" and type(value) ~= "userdata" then return false end
  local good, field = pcall(function() return value[method] end) -- a tensor raises for a field that it does not have
  return good and field ~= nil
end

local function check_loader(loader, what)
  if type(loader) == "function" or type(loader) == "table" or has(loader, "epoch") then return end
  error(("fit: a loader expected as %s, got %s (data.loader{ set, ... } makes one)"):format(what, kind_of(loader)), 4)
end

--- Raises for what is no callback, and for one with a method on_... that fit does not call. place: in the list.
local function check_callback(callback, place)
  if type(callback) ~= "table" then
    error(("fit: callback %s: a table of methods expected, got %s"):format(place, kind_of(callback)), 4)
  end
  local class = getmetatable(callback)
  for _, methods in ipairs{ callback, type(class) == "table" and class.__index or nil } do
    for name, value in pairs(type(methods) == "table" and methods or {}) do
      if type(name) == "string" and name:find "^on_" and type(value) == "function" then
        local is_hook = false
        for _, hook in ipairs(hooks) do is_hook = is_hook or hook == name end
        if not is_hook then
          error(("fit: callback %s (%s) has a method '%s', which is never called%s"):format(place,
            tostring(callback.kind or "of no kind"), name, suggest.hint(name, hooks)), 4)
        end
      end
    end
  end
end

local function check(run, loader, options)
  if not has(run, "train") then
    error(("fit: a run expected as first argument, got %s (model:compile{ ... } makes one)"):format(
      kind_of(run)), 3)
  end
  check_loader(loader, "second argument")
  if options.valid then check_loader(options.valid, "option 'valid'") end
  for name, low in pairs(least) do
    local value = options[name]
    if value ~= nil and not (type(value) == "number" and value >= low) then
      error(("bad option '%s' to 'fit' (a number of at least %d expected, got %s)"):format(name, low,
        type(value) == "number" and value or type(value)), 3)
    end
  end
  if not math.tointeger(options.accumulate or 1) then
    error(("bad option 'accumulate' to 'fit' (a whole number expected, got %s)"):format(options.accumulate), 3)
  end
  if options.interrupt ~= nil and options.interrupt ~= "raise" and options.interrupt ~= "return" then
    error(("bad option 'interrupt' to 'fit' (\"raise\" or \"return\" expected, got %s)"):format(
      tostring(options.interrupt)), 3)
  end
  for key in pairs(options) do
    if elsewhere[key] then error(("unknown option '%s' to 'fit': %s"):format(key, elsewhere[key]), 3) end
  end
  suggest.check(options, known, "fit", 3)
  for i, callback in ipairs(options) do check_callback(callback, i) end
  if type(options.progress) == "table" then check_callback(options.progress, "progress") end
end

--- The callbacks: the list part, and progress lines unless there is such a callback or they are switched off.
local function callbacks_of(options)
  local list, shown = {}, options.progress == false
  for _, callback in ipairs(options) do
    list[#list + 1] = callback
    shown = shown or callback.kind == "progress"
  end
  if type(options.progress) == "table" then
    list[#list + 1] = options.progress
  elseif not shown then
    list[#list + 1] = require "lurcher.callbacks".progress{}
  end
  return list
end

--- The name in a checkpoint of a tensor of the i-th callback: "2/conv/kernel".
local function tensor_name(i, name) return ("%d/%s"):format(i, name) end

--- What a checkpoint holds beside the run's own state: a table fit for JSON, and tensors by name.
local function snapshot(state, callbacks, sums)
  local saved, tensors = {}, {}
  for i, callback in ipairs(callbacks) do
    saved[i] = { kind = callback.kind or "callback", state = callback.save and callback:save() or nil }
    for name, tensor in pairs(callback.tensors and callback:tensors() or {}) do
      tensors[tensor_name(i, name)] = tensor
    end
  end
  local history = {}
  for i, logs in ipairs(state.history) do history[i] = logs end
  return { epoch = state.done and state.epoch + 1 or state.epoch, step = state.done and 0 or state.step,
    sums = not state.done and { samples = sums.samples, sums = sums.sums, weights = sums.weights } or nil,
    lr = state.run.lr, stop = state.stop, bn_ramp = state.ramp and state.ramp:save() or nil,
    callbacks = lurcher.json.array(saved),
    history = lurcher.json.array(history) }, tensors
end

--- The tensors that the i-th callback of a checkpoint saved, or nil where only its text is known.
local function tensors_of(path, i)
  if not path then return nil end
  local all, message = lurcher.load_tensors(path)
  if not all then error("fit: cannot resume: " .. message, 0) end
  local mine, head = {}, "lurcher.extra/" .. tensor_name(i, "")
  for name, tensor in pairs(all) do
    if name:sub(1, #head) == head then mine[name:sub(#head + 1)] = tensor end
  end
  return mine
end

--- Gives each callback the state saved for the k-th callback of its kind.
local function restore_callbacks(callbacks, saved, path)
  local used = {}
  for _, callback in ipairs(callbacks) do
    for i, entry in ipairs(saved) do
      if not used[i] and entry.kind == (callback.kind or "callback") then
        used[i] = true
        if entry.state and callback.load then
          callback:load(entry.state, callback.tensors and tensors_of(path, i) or nil)
        end
        break
      end
    end
  end
end

local function is_count(value) return (math.tointeger(type(value) == "number" and value) or -1) >= 0 end

--- The name of the first field that snapshot does not write so, or nil.
local function mistake(saved)
  if not is_count(saved.epoch) then return "epoch" end
  if not is_count(saved.step) then return "step" end
  if saved.lr ~= nil and type(saved.lr) ~= "number" then return "lr" end
  for _, name in ipairs{ "history", "callbacks" } do
    if type(saved[name]) ~= "table" then return name end
    for _, entry in ipairs(saved[name]) do if type(entry) ~= "table" then return name end end
  end
  for _, entry in ipairs(saved.callbacks) do
    if entry.state ~= nil and type(entry.state) ~= "table" then return "callbacks" end
  end
  if saved.bn_ramp ~= nil and not momentum_ramp.is_saved(saved.bn_ramp) then return "bn_ramp" end
  local sums = saved.sums
  if sums == nil then return nil end
  if type(sums) ~= "table" or type(sums.samples) ~= "number" then return "sums" end
  if type(sums.sums) ~= "table" or type(sums.weights) ~= "table" then return "sums" end
  for name in pairs(sums.sums) do if type(sums.weights[name]) ~= "number" then return "sums" end end
end

--- Restores the state from a checkpoint's text; returns the sums of its epoch. path: the checkpoint's file, or nil.
local function resume(state, callbacks, text, path)
  local ok, extra = pcall(lurcher.json.decode, text)
  if not ok or type(extra) ~= "table" or type(extra.fit) ~= "table" then
    error("fit: cannot resume: fit did not write this checkpoint: it has weights but no epoch", 3)
  end
  local saved = extra.fit
  local bad = mistake(saved)
  if bad then error(("fit: cannot resume: the checkpoint is damaged: bad value of '%s'"):format(bad), 0) end
  state.epoch, state.step = math.tointeger(saved.epoch), math.tointeger(saved.step)
  state.stop = saved.stop or false
  for i, logs in ipairs(saved.history) do state.history[i] = logs end
  if saved.lr then state.run.lr = saved.lr end
  restore_callbacks(callbacks, saved.callbacks, path)
  state.ramp = saved.bn_ramp and momentum_ramp.new(state.run.model, saved.bn_ramp) or false
  return new_means(saved.sums)
end

local function begin(run, loader, options)
  local callbacks = callbacks_of(options)
  local state = { run = run, model = run.model, loader = loader, valid = options.valid, epochs = options.epochs or 1,
    steps = options.steps, epoch = options.initial_epoch or 0, step = 0, history = {}, stop = false,
    interrupted = false, extra = options.extra or {}, done = false, seconds = 0, wait_seconds = 0, samples = 0,
    accumulate = options.accumulate or 1, part = { count = 0, sums = new_means() } }
  return state, callbacks
end

--- Sends the next batch's images to a GPU while it computes, where the loader has them ready.
local function send_ahead(run, loader, feeds)
  if type(loader) == "function" or not loader.peek or not run.device:find "^cuda" then return end
  local coming = loader:peek()
  if coming then run:prefetch(fed(coming, feeds)) end
end

--- Adds a batch's gradients to those of the step's batches so far. Returns the batch's results, or nil after Ctrl-C
-- before a step. A step that has begun is completed: weights change, and checkpoints are written, only between steps.
local function accumulate(state, batch)
  local results = call_run(state.run, "accumulate", batch)
  if results or state.part.count == 0 then return results end
  state.interrupted = true
  return state.run:accumulate(batch)
end

--- Makes the update of a step of several batches. Returns the means of their results.
local function update(state)
  local part = state.part
  state.run:step{ scale = 1 / part.count }
  state.part = { count = 0, sums = new_means() }
  return part.sums:into({ samples = part.sums.samples }, "")
end

--- A batch of a step of `accumulate` batches: as train_batch.
local function train_part(state, batch)
  local results = accumulate(state, batch)
  if not results then return nil end
  state.part.sums:add(results)
  state.part.count = state.part.count + 1
  return state.part.count == state.accumulate and update(state)
end

--- Trains on a batch, with the momentum of fresh batch norms rising. Returns the results of the step that it completes;
-- false if it completes none; nil after Ctrl-C.
local function train_batch(state, batch, feeds)
  local ramp = state.ramp
  send_ahead(state.run, state.loader, feeds)
  if ramp then ramp:before() end
  local results
  if state.accumulate == 1 then results = call_run(state.run, "train", batch)
  else results = train_part(state, batch) end
  if ramp and results ~= nil then
    ramp:after()
    if not ramp:is_active() then state.ramp = false end
  end
  return results
end

--- What follows a step: its results (nil after Ctrl-C) in the sums, and the callbacks. Returns whether to continue.
local function after_step(state, callbacks, sums, logs, results)
  logs.batch = results
  if not results then
    state.interrupted = true
    return false
  end
  sums:add(results)
  state.step, state.samples = state.step + 1, state.samples + results.samples
  state.seconds = lurcher.time() - state.started
  call(callbacks, "on_batch_end", state.step, sums:into(logs, ""), state)
  if lurcher.interrupted() then state.interrupted = true end
  return not (state.stop or state.failed or state.interrupted)
end

--- Trains on the rest of the epoch. Sets state.seconds, wait_seconds and samples.
local function train_epoch(state, callbacks, sums, options)
  local logs, going, feeds = {}, state.step ~= options.steps, feeds_of(state.model)
  state.started, state.seconds, state.wait_seconds, state.samples = lurcher.time(), 0, 0, 0
  if going then
    local waiting_since = state.started
    for batch in batches(state.loader, state.epoch, state.step * state.accumulate) do
      state.wait_seconds = state.wait_seconds + lurcher.time() - waiting_since
      state.batch = fed(batch, feeds)
      local results = train_batch(state, state.batch, feeds)
      if results ~= false then
        going = after_step(state, callbacks, sums, logs, results) and state.step ~= options.steps
        if not going then break end
      end
      waiting_since = lurcher.time()
    end
    if going and state.part.count > 0 then after_step(state, callbacks, sums, logs, update(state)) end
  end
  if sums.samples == 0 and not state.interrupted then
    error(("fit: the loader gave no batch in epoch %d"):format(state.epoch), 0)
  end
end

--- Puts validation's results into the logs. Returns false after Ctrl-C.
local function validate(state, logs, options)
  if not state.valid then return true end
  local started = lurcher.time()
  local results = fit.evaluate(state.run, state.valid, options.valid_steps, "return")
  if not results then return false end
  for name, value in pairs(results) do logs["val_" .. name] = value end
  logs.check_seconds = lurcher.time() - started
  return true
end

--- Validation, callbacks and history of an epoch whose batches are done. An interrupted validation leaves the epoch
-- open, and a resume validates again.
local function finish_epoch(state, callbacks, sums, options)
  local logs = sums:into({ epoch = state.epoch, seconds = state.seconds, wait_seconds = state.wait_seconds,
    lr = state.run.lr }, "")
  call(callbacks, "on_use_begin", state)
  state.interrupted = not validate(state, logs, options)
  if not state.interrupted then call(callbacks, "on_epoch_end", state.epoch, logs, state) end
  call(callbacks, "on_use_end", state)
  if state.interrupted or state.failed then return end
  state.history[#state.history + 1] = logs
  state.done = true
  call(callbacks, "on_epoch_done", state.epoch, logs, state)
end

local function train(state, callbacks, options)
  while state.epoch < state.epochs and not state.stop do
    call(callbacks, "on_epoch_begin", state.epoch, {}, state)
    train_epoch(state, callbacks, state.sums, options)
    if state.interrupted or state.failed then break end
    finish_epoch(state, callbacks, state.sums, options)
    if lurcher.interrupted() then state.interrupted = true end
    if state.interrupted or state.failed then break end
    state.epoch, state.step, state.done, state.sums = state.epoch + 1, 0, false, new_means()
  end
  if not state.interrupted and not state.failed then call(callbacks, "on_use_begin", state) end
end

--- Whether a run's model is one of lurcher.nn: what takes the place of a run may have another, or none.
local function is_graph(model) return type(model) == "userdata" end

setmetatable(fit, { __call = function(_, run, loader, options)
  options = accepted(options or {})
  check(run, loader, options)
  local state, callbacks = begin(run, loader, options)
  state.sums = new_means()
  if state.accumulate > 1 then run:zero_gradients() end
  if options.resume then
    local text, path, message = options.resume, nil, nil
    if not text:find("^%s*{") then
      path = text
      text, message = run:restore(path)
    end
    if not text then error("fit: cannot resume: " .. tostring(message), 2) end
    state.sums = resume(state, callbacks, text, path)
  end
  if options.bn_ramp == false then
    state.ramp = false
  elseif state.ramp == nil and is_graph(state.model) then
    state.ramp = momentum_ramp.new(state.model)
    if not state.ramp:is_active() then state.ramp = false end
  end
  state.snapshot = function() return snapshot(state, callbacks, state.sums) end
  state.in_use = function(f)
    call(callbacks, "on_use_begin", state)
    f()
    call(callbacks, "on_use_end", state)
  end
  call(callbacks, "on_train_begin", state)
  train(state, callbacks, options)
  call(callbacks, "on_train_end", state)
  state.history.interrupted, state.history.failed = state.interrupted or nil, state.failed
  if state.interrupted and raises_interrupt(options.interrupt) then error("interrupted", 0) end
  return state.history
end })

return fit
