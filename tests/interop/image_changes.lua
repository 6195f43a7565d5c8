--- The other half of image_changes.py: applies every function of lurcher.image to FOLDER/NAME.png, a smooth and a noisy
-- image, and writes FOLDER/NAME.CHANGE.png.
local lurcher = require "lurcher"
local image = lurcher.image
local folder = arg[1]

local changes = {
  hflip = function(img) return image.flip(img) end,
  vflip = function(img) return image.flip(img, "vertical") end,
  pad = function(img) return image.pad(img, { top = 3, left = 5, bottom = 7, right = 0, fill = { 10, 20, 30 } }) end,
  pad_nearest = function(img) return image.pad(img, { all = 6, fill = "nearest" }) end,
  pad_reflect = function(img) return image.pad(img, { all = 6, fill = "reflect" }) end,
  rotate = function(img) return image.rotate(img, 27) end,
  rotate_back = function(img) return image.rotate(img, -160, { fill = { 200, 100, 0 } }) end,
  rotate_nearest = function(img) return image.rotate(img, 27, { filter = "nearest" }) end,
  quarter = function(img) return image.rotate(img, 90) end,
  half = function(img) return image.rotate(img, 180) end,
  affine = function(img)
    return image.affine(img, { rotate = -20, shift = { 4, -7 }, scale = 1.2, shear = { -5, 12 } })
  end,
  brightness = function(img) return image.brightness(img, 1.3) end,
  darkness = function(img) return image.brightness(img, 0.45) end,
  contrast = function(img) return image.contrast(img, 1.6) end,
  saturation = function(img) return image.saturation(img, 0.3) end,
  saturation_more = function(img) return image.saturation(img, 1.9) end,
  hue = function(img) return image.hue(img, 0.12) end,
  hue_back = function(img) return image.hue(img, -0.4) end,
  grayscale = function(img) return image.grayscale(img) end,
  sharpness = function(img) return image.sharpness(img, 2.5) end,
  smoothness = function(img) return image.sharpness(img, 0) end,
  posterize = function(img) return image.posterize(img, 3) end,
  solarize = function(img) return image.solarize(img, 120) end,
  autocontrast = function(img) return image.autocontrast(img) end,
  equalize = function(img) return image.equalize(img) end,
  blur = function(img) return image.blur(img, 1.5, 9) end,
  blur_wide = function(img) return image.blur(img, 6, 31) end,
  erase = function(img) return image.erase(img, 11, 21, 30, 15, { 9, 8, 7 }) end,
  paste = function(img) return image.paste(img, image.crop(img, 1, 1, 20, 30), -3, 41) end,
  mix = function(img) return image.mix(img, image.flip(img), 0.3) end,
}

for _, name in ipairs{ "smooth", "noisy" } do
  local img = assert(image.load(("%s/%s.png"):format(folder, name)))
  for change, apply in pairs(changes) do
    assert(image.save(("%s/%s.%s.png"):format(folder, name, change), apply(img)))
  end
end
