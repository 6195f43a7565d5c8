---@meta
-- frozen.lua - require "lurcher.frozen"; see lurcher.lua for the conventions.

---The frozen backbone of a model, whose outputs for an image training does not change.
---Splits a model into its frozen backbone and its head. The backbone's outputs, the frozen features, are computed once
---per image (lurcher.feature_cache); the head shares its layers with the model and is trained on them. The result is
---that of training the whole model, as long as an image looks the same in every epoch, or has k fixed augmented views.
---model:frozen determines where the model is split: after the last layer of the backbone that everything else builds
---on, or once per backbone where several apply to the image.
---
---    local split = frozen.split(model, "image")            -- nil, reason where there is nothing to gain
---    local features = split:load{ train, size = 299, batch = 32, device = device, cache = "runs/cache" }
---    local run = split.head:compile{ ... }
---    fit(run, features:loader{ batch = 32, shuffle = true, seed = 1, output = "predictions" }, { ... })
---@class lurcher.frozen
local frozen = {}
---Splits a model whose images are fed to `input`. Returns an object with backbone and head (models that share the
---model's layers), layer (name of the backbone's last layer), shape (of its output for one image), input, name (of the
---head's input for the features) and others: a list with, for each further backbone on the image, an object like this
---one, without a head. Or nil and the reason.
---@param model lurcher.model
---@param input string name of the input of the images
---@return table? split
---@return string? reason
function frozen.split(model, input) end
---The whole model as a backbone without a head, to compute its first output for many images.
function frozen.whole(model, input) end
---Bytes of the features of `count` images, stored as "f32" (the default) or "f16"; those of `others` not counted.
function frozen:bytes(count, store) end
---The frozen features of every image of a set, from the cache or computed now: see lurcher.feature_cache.
---@param options lurcher.feature_options
---@return lurcher.features? features
---@return string? message
function frozen:load(options) end
