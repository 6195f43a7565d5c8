--- Tests of preprocessing: how an image becomes the network's input, in either era: in every recipe's training, and the
-- same in prediction and in the report's maps.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local learner, pair_batches = require "lurcher.recipe.learner", require "lurcher.recipe.pair_batches"
local prediction, preprocessing = require "lurcher.prediction", require "lurcher.preprocessing"
local siamese = require "lurcher.siamese"
local data, image, nn = lurcher.data, lurcher.image, lurcher.nn
local test, near, raises = harness.test, harness.near, harness.raises

local work = harness.folder "preprocessing"
local size, side = 12, 20 -- of the network's images, and of the files'

for _, part in ipairs{ "train", "valid" } do
  assert(lfs.mkdir(work .. "/" .. part))
  for class = 1, 2 do
    local folder = ("%s/%s/class%d"):format(work, part, class)
    assert(lfs.mkdir(folder))
    for i = 1, 2 do
      local img = lurcher.uniform{ side, side, 3, low = 0, high = 255 }:cast "u8"
      assert(image.save(("%s/%d.png"):format(folder, i), img))
    end
  end
end

--- The network's input of a file in an era, by the image functions alone.
local function expected(path, era)
  local img = assert(image.load(path))
  if era == "2017" then return image.resize(img, size, size, "nearest"):cast "f32" / 255 end
  return image.resize(img, size, size, "bilinear"):cast "f32" / 127.5 - 1
end

test("preprocessing: a model's metadata has its preprocessing", function()
  for _, era in ipairs{ "current", "2017" } do
    local how = preprocessing.new{ size = size, era = era }
    local metadata = preprocessing.metadata(how, { "a", "b" }, { recipe = "single_model" })
    local again = preprocessing.saved(lurcher.json.decode(lurcher.json.encode(metadata)))
    for _, name in ipairs{ "size", "resize", "preprocess" } do assert(again[name] == how[name], name) end
    assert(math.type(again.size) == "integer" and metadata.recipe == "single_model" and metadata.classes[2] == "b")
  end
  local wide = preprocessing.saved{ size = { 12.0, 20.0 }, preprocess = "tf" }
  assert(wide.size[1] == 12 and wide.size[2] == 20)
end)

test("preprocessing: pairs are trained and validated on images of their era", function()
  lurcher.seed(1)
  local x = nn.input("image", size, size, 3)
  local model = siamese.model(nn.model(nn.global_avg_pool{ name = "pool" }(x)), { classes = 2 })
  for _, era in ipairs{ "current", "2017" } do
    local o = { data = work, size = size, batch = 2, era = era, seed = 1, workers = 1, device = "cpu" }
    local sets = pair_batches.sets(o)
    local _, train, valid = learner.open(model, sets, o, pair_batches.add({ augment = "none" }, sets, o))
    for name, loader in pairs{ train = train, valid = valid } do
      for batch in loader:epoch(0) do
        for i, index in ipairs(batch.index:totable()) do
          near(batch.image[i], expected(sets[name]:path(index + 1), era), 1e-6)
        end
      end
    end
  end
end)

