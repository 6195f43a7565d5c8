--- baidu_dog_test.lua - predicts images with the category head of one or several trained models, and scores them
-- It writes predict.txt, a line `class TAB image name` an image (the competition's submission), and the
-- probabilities as CSV. Each image may be seen in several views (--tta); several models' probabilities are averaged.

local lurcher = require "lurcher"
local fixed_features = require "lurcher.fixed_features"
local options, prediction = require "lurcher.recipe.options", require "lurcher.prediction"

local spec = options.join({
  name = "baidu_dog_test",
  summary = "Predicts the images of a folder with the newest model of a run, or of several runs together; with a\n"
    .. "folder a class in it, also scores the predictions.",
  { "run", "path", value = "RUN", help = "run folder, or a model.safetensors" },
  { "stage", "string", value = "NAME",
    help = "take this stage's model of each run (frozen, tuned, ...), not the newest" },
  { "data", "path", required = true, value = "DIR", help = "folder of images, or of a folder a class" },
  { "out", "file", default = "predict.txt", help = "where the predictions go" },
  { "probabilities", "file", help = "where the probabilities go (default: --out with .csv)" },
  { "tta", "integer", default = 1, min = 1, max = prediction.most_views,
    help = "views of each image to average, 1 to 6: as it is, mirrored, both larger, both smaller" },
  { "era", "choice", default = "current", choices = { "current", "2017" },
    help = "2017: names in predict.txt are paths without their first 2 and last 4 characters" },
  { "batch", "integer", default = 64, min = 1, help = "images a step" },
  { "device", "device", default = "auto" },
  { "workers", "integer", default = 2, min = 1, max = 256, help = "threads that read images" },
  arguments = { name = "RUN", min = 0, help = "more runs, or models, to average with" },
}, fixed_features.options)

--- Models and what was saved with them; all must tell the same classes.
local function open_models(o)
  local opened = {}
  for _, path in ipairs{ o.run, table.unpack(o.arguments) } do
    local model, about = prediction.open_model(o.stage and path .. "/" .. o.stage or path)
    local first = opened[1] and opened[1].about.classes or about.classes
    if table.concat(first, "\n") ~= table.concat(about.classes, "\n") then
      error(("'%s' was trained on other classes than '%s': their predictions cannot be averaged"):format(path,
        opened[1].path), 0)
    end
    opened[#opened + 1] = { path = path, model = model, about = about }
  end
  if #opened == 0 then error("no model: name a run folder with --run", 0) end
  return opened
end

local function predict(opened, set, o)
  local sum, rows
  for _, entry in ipairs(opened) do
    local scores
    scores, rows = prediction.predict(entry.model, set, entry.about, o)
    sum = sum and sum + scores or scores
  end
  return sum / #opened, rows
end

--- What predict.txt calls an image in 2017: "0/dog.jpg" -> "dog".
local function founding_name(name) return name:sub(3, -5) end

local function main(o)
  local opened = open_models(o)
  local classes = opened[1].about.classes
  local set, labelled = prediction.open_set(o.data, classes)
  local scores, rows = predict(opened, set, o)
  prediction.write(o.out, scores, rows, set, classes, o.era == "2017" and founding_name or nil)
  prediction.write_probabilities(o.probabilities or o.out:gsub("%.[^./]*$", "") .. ".csv", scores, rows, set, classes)
  if labelled then
    local results = prediction.score(scores, rows, set, classes)
    results.models, results.tta = #opened, o.tta
    assert(lurcher.write_file(o.out:gsub("%.[^./]*$", "") .. ".json", lurcher.json.encode(results, true) .. "\n"))
  end
end

options.main(spec, arg, main)
