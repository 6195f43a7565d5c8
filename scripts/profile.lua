--- profile.lua - times the ops of a network's steps
-- Of an Xception with fresh weights, or of the model of a run: prints the slowest ops as a table, and writes all of
-- them as a page of nested bars.

local lfs = require "lfs"
local lurcher = require "lurcher"
local options, profile = require "lurcher.recipe.options", require "lurcher.profile"
local xception = require "lurcher.models.xception"
local nn, optim = lurcher.nn, lurcher.optim

local spec = {
  name = "profile",
  summary = "Times every op of some steps of Xception, or of a trained model, on random images.",
  { "mode", "choice", default = "predict", choices = { "predict", "train" }, help = "inference or training steps" },
  { "model", "path", value = "FILE", help = "model.safetensors of a run, or the run folder (default: an Xception)" },
  { "size", "integer", default = 299, min = 32, max = 4096, help = "height and width of the network's input" },
  { "width", "number", default = 1, min = 0.01, max = 8, help = "multiplier of every layer's number of channels" },
  { "middle", "integer", default = 8, min = 0, max = 64, help = "number of blocks in the middle flow" },
  { "batch", "integer", default = 8, min = 1, max = 65536, help = "images per step" },
  { "freeze", "string", default = "none", value = "none|NAME", help = "last layer to freeze, with all before it" },
  { "steps", "integer", default = 5, min = 1, help = "number of timed steps, after two that are not timed" },
  { "top", "integer", default = 20, min = 0, help = "number of ops to print" },
  { "gflops", "number", default = 0, min = 0, help = "peak GFLOP/s of the machine (bench_peak); 0: unknown" },
  { "gbytes", "number", default = 0, min = 0,
    help = "memory bandwidth of the machine in GB/s; with --gflops, each op's least possible time is shown; 0: "
      .. "unknown" },
  { "device", "device", default = "auto" },
  { "html", "file", default = "profile.html", help = "page to write" },
}

--- The network, and what to call it.
local function open(o)
  if not o.model then
    local network = xception{ size = o.size, width = o.width, middle = o.middle, input = "image" }
    return network, ("Xception %d"):format(o.size)
  end
  local path = lfs.attributes(o.model, "mode") == "directory" and o.model .. "/model.safetensors" or o.model
  local model, message = nn.load(path)
  if not model then error(message, 0) end
  return model, path
end

--- A batch of noise for a model of one image in and one vector of class probabilities out.
local function noise(model, batch)
  local input, output = model.inputs[1], model.outputs[1]
  if #model.inputs > 1 or #model.outputs > 1 then
    error(("a model with one input and one output expected, got one with %d and %d"):format(#model.inputs,
      #model.outputs), 0)
  end
  local shape = model:node(input).shape
  return { [input] = lurcher.uniform{ batch, low = -1, high = 1, table.unpack(shape) },
    [output] = lurcher.zeros{ batch, dtype = "i32" } }
end

local function main(o)
  local model, name = open(o)
  if o.freeze ~= "none" then model:freeze{ to = o.freeze } end
  local run <close> = model:compile{ device = o.device, loss = "categorical_crossentropy",
    optimizer = optim.sgd{ lr = 0 } }
  local batch = noise(model, o.batch)
  local function steps(count)
    local started = lurcher.time()
    for _ = 1, count do
      if o.mode == "train" then run:train(batch) else run:predict(batch) end
      if lurcher.interrupted() then error("interrupted", 0) end
    end
    return (lurcher.time() - started) / count
  end
  steps(2)
  run:profile(true)
  local seconds = steps(o.steps)
  local machine = o.gflops > 0 and o.gbytes > 0 and { gflops = o.gflops, gbytes = o.gbytes } or nil
  print(profile.text(run, o.top, machine, (lurcher.columns())))
  print(lurcher.format("%.1f ms per step of %d images, %.2f images/s, including what is not in ops", 1e3 * seconds,
    o.batch, o.batch / seconds))
  local title = ("%s, %s, batch %d on %s"):format(name, o.mode == "train" and "training step" or "inference", o.batch,
    run.device)
  assert(profile.write(run, o.html, title))
  print("page: " .. o.html)
end

options.main(spec, arg, main)
