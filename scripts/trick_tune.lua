--- trick_tune.lua - the last founding stage: a tuned model of pairs once more, on images as they are
-- Continues a run of froze_fine_tune with no augmentation and ten epochs whose learning rate falls, rises once and
-- falls again: the values of trick_tune.py (keras.md section 10). There bin_out's loss was binary cross-entropy, which
-- for two classes of a softmax is the categorical one used here, and validation 20 batches, here all images.
-- Its folder is RUN/trick_tune; RUN gets its model as the newest.

local lurcher = require "lurcher"
local options, schedules = require "lurcher.recipe.options", require "lurcher.schedules"
local pair_data, pair_stage = require "lurcher.recipe.pairs", require "lurcher.recipe.stage"

local spec = options.join({
  name = "trick_tune",
  summary = "Trains the model of a froze_fine_tune run further, without augmentation, until it converges.",
  pair_stage.run_option,
}, pair_data.options, pair_stage.options{ batch = 64, augment = "none", epochs = 10, pair_weight = 0.5, lr = 1e-4,
  lr_help = "of the first two epochs; then x 0.1, 0.01, 0.01, 0.1, 0.01, ..." })

function spec.adjust(values, given) return pair_stage.adjusted(spec, values, given) end

local function main(o)
  local model, about, sets = pair_stage.open(o)
  local folder = pair_stage.open_folder(spec, o, about)
  local done = pair_stage.train(model, sets, o, { path = o.run, about = about }, { name = spec.name,
    folder = folder.path, augment = o.augment, views = o.views, leaky = true, epochs = o.epochs,
    schedule = schedules.trick(o.lr), pair_weight = o.pair_weight,
    optimizer = lurcher.optim.sgd{ lr = o.lr, momentum = o.momentum } })
  return pair_stage.close(spec, o, folder, done)
end

options.main(spec, arg, main)
