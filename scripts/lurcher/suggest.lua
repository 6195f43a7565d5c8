--- lurcher.suggest: "did you mean" at the end of an error message, and options that are not known.

local lurcher = require "lurcher"

local suggest = {}

--- What Keras and PyTorch call options and hooks that have other names here.
local elsewhere <const> = { learning_rate = "lr", validation_data = "valid", validation_steps = "valid_steps",
  steps_per_epoch = "steps", restore_best_weights = "restore_best", save_best_only = "best_only", period = "every",
  save_freq = "steps", filepath = "path", histogram_freq = "every", baseline = "min_delta",
  batch_size = "batch", dataset = "set", num_workers = "workers", drop_remainder = "drop_last",
  on_train_batch_end = "on_batch_end", on_test_begin = "on_use_begin", on_test_end = "on_use_end",
  decay_rate = "factor", gamma = "factor", step_size = "every", decay_steps = "every", initial_learning_rate = "lr",
  eta_min = "min", T_max = "epochs", warmup_steps = "warmup", warmup_epochs = "warmup", beta = "decay",
  weight = "weights", samples_per_class = "images", EarlyStopping = "early_stop", ModelCheckpoint = "checkpoint",
  ReduceLROnPlateau = "reduce_lr", CSVLogger = "csv", LearningRateScheduler = "schedule", TensorBoard = "tensorboard",
  TerminateOnNaN = "nan_guard", ProgbarLogger = "progress", StepLR = "step", ExponentialLR = "exponential",
  CosineAnnealingLR = "cosine", CosineDecay = "cosine", RandomSampler = "shuffled", SequentialSampler = "sequential",
  WeightedRandomSampler = "weighted" }

--- The candidate that a word of another library stands for, or nil.
local function translated(word, candidates)
  local name = elsewhere[word]
  for _, candidate in ipairs(candidates) do if candidate == name then return name end end
end

--- " (did you mean 'batch'?)" to end a message with, or "" if no candidate is near (lurcher.nearest). mark: put before
-- the word ("--").
function suggest.hint(word, candidates, mark)
  local near = translated(word, candidates) or lurcher.nearest(word, candidates)
  return near and (" (did you mean '%s%s'?)"):format(mark or "", near) or ""
end

--- Raises for a key of `given` that is neither in the list part nor one of `known` (a list of names). owner: what takes
-- the options, "on.progress". level: as of error, of the caller.
function suggest.check(given, known, owner, level)
  local is_known = {}
  for _, name in ipairs(known) do is_known[name] = true end
  for key in pairs(given) do
    if math.type(key) ~= "integer" and not is_known[key] then
      local word = tostring(key)
      error(("unknown option '%s' to '%s'%s"):format(word, owner, suggest.hint(word, known)), level + 1)
    end
  end
end

--- A module whose fields that do not exist raise, at the line that reads them. what: "a callback".
function suggest.guard(module, name, what)
  return setmetatable(module, { __index = function(_, key)
    local names = {}
    for known in pairs(module) do names[#names + 1] = known end
    table.sort(names)
    local near = suggest.hint(tostring(key), names)
    error(("%s has no %s '%s'%s"):format(name, what, tostring(key), near ~= "" and near
      or " (there are: " .. table.concat(names, ", ") .. ")"), 2)
  end })
end

return suggest
