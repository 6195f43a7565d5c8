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
