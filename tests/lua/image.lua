--- Tests of the functions of lurcher.image that change an image. The values are Pillow's (13.0: rotate, affine,
-- grayscale, posterize, solarize, equalize) and torchvision's (0.29); tests/interop/image_changes.py compares larger
-- images.
local harness = require "harness"
local lurcher = require "lurcher"
local test, raises, near = harness.test, harness.raises, harness.near
local image = lurcher.image

local HEIGHT, WIDTH = 3, 4

--- The image that the values below are of; made again for every test, since a test may leave no handle open.
local function example()
  local values = {}
  for y = 0, HEIGHT - 1 do
    for x = 0, WIDTH - 1 do
      for c = 0, 2 do values[#values + 1] = (37 * y * y + 91 * x + 53 * c * x + 29 * y * c) % 256 end
    end
  end
  return lurcher.tensor(values):cast "u8":view(HEIGHT, WIDTH, 3)
end

local function flat(img) return img:view(-1):totable() end

local img -- of the row that is tested
local golden = { -- name, largest difference (1: values are truncated there, 2: on the way too), call, values
  { "rotate", 1, function() return image.rotate(img, 27) end,
    { 0, 0, 0, 137, 87, 166, 128, 111, 146, 46, 228, 154, 26, 44, 49, 124, 188, 80, 184, 132, 205, 128, 167,
      124, 60, 95, 76, 165, 143, 103, 157, 164, 176, 0, 0, 0 } },
  { "affine", 1, function()
      return image.affine(img, { rotate = -20, shift = { 1, -1 }, scale = 1.2, shear = { -5, 12 } })
    end,
    { 23, 36, 49, 0, 0, 0, 0, 0, 0, 0, 0, 0, 79, 128, 102, 130, 102, 169, 162, 48, 131, 0, 0, 0, 154, 179, 88,
      199, 102, 194, 106, 143, 149, 21, 183, 90 } },
  { "brightness", 1, function() return image.brightness(img, 1.3) end,
    { 0, 0, 0, 118, 187, 255, 236, 41, 179, 22, 228, 102, 48, 85, 123, 166, 255, 46, 255, 127, 255, 70, 255,
      226, 192, 255, 10, 255, 122, 255, 96, 255, 189, 214, 163, 113 } },
  { "contrast", 2, function() return image.contrast(img, 1.6) end,
    { 0, 0, 0, 69, 154, 239, 215, 0, 144, 0, 205, 50, 0, 29, 76, 128, 255, 0, 255, 80, 255, 10, 255, 202, 160,
      253, 0, 255, 74, 252, 42, 255, 157, 188, 125, 63 } },
  { "saturation", 2, function() return image.saturation(img, 0.3) end,
    { 0, 0, 0, 121, 137, 152, 116, 71, 103, 87, 134, 105, 53, 61, 70, 153, 178, 126, 170, 133, 174, 140, 197,
      176, 160, 178, 118, 176, 132, 165, 146, 196, 168, 142, 130, 119 } },
  { "hue", 1, function() return image.hue(img, 0.12) end,
    { 0, 0, 0, 114, 91, 197, 182, 34, 32, 17, 159, 176, 49, 37, 95, 36, 210, 69, 233, 98, 150, 54, 175, 242, 8,
      206, 10, 239, 94, 100, 74, 212, 238, 148, 165, 87 } },
  { "grayscale", 0, function() return image.grayscale(img) end,
    { 0, 0, 0, 134, 134, 134, 89, 89, 89, 117, 117, 117, 61, 61, 61, 166, 166, 166, 150, 150, 150, 178, 178,
      178, 166, 166, 166, 150, 150, 150, 178, 178, 178, 133, 133, 133 } },
  { "sharpness", 1, function() return image.sharpness(img, 2.5) end,
    { 0, 0, 0, 91, 144, 197, 182, 32, 138, 17, 176, 79, 37, 66, 95, 132, 255, 0, 255, 42, 255, 54, 242, 174,
      148, 206, 8, 239, 94, 205, 74, 238, 146, 165, 126, 87 } },
  { "posterize", 0, function() return image.posterize(img, 3) end,
    { 0, 0, 0, 64, 128, 192, 160, 32, 128, 0, 160, 64, 32, 64, 64, 128, 192, 32, 192, 96, 224, 32, 224, 160,
      128, 192, 0, 224, 64, 192, 64, 224, 128, 160, 96, 64 } },
  { "solarize", 0, function() return image.solarize(img, 120) end,
    { 0, 0, 0, 91, 111, 58, 73, 32, 117, 17, 79, 79, 37, 66, 95, 127, 45, 36, 36, 98, 22, 54, 13, 81, 107, 49,
      8, 16, 94, 50, 74, 17, 109, 90, 129, 87 } },
  { "autocontrast", 1, function() return image.autocontrast(img) end,
    { 0, 0, 0, 97, 151, 215, 194, 33, 151, 18, 185, 86, 39, 69, 103, 136, 221, 39, 233, 103, 254, 57, 254, 190,
      157, 217, 8, 254, 99, 224, 78, 250, 159, 176, 132, 95 } },
  { "equalize", 0, function() return image.equalize(img) end,
    { 0, 0, 0, 91, 144, 197, 182, 32, 138, 17, 176, 79, 37, 66, 95, 128, 210, 36, 219, 98, 233, 54, 242, 174,
      148, 206, 8, 239, 94, 205, 74, 238, 146, 165, 126, 87 } },
  { "blur", 1, function() return image.blur(img, 0.8, 3) end,
    { 61, 100, 81, 109, 114, 117, 139, 125, 154, 114, 139, 153, 98, 123, 82, 131, 135, 118, 144, 148, 158, 121,
      159, 159, 138, 144, 85, 154, 152, 122, 146, 168, 158, 127, 176, 157 } },
}

for _, row in ipairs(golden) do
  test("image." .. row[1], function()
    img = example()
    local before, changed = lurcher.hash(img), row[3]()
    local values = flat(changed)
    assert(changed.dtype == "u8" and #values == #row[4] and lurcher.hash(img) == before)
    for i, value in ipairs(row[4]) do
      assert(math.abs(values[i] - value) <= row[2], ("value %d: %d expected, got %d"):format(i, value, values[i]))
    end
    img = nil
  end)
end

test("image: an amount of 1, or none, changes nothing", function()
  local img = example()
  local same = lurcher.hash(img)
  for name, amount in pairs{ brightness = 1, contrast = 1, saturation = 1, hue = 0, sharpness = 1, posterize = 8,
    solarize = 256, rotate = 0 } do
    assert(lurcher.hash(image[name](img, amount)) == same, name)
  end
  for _, name in ipairs{ "pad", "affine" } do assert(lurcher.hash(image[name](img, {})) == same, name) end
  assert(lurcher.hash(image.flip(image.flip(img))) == same)
  assert(lurcher.hash(image.rotate(image.rotate(img, 180), -180)) == same)
  assert(lurcher.hash(image.mix(img, image.flip(img), 0)) == same)
end)

test("image: flip, and quarter turns of a square, move pixels", function()
  local img = example()
  near(flat(image.flip(img))[1], flat(img)[10])
  near(flat(image.flip(img, "vertical"))[1], flat(img)[25])
  local square = image.crop(img, 1, 1, 3, 3)
  local turned = image.rotate(square, 90) -- counter-clockwise: the right column becomes the first row
  for i = 1, 3 do near(turned[1][i], square[i][3]) end
  assert(lurcher.hash(image.rotate(turned, 270)) == lurcher.hash(square))
  assert(lurcher.hash(image.rotate(turned, 90, { filter = "nearest" })) == lurcher.hash(image.rotate(square, 180)))
end)

test("image: fills of pad and rotate", function()
  local img = example()
  local padded = image.pad(img, { top = 1, left = 2, all = 0, fill = { 7, 8, 9 } })
  near(padded.shape, { 4, 6, 3 })
  near(padded[1][1], { 7, 8, 9 })
  near(padded[2][3], img[1][1])
  near(image.pad(img, { all = 2 })[7][8], { 0, 0, 0 })
  local edge, mirrored = image.pad(img, { all = 2, fill = "nearest" }), image.pad(img, { all = 2, fill = "reflect" })
  near(edge[1][1], img[1][1])
  near(edge[7][8], img[3][4])
  near(mirrored[1][1], img[2][2])
  near(mirrored[2][2], img[1][1])
  near(mirrored[7][8], img[2][3])
  near(image.rotate(img, 45, { fill = 200 })[1][1], { 200, 200, 200 })
  near(image.affine(img, { shift = { 0, 2 }, fill = "nearest" })[2][1], img[2][1])
  near(image.affine(img, { shift = { 0, 2 }, fill = "reflect" })[2][1], img[2][2])
  near(image.affine(img, { shift = { 1, 2 } })[3][4], img[2][2])
  near(image.affine(img, { scale = 3, filter = "nearest" })[2][2], img[2][2])
end)

test("image: erase, paste, mix", function()
  local img = example()
  local erased = image.erase(img, 2, 3, 2, 1, { 1, 2, 3 })
  near(erased[3][3], { 1, 2, 3 })
  near(erased[3][2], img[3][2])
  near(image.erase(img, 1, 1, 3, 4):max(), 0)
  local one <close> = lurcher.data.random(1)
  local two <close> = lurcher.data.random(1)
  local noise = image.erase(img, 1, 1, 2, 2, one)
  assert(lurcher.hash(noise) == lurcher.hash(image.erase(img, 1, 1, 2, 2, two)))
  assert(lurcher.hash(noise) ~= lurcher.hash(img) and lurcher.hash(noise[3]) == lurcher.hash(img[3]))
  local over = image.pad(image.crop(img, 1, 1, 1, 1), { all = 1, fill = 100 })
  near(image.paste(img, over, 0, 4)[2][4], { 100, 100, 100 })
  near(image.paste(img, over, 2, 2)[3][3], { 0, 0, 0 })
  near(image.paste(img, over, 2, 2, 0.5)[2][2]:cast "f32", (img[2][2]:cast "f32" + 100) / 2, 0.51)
  near(image.paste(img, over, 100, -100), img)
  local wide = image.pad(over, { right = 1 })
  near(image.mix(img, wide, 1), wide)
end)

test("image: random boxes fit, and have the area and ratio that were asked for", function()
  local random <close> = lurcher.data.random(2)
  local least, most = 1, 0
  for _ = 1, 2000 do
    local top, left, height, width = image.random_box(random, 100, 200, { min = 0.1, max = 0.3, ratio = 2 })
    assert(top >= 1 and left >= 1 and top + height <= 101 and left + width <= 201)
    least, most = math.min(least, height * width / 20000), math.max(most, height * width / 20000)
    assert(width / height > 0.48 and width / height < 2.08)
  end
  assert(least > 0.09 and least < 0.12 and most > 0.28 and most < 0.31)
  near({ image.random_box(random, 5, 5, { min = 1, max = 1, ratio = 1 }) }, { 1, 1, 5, 5 })
end)

test("image: mistakes are told", function()
  local img = example()
  raises("image brightness: a number from 0 to 1e%+06 expected, got %-1", image.brightness, img, -1)
  raises("image contrast: a number from 0 to 1e%+06 expected, got %-?nan", image.contrast, img, 0 / 0)
  raises("image hue: a number from %-0.5 to 0.5 expected, got 0.6", image.hue, img, 0.6)
  raises("image posterize: a number from 1 to 8 expected, got 9", image.posterize, img, 9)
  raises("image blur: a sigma above 0 and up to 100 expected", image.blur, img, 0)
  raises("image blur: an odd kernel size from 1 to 1001 expected, got 4", image.blur, img, 1, 4)
  raises("image flip: an image %(h x w x 3%) expected, got 3x4", image.flip, lurcher.zeros{ 3, 4, dtype = "u8" })
  raises("image flip: a u8 image expected, got f32", image.flip, img:cast "f32")
  raises("invalid option 'sideways'", image.flip, img, "sideways")
  raises("image pad: bottom is 4; 0 to 3 pixels expected", image.pad, img, { bottom = 4, fill = "reflect" })
  raises("bad option 'fill' to 'image.pad' %(a pixel value, .* expected, got \"wrap\"%)", image.pad, img,
    { all = 1, fill = "wrap" })
  raises("bad option 'fill' to 'image.rotate' %(a pixel value from 0 to 255 expected", image.rotate, img, 3,
    { fill = { 1, 2 } })
  raises("unknown option 'degrees' to 'image.affine'", image.affine, img, { degrees = 3 })
  raises("a pair of numbers expected", image.affine, img, { shift = { 3, "x" } })
  raises("a pair { down, right } expected", image.affine, img, { shear = { 3 } })
  raises("image affine: a scale of at least 0.001 expected", image.affine, img, { scale = 0 })
  raises("image affine: values from %-1e6 to 1e6 expected", image.rotate, img, math.huge)
  raises("image affine: shears from %-89 to 89 degrees expected", image.affine, img, { shear = { 0, 90 } })
  raises("image erase: 4x1 at row 0, column 0 exceeds the image of 3x4", image.erase, img, 1, 1, 4, 1)
  raises("image paste: an opacity from 0 to 1 expected", image.paste, img, img, 1, 1, 2)
  raises("image.mix: two images of the same size expected", image.mix, img, image.pad(img, { all = 1 }), 0.5)
  local random <close> = lurcher.data.random(2)
  raises("image box: shares of the area expected", image.random_box, random, 5, 5, { min = 0.5, max = 0.1 })
  raises("image box: a ratio from 1 to 100 expected", image.random_box, random, 5, 5, { ratio = 0.5 })
end)
