--- Tests of lurcher.augmentations: the options of each name in both eras, and their effect on pixels.
local harness = require "harness"
local augmentations = require "lurcher.augmentations"
local lurcher = require "lurcher"
local test, raises = harness.test, harness.raises
local data, image = lurcher.data, lurcher.image

test("augmentations: every name makes an augmentation, \"none\" makes nil", function()
  assert(augmentations.of "none" == nil and augmentations.of("none", "2017") == nil)
  for _, name in ipairs(augmentations.names) do
    local augment <close> = augmentations.of(name, "current")
    assert((augment == nil) == (name == "none"), name)
  end
end)

test("augmentations: light and strong are the original's two augmentations", function()
  local function options(name, era) return tostring(augmentations.of(name, era)) end
  local light, strong = options "light", options "strong" -- shear: 0.2 radians in degrees
  assert(light:gsub("(11.45915)%d*", "%1") == "augment{ rotate = 45, shear = 11.45915, zoom = 0.2, hflip = true }",
    light)
  assert(strong:gsub("(11.45915)%d*", "%1") == "augment{ rotate = 90, height_shift = 0.4, width_shift = 0.4, "
    .. "shear = 11.45915, zoom = 0.7, hflip = true, vflip = true }", strong)
  assert(options("light", "2017") == "augment{ rotate = 45, shear = 0.2, zoom = 0.2, hflip = true, era = \"2017\" }",
    options("light", "2017"))
end)

--- One image as the loader returns it with the augmentation, in epoch `n`.
local function drawn(set, augment, n)
  local loader <close> = data.loader{ set, size = 48, augment = augment, seed = 5, workers = 0, shuffle = false }
  for batch in loader:epoch(n) do return batch.image[1] end
end

test("augmentations: both eras draw nearly the same change: shear means the same angle", function()
  local folder, smooth = harness.folder "augmentations", lurcher.zeros{ 48, 48, 3 }
  for y = 1, 48 do -- a smooth image, so that half a pixel and nearest neighbours change little
    for x = 1, 48 do smooth[y][x]:copy(lurcher.tensor{ 5 * y, 5 * x, 250 - 2 * x - 2 * y }) end
  end
  assert(image.save(folder .. "/smooth.png", smooth:cast "u8"))
  local set <close> = assert(data.flat{ folder })
  for _, name in ipairs{ "light", "strong" } do
    local apart, moved = 0, 0
    for n = 0, 3 do
      local now, then_, plain = drawn(set, augmentations.of(name), n), drawn(set, augmentations.of(name, "2017"), n),
        drawn(set, nil, n)
      apart, moved = apart + (now - then_):abs():mean(), moved + (now - plain):abs():mean()
    end
    assert(apart < 0.07 and moved > 0.4, ("%s: %g apart, %g moved"):format(name, apart, moved))
  end
end)

test("augmentations: an unknown name or era is an error that lists the known ones", function()
  raises("no augmentation 'ligth' %(none, flip, light, strong, modern expected; did you mean 'light'%?%)",
    augmentations.of, "ligth")
  raises("bad era '2018'", augmentations.of, "light", "2018")
end)
