--- lurcher.augmentations: the augmentations of training images that recipes offer by name (--augment).
-- `light` and `strong` are those of the original (froze_fine_tune.py and single_model.py), written for the
-- ImageDataGenerator of Keras 2.0.6 (keras/preprocessing/image.py). There shear is in radians, so that its 0.2 is 11.5
-- degrees; `era = "2017"` also has its nearest-neighbour sampling and its centre, half a pixel off. `modern` is what
-- most trainings have used since. None of them mixes images: mixup changes targets too, and is an option of its own
-- (`more`). To add one: a row in `all`, with options of data.augment, but shear in radians.
--
--     local augmentations = require "lurcher.augmentations"
--     { "augment", "choice", default = "none", choices = augmentations.names, help = augmentations.help },
--     data.loader{ set, augment = augmentations.of(o.augment, o.era), ... }

local lurcher = require "lurcher"

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

--- What they do, for an option's help.
augmentations.help = "random changes of training images; flip: mirroring; light: rotation by up to 45 degrees, shear "
  .. "by 11, zoom by 0.2, mirroring; strong: shifts by 0.4, rotation by 90, zoom by 0.7, mirroring both ways; modern: "
  .. "crops, mirroring, colour changes, erased rectangles"

--- The data.augment of that name, or nil for "none" without `more`. era: nil or "current", or "2017" for the
-- conventions of Keras 2.0.6. more: further options of data.augment, { mixup = 0.2 }. Raises at the caller's line for
-- an unknown name or era.
function augmentations.of(name, era, more)
  local chosen = all[name]
  if not chosen then
    local near = lurcher.nearest(tostring(name), augmentations.names)
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
