--- lurcher.augmentations: the random changes of training images that recipes offer by name (--augment).
-- `light` and `strong` are the founding recipes' (keras.md section 10, Aug A and Aug B): drawn on the images as they
-- were in Keras 2.0.6, where shear was in radians, so that their .2 is 11.5 degrees; `era = "2017"` also brings back
-- its nearest-neighbour sampling and its centre half a pixel off. `modern` is what the field has settled on since.
-- None of them mixes images: mixup changes targets and is the recipe's business (`more`).
-- To add one: a row in `all`, in the terms of data.augment but for shear, in radians.
--
--     local augmentations = require "lurcher.augmentations"
--     { "augment", "choice", default = "none", choices = augmentations.names, help = augmentations.help },
--     data.loader{ set, augment = augmentations.of(o.augment, o.era), ... }

local lurcher = require "lurcher"
local suggest = require "lurcher.suggest"

local all = {
  none = {},
  flip = { hflip = true },
  light = { shear = 0.2, rotate = 45, zoom = 0.2, hflip = true },
  strong = { shear = 0.2, height_shift = 0.4, width_shift = 0.4, rotate = 90, zoom = 0.7,
    hflip = true, vflip = true },
  modern = { crop = 0.5, hflip = true, brightness = 0.2, contrast = 0.2, saturation = 0.2, erase = 0.25 },
}

local augmentations = {}

--- Names in order of strength, for an option's choices.
augmentations.names = { "none", "flip", "light", "strong", "modern" }

--- What they are, for an option's help.
augmentations.help = "random changes of training images: flip mirrors; light turns by 45, shears by 11, zooms by "
  .. "0.2, mirrors; strong shifts by 0.4, turns by 90, zooms by 0.7, mirrors both ways; modern crops, mirrors, changes "
  .. "colours, erases"

--- The data.augment of that name, or nil for "none". `era`: nil or "current", or "2017" for Keras 2.0.6's conventions.
-- `more`: further options of data.augment, { mixup = 0.2 }; with any there is always one. Raises at the caller's line
-- for a name or an era there is not.
function augmentations.of(name, era, more)
  local chosen = all[name]
  if not chosen then
    local near = suggest.nearest(tostring(name), augmentations.names)
    error(("no augmentation '%s' (%s expected%s)"):format(tostring(name), table.concat(augmentations.names, ", "),
      near and "; did you mean '" .. near .. "'?" or ""), 2)
  end
  if era ~= nil and era ~= "current" and era ~= "2017" then
    error(("bad era '%s' (current or 2017 expected)"):format(tostring(era)), 2)
  end
  if name == "none" and not more then return nil end
  local given = { era = era }
  for key, value in pairs(more or {}) do given[key] = value end
  for key, value in pairs(chosen) do given[key] = value end
  if era ~= "2017" and given.shear then given.shear = math.deg(given.shear) end
  return lurcher.data.augment(given)
end

return augmentations
