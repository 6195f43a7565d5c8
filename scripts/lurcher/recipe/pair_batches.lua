--- lurcher.recipe.pair_batches: images of class folders as batches of pairs: options of the recipes that train on
-- pairs, and what stage.train needs to know about their batches.

local class_folders, common = require "lurcher.recipe.class_folders", require "lurcher.recipe.common"
local options = require "lurcher.recipe.options"
local siamese = require "lurcher.siamese"

local pair_batches = {}

--- Command-line options of recipes that train on pairs, for options.join.
pair_batches.options = options.join({}, common.data, {
  { "batch", "integer", default = 64, min = 2, help = "pairs per step" },
  { "steps", "integer", min = 1, help = "steps per epoch (default: training images / batch)" },
}, common.training, {
  { "memory", "integer", default = 8192, min = 0, value = "MB",
    help = "largest size of frozen features in memory, where they are not in a cache file" },
})

--- The training and validation images of o.data. metadata: saved with the model, where it has been trained before.
function pair_batches.sets(o, metadata)
  local sets = class_folders.open(o, metadata)
  if o.era == "2017" then class_folders.check_batch(o, sets.valid, "valid") end
  return sets
end

--- Validation of the original's trick_tune.py and retrain.py, a mistake: every fourth batch (1, 5, 9, ...) is one of
-- swapped pairs of training images.
function pair_batches.with_training_pairs(valid, train)
  return { epoch = function(_, n)
    local next_valid, next_train, step = valid:epoch(n), train:epoch(n), 0
    return function()
      local batch, other = next_valid(), next_train()
      step = step + 1
      return batch and (step % 4 == 2 and other or batch)
    end
  end }
end

--- Fills in the fields of a stage that say how pairs are drawn: train, valid and view_seed of learner.open. Validation
-- pairs every image once with a partner, half of them of its class, the same in every epoch; in era 2017 it draws
-- random batches. s.steps: steps per epoch (o.steps). Fixed views have seed 0 whatever o.seed is, so that the next run
-- finds their features in the cache.
function pair_batches.add(s, sets, o)
  local function loader(set, how, steps)
    return { sampler = siamese.sampler(set, { pairs = how, batch = o.batch, seed = o.seed, steps = steps,
        towers = o.towers }), targets = siamese.targets, images = o.towers and { "img_1", "img_2" } or nil }
  end
  s.train = loader(sets.train, o.pairs or "swap", s.steps or o.steps)
  s.valid = loader(sets.valid, o.era == "2017" and "random" or "balanced")
  s.view_seed = 0
  return s
end

return pair_batches
