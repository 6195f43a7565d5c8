--- weights.lua - lists the pretrained weights that are on this machine
-- What `--weights imagenet` finds, and for backbones without weights the command that fetches them.

local imagenet, logs_of = require "lurcher.recipe.imagenet", require "lurcher.logs"
local options = require "lurcher.recipe.options"

local spec = {
  name = "weights",
  summary = "Lists the weights of Xception and InceptionV3 in $LURCHER_WEIGHTS, ~/.keras/models and "
    .. "~/.cache/torch/hub/checkpoints, by the names that Keras and PyTorch give them, and says how to fetch those "
    .. "that are missing. --weights imagenet takes the first of a backbone that can be read.",
}

options.main(spec, arg, function()
  for _, backbone in ipairs(imagenet.backbones) do
    local can_read = false
    for _, file in ipairs(imagenet.found(backbone)) do
      print(("%-13s %9s  %s%s"):format(backbone, logs_of.size(file.bytes), file.path,
        file.pickled and "  (a PyTorch pickle, which cannot be read: save it as .safetensors)" or ""))
      can_read = can_read or not file.pickled
    end
    if not can_read then print(("%s: missing; fetch them:\n%s"):format(backbone, imagenet.advice(backbone))) end
  end
end)
