--- lurcher.recipe.single: what the recipes of classifiers share (train and single_model, tune and single_model_tune):
-- options, training on single images, and the results. The recipes choose the model and the optimizer.
-- A classifier has one softmax output, or several over the same classes.

local lurcher = require "lurcher"
local augmentations, common = require "lurcher.augmentations", require "lurcher.recipe.common"
local options, presets = require "lurcher.recipe.options", require "lurcher.recipe.presets"
local fit, prediction = require "lurcher.fit", require "lurcher.prediction"
local preprocessing, report = require "lurcher.preprocessing", require "lurcher.report"
local pretrained, schedules = require "lurcher.recipe.pretrained", require "lurcher.schedules"
local shell, stage = require "lurcher.shell", require "lurcher.recipe.stage"
local temperature = require "lurcher.temperature"
local nn = lurcher.nn

local single = {}

--- The value of an option in the preset modern: `with` where there are weights, so that the backbone is frozen.
local function by_weights(with, without)
  return function(values)
    local has_frozen = values.run or values.model or values.weights or values.inception_weights
    return has_frozen and with or without
  end
end

--- Command-line options of these recipes behind --preset and their own, for options.join.
single.options = options.join({
  presets.option({ "label-smoothing", "number", min = 0, max = 0.99,
    help = "label smoothing of the training and validation loss" }, 0.05, 0),
  presets.option({ "weight-decay", "number", min = 0, max = 1e9, help = "weight decay (L2)" }, 1e-4, 0),
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "momentum of SGD" },
  presets.option({ "warmup", "integer", min = 0, help = "epochs over which the learning rate of a cosine rises" },
    function(values) return values.epochs and values.epochs > 1 and 1 or 0 end, 0, "1, or 0 of a single epoch"),
  presets.option({ "ema", "number", min = 0, max = 0.9999,
    help = "decay of the averaged weights that are validated and kept; 0: no averaging" }, 0.98, 0),
  presets.option({ "temperature", "flag",
    help = "fit the softmax's temperature on the validation images at the end" }, true, false),
  presets.option({ "bn-ramp", "flag", help = "let the momentum of batch norms that have seen no batch yet rise in the "
    .. "first steps, so that a short training is validated as it trains" }, true, false),
}, common.augment, common.reduce, common.training, {
  presets.option({ "augment", "choice", choices = augmentations.names, help = augmentations.help }, "modern", "none"),
  presets.option({ "views", "integer", min = 0, max = 1000, help = "number of fixed augmented views per image, whose "
    .. "features are computed once; 0: a new view in every epoch" }, by_weights(3, 0), 0,
    "3 of a frozen backbone, else 0"),
  presets.option({ "cache-store", "choice", choices = { "f32", "f16" },
    help = "number type of cached features; f16 takes half the space" }, "f16", "f32"),
})

--- The names of the options that a resumed run may change.
single.may_change = { epochs = true, patience = true }
for name in pairs(common.may_change) do single.may_change[name] = true end

--- For options.main's `adjust`, when the other values are complete. Returns values, or nil and a message.
function single.checked(spec, values)
  if values.resume then presets.complete(spec, values) end
  if values.schedule == "cosine" and values.epochs <= values.warmup then
    return nil, ("--epochs %d: more epochs are needed than those over which the learning rate rises (--warmup %d)"):
      format(values.epochs, values.warmup)
  end
  local good, message = presets.check(values)
  if not good then return nil, message end
  return values
end

--- The learning rate by epoch that o.schedule names; nil where it is reduced on a plateau.
function single.schedule(o, lr)
  if o.schedule == "trick" then return schedules.trick(lr) end
  if o.schedule == "cosine" then return schedules.cosine{ lr = lr, epochs = o.epochs, warmup = o.warmup } end
end

--- The backbones of a classifier, models that share its layers, by the name of their network: those that it has.
function single.backbones(model)
  local backbones = {}
  for _, network in ipairs(pretrained.networks) do
    if model:index(network.mark) then
      local beside_xception = network.name == "inception_v3" and backbones.xception
      local features = beside_xception and "inception_avg_pool" or network.features
      if not model:index(features) then features = "avg_pool" end -- with --feature-layer
      backbones[network.name] = nn.model(model:node(features))
    end
  end
  return backbones
end

--- A value for each output of a model, by name.
local function per_output(model, value_of)
  local values = {}
  for _, output in ipairs(model.outputs) do values[output] = value_of(output) end
  return values
end

