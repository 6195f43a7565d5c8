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
local fields, files = require "lurcher.fields", require "lurcher.files"
local kept_path, run_folder = require "lurcher.kept_path", require "lurcher.recipe.run_folder"
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

--- The test images with a confident prediction, as lines of pseudo_labels.txt: path (by the rule of kept_path), TAB,
-- class, as of lurcher.fields.
local function label(model, metadata, o)
  local set = prediction.open_set(o.test, {}, { hidden = o.era == "2017" })
  local once = setmetatable({ existing = true }, { __index = o }) -- the cache is only read
  local scores, rows = prediction.predict(siamese.classifier(model), set, metadata, once)
  local lines, best, confidence = {}, scores:argmax(2):totable(), scores:max(2):totable()
  for i, row in ipairs(rows) do
    if confidence[i] >= o.confidence then
      lines[#lines + 1] = ("%s\t%s\n"):format(fields.escaped(kept_path.of(set:path(row), o.out)),
        fields.escaped(metadata.classes[best[i] + 1]))
    end
  end
  print(lurcher.format("%d of %d images of '%s' have a probability of at least %g", #lines, #set, o.test, o.confidence))
  if #lines < o.batch then
    error(("fewer than the %d pairs of a step: lower --confidence or --batch"):format(o.batch), 0)
  end
  return table.concat(lines)
end

--- Where a labelled image is now: the test images were in the folder `before`, from the root, and are in `now`. Earlier
-- versions wrote paths as --test was typed, from whatever folder: their first part is the end of `before`.
local function located(path, before, now)
  if path:sub(1, #before + 1) == before .. "/" then return now .. path:sub(#before + 1) end
  for k in path:gmatch "()/" do
    local typed = "/" .. path:sub(1, k - 1):gsub("^%./", "")
    if path:sub(1, 1) ~= "/" and before:sub(-#typed) == typed then return now .. path:sub(k) end
  end
  return path
end

--- The images of pseudo_labels.txt that are still there, after those of `train` where it is given. before: the folder
-- of the test images when they were labelled.
local function labelled(folder, o, before, classes, train)
  local list, count, gone, is_class = { classes = classes }, 0, 0, {}
  for _, class in ipairs(classes) do is_class[class] = true end
  for i = 1, train and #train or 0 do list[i] = { train:path(i), classes[train:class(i)] } end
  for line in io.lines(folder:file "pseudo_labels.txt") do
    local path, class = table.unpack(fields.split(line))
    if not is_class[class] then
      error(("'%s' is damaged: a path and a class of the model expected, got '%s'"):format(
        folder:file "pseudo_labels.txt", line), 0)
    end
    path = kept_path.resolved(path, folder.path)
    local now = located(path, before, o.test)
    if lfs.attributes(now) then path = now end
    if lfs.attributes(path, "mode") then
      list[#list + 1], count = { path, class }, count + 1
    else
      gone = gone + 1
    end
  end
  if gone > 0 then print(("%d labelled images are not there any more: they are left out"):format(gone)) end
  if count == 0 then
    error(("none of the images of '%s' is there: name their folder with --test"):format(
      folder:file "pseudo_labels.txt"), 0)
  end
  local set, message = data.list(list)
  if not set then error(message, 0) end
  return set
end

local function main(o)
  local model, metadata, sets = pair_run.open(o)
  -- Labels are kept in the stage's folder: a resumed stage must train on the same ones.
  local is_labelled = o.resume and lfs.attributes(o.resume .. "/pseudo_labels.txt", "mode") == "file"
  local before = o.resume and assert(run_folder.open(o.resume, spec.name)).settings.options.test
  before = type(before) == "string" and kept_path.resolved(before, o.resume) or files.absolute(o.test)
  local labels = not is_labelled and label(model, metadata, o)
  local folder = pair_run.open_folder(spec, o, metadata, sets)
  if labels then folder:write("pseudo_labels.txt", labels) end
  sets.train = labelled(folder, o, before, metadata.classes, o.images == "both" and sets.train or nil)
  local done = pair_run.train(model, sets, o, { path = o.run, metadata = metadata }, { name = spec.name,
    folder = folder.path, augment = o.augment, views = o.views, leaky = true, epochs = o.epochs,
    pair_weight = o.pair_weight, optimizer = lurcher.optim.sgd{ lr = o.lr, momentum = o.momentum } })
  return pair_run.close(spec, o, folder, done)
end

options.main(spec, arg, main)