test("prediction: scores that are NaN are an error, not the first class", function()
  local layer = nn.dense{ 2, activation = "softmax", name = "y" }
  local model = nn.model{ y = layer(nn.flatten(nn.input("image", size, size, 3))) }
  layer:set_weight("bias", lurcher.tensor{ 0 / 0, 0 })
  local set = assert(data.folder{ work .. "/valid" })
  local metadata = preprocessing.metadata(preprocessing.new{ size = size }, set.classes, {})
  raises(("the scores of %d of %d images are NaN, first of '"):format(#set, #set), prediction.predict, model, set,
    metadata, { device = "cpu", workers = 1 })
end)

test("preprocessing: prediction preprocesses images, and their mirror images, as training did", function()
  local model = nn.model{ seen = nn.flatten(nn.input("image", size, size, 3)) }
  local set = assert(data.folder{ work .. "/valid" })
  for _, era in ipairs{ "current", "2017" } do
    local metadata = preprocessing.metadata(preprocessing.new{ size = size, era = era }, set.classes, {})
    for tta = 1, 2 do
      local seen = prediction.predict(model, set, metadata, { device = "cpu", workers = 1, tta = tta })
      for i = 1, #set do
        local img = expected(set:path(i), era)
        if tta == 2 then
          local order = {}
          for column = size, 1, -1 do order[#order + 1] = column end
          local columns = img:clone():view(size, size * 3)
          local rows = {}
          for row = 1, size do
            rows[row] = columns[row]:clone():view(size, 3):select(order):view(1, size, 3)
          end
          img = (img + lurcher.concat(rows)) / 2
        end
        near(seen[i], img:view(size * size * 3), 2e-6)
      end
    end
  end
end)

-- ---- EXIF ----

--- CRC-32 of a PNG chunk.
local function crc(text)
  local value = 0xffffffff
  for i = 1, #text do
    value = value ~ text:byte(i)
    for _ = 1, 8 do value = value & 1 == 1 and value >> 1 ~ 0xedb88320 or value >> 1 end
  end
  return value ~ 0xffffffff
end

--- A PNG with an eXIf chunk: orientation 6, as LONG. It is shown turned clockwise.
local function with_orientation(png)
  local body = "eXIf" .. string.pack(">c2I2I4I2I2I2I4I4", "MM", 42, 8, 1, 0x0112, 4, 1, 6)
  return png:sub(1, 33) .. string.pack(">I4", #body - 4) .. body .. string.pack(">I4", crc(body)) .. png:sub(34)
end

--- An image turned clockwise by 90 degrees, as orientation 6 shows it.
local function turned(img)
  local height, width = img.shape[1], img.shape[2]
  local values, rows = img:totable(), {}
  for y = 1, width do
    rows[y] = {}
    for x = 1, height do rows[y][x] = values[height + 1 - x][y] end
  end
  return lurcher.tensor(rows):cast "u8"
end

local succeeds, complains, read = harness.commands(work)

test("recipes turn images by their EXIF orientation, but not in era 2017", function()
  local files, lfs = require "lurcher.files", require "lfs"
  lurcher.seed(11)
  for _, part in ipairs{ "train", "valid" } do
    for class = 1, 2 do
      for _, set in ipairs{ "stored", "shown", "exif" } do
        assert(files.make_folders(("%s/%s/%s/c%d"):format(work, set, part, class)))
      end
      for i = 1, 3 do
        local img = (lurcher.uniform{ 48, 32, 3, low = 0, high = 255 }):cast "u8"
        local name = ("%s/c%d/%d.png"):format(part, class, i)
        assert(lurcher.image.save(work .. "/stored/" .. name, img))
        assert(lurcher.image.save(work .. "/shown/" .. name, turned(img)))
        assert(lurcher.write_file(work .. "/exif/" .. name, with_orientation(read("stored/" .. name))))
      end
    end
  end
  local function history(data, run, more)
    succeeds("single_model --data %s --out %s --size 64 --width 0.125 --middle 1 --epochs 1 --batch 2 --workers 1 --cache none "
      .. "--no-report %s", data, run, more or "")
    local line = read(run .. "/history.csv"):match "\n([^\n]*)"
    return line:match "^[^,]*,[^,]*,[^,]*,[^,]*,[^,]*"
  end
  local shown, stored = history("shown", "r1"), history("stored", "r2")
  assert(shown ~= stored)
  assert(history("exif", "r3") == shown)
  assert(history("exif", "r4", "--no-exif") == stored)
  assert(history("exif", "r5", "--era 2017") == history("stored", "r6", "--era 2017"))
  assert(read "r4/command.txt":find "%-%-no%-exif" and not read "r3/command.txt":find "%-exif")

  --- The log-loss of a model on the images of a set.
  local function predicted(run, data, more)
    local output = succeeds("single_model_test --model %s --data %s/valid --out p.txt --cache none --workers 1 %s", run, data,
      more or "")
    return assert(output:match "log%-loss (%S+)")
  end
  assert(predicted("r3", "exif") == predicted("r3", "shown")) -- as in training
  assert(predicted("r4", "exif") == predicted("r4", "stored"))
  assert(predicted("r4", "exif", "--exif") == predicted("r4", "shown"))
  assert(predicted("r3", "exif", "--no-exif") == predicted("r3", "stored"))

  assert(read "r3/settings.json":find '"exif":%s*true')
  local output = succeeds "audit exif"
  assert(output:find("12 of the images have an EXIF orientation: recipes turn them", 1, true), output)
  assert(not succeeds "audit stored":find "EXIF")
  assert(succeeds "single_model --help":find "%-%-%[no%-%]exif")
end)

test("a run of an earlier version resumes with images as they were: not turned", function()
  local text = read "r4/settings.json":gsub('%s*"exif":%s*%a+,', "")
  assert(not text:find '"exif":')
  assert(os.execute(("cp -r '%s/r4' '%s/r7'"):format(work, work)))
  assert(lurcher.write_file(work .. "/r7/settings.json", text))
  succeeds "single_model --resume r7"
  complains(2, { "--exif cannot change in a resumed run" }, "single_model --resume r7 --exif")
end)
