--- overfit_one_batch.lua: the first check of a new model. Trains on one batch, with a loop written by hand: the loss
-- must go to zero. If it does not, the model, the loss or the learning rate is wrong, and more data will not help.
--
--     lurcher examples/overfit_one_batch.lua
local lurcher = require "lurcher"
local xception = require "lurcher.models.xception"
local optim = lurcher.optim

lurcher.seed(1)
local classes, images = 4, 16
local model <close> = xception{ size = 64, width = 0.25, middle = 1, classes = classes }
print(model)

-- Noise with arbitrary labels: the network can only memorise the batch.
local labels = {}
for i = 1, images do labels[i] = (i - 1) % classes end
local batch = {
  input_1 = lurcher.uniform{ images, 64, 64, 3, low = -1, high = 1 },
  predictions = lurcher.tensor{ dtype = "i32", table.unpack(labels) },
}

local run <close> = model:compile{ optimizer = optim.adam{ lr = 2e-3 }, loss = "categorical_crossentropy" }
local results
for step = 1, 40 do
  results = run:train(batch)
  if step == 1 or step % 5 == 0 then
    print(("step %2d  loss %.4f  acc %.2f"):format(step, results.loss, results.acc))
  end
end
print(results.loss < 0.1 and "the network has memorised the batch" or "something is wrong: the loss is still high")
