--- trick_tune.lua - the original's last stage: trains a tuned model of pairs once more, without augmentation
-- Continues a run of froze_fine_tune for ten epochs whose learning rate falls, rises once and falls again: the values
-- of the original's trick_tune.py. There bin_out's loss was binary cross-entropy, which for two classes of a softmax is
-- the categorical one used here, and validation was 20 batches, here all images.
-- Its folder is RUN/trick_tune; its model becomes the newest of RUN.

local lurcher = require "lurcher"
local options, pair_run = require "lurcher.recipe.options", require "lurcher.recipe.pair_run"
local schedules = require "lurcher.schedules"

local spec = options.join({
  name = "trick_tune",
  summary = "Trains the model of a froze_fine_tune run further for a few epochs, without augmentation.",
}, pair_run.options{ batch = 64, augment = "none", epochs = 10, pair_weight = 0.5, lr = 1e-4,
  lr_help = "learning rate (SGD) of epochs 1 and 2; then it is multiplied by 0.1, 0.01, 0.01, 0.1, 0.01, ..." })

function spec.adjust(values, given) return pair_run.adjusted(spec, values, given) end

local function main(o)
  local model, metadata, sets = pair_run.open(o)
  local folder = pair_run.open_folder(spec, o, metadata, sets)
  local done = pair_run.train(model, sets, o, { path = o.run, metadata = metadata }, { name = spec.name,
    folder = folder.path, augment = o.augment, views = o.views, leaky = true, epochs = o.epochs,
    schedule = schedules.trick(o.lr), pair_weight = o.pair_weight,
    optimizer = lurcher.optim.sgd{ lr = o.lr, momentum = o.momentum } })
  return pair_run.close(spec, o, folder, done)
end

options.main(spec, arg, main)
