--- Tests of lurcher.frozen: where a model is split, and that training the head is training the whole.
local harness = require "harness"
local lurcher = require "lurcher"
local frozen = require "lurcher.frozen"
local xception = require "lurcher.models.xception"
local nn, optim = lurcher.nn, lurcher.optim
local test, near, raises = harness.test, harness.near, harness.raises

--- A small Xception with a head of 3 classes, and its backbone.
local function build()
  lurcher.seed(3)
  local backbone = xception{ size = 48, width = 0.125, middle = 1, top = false, pooling = "avg", input = "image" }
  return nn.model(nn.dense{ 3, activation = "softmax", name = "predictions" }(backbone:node "avg_pool")), backbone
end

test("frozen: cuts after the last frozen layer that everything else builds on", function()
  local model, backbone = build()
  assert(frozen.split(model, "image") == nil)
  backbone:freeze()
  local split = frozen.split(model, "image")
  assert(split.layer == "avg_pool" and #split.shape == 1 and split:bytes(10) == 10 * 256 * 4)
  assert(#split.head.layers == 2 and split.head.outputs[1] == "predictions")
  model:unfreeze():freeze{ to = "add_4" }
  assert(frozen.split(model, "image").layer == "add_4")
  model:unfreeze():freeze{ to = "block4_sepconv1" }
  assert(frozen.split(model, "image").layer == "add_2")
end)

test("frozen: nothing deterministic behind a dropout, nothing to train without a head", function()
  local backbone = xception{ size = 48, width = 0.125, middle = 0, top = false, pooling = "avg", input = "image" }
  backbone:freeze()
  assert(frozen.split(backbone, "image") == nil)
  local dropped = nn.dense{ 2 }(nn.dense{ 4, trainable = false }(nn.dropout(0.5)(backbone:node "avg_pool")))
  assert(frozen.split(nn.model{ y = dropped }, "image").layer == "avg_pool")
end)

test("frozen: backbone and head together compute what the model computes", function()
  local model = build()
  model:freeze{ to = "add_3" }
  local split = frozen.split(model, "image")
  local x = lurcher.uniform{ 2, 48, 48, 3, low = -1, high = 1 }
  local whole = model:compile{ device = "cpu" }:predict{ image = x }.predictions
  local features = split.backbone:compile{ device = "cpu" }:predict{ image = x }[split.backbone.outputs[1]]
  local parts = split.head:compile{ device = "cpu" }:predict{ features = features }.predictions
  near((whole - parts):abs():max(), 0, 1e-6)
end)

--- Two backbones on one image: a head on each, one on both, and the larger of the first two.
local function two_backbones()
  lurcher.seed(4)
  local image = nn.input("image", 16, 16, 3)
  local function backbone(k, filters)
    local x = nn.conv2d{ filters, 3, stride = 2, name = "first_" .. k }(image)
    return nn.global_avg_pool{ name = "pool_" .. k }(nn.relu{ name = "relu_" .. k }(x))
  end
  local function softmax(name, x) return nn.dense{ 2, activation = "softmax", name = name }(x) end
  local one, two = backbone(1, 4), backbone(2, 5)
  local y_1, y_2 = softmax("y_1", nn.dropout{ 0.5, name = "drop" }(one)), softmax("y_2", two)
  return nn.model{ y_1 = y_1, y_2 = y_2, y = softmax("y", nn.concat{ name = "both" }(one, two)),
    most = nn.maximum{ name = "most" }(y_1, y_2) }
end

test("frozen: two frozen backbones are cut separately; the parts together compute what the model computes", function()
  local model = two_backbones():freeze{ "first_1", "first_2" }
  local split = assert(frozen.split(model, "image"))
  assert(split.layer == "pool_1" and #split.others == 1 and split.others[1].layer == "pool_2")
  assert(split:bytes(3) == 3 * 4 * 4 and split.others[1]:bytes(3) == 3 * 5 * 4)
  local x, given = lurcher.uniform{ 3, 16, 16, 3 }, {}
  for _, one in ipairs{ split, split.others[1] } do
    given[one.name] = one.backbone:compile{ device = "cpu" }:predict{ image = x }[one.layer]
  end
  local whole = model:compile{ device = "cpu" }:predict{ image = x }
  local parts = split.head:compile{ device = "cpu" }:predict(given)
  for _, name in ipairs{ "y_1", "y_2", "y", "most" } do near((whole[name] - parts[name]):abs():max(), 0, 1e-6) end
  assert(frozen.split(two_backbones():freeze{ "first_1" }, "image") == nil, "the other backbone needs the image")
  local deep = frozen.split(two_backbones():freeze{ "first_1", "first_2", "y_2" }, "image")
  assert(deep.layer == "pool_1" and deep.others[1].layer == "pool_2")
end)

test("frozen: an output inside the backbone stays an output of the head; the split comes before it", function()
  lurcher.seed(5)
  local x = nn.conv2d{ 4, 3, name = "first" }(nn.input("image", 16, 16, 3))
  local middle = nn.conv2d{ 4, 3, name = "second" }(x)
  local y = nn.dense{ 2, name = "y" }(nn.global_avg_pool(nn.conv2d{ 4, 3, name = "third" }(middle)))
  local model = nn.model{ y = y, middle = middle }:freeze{ "first", "second", "third" }
  local split = assert(frozen.split(model, "image"))
  assert(split.layer == "first" and table.concat(split.head.outputs, " ") == "middle y")
  local cuts, layers = model:frozen "image"
  assert(table.concat(cuts, " ") == "first" and layers.third and layers.image and not layers.y)
  raises("no input 'img'", model.frozen, model, "img")
end)

test("frozen: modules and fields are found by their old names, too", function()
  assert(require "lurcher.prefix" == frozen and require "lurcher.fixed_features" == require "lurcher.feature_cache")
  local split = assert(require "lurcher.prefix".split(build():freeze{ to = "add_2" }, "image"))
  assert(split.trunk == split.backbone and split.nothing == nil)
end)

--- Losses of five steps of the whole model, or of its head on what its backbone gives.
local function train(in_two)
  local model = build()
  model:freeze{ to = "add_3" }
  local x = lurcher.uniform{ 4, 48, 48, 3, low = -1, high = 1 }
  local batch = { image = x, predictions = lurcher.tensor{ 0, 1, 2, 0, dtype = "i32" } }
  local learner = model
  if in_two then
    local split = frozen.split(model, "image")
    learner = split.head
    batch.features = split.backbone:compile{ device = "cpu" }:predict{ image = x }[split.backbone.outputs[1]]
  end
  local run = learner:compile{ device = "cpu", optimizer = optim.sgd{ lr = 0.01, momentum = 0.9 },
    loss = "categorical_crossentropy" }
  local losses = {}
  for step = 1, 5 do losses[step] = run:train(batch).loss end
  return losses, model:layer("predictions"):weights().kernel:clone()
end

test("frozen: training the head gives the losses and weights of training the whole", function()
  local whole, whole_kernel = train(false)
  local parts, parts_kernel = train(true)
  for step = 1, 5 do near(parts[step], whole[step], 1e-4) end
  near((whole_kernel - parts_kernel):abs():max(), 0, 1e-4)
end)

--- Ten small images of two classes, each of one colour.
local function draw_set()
  local folder = harness.folder "frozen"
  local run_folder = require "lurcher.run_folder"
  for class = 1, 2 do
    assert(run_folder.make_folders(("%s/class%d"):format(folder, class)))
    for i = 1, 5 do
      local img = lurcher.zeros{ 40, 40, 3, dtype = "u8" }:fill(20 * i + class)
      assert(lurcher.image.save(("%s/class%d/%d.png"):format(folder, class, i), img))
    end
  end
  return assert(lurcher.data.folder{ folder })
end

test("frozen: the features' loader gives the images in data.loader's order, and can skip", function()
  local set = draw_set()
  local model = build()
  model:freeze{ to = "add_2" }
  local split = frozen.split(model, "image")
  local features = split:load{ set, size = 48, batch = 4, workers = 1, quiet = true }
  local ours = features:loader{ batch = 3, seed = 5, output = "predictions" }
  local run = split.backbone:compile{ device = "cpu" }
  assert(#ours == 4)
  for epoch = 0, 1 do
    local next_batch = ours:epoch(epoch)
    for theirs in lurcher.data.loader{ set, size = 48, batch = 3, seed = 5, workers = 1 }:epoch(epoch) do
      local batch = next_batch()
      assert((batch.predictions - theirs.class):abs():max() == 0)
      near((batch.features - run:predict{ image = theirs.image }.add_2):abs():max(), 0, 1e-5)
    end
    assert(next_batch() == nil)
  end
  local skipped, whole = ours:epoch(1, 2), ours:epoch(1)
  whole()
  whole()
  assert((skipped().features - whole().features):abs():max() == 0)
end)

test("frozen: with a sampler of pairs its batches are data.loader's, features in place of images", function()
  local set = draw_set()
  local split = frozen.split(build():freeze{ to = "add_2" }, "image")
  local features = split:load{ set, size = 48, batch = 4, workers = 1, quiet = true }
  local run = split.backbone:compile{ device = "cpu" }
  local samplers = require "lurcher.samplers"
  local function targets(batch) return { twice = batch.left * 2 } end
  local function sampler() return samplers.batch_swap{ set, batch = 4, seed = 9, steps = 3 } end
  local next_batch = features:loader{ sampler = sampler(), targets = targets }:epoch(0)
  local count = 0
  for theirs in lurcher.data.loader{ set, size = 48, workers = 1, sampler = sampler(), targets = targets }:epoch(0) do
    local batch = next_batch()
    count = count + 1
    for _, name in ipairs{ "left", "right", "class", "twice" } do
      assert((batch[name] - theirs[name]):abs():max() == 0, name)
    end
    near((batch.features - run:predict{ image = theirs.image }.add_2):abs():max(), 0, 1e-5)
  end
  assert(count == 3 and next_batch() == nil)
end)