--- Divides the logits of a classifier's only softmax by the temperature that fits the validation images. Returns false
-- after Ctrl-C.
local function calibrate(trained, model)
  if #model.outputs > 1 then return true end
  local output, list, ids = model.outputs[1], {}, {}
  for batch in trained.valid:epoch(0) do
    local inputs = {}
    for _, name in ipairs(trained.model.inputs) do inputs[name] = batch[name] or batch.image end
    local good, outputs = pcall(trained.run.predict, trained.run, inputs)
    if lurcher.interrupted() or not good and tostring(outputs):find "interrupted$" then return false end
    if not good then error(outputs, 0) end
    list[#list + 1], ids[#ids + 1] = outputs[output], batch.class
  end
  local fitted = temperature.fit(lurcher.concat(list), lurcher.concat(ids))
  temperature.apply(trained.model:layer(output), fitted)
  print(lurcher.format("temperature of the softmax: %.3f", fitted))
  return true
end

--- Trains what is trainable of a classifier, in a run folder. sets: of class_folders.open. o: the options above, batch,
-- epochs and patience. rule: optimizer, schedule (of lurcher.schedules; without one the learning rate is reduced on a
-- plateau), only (name of the one output whose loss counts), prepare (of stage.train). Returns the results on the
-- validation images that can be read, with o.report their probabilities and their numbers (else nil), and the history;
-- or nil and an exit code: 130 after Ctrl-C, 1 where training diverged.
function single.train(model, sets, o, folder, rule)
  local function targets(batch) return per_output(model, function() return batch.class end) end
  local trained <close>, code = stage.train(model, sets, o, folder, { augment = o.augment, views = o.views,
    epochs = o.epochs, patience = o.patience, optimizer = rule.optimizer, schedule = rule.schedule, ema = o.ema,
    bn_ramp = o.bn_ramp, prepare = rule.prepare,
    train = { batch = o.batch, targets = targets }, valid = { batch = o.batch, targets = targets },
    weight = per_output(model, function(output) return (not rule.only or rule.only == output) and 1 or 0 end),
    label_smoothing = per_output(model, function() return o.label_smoothing end) })
  if not trained then return nil, code end
  if o.temperature and not calibrate(trained, model) then return nil, 130 end
  local results = fit.evaluate(trained.run, trained.valid, nil, "return")
  if not results then return nil, 130 end
  local output = prediction.output(model, sets.train.classes)
  if not o.report then return results, nil, nil, trained.history end
  local scores, rows = report.scores(trained.run, trained.valid, output)
  return results, scores, rows, trained.history
end

--- "0.9375" of one output, "ctg_out 0.9375, ..." of several.
local function accuracies(model, results)
  if #model.outputs == 1 then return lurcher.format("%.4f", results.acc) end
  local list = {}
  for i, output in ipairs(model.outputs) do list[i] = lurcher.format("%s %.4f", output, results[output .. "_acc"]) end
  return table.concat(list, ", ")
end

--- The commands that may follow a recipe's.
local function next_commands(recipe, path)
  local tune = { train = "tune", single_model = "single_model_tune" }
  local first = tune[recipe] and shell.command("lurcher " .. tune[recipe] .. " --run %s; ", path) or ""
  if recipe == "train" or recipe == "tune" then return first .. shell.command("lurcher evaluate %s DIR", path) end
  return first .. shell.command("lurcher single_model_test --model %s --data DIR", path)
end

--- What comes after single.train, whose results these are: writes the model and its report, prints the results and the
-- next command. rest: the probabilities, or the exit code where there are no results. rows: the images' numbers.
-- Returns the exit code.
function single.finish(results, rest, rows, model, sets, folder, o)
  local recipe = folder.settings.recipe
  if not results then
    if rest == 130 then print(shell.command("continue with: lurcher %s --resume %s", recipe, folder.path)) end
    return rest
  end
  local metadata = preprocessing.metadata(sets.preprocessing, sets.train.classes, folder.settings)
  local path = stage.save(model, folder, "model", metadata, o.device)
  folder:forget_start()
  if o.report then
    print("report: " .. report.write(folder, { set = sets.valid, scores = rest, rows = rows, device = o.device }))
  end
  print(lurcher.format("%s epoch on the validation images: loss %.4f, accuracy %s",
    o.era == "2017" and "last" or "best", results.loss, accuracies(model, results)))
  print("model: " .. path)
  print("next: " .. next_commands(recipe, folder.path))
  return 0
end

return single
