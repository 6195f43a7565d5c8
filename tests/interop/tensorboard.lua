--- Writes event files for tensorboard.py: `lurcher tensorboard.lua FOLDER`. FOLDER/plain has one event of each kind, at
-- a fixed time; FOLDER/fit the logs of a training that was killed and resumed.
local lurcher = require "lurcher"
local fit, on = require "lurcher.fit", require "lurcher.callbacks"
local tensorboard = require "lurcher.tensorboard"
local nn, optim = lurcher.nn, lurcher.optim
local folder = assert(arg[1], "usage: lurcher tensorboard.lua FOLDER")

-- ---- one of each ----

local image = lurcher.range(2 * 3 * 3):view(2, 3, 3):cast "f32"
local writer <close> = tensorboard.writer{ folder .. "/plain", clock = function() return 1234567890.25 end }
writer:scalar("loss", 0.75, 0):scalar("loss", 0.1, 1):scalar("huge", 1e300, 300):scalar("negative", -2.5, 1 << 40)
writer:image("image", image, 7)
writer:histogram("weights", lurcher.tensor{ -1, 0, 0.5, 2 }, 3):histogram("flat", lurcher.full({ 4 }, 0.5), 3)
writer:text("note", "two\nlines \u{fc}", 1)
writer:hparams({ lr = 0.001, optimizer = "adam", nesterov = true },
  { { group = "validation", tag = "epoch_loss" } }):finish "success"
writer:close()

-- ---- a training ----

lurcher.seed(1)
local x = nn.input("image", 6, 6, 3)
local model = nn.model{ y = nn.dense{ 2, activation = "softmax", name = "head" }(nn.flatten(x)) }
local batches = {}
for i = 1, 4 do
  batches[i] = { image = lurcher.uniform{ 8, 6, 6, 3, low = -1, high = 1 }, y = lurcher.zeros{ 8, dtype = "i32" } }
end

local function train(more)
  local run <close> = model:compile{ device = "cpu", optimizer = optim.sgd{ lr = 0.1 },
    loss = "categorical_crossentropy" }
  more.epochs, more.valid, more.progress = more.epochs, { batches[1] }, false
  more[1] = on.checkpoint{ folder .. "/" .. "{epoch:02d}.safetensors" }
  more[2] = on.tensorboard{ folder .. "/fit", steps = 2, images = 1, gradients = true,
    hparams = { lr = 0.1, name = "fit" } }
  return fit(run, batches, more)
end

train{ epochs = 3 }
train{ epochs = 5, resume = folder .. "/02.safetensors" } -- as if it had been killed in epoch 3, after its events
