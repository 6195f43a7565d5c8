--- modern_tune.lua - trains the multi-loss model with methods found since 2017, in two stages
-- Data and model are those of froze_fine_tune. What differs, each an option:
--   heads   on the frozen backbone: AdamW (Loshchilov and Hutter, 2019)
--   tuned   layers[105:] and the heads: SGD whose learning rate rises over the first epochs, then follows half a cosine
--           (Loshchilov and Hutter, 2017); smaller learning rates for earlier blocks (layer-wise, as in ELECTRA and
--           BEiT); weight decay on kernels alone; label smoothing (Szegedy et al., 2016); averaged weights (Polyak;
--           Tarvainen and Valpola, 2017); every pair of a batch of P classes x K images, instead of swapped batches;
--           at the end a temperature for the softmaxes, which label smoothing leaves underconfident (Guo et al., 2017)
-- Mixup of the frozen features (Verma et al., 2019) is off by default: it is for trainings of more epochs than these.
-- Where an image has a few fixed views, the frozen backbone runs once for each of them.

local lurcher = require "lurcher"
local augmentations, common = require "lurcher.augmentations", require "lurcher.recipe.common"
local options, run_folder = require "lurcher.recipe.options", require "lurcher.recipe.run_folder"
local pair_batches, pair_run = require "lurcher.recipe.pair_batches", require "lurcher.recipe.pair_run"
local pretrained, schedules = require "lurcher.recipe.pretrained", require "lurcher.schedules"
local layer_decay, siamese = require "lurcher.recipe.layer_decay", require "lurcher.siamese"
local optim = lurcher.optim

local spec = options.join({
  name = "modern_tune",
  summary = "Trains the multi-loss model of pairs on DIR/train/CLASS/ with current methods, validated on\n"
    .. "DIR/valid/CLASS/. Stage 1 trains its heads on a frozen backbone, stage 2 the backbone's last layers too.",
}, pair_batches.options, pretrained.options, {
  { "dropout", "number", default = 0.5, min = 0, max = 0.99,
    help = "fraction of the features dropped before a softmax" },
  { "pairs", "choice", default = "all", choices = siamese.pairings,
    help = "how pairs are drawn; all: all pairs of a batch of batch / 4 classes x 4 images; others: see "
      .. "froze_fine_tune --help" },
  { "pair-weight", "number", default = 0.5, min = 0, max = 1e9, help = "weight of the loss of pairs" },
  { "label-smoothing", "number", default = 0.05, min = 0, max = 0.99,
    help = "label smoothing of the categories' losses" },
  { "mixup", "number", default = 0, min = 0, max = 1,
    help = "alpha of mixup of the frozen backbone's features; 0: none" },
  { "augment", "choice", default = "modern", choices = augmentations.names, help = augmentations.help },
  { "views", "integer", default = 3, min = 0, max = 1000,
    help = "number of fixed augmented views per image, whose features are computed once; 0: a new view in every "
      .. "epoch" },
  { "head-epochs", "integer", default = 12, min = 1, help = "number of epochs of stage 1" },
  { "head-lr", "number", default = 0.003, min = 0, max = 1e9, help = "learning rate of stage 1 (AdamW)" },
  { "tune-from", "integer", default = 105, min = 0,
    help = "index of the first layer of the backbone that learns in stage 2, from 0" },
  { "epochs", "integer", default = 8, min = 1, help = "number of epochs of stage 2" },
  { "warmup", "integer", default = function(values) return values.epochs and values.epochs > 1 and 1 or 0 end,
    default_text = "1, or 0 of a single epoch", min = 0,
    help = "epochs of stage 2 over which the learning rate rises" },
  { "lr", "number", default = 1e-2, min = 0, max = 1e9, help = "largest learning rate of stage 2 (SGD)" },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "momentum of stage 2 (SGD)" },
  { "weight-decay", "number", default = 1e-4, min = 0, max = 1e9,
    help = "weight decay (L2) of kernels; biases and batch norms have none" },
  { "layer-decay", "number", default = 0.8, min = 0.01, max = 1,
    help = "ratio of the learning rates of successive blocks, the earlier to the later" },
  { "temperature", "flag", default = true,
    help = "fit the softmaxes' temperatures on the validation images at the end" },
  { "ema", "number", default = 0.98, min = 0, max = 0.9999, help = "decay of the averaged weights; 0: no averaging" },
  { "out", "path", value = "RUN", help = "run folder to make (default: runs/modern_tune-NNN)" },
  { "resume", "path", value = "RUN", help = "continue this run, with its settings" },
})

function spec.adjust(values, given)
  pretrained.resolve(values)
  local adjusted, message = run_folder.resumed(spec, values, given, common.may_change)
  if adjusted and values.resume then -- earlier versions began runs that could not end
    values.warmup = math.min(values.warmup or 1, values.epochs - 1)
  end
  if adjusted and values.epochs <= values.warmup then
    return nil, ("--epochs %d: stage 2 needs more epochs than those over which the learning rate rises (--warmup %d)"):
      format(values.epochs, values.warmup)
  end
  return adjusted, message
end

local function is_head(name) return name:find "_out" ~= nil end

local function main(o)
  -- Of both stages, now: a bad option of the second is not to be found after the first.
  local adamw = optim.adamw{ lr = o.head_lr, weight_decay = o.weight_decay }
  local sgd = optim.sgd{ lr = o.lr, momentum = o.momentum, weight_decay = o.weight_decay }
  lurcher.seed(o.seed)
  local sets = pair_batches.sets(o)
  local start, how = pretrained.begun(o, { "heads/pairs.safetensors" })
  local backbone, report = pretrained.backbone(how)
  backbone:freeze()
  if report then pretrained.check_frozen(backbone, report, o.weights) end
  local model = siamese.model(backbone, { classes = #sets.train.classes, dropout = o.dropout })
  if start then pretrained.put_back(model, start) end
  local folder, run = pair_run.start(spec, o, model, report, sets)
  local function stage(s)
    s.augment, s.views, s.mixup, s.label_smoothing, s.ema = o.augment, o.views, o.mixup, o.label_smoothing, o.ema
    s.pair_weight = o.pair_weight
    return pair_run.train(model, sets, o, run, s)
  end

  local done = stage{ name = "heads", epochs = o.head_epochs,
    schedule = schedules.cosine{ lr = o.head_lr, epochs = o.head_epochs },
    optimizer = adamw }
  siamese.tune_from(model, o.tune_from)
  done = done and stage{ name = "tuned", epochs = o.epochs,
    schedule = schedules.cosine{ lr = o.lr, epochs = o.epochs, warmup = o.warmup },
    optimizer = sgd,
    temperature = o.temperature,
    prepare = function(learning, learner) layer_decay(learning, learner, o.layer_decay, is_head) end }

  return pair_run.close(spec, o, folder, done)
end

options.main(spec, arg, main)
