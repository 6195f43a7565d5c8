--- single_model_test.lua - predicts images with a trained classifier, and scores it
-- Writes a line `class TAB image name` per image; where the folder has the model's classes as subfolders, prints
-- accuracy, log-loss and confusion. The original's batch of 96 gives the same predictions in three times the memory.

local common, evaluation = require "lurcher.recipe.common", require "lurcher.recipe.evaluation"
local options = require "lurcher.recipe.options"

local spec = options.join({
  name = "single_model_test",
  summary = "Predicts the images of a folder; scores the predictions where the folder has one subfolder per class.",
  { "model", "path", required = true, value = "FILE", help = "model.safetensors of a run, or the run folder" },
  { "output", "string", value = "NAME",
    help = "output to take the predictions from (default: ctg_out, ctg_out_1, or the only one)" },
}, common.test)

options.main(spec, arg, function(o, given)
  common.reads(o, given)
  o.normalize = true
  evaluation.run(evaluation.open{ o.model }, o)
end)
