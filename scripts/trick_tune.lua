--- trick_tune.lua - the last founding stage: a tuned model of pairs once more, on pictures as they are, at falling rates
-- Continues a run of froze_fine_tune with no augmentation and ten epochs whose learning rate falls, rises once and falls
-- again (trick_tune.py; keras.md section 10). Its folder is RUN/trick_tune; RUN gets its model as the newest.

local lurcher = require "lurcher"
local augmentations, schedules = require "lurcher.augmentations", require "lurcher.schedules"
local options, run_folder = require "lurcher.options", require "lurcher.run_folder"
local pair_data, pair_stage = require "lurcher.pair_data", require "lurcher.pair_stage"
local siamese = require "lurcher.siamese"

local spec = options.join({
  name = "trick_tune",
  summary = "Trains the model of a froze_fine_tune run further, without augmentation, until it converges.",
  { "run", "path", value = "RUN", help = "run folder of froze_fine_tune to continue from" },
}, pair_data.options, {
  { "pairs", "choice", default = "swap", choices = siamese.pairings, help = "how pairs are drawn; see froze_fine_tune" },
  { "tune-from", "integer", default = 105, min = 0, help = "first layer of the trunk to learn, from 0" },
  { "augment", "choice", default = "none", choices = augmentations.names, help = "random changes of training pictures" },
  { "views", "integer", default = 0, min = 0, max = 1000,
    help = "draw from this many augmented views of a picture, computed once; 0: a new view each time" },
  { "epochs", "integer", default = 10, min = 1, help = "passes over the training pictures" },
  { "lr", "number", default = 1e-4, min = 0, help = "of the first two epochs; then x 0.1, 0.01, 0.01, 0.1, 0.01, ..." },
  { "momentum", "number", default = 0.9, min = 0, max = 1, help = "of SGD" },
  { "pair-weight", "number", default = 0.5, min = 0, help = "of the loss of pairs" },
  { "out", "path", value = "DIR", help = "folder of this stage (default: RUN/trick_tune)" },
  { "resume", "path", value = "DIR", help = "go on with the stage in this folder, with its settings" },
})

function spec.adjust(values, given) return pair_stage.adjusted(spec, values, given) end

local function main(o)
  lurcher.seed(o.seed)
  local model, about = pair_stage.open_model(o.run)
  local folder = o.resume and assert(run_folder.open(o.resume, spec.name)) or run_folder.create(spec, o)
  about.recipe, about.settings, o.size = spec.name, folder.settings, math.tointeger(about.size[1])
  local sets = pair_data.sets(o, about.classes)
  siamese.tune_from(model, o.tune_from)
  print("run folder: " .. folder.path)

  local done = pair_stage.train(model, sets, o, { path = o.run, about = about }, { name = spec.name,
    folder = folder.path, augment = o.augment, views = o.views, leaky = true, epochs = o.epochs,
    schedule = schedules.trick(o.lr), pair_weight = o.pair_weight,
    optimizer = lurcher.optim.sgd{ lr = o.lr, momentum = o.momentum } })

  if not done then
    print("continue with: lurcher trick_tune --resume " .. folder.path)
    return 130
  end
  print("model: " .. folder:file "model.safetensors")
  print(("next: lurcher baidu_dog_test --run %s --data DIR"):format(o.run))
end

options.main(spec, arg, main)
