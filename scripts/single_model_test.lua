--- single_model_test.lua - predicts images with a trained classifier, and scores it
-- It writes a line `class TAB image name` for each image, and where the folder has the model's classes as
-- subfolders, says how often and how surely it is right. The founding batch was 96 (keras.md section 10): it changes no
-- answer and takes three times the memory.

local fixed_features = require "lurcher.fixed_features"
local options, prediction = require "lurcher.recipe.options", require "lurcher.prediction"

local spec = options.join({
  name = "single_model_test",
  summary = "Predicts the images of a folder; with a folder a class in it, also scores the predictions.",
  { "model", "path", required = true, value = "FILE", help = "model.safetensors of a run, or the run folder" },
  { "data", "path", required = true, value = "DIR", help = "folder of images, or of a folder a class" },
  { "output", "string", value = "NAME",
    help = "output of the model to read (default: ctg_out, ctg_out_1, or the only one)" },
  { "out", "file", default = "predict.txt", help = "where the predictions go" },
  { "tta", "integer", default = 1, min = 1, max = prediction.most_views,
    help = "views of each image to average, 1 to 6: as it is, mirrored, both larger, both smaller" },
  { "batch", "integer", default = 32, min = 1, help = "images a step: no answer depends on it" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read images" },
}, fixed_features.options)

options.main(spec, arg, function(o)
  local model, about = prediction.open_model(o.model)
  local set, labelled = prediction.open_set(o.data, about.classes)
  o.output = prediction.output(model, about.classes, o.output)
  local scores, rows = prediction.predict(model, set, about, o)
  scores = scores / scores:sum(2):view(-1, 1) -- maximum_1 adds up to more than 1
  prediction.write(o.out, scores, rows, set, about.classes)
  if labelled then prediction.score(scores, rows, set, about.classes) end
end)
