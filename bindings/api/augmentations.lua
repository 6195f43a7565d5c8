---@meta
-- augmentations.lua - require "lurcher.augmentations"; see lurcher.lua for the conventions.

---The augmentations of training images that recipes offer by name (--augment).
---`light` and `strong` are those of the original (froze_fine_tune.py and single_model.py), written for the
---ImageDataGenerator of Keras 2.0.6 (keras/preprocessing/image.py). There shear is in radians, so that its 0.2 is 11.5
---degrees; `era = "2017"` also has its nearest-neighbour sampling and its centre, half a pixel off. `modern` is what
---most trainings have used since. None of them mixes images: mixup changes targets too, and is an option of its own
---(`more`).
---
---    local augmentations = require "lurcher.augmentations"
---    data.loader{ set, size = 299, augment = augmentations.of "modern" }
---@class lurcher.augmentations
---@field names string[] "none", "flip", "light", "strong", "modern": in order of strength
---@field help string what they do, for an option's help
local augmentations = {}
---The data.augment of a name: `augmentations.of("modern", nil, { mixup = 0.2 })`. Raises at the caller's line for an
---unknown name or era.
---@param name "none"|"flip"|"light"|"strong"|"modern"
---@param era? "current"|"2017" "2017": the conventions of Keras 2.0.6; default "current"
---@param more? lurcher.augment_options further options of data.augment
---@return lurcher.augment? augment nil for "none" without `more`
function augmentations.of(name, era, more) end
