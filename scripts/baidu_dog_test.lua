--- baidu_dog_test.lua - predicts images with the category head of one or several trained models, and scores them
-- Writes predict.txt, a line `class TAB image name` per image (the competition's submission), and the probabilities as
-- CSV; where images have classes, the scores as JSON. Each image may be seen in several views (--tta); several models'
-- probabilities are averaged.

local lurcher = require "lurcher"
local common, evaluation = require "lurcher.recipe.common", require "lurcher.recipe.evaluation"
local files, options = require "lurcher.files", require "lurcher.recipe.options"
local outputs = require "lurcher.recipe.outputs"

local spec = options.join({
  name = "baidu_dog_test",
  summary = "Predicts the images of a folder with the newest model of a run, or the average of several runs;\n"
    .. "scores the predictions where the folder has one subfolder per class.",
  { "run", "path", value = "RUN", help = "run folder, or a model.safetensors" },
  { "stage", "string", value = "NAME",
    help = "stage of each run whose model is used (frozen, tuned, ...; default: the newest)" },
  { "probabilities", "file", help = "file of the probabilities (default: --out with .csv)" },
  { "era", "choice", default = "current", choices = { "current", "2017" },
    help = "2017: image names in predict.txt are paths without their first 2 and last 4 characters, as in the "
      .. "original" },
  arguments = { name = "RUN", min = 0, help = "more run folders, or models, to average with" },
}, common.test, {
  { "batch", "integer", default = 64, min = 1, max = 65536, help = "images per step; no prediction depends on it" },
})

--- What the original's predict.txt calls an image: "0/dog.jpg" -> "dog".
local function original_name(name) return name:sub(3, -5) end

--- The file beside --out with another ending; of --out with that ending, with `what` in its name.
local function beside(path, ending, what)
  local stem = path:gsub("([^/])%.[^./]*$", "%1")
  local other = stem .. ending
  return files.same(other, path) and ("%s-%s%s"):format(stem, what, ending) or other
end

function spec.adjust(values)
  values.probabilities = values.probabilities or beside(values.out, ".csv", "probabilities")
  values.scores = beside(values.out, ".json", "scores")
  local ok, message = outputs.check({ { values.out, "--out" }, { values.probabilities, "--probabilities" },
    { values.scores, "the file of scores beside --out" } }, {})
  if not ok then return nil, message end
  return values
end

local function main(o, given)
  common.reads(o, given)
  local paths = {}
  for i, path in ipairs{ o.run, table.unpack(o.arguments) } do paths[i] = o.stage and path .. "/" .. o.stage or path end
  if #paths == 0 then error("no model: name a run folder with --run", 0) end
  o.name_of = o.era == "2017" and original_name or nil
  local results = evaluation.run(evaluation.open(paths), o)
  if not results then return end
  results.models, results.tta = #paths, o.tta
  assert(lurcher.write_file(o.scores, lurcher.json.encode(results, true) .. "\n"))
  print("scores: " .. o.scores)
end

options.main(spec, arg, main)
