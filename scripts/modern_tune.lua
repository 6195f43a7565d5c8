--- modern_tune.lua - the multi-loss model trained with what the field has learnt since 2017, in two stages
-- Data and model are froze_fine_tune's. What is different, each an option:
--   heads   on the frozen backbone: AdamW (Loshchilov and Hutter, 2019)
--   tuned   layers[105:] and the heads: SGD whose rate rises over the first steps, then follows half a cosine (2017);
--           deeper blocks learn slower (layer-wise rates, as in ELECTRA and BEiT); weight decay on kernels alone;
--           smoothed labels (Szegedy et al., 2016); averaged weights (Polyak; Tarvainen and Valpola, 2017); every
--           pair of a batch of P classes x K images beside the categories, in place of the swapped batches; at the
--           end a temperature that mends what smoothed labels leave unsure (Guo et al., 2017). Mixup at the frozen
--           part's output (Verma et al., 2019) is there for trainings of more than these few epochs.
-- Where an image has a few fixed views, the frozen part runs once for each of them.

local lurcher = require "lurcher"
local augmentations, schedules = require "lurcher.augmentations", require "lurcher.schedules"
local options, run_folder = require "lurcher.recipe.options", require "lurcher.recipe.run_folder"
local pair_data, pair_stage = require "lurcher.recipe.pairs", require "lurcher.recipe.stage"
local pretrained, reading = require "lurcher.recipe.pretrained", require "lurcher.preprocessing"
local siamese = require "lurcher.siamese"
local optim = lurcher.optim

local spec = options.join({
  name = "modern_tune",
  summary = "Trains the multi-loss model of pairs on DIR/train/CLASS/ as one would today: heads on a frozen backbone,\n"
    .. "then the backbone's last layers too.",
}, pair_data.options, pretrained.options, {
  { "dropout", "number", default = 0.5, min = 0, max = 0.99, help = "share of features dropped before the softmaxes" },
  { "pairs", "choice", default = "all", choices = siamese.pairings,
    help = "all pairs of batch / 4 classes x 4 images; or as in froze_fine_tune" },
  { "pair-weight", "number", default = 0.5, min = 0, help = "of the loss of pairs" },
  { "label-smoothing", "number", default = 0.05, min = 0, max = 0.99, help = "of the categories' losses" },
  { "mixup", "number", default = 0, min = 0, max = 1, help = "alpha of mixup at the frozen part's output; 0: none" },
  { "augment", "choice", default = "modern", choices = augmentations.names, help = augmentations.help },
  { "views", "integer", default = 3, min = 0, max = 1000,
    help = "draw from this many augmented views of an image, computed once; 0: a new view each time" },
  { "head-epochs", "integer", default = 12, min = 1, help = "of the heads' stage" },
  { "head-lr", "number", default = 0.003, min = 0, help = "of the heads' stage, AdamW" },
  { "tune-from", "integer", default = 105, min = 0, help = "first layer of the backbone to learn, from 0" },
  { "epochs", "integer", default = 8, min = 1, help = "of the second stage" },
  { "warmup", "integer", default = 1, min = 0, help = "epochs over which the learning rate rises" },
  { "lr", "number", default = 1e-2, min = 0, help = "largest learning rate of the second stage, SGD" },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "of SGD" },
  { "weight-decay", "number", default = 1e-4, min = 0,
    help = "pull of kernels towards zero; biases and batch norms have none" },
  { "layer-decay", "number", default = 0.8, min = 0.01, max = 1,
    help = "learning rate of each block over that of the next" },
  { "temperature", "flag", default = true,
    help = "fit the softmaxes' temperature on the validation images at the end; --no-temperature: do not" },
  { "ema", "number", default = 0.98, min = 0, max = 0.9999, help = "decay of the averaged weights; 0: none" },
  { "out", "path", value = "RUN", help = "run folder to make (default: runs/modern_tune-NNN)" },
  { "resume", "path", value = "RUN", help = "go on with this run, with its settings" },
})

function spec.adjust(values, given) return run_folder.resumed(spec, values, given, pair_stage.may_change) end

--- Learning rates by depth: the heads 1, the backbone's last block `decay`, the one before decay^2, ... Layers between
-- blocks (a residual's convolution) belong to the block they stand in.
local function scale_layers(run, model, decay)
  local blocks, block_of, block = 0, {}, nil
  for _, layer in ipairs(model.layers) do
    local number = layer.name:match "block(%d+)_"
    if number ~= block and number then blocks, block = blocks + 1, number end
    block_of[layer.name] = blocks
  end
  for _, layer in ipairs(model.layers) do
    local learns = layer.trainable and next(layer:weights())
    if learns and not layer.name:find "_out" then run:scale(layer.name, decay ^ (blocks - block_of[layer.name] + 1)) end
  end
end

local function main(o)
  lurcher.seed(o.seed)
  local sets = pair_data.sets(o)
  local backbone, report = pretrained.backbone(o)
  backbone:freeze()
  local model = siamese.model(backbone, { classes = #sets.train.classes, dropout = o.dropout })
  if report then pretrained.check_frozen(model, report, o.weights) end
  local folder = o.resume and assert(run_folder.open(o.resume, spec.name)) or run_folder.create(spec, o)
  folder:write("model.txt", tostring(model) .. "\n")
  pretrained.describe(report, o.weights, folder)
  print("run folder: " .. folder.path)
  local run = { path = folder.path, about = reading.about(sets.reading, sets.train.classes, folder.settings) }
  local function stage(s)
    s.augment, s.views, s.mixup, s.label_smoothing, s.ema = o.augment, o.views, o.mixup, o.label_smoothing, o.ema
    s.pair_weight = o.pair_weight
    return pair_stage.train(model, sets, o, run, s)
  end

  local done = stage{ name = "heads", epochs = o.head_epochs,
    schedule = schedules.cosine{ lr = o.head_lr, epochs = o.head_epochs },
    optimizer = optim.adamw{ lr = o.head_lr, weight_decay = o.weight_decay } }
  siamese.tune_from(model, o.tune_from)
  done = done and stage{ name = "tuned", epochs = o.epochs,
    schedule = schedules.cosine{ lr = o.lr, epochs = o.epochs, warmup = o.warmup },
    optimizer = optim.sgd{ lr = o.lr, momentum = o.momentum, weight_decay = o.weight_decay },
    temperature = o.temperature,
    prepare = function(learning, learner) scale_layers(learning, learner, o.layer_decay) end }

  return pair_stage.close(spec, o, folder, done)
end

options.main(spec, arg, main)
