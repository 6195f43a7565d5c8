--- draw_images.lua: draws a small fine-grained image set, using only lurcher's tensors: faces of dogs of six look-alike
-- breeds. Breeds differ only in their ears (prick, button, drop) and muzzle (narrow, broad); colours, pose, size,
-- light, background and noise vary from image to image.
--
--     lurcher examples/draw_images.lua --out images --train 80 --valid 20 --test 30 --size 96
--
-- writes images/{train,valid,test}/BREED/NNN.jpg. The same seed gives the same images.

local lurcher = require "lurcher"
local options = require "lurcher.recipe.options"
local files = require "lurcher.files"

local ears, muzzles = { "prick", "button", "drop" }, { "narrow", "broad" }
local coats = { { 205, 160, 95 }, { 120, 78, 45 }, { 60, 52, 48 }, { 225, 212, 190 }, { 165, 110, 60 },
  { 140, 135, 130 } }

local function between(low, high) return low + (high - low) * math.random() end

--- A colour near `base`, as a 1 x 1 x 3 tensor.
local function colour(base, spread)
  local c = {}
  for i = 1, 3 do c[i] = math.max(0, math.min(255, base[i] + between(-spread, spread))) end
  return lurcher.tensor{ { c } }
end

local function clamp(mask) return mask:maximum(0):minimum(1) end

--- Blends `paint` over `image`; `mask` (h x w x 1, 0 to 1) is the opacity.
local function over(image, mask, paint) return image + (paint - image) * mask end

--- Coordinates of the pixels relative to the face, whose half height is 1: u to the right, v down.
local function frame(size)
  local line = lurcher.range(size):cast "f32"
  local scale, angle = between(0.30, 0.40) * size, math.rad(between(-25, 25))
  local x = (line:view(1, size, 1) - size * between(0.42, 0.58)) / scale
  local y = (line:view(size, 1, 1) - size * between(0.46, 0.60)) / scale
  local f = { sharp = scale }
  f.u = x * math.cos(angle) + y * math.sin(angle)
  f.v = y * math.cos(angle) - x * math.sin(angle)
  return f
end

--- Mask of an ellipse at (u, v) with half axes a and b, rotated by `turn` radians.
local function ellipse(f, u, v, a, b, turn)
  local du, dv = f.u - u, f.v - v
  local c, s = math.cos(turn or 0), math.sin(turn or 0)
  local p, q = (du * c + dv * s) / a, (dv * c - du * s) / b
  return clamp((1 - (p:square() + q:square()):sqrt()) * (f.sharp * math.min(a, b)) + 0.5)
end

--- Mask of a triangle; the corners are in clockwise order on the screen.
local function triangle(f, corners)
  local mask
  for i = 1, 3 do
    local a, b = corners[i], corners[i % 3 + 1]
    local du, dv = b[1] - a[1], b[2] - a[2]
    local length = math.sqrt(du * du + dv * dv)
    local inside = clamp(((f.v - a[2]) * du - (f.u - a[1]) * dv) * (f.sharp / length) + 0.5)
    mask = mask and mask * inside or inside
  end
  return mask
end

--- Mask of the ear on one side (-1 left, 1 right).
local function ear(f, kind, side)
  local reach = between(0.92, 1.08)
  if kind == "prick" then
    local inner, tip, outer = { 0.16 * side, -0.66 }, { 0.56 * side, -1.25 * reach }, { 0.68 * side, -0.38 }
    return triangle(f, side > 0 and { inner, tip, outer } or { outer, tip, inner })
  elseif kind == "button" then
    local inner, out, low = { 0.18 * side, -0.80 }, { 0.80 * side, -0.78 }, { 0.74 * side, -0.22 * reach }
    return triangle(f, side > 0 and { inner, out, low } or { low, out, inner })
  end
  return ellipse(f, 0.70 * side, -0.12, 0.20, 0.56 * reach, -0.15 * side)
end

