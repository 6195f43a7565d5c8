--- retrain.lua - trains a model of pairs further on test images that it is sure of, as if its answers were true
-- Pseudo-labels (Lee, 2013), as the founding retrain.py used them by hand: predictions of `baidu_dog_test` above a
-- confidence become training images, alone or beside DIR/train. Its folder is RUN/retrain; RUN gets its model as the
-- newest. Defaults are the founding values (keras.md section 10), but an epoch is once through the images, whatever
-- their number (there: --steps 200, of 10,593 test images at most). The founding script stopped at its first step,
-- with a target of the wrong shape; this one has the right shape in every era.

local lfs = require "lfs"
local lurcher = require "lurcher"
local options = require "lurcher.recipe.options"
local pair_data, pair_stage = require "lurcher.recipe.pairs", require "lurcher.recipe.stage"
local prediction, siamese = require "lurcher.prediction", require "lurcher.siamese"
local data = lurcher.data

local spec = options.join({
  name = "retrain",
  summary = "Trains the model of a run further on test images, by its own confident predictions.",
  pair_stage.run_option,
  { "test", "path", required = true, value = "DIR", help = "folder of the images to learn from" },
  { "confidence", "number", default = 0.9, min = 0, max = 1, help = "least probability that makes an answer a label" },
  { "images", "choice", default = "pseudo", choices = { "pseudo", "both" },
    help = "train on the newly labelled images alone, or on them and DIR/train" },
}, pair_data.options, {
  { "reduce-patience", "integer", default = 3, min = 0, help = "epochs without gain before lr is cut; 0: never" },
  { "reduce-factor", "number", default = 0.1, min = 0.001, max = 0.999, help = "what lr is then multiplied by" },
}, pair_stage.options{ batch = 40, augment = "light", epochs = 30, pair_weight = 1, lr = 1e-4 })
function spec.adjust(values, given) return pair_stage.adjusted(spec, values, given) end

--- The test images the model is sure of, as lines of a list file: path, TAB, class.
local function label(model, about, o)
  local set = assert(data.flat{ o.test })
  local scores, rows = prediction.predict(siamese.classifier(model), set, about, o)
  local lines, best, sure = {}, scores:argmax(2):totable(), scores:max(2):totable()
  for i, row in ipairs(rows) do
    if sure[i] >= o.confidence then
      lines[#lines + 1] = ("%s\t%s\n"):format(set:path(row), about.classes[best[i] + 1])
    end
  end
  print(("%d of %d images of '%s' have a probability of at least %g"):format(#lines, #set, o.test, o.confidence))
  if #lines < o.batch then
    error(("fewer than the %d pairs of a step: lower --confidence or --batch"):format(o.batch), 0)
  end
  return table.concat(lines)
end

--- The images of pseudo_labels.txt, after those of `train` where it is given.
local function labelled(folder, classes, train)
  local list = { classes = classes }
  for i = 1, train and #train or 0 do list[i] = { train:path(i), classes[train:class(i)] } end
  for line in io.lines(folder:file "pseudo_labels.txt") do
    list[#list + 1] = { line:match "^(.*)\t([^\t]*)$" }
  end
  return assert(data.list(list))
end

local function main(o)
  local model, about, sets = pair_stage.open(o)
  -- They are kept in the stage's folder: a resumed stage must train on the same.
  local is_labelled = o.resume and lfs.attributes(o.resume .. "/pseudo_labels.txt", "mode") == "file"
  local labels = not is_labelled and label(model, about, o)
  local folder = pair_stage.open_folder(spec, o, about)
  if labels then folder:write("pseudo_labels.txt", labels) end
  sets.train = labelled(folder, about.classes, o.images == "both" and sets.train or nil)
  local done = pair_stage.train(model, sets, o, { path = o.run, about = about }, { name = spec.name,
    folder = folder.path, augment = o.augment, views = o.views, leaky = true, epochs = o.epochs,
    pair_weight = o.pair_weight, optimizer = lurcher.optim.sgd{ lr = o.lr, momentum = o.momentum } })
  return pair_stage.close(spec, o, folder, done)
end

options.main(spec, arg, main)
