--- froze_fine_tune.lua - the founding recipe: categories and pairs on one Xception, in two stages
-- Images are DIR/train/CLASS/*.jpg and DIR/valid/CLASS/*.jpg. A batch is a batch of pairs: each image has its
-- class to tell, and the pair whether both are of one class. One step in four pairs the images of one batch among
-- themselves, so that most of its pairs are of one class (samplers.batch_swap).
--   frozen   the backbone stays as it is, the heads learn their categories (Nadam; weights of the losses 1, 1, 0)
--   tuned    layers[105:] and the heads learn, pairs count too (SGD, momentum 0.9; weights 1, 1, 0.5)
-- Defaults are the founding values (keras.md section 10); its 258 steps an epoch were its images over --batch, too.
-- Then: lurcher trick_tune --run RUN, lurcher baidu_dog_test.

local lurcher = require "lurcher"
local augmentations = require "lurcher.augmentations"
local options, run_folder = require "lurcher.recipe.options", require "lurcher.recipe.run_folder"
local pair_data, pair_stage = require "lurcher.recipe.pairs", require "lurcher.recipe.stage"
local pretrained, reading = require "lurcher.recipe.pretrained", require "lurcher.preprocessing"
local siamese = require "lurcher.siamese"
local optim = lurcher.optim

local spec = options.join({
  name = "froze_fine_tune",
  summary = "Trains the multi-loss model of pairs on DIR/train/CLASS/, validated on DIR/valid/CLASS/: first its heads\n"
    .. "on a frozen backbone, then the backbone's last layers too.",
}, pair_data.options, pretrained.options, {
  { "dropout", "number", default = 0.5, min = 0, max = 0.99, help = "share of features dropped before the softmaxes" },
  { "towers", "flag", help = "two towers, as in the founding code: the same results, more work" },
  { "pairs", "choice", default = "swap", choices = siamese.pairings,
    help = "how pairs are drawn: swap within every fourth batch, random, balanced (half of one class), or all of a "
      .. "batch of batch / 4 classes x 4 images" },
  { "frozen-augment", "choice", default = "light", choices = augmentations.names,
    help = "of stage one; " .. augmentations.help },
  { "frozen-views", "integer", default = 0, min = 0, max = 1000,
    help = "stage one draws from this many augmented views of an image, computed once; 0: a new view each time" },
  { "frozen-epochs", "integer", default = 30, min = 1, help = "of stage one at most" },
  { "frozen-steps", "integer", min = 1, help = "of stage one, steps an epoch (default: as --steps)" },
  { "frozen-lr", "number", default = 0.002, min = 0, help = "of stage one, Nadam" },
  { "frozen-pair-weight", "number", default = 0, min = 0, help = "of the loss of pairs in stage one" },
  { "patience", "integer", default = 3, min = 0, help = "epochs without gain before stage one stops; 0: never" },
  { "tune-from", "integer", default = 105, min = 0, help = "first layer of the backbone to learn in stage two, from 0" },
  { "augment", "choice", default = "none", choices = augmentations.names, help = "of stage two" },
  { "views", "integer", default = 0, min = 0, max = 1000, help = "as --frozen-views, of stage two" },
  { "epochs", "integer", default = 30, min = 1, help = "of stage two" },
  { "lr", "number", default = 1e-4, min = 0, help = "of stage two, SGD" },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "of stage two's SGD" },
  { "pair-weight", "number", default = 0.5, min = 0, help = "of the loss of pairs in stage two" },
  { "reduce-patience", "integer", default = 3, min = 0, help = "epochs without gain before lr is cut; 0: never" },
  { "reduce-factor", "number", default = 0.1, min = 0.001, max = 0.999, help = "what lr is then multiplied by" },
  { "out", "path", value = "RUN", help = "run folder to make (default: runs/froze_fine_tune-NNN)" },
  { "resume", "path", value = "RUN", help = "go on with this run, with its settings" },
})

function spec.adjust(values, given) return run_folder.resumed(spec, values, given, pair_stage.may_change) end

local function build(o, classes)
  local backbone, report = pretrained.backbone(o)
  backbone:freeze()
  if report then pretrained.check_frozen(backbone, report, o.weights) end
  return siamese.model(backbone, { classes = classes, dropout = o.dropout, towers = o.towers }), report
end

local function main(o)
  lurcher.seed(o.seed)
  local sets = pair_data.sets(o)
  local model, report = build(o, #sets.train.classes)
  local folder = o.resume and assert(run_folder.open(o.resume, spec.name)) or run_folder.create(spec, o)
  folder:write("model.txt", tostring(model) .. "\n")
  pretrained.describe(report, o.weights, folder)
  print("run folder: " .. folder.path)
  local run = { path = folder.path, about = reading.about(sets.reading, sets.train.classes, folder.settings) }

  local done = pair_stage.train(model, sets, o, run, { name = "frozen", augment = o.frozen_augment,
    views = o.frozen_views, steps = o.frozen_steps, epochs = o.frozen_epochs, patience = o.patience,
    pair_weight = o.frozen_pair_weight,
    optimizer = optim.nadam{ lr = o.frozen_lr, epsilon = o.era == "2017" and 1e-8 or nil } })
  siamese.tune_from(model, o.tune_from)
  done = done and pair_stage.train(model, sets, o, run, { name = "tuned", augment = o.augment, views = o.views,
    epochs = o.epochs, pair_weight = o.pair_weight, optimizer = optim.sgd{ lr = o.lr, momentum = o.momentum } })

  return pair_stage.close(spec, o, folder, done, "trick_tune")
end

options.main(spec, arg, main)
