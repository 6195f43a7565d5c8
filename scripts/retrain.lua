--- retrain.lua - trains a model of pairs further on test images, with its own confident predictions as labels
-- Pseudo-labels (Lee, 2013), as the original's retrain.py used them by hand: predictions above a confidence become
-- labels of training images, which are used alone or beside DIR/train. Its folder is RUN/retrain; its model becomes the
-- newest of RUN. Defaults are those of the original, except that an epoch is once through the images, whatever their
-- number (there: --steps 200, of 10,593 test images at most). The original's script stopped at its first step, with a
-- target of the wrong shape; this one has the right shape in every era.

local lfs = require "lfs"
local lurcher = require "lurcher"
local common, options = require "lurcher.recipe.common", require "lurcher.recipe.options"
local pair_run, prediction = require "lurcher.recipe.pair_run", require "lurcher.prediction"
local siamese = require "lurcher.siamese"
local data = lurcher.data

local spec = options.join({
  name = "retrain",
  summary = "Trains the model of a run further on test images, with its own confident predictions as labels.",
}, pair_run.options{ batch = 40, augment = "light", epochs = 30, pair_weight = 1, lr = 1e-4 }, {
  { "test", "path", required = true, value = "DIR", help = "folder of the images to predict and learn from" },
  { "confidence", "number", default = 0.9, min = 0, max = 1,
    help = "least probability at which a prediction becomes a label" },
  { "images", "choice", was = "pictures", default = "pseudo", choices = { "pseudo", "both" },
    help = "training images: pseudo: the newly labelled ones; both: these and DIR/train" },
}, common.reduce)

function spec.adjust(values, given) return pair_run.adjusted(spec, values, given) end

--- The test images with a confident prediction, as lines of a list file: path, TAB, class.
local function label(model, metadata, o)
  local set = assert(data.flat{ o.test })
  local scores, rows = prediction.predict(siamese.classifier(model), set, metadata, o)
  local lines, best, confidence = {}, scores:argmax(2):totable(), scores:max(2):totable()
  for i, row in ipairs(rows) do
    if confidence[i] >= o.confidence then
      lines[#lines + 1] = ("%s\t%s\n"):format(set:path(row), metadata.classes[best[i] + 1])
    end
  end
  print(lurcher.format("%d of %d images of '%s' have a probability of at least %g", #lines, #set, o.test, o.confidence))
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
  local model, metadata, sets = pair_run.open(o)
  -- Labels are kept in the stage's folder: a resumed stage must train on the same ones.
  local is_labelled = o.resume and lfs.attributes(o.resume .. "/pseudo_labels.txt", "mode") == "file"
  local labels = not is_labelled and label(model, metadata, o)
  local folder = pair_run.open_folder(spec, o, metadata)
  if labels then folder:write("pseudo_labels.txt", labels) end
  sets.train = labelled(folder, metadata.classes, o.images == "both" and sets.train or nil)
  local done = pair_run.train(model, sets, o, { path = o.run, metadata = metadata }, { name = spec.name,
    folder = folder.path, augment = o.augment, views = o.views, leaky = true, epochs = o.epochs,
    pair_weight = o.pair_weight, optimizer = lurcher.optim.sgd{ lr = o.lr, momentum = o.momentum } })
  return pair_run.close(spec, o, folder, done)
end

options.main(spec, arg, main)
