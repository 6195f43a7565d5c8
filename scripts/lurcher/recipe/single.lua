--- lurcher.recipe.single: what single_model and single_model_tune share: options, training on single images, and the
-- results. The recipes choose the model and the optimizer.
-- A classifier has one softmax output, or several over the same classes.

local lurcher = require "lurcher"
local common, options = require "lurcher.recipe.common", require "lurcher.recipe.options"
local fit, prediction = require "lurcher.fit", require "lurcher.prediction"
local preprocessing, report = require "lurcher.preprocessing", require "lurcher.report"
local pretrained, shell = require "lurcher.recipe.pretrained", require "lurcher.shell"
local stage = require "lurcher.recipe.stage"
local nn = lurcher.nn

local single = {}

--- Command-line options of both recipes, for options.join.
single.options = options.join({
  { "label-smoothing", "number", default = 0, min = 0, max = 0.99,
    help = "label smoothing of the training and validation loss" },
  { "weight-decay", "number", default = 0, min = 0, help = "weight decay (L2)" },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "momentum of SGD" },
}, common.augment, common.reduce, common.training)

--- The names of the options that a resumed run may change.
single.may_change = { epochs = true, patience = true }
for name in pairs(common.may_change) do single.may_change[name] = true end

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

--- Trains what is trainable of a classifier, in a run folder. sets: of class_folders.open. o: the options above, batch,
-- epochs and patience. rule: optimizer, schedule (of lurcher.schedules; without one the learning rate is reduced on a
-- plateau), only (name of the one output whose loss counts). Returns the results on the validation images that can be
-- read and, with o.report, their probabilities and their numbers; or nil and an exit code: 130 after Ctrl-C, 1 where
-- training diverged.
function single.train(model, sets, o, folder, rule)
  local function targets(batch) return per_output(model, function() return batch.class end) end
  local trained <close>, code = stage.train(model, sets, o, folder, { augment = o.augment, views = o.views,
    epochs = o.epochs, patience = o.patience, optimizer = rule.optimizer, schedule = rule.schedule,
    train = { batch = o.batch, targets = targets }, valid = { batch = o.batch, targets = targets },
    weight = per_output(model, function(output) return (not rule.only or rule.only == output) and 1 or 0 end),
    label_smoothing = per_output(model, function() return o.label_smoothing end) })
  if not trained then return nil, code end
  local results = fit.evaluate(trained.run, trained.valid)
  if not results then return nil, 130 end
  local output = prediction.output(model, sets.train.classes)
  if not o.report then return results end
  return results, report.scores(trained.run, trained.valid, output)
end

--- "0.9375" of one output, "ctg_out 0.9375, ..." of several.
local function accuracies(model, results)
  if #model.outputs == 1 then return lurcher.format("%.4f", results.acc) end
  local list = {}
  for i, output in ipairs(model.outputs) do list[i] = lurcher.format("%s %.4f", output, results[output .. "_acc"]) end
  return table.concat(list, ", ")
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
  local tune = recipe == "single_model" and shell.command("lurcher single_model_tune --run %s; ", folder.path) or ""
  print(("next: %s%s"):format(tune, shell.command("lurcher single_model_test --model %s --data DIR", folder.path)))
  return 0
end

return single