local function background(size)
  local line = lurcher.range(size):cast "f32" / size
  local top, bottom = { between(60, 230), between(60, 230), between(60, 230) }, {}
  for i = 1, 3 do bottom[i] = between(40, 220) end
  local image = colour(top, 0) + (colour(bottom, 0) - colour(top, 0)) * line:view(size, 1, 1)
    + lurcher.zeros(size, size, 3)
  for _ = 1, 4 do
    local f = frame(size)
    local blob = ellipse(f, between(-2, 2), between(-2, 2), between(0.2, 0.7), between(0.2, 0.7), between(0, 3))
    image = over(image, blob * between(0.3, 0.8), colour({ 130, 130, 130 }, 110))
  end
  return image
end

--- One face: an f32 tensor, size x size x 3, of values from 0 to 255.
local function face(ear_kind, muzzle, size)
  local f, base = frame(size), coats[math.random(#coats)]
  local coat, dark = colour(base, 25), colour({ base[1] * 0.65, base[2] * 0.65, base[3] * 0.65 }, 12)
  local light, black = colour({ base[1] + 50, base[2] + 40, base[3] + 35 }, 15), colour({ 25, 22, 24 }, 10)
  local image = background(size)
  local behind = ear_kind == "prick"
  local function both_ears()
    for side = -1, 1, 2 do image = over(image, ear(f, ear_kind, side), dark) end
  end
  if behind then both_ears() end
  image = over(image, ellipse(f, 0, 0, 0.70, 0.88), coat)
  if math.random() < 0.4 then image = over(image, ellipse(f, 0, -0.3, 0.10, 0.55), light) end
  if math.random() < 0.4 then
    image = over(image, ellipse(f, (math.random(2) * 2 - 3) * 0.3, -0.15, 0.22, 0.24), dark)
  end
  local width = muzzle == "narrow" and between(0.22, 0.27) or between(0.42, 0.48)
  image = over(image, ellipse(f, 0, 0.46, width, 0.40), light)
  image = over(image, ellipse(f, 0, 0.28, 0.13, 0.09), black)
  image = over(image, ellipse(f, 0, 0.62, width * 0.6, 0.03), black)
  for side = -1, 1, 2 do image = over(image, ellipse(f, 0.28 * side, -0.14, 0.085, 0.085), black) end
  if not behind then both_ears() end
  local noise = lurcher.normal{ size, size, 3, deviation = between(3, 12) }
  return (image * between(0.75, 1.15) + noise):maximum(0):minimum(255)
end

local function draw(o)
  lurcher.seed(o.seed)
  math.randomseed(o.seed)
  local count = 0
  for _, split in ipairs{ "train", "valid", "test" } do
    for _, ear_kind in ipairs(ears) do
      for _, muzzle in ipairs(muzzles) do
        local folder = ("%s/%s/%s_%s"):format(o.out, split, ear_kind, muzzle)
        assert(files.make_folders(folder))
        for i = 1, o[split] do
          assert(lurcher.image.save(("%s/%03d.jpg"):format(folder, i), face(ear_kind, muzzle, o.size)))
          count = count + 1
        end
      end
    end
  end
  print(("drew %d images of %d breeds, %dx%d, in %s"):format(count, #ears * #muzzles, o.size, o.size, o.out))
end

options.main({
  name = "examples/draw_images.lua", summary = "Draws dogs' faces of six look-alike breeds as JPEG class folders.",
  { "out", "path", required = true, value = "DIR", help = "folder for train/, valid/ and test/" },
  { "train", "integer", default = 80, min = 0, help = "training images per breed" },
  { "valid", "integer", default = 20, min = 0, help = "validation images per breed" },
  { "test", "integer", default = 30, min = 0, help = "test images per breed" },
  { "size", "integer", default = 96, min = 16, max = 1024, help = "height and width of the images" },
  { "seed", "integer", default = 1, help = "seed of the random numbers: the same seed draws the same images" },
}, arg, draw)
