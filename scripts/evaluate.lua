--- evaluate.lua - scores a trained model on a folder of images with one subfolder per class
-- Prints accuracy, log-loss and the classes that are confused; writes files only where they are asked for.

local lurcher = require "lurcher"
local common, evaluation = require "lurcher.recipe.common", require "lurcher.recipe.evaluation"
local options, prediction = require "lurcher.recipe.options", require "lurcher.prediction"

local spec = options.join({
  name = "evaluate",
  summary = "Scores the model of a run on the images in DIR/CLASS/: accuracy, log-loss, and what it confuses.",
  { "stage", "string", value = "NAME",
    help = "stage of the run whose model is used (frozen, tuned, ...; default: the newest)" },
  { "output", "string", value = "NAME", help = "output to take the predictions from, for a model of several" },
  arguments = { name = "RUN DIR", min = 2, max = 2,
    help = "a run folder or its model.safetensors, and a folder with one subfolder per class" },
}, common.test, {
  { "data", "path", value = "DIR", help = "the same as the argument DIR" },
  { "out", "file", value = "FILE", help = "file to write the predictions to, a line `class TAB image name` per image" },
  { "probabilities", "file", value = "FILE.csv", help = "file to write the probabilities to" },
  { "scores", "file", value = "FILE.json", help = "file to write the scores to" },
})

function spec.adjust(values)
  if values.data and #values.arguments == 1 then values.arguments[2] = values.data end
  return values
end

options.main(spec, arg, function(o, given)
  common.reads(o, given)
  local run = o.arguments[1]
  o.data, o.normalize = o.arguments[2], true
  local opened = evaluation.open{ o.stage and run .. "/" .. o.stage or run }
  if not select(2, prediction.open_set(o.data, opened[1].metadata.classes)) then
    error(("'%s' has no subfolder named like a class of the model: lurcher predict classifies images without scoring")
      :format(o.data), 0)
  end
  local results = evaluation.run(opened, o)
  if o.scores then
    assert(lurcher.write_file(o.scores, lurcher.json.encode(results, true) .. "\n"))
    print("scores: " .. o.scores)
  end
end)
