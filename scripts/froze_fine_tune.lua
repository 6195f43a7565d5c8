--- froze_fine_tune.lua - the original's recipe: categories and pairs on one Xception, in two stages
-- Images are DIR/train/CLASS/*.jpg and DIR/valid/CLASS/*.jpg. A batch is a batch of pairs: each image is classified,
-- and so is the pair, as of one class or of two. One step in four pairs the images of one batch among themselves, so
-- that most of its pairs are of one class (samplers.batch_swap).
--   frozen   the backbone is frozen, the heads learn their categories (Nadam; weights of the losses 1, 1, 0)
--   tuned    layers[105:] and the heads learn, pairs count too (SGD, momentum 0.9; weights 1, 1, 0.5)
-- Defaults are those of the original's froze_fine_tune.py; its 258 steps per epoch were its images over --batch, too.
-- Then: lurcher trick_tune --run RUN, lurcher baidu_dog_test.

local lurcher = require "lurcher"
local augmentations, common = require "lurcher.augmentations", require "lurcher.recipe.common"
local options, run_folder = require "lurcher.recipe.options", require "lurcher.recipe.run_folder"
local pair_batches, pair_run = require "lurcher.recipe.pair_batches", require "lurcher.recipe.pair_run"
local pretrained, siamese = require "lurcher.recipe.pretrained", require "lurcher.siamese"
local optim = lurcher.optim

local spec = options.join({
  name = "froze_fine_tune",
  summary = "Trains the multi-loss model of pairs on DIR/train/CLASS/, validated on DIR/valid/CLASS/. Stage 1\n"
    .. "trains its heads on a frozen backbone, stage 2 the backbone's last layers too.",
}, pair_batches.options, pretrained.options, {
  { "dropout", "number", default = 0.5, min = 0, max = 0.99,
    help = "fraction of the features dropped before a softmax" },
  { "towers", "flag",
    help = "apply the backbone to both images of each pair, as the original does: the same results for more work" },
  { "pairs", "choice", default = "swap", choices = siamese.pairings,
    help = "how pairs are drawn: random; swap: random, and in every fourth batch within the batch; balanced: half of "
      .. "one class; all: all pairs of a batch of batch / 4 classes x 4 images" },
  { "frozen-augment", "choice", default = "light", choices = augmentations.names,
    help = "augmentation of stage 1: " .. augmentations.help },
  { "frozen-views", "integer", default = 0, min = 0, max = 1000,
    help = "number of fixed augmented views per image in stage 1, whose features are computed once; 0: a new view in "
      .. "every epoch" },
  { "frozen-epochs", "integer", default = 30, min = 1, help = "number of epochs of stage 1 at most" },
  { "frozen-steps", "integer", min = 1, help = "steps per epoch of stage 1 (default: --steps)" },
  { "frozen-lr", "number", default = 0.002, min = 0, max = 1e9, help = "learning rate of stage 1 (Nadam)" },
  { "frozen-pair-weight", "number", default = 0, min = 0, max = 1e9, help = "weight of the loss of pairs in stage 1" },
  { "patience", "integer", default = 3, min = 0,
    help = "epochs without improvement before stage 1 stops; 0: never stop early" },
  { "tune-from", "integer", default = 105, min = 0,
    help = "index of the first layer of the backbone that learns in stage 2, from 0" },
  { "augment", "choice", default = "none", choices = augmentations.names,
    help = "augmentation of stage 2; see --frozen-augment" },
  { "views", "integer", default = 0, min = 0, max = 1000,
    help = "number of fixed augmented views per image in stage 2; see --frozen-views" },
  { "epochs", "integer", default = 30, min = 1, help = "number of epochs of stage 2" },
  { "lr", "number", default = 1e-4, min = 0, max = 1e9, help = "learning rate of stage 2 (SGD)" },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "momentum of stage 2 (SGD)" },
  { "pair-weight", "number", default = 0.5, min = 0, max = 1e9, help = "weight of the loss of pairs in stage 2" },
}, common.reduce, {
  { "out", "path", value = "RUN", help = "run folder to make (default: runs/froze_fine_tune-NNN)" },
  { "resume", "path", value = "RUN", help = "continue this run, with its settings" },
})

function spec.adjust(values, given)
  pretrained.resolve(values)
  return run_folder.resumed(spec, values, given, common.may_change)
end

local function main(o)
  -- Of both stages, now: a bad option of the second is not to be found after the first.
  local nadam = optim.nadam{ lr = o.frozen_lr, epsilon = o.era == "2017" and 1e-8 or nil }
  local sgd = optim.sgd{ lr = o.lr, momentum = o.momentum }
  lurcher.seed(o.seed)
  local sets = pair_batches.sets(o)
  local start, how = pretrained.begun(o, { "frozen/pairs.safetensors" })
  local backbone, report = pretrained.backbone(how)
  backbone:freeze()
  if report then pretrained.check_frozen(backbone, report, o.weights) end
  local model = siamese.model(backbone, { classes = #sets.train.classes, dropout = o.dropout, towers = o.towers })
  if start then pretrained.put_back(model, start) end
  local folder, run = pair_run.start(spec, o, model, report, sets)

  local done = pair_run.train(model, sets, o, run, { name = "frozen", augment = o.frozen_augment,
    views = o.frozen_views, steps = o.frozen_steps, epochs = o.frozen_epochs, patience = o.patience,
    pair_weight = o.frozen_pair_weight, optimizer = nadam })
  siamese.tune_from(model, o.tune_from)
  done = done and pair_run.train(model, sets, o, run, { name = "tuned", augment = o.augment, views = o.views,
    epochs = o.epochs, pair_weight = o.pair_weight, optimizer = sgd })

  return pair_run.close(spec, o, folder, done, "trick_tune")
end

options.main(spec, arg, main)
