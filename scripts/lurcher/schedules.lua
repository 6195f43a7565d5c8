--- lurcher.schedules: learning rates as functions of the epoch, for on.schedule.
-- Each function here returns a schedule, a function f(epoch) -> learning rate, with epochs from 0. Your own can be as
-- short: `on.schedule(function(epoch) return 0.1 / (epoch + 1) end)`.

local lurcher = require "lurcher"
local suggest = require "lurcher.suggest"

local schedules = {}

--- The table of options; raises at the line that called the schedule for another value, and for unknown options.
local function checked(name, options, known)
  if type(options) ~= "table" then
    error(lurcher.format("schedules.%s: a table of options expected (%s), got %s", name, table.concat(known, ", "),
      options), 3)
  end
  suggest.check(options, known, "schedules." .. name, 3)
  return options
end

local function not_negative(name, options, field, default)
  local value = options[field]
  if value == nil then value = default end
  if type(value) ~= "number" or value < 0 then
    error(lurcher.format("bad option '%s' to 'schedules.%s' (number of at least 0 expected, got %s)", field, name,
      value), 3)
  end
  return value
end

--- The same learning rate in every epoch.
function schedules.constant(lr)
  if type(lr) ~= "number" or not (lr >= 0) then
    error(lurcher.format("schedules.constant: a learning rate of at least 0 expected, got %s", lr), 2)
  end
  return function() return lr end
end

--- One learning rate per epoch: list{ 1e-4, 1e-4, 1e-5 }. The last one holds from then on.
function schedules.list(rates)
  if type(rates) ~= "table" or #rates == 0 then error("schedules.list: a list of learning rates expected", 2) end
  for i, lr in ipairs(rates) do
    if type(lr) ~= "number" or not (lr >= 0) then
      error(lurcher.format("schedules.list: number %d is %s (a learning rate of at least 0 expected)", i, lr), 2)
    end
  end
  return function(epoch) return rates[math.min(epoch + 1, #rates)] end
end

--- The learning rate times `factor` after every `every` epochs: step{ lr = 0.1, factor = 0.1, every = 10 }.
function schedules.step(options)
  checked("step", options, { "lr", "factor", "every" })
  local lr = not_negative("step", options, "lr")
  local factor = not_negative("step", options, "factor", 0.1)
  local every = not_negative("step", options, "every", 10)
  if every < 1 then error("bad option 'every' to 'schedules.step' (integer of at least 1 expected)", 2) end
  return function(epoch) return lr * factor ^ (epoch // every) end
end

--- The learning rate times `factor` after each epoch: exponential{ lr = 0.1, factor = 0.94 }.
function schedules.exponential(options)
  checked("exponential", options, { "lr", "factor" })
  local lr = not_negative("exponential", options, "lr")
  local factor = not_negative("exponential", options, "factor", 0.94)
  return function(epoch) return lr * factor ^ epoch end
end

--- Half a cosine from `lr` to `min` (0) over `epochs`, after `warmup` (0) epochs of linear rise
-- (Loshchilov and Hutter, SGDR, 2016, without restarts): cosine{ lr = 0.1, epochs = 30, warmup = 3 }.
function schedules.cosine(options)
  checked("cosine", options, { "lr", "min", "warmup", "epochs" })
  local lr = not_negative("cosine", options, "lr")
  local low = not_negative("cosine", options, "min", 0)
  local warmup = not_negative("cosine", options, "warmup", 0)
  local epochs = not_negative("cosine", options, "epochs")
  if epochs <= warmup then error("schedules.cosine: more epochs than warmup expected", 2) end
  return function(epoch)
    if epoch < warmup then return lr * (epoch + 1) / (warmup + 1) end
    local done = math.min((epoch - warmup) / (epochs - warmup), 1)
    return low + (lr - low) * 0.5 * (1 + math.cos(math.pi * done))
  end
end

--- The original's trick_tune.py: ten epochs, the first two at `lr` (1e-4), then falling to a hundredth of it with one
-- rise between.
function schedules.trick(lr)
  if lr ~= nil and (type(lr) ~= "number" or not (lr >= 0)) then
    error(lurcher.format("schedules.trick: a learning rate of at least 0 expected, got %s", lr), 2)
  end
  local rates = {}
  for i, factor in ipairs{ 1, 1, 0.1, 0.01, 0.01, 0.1, 0.01, 0.01, 0.01, 0.01 } do rates[i] = (lr or 1e-4) * factor end
  return schedules.list(rates)
end

return suggest.guard(schedules, "lurcher.schedules", "schedule")
