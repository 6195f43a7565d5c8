--- Tests of the recipes audit and augment_preview, run as commands.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local image = lurcher.image
local test = harness.test

local work = harness.folder "data_recipes"

local function sh(format, ...)
  local output, code = harness.run(("cd '%s' && '%s' %s"):format(work, harness.program, format:format(...)))
  return output, code
end

local function make()
  for _, part in ipairs{ "", "/train", "/valid" } do lfs.mkdir(work .. "/dogs" .. part) end
  for p, part in ipairs{ "train", "valid" } do
    for c, class in ipairs{ "pug", "beagle" } do
      local folder = ("%s/dogs/%s/%s"):format(work, part, class)
      lfs.mkdir(folder)
      for i = 1, 3 do
        local img = lurcher.tensor{ shape = { 40, 50, 3 }, fill = 40 * p + 10 * c + i }
        assert(image.save(("%s/%d.png"):format(folder, i), img))
      end
    end
  end
end

make()

test("audit: a clean folder, then one with a duplicate across splits", function()
  local output, code = sh "audit dogs"
  assert(code == 0 and output:find "12 images checked: nothing found" and output:find "train: .*6 images", output)
  assert(os.execute(("cp '%s/dogs/train/pug/1.png' '%s/dogs/valid/pug/again.png'"):format(work, work)))
  output, code = sh "audit dogs"
  assert(code == 1, output)
  assert(output:find "split%-duplicate  valid/pug/again.png: the same bytes as dogs/train/pug/1.png", output)
  output, code = sh "audit nowhere"
  assert(code == 1 and output:find "'nowhere' is not a folder" and not output:find "traceback", output)
  output, code = sh "audit dogs --tiny 45"
  assert(output:find "only 50x40 pixels", output)
  assert(select(2, sh "audit --help") == 0)
end)

test("audit: a class that a split lacks, or whose folder is empty; not where there are no classes", function()
  os.remove(work .. "/dogs/valid/pug/again.png")
  local function check(expected)
    local output, code = sh "audit dogs"
    assert(code == (expected and 1 or 0), output)
    local _, count = output:gsub("class%-missing +%l+:", "")
    assert(count == (expected and 1 or 0) and (not expected or output:find(expected)), output)
  end
  lfs.mkdir(work .. "/dogs/valid/corgi")
  check()
  assert(image.save(work .. "/dogs/valid/corgi/1.png", lurcher.tensor{ shape = { 40, 50, 3 }, fill = 99 }))
  check "class%-missing +train: no image of class 'corgi' %(valid has 1%)"
  os.remove(work .. "/dogs/valid/corgi/1.png")
  lfs.rmdir(work .. "/dogs/valid/corgi")
  lfs.mkdir(work .. "/dogs/test")
  assert(image.save(work .. "/dogs/test/1.png", lurcher.tensor{ shape = { 40, 50, 3 }, fill = 98 }))
  check()
  for i = 1, 3 do os.rename(("%s/dogs/valid/beagle/%d.png"):format(work, i), ("%s/%d.png"):format(work, i)) end
  check "class%-missing +valid: no image of class 'beagle' %(train has 3%)\n"
  for i = 1, 3 do os.rename(("%s/%d.png"):format(work, i), ("%s/dogs/valid/beagle/%d.png"):format(work, i)) end
end)

test("augment_preview: one image of many", function()
  local output, code = sh "augment_preview --data dogs --pictures 2 --views 3 --size 32 --rotate 30 --hflip --out p.png"
  assert(code == 0 and output:find "augment{ rotate = 30, hflip = true }", output)
  -- --pictures is the old name of --images
  local img = assert(image.load(work .. "/p.png"))
  assert(table.concat(img.shape, "x") == "90x138x3", table.concat(img.shape, "x"))
  assert(lurcher.write_file(work .. "/dim.lua", "return function(img) return img:cast 'f32' / 2 end"))
  output, code = sh "augment_preview --data dogs --images 2 --views 3 --size 32 --transform dim.lua --out dim.png"
  assert(code == 0 and not output:find "augment{", output)
  local dim, plain = assert(image.load(work .. "/dim.png")), image.load(work .. "/p.png")
  harness.near(dim.shape, plain.shape)
  output, code = sh "augment_preview --data dogs --rotat 3"
  assert(code == 2 and output:find "did you mean '%-%-rotate'", output)
end)
