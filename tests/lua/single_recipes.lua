--- Tests of single_model with InceptionV3 and with two backbones, of single_model_tune, and of single_model_test with
-- several outputs, run as commands on small drawn images. recipes.lua tests what they share with other recipes.
local harness = require "harness"
local lurcher = require "lurcher"
local inception_v3 = require "lurcher.models.inception_v3"
local single = require "lurcher.recipe.single"
local test, near = harness.test, harness.near

local work = harness.folder "single_recipes"
local succeeds, complains, read = harness.commands(work)

local small = "--size 75 --width 0.125 --middle 1 --workers 2"
local backbones = "--weights xception.h5 --inception-weights inception.h5"

test("single_model: both backbones from fresh weights; the tests below use them as published ones", function()
  succeeds("%s/examples/draw_images.lua --train 4 --valid 2 --test 2 --size 75 --out images", harness.root)
  succeeds("single_model --backbone both --data images %s --bn-momentum 0.5 --batch 8 --epochs 2 --augment none "
    .. "--lr 0.001 --out fresh", small)
  local model <close> = assert(lurcher.nn.load(work .. "/fresh/model.safetensors"))
  assert(select(2, model:parameters()) > 500000)
  local learnt = single.backbones(model)
  assert(learnt.xception:save(work .. "/xception.h5") and learnt.inception_v3:save(work .. "/inception.h5"))
  assert(learnt.xception:index "add_4" == 45 and learnt.inception_v3:index "average_pooling2d_8" == 262)
  local cut <close> = inception_v3{ size = 75, width = 0.125, feature_layer = "mixed7" }
  assert(cut:save(work .. "/cut.h5"))
end)

local function weights(path) return assert(lurcher.load_tensors(work .. "/" .. path .. "/model.safetensors")) end

--- Whether a layer's kernel differs between two models.
local function has_changed(a, b, layer)
  local name = layer .. (a[layer .. "/kernel"] and "/kernel" or "/pointwise_kernel")
  return (a[name] - b[name]):abs():max() > 0
end

test("single_model: two backbones, four outputs, the original's values by default", function()
  local output = succeeds("single_model --backbone both --data images %s %s --batch 8 --epochs 1 --out both", small,
    backbones)
  assert(select(2, output:gsub("weights: %d+ layers loaded, 0 missing, 0 unused, 0 of another shape", "")) == 2, output)
  assert(output:find("accuracy ctg_out 0.%d+, ctg_out_1 0.%d+, ctg_out_2 0.%d+, maximum_1 0.%d+"), output)
  local o = lurcher.json.decode(read "both/settings.json").options
  assert(o.optimizer == "nadam" and o.augment == "strong" and o.patience == 3 and o.batch == 8)
  assert(output:find("lr 0.002", 1, true) and output:find("makes a new image in every epoch", 1, true), output)
  local header = "," .. read "both/history.csv":match "^[^\n]+" .. ","
  for _, name in ipairs{ "loss", "ctg_out_1_loss", "ctg_out_2_loss", "ctg_out_loss", "maximum_1_loss",
    "val_ctg_out_acc" } do
    assert(header:find("," .. name .. ",", 1, true), name)
  end
end)

test("single_model: two frozen backbones are computed once, each for all models of it; the training is the same", function()
  local train = ("single_model --backbone both --data images %s %s --batch 8 --epochs 2 --augment none --no-report")
    :format(small, backbones)
  local output = succeeds("%s --cache none --memory 0 --out anew", train)
  assert(output:find("frozen features are not cached: ", 1, true), output)
  output = succeeds("%s --out once", train)
  assert(output:find("layer 'avg_pool' of 24 images from cache", 1, true)
    and output:find("layer 'inception_avg_pool' of 24 images from cache", 1, true), output)
  local anew, once = weights "anew", weights "once"
  for name, tensor in pairs(anew) do near((tensor - once[name]):abs():max(), 0, 2e-5) end
  output = succeeds("single_model --data images %s --weights xception.h5 --batch 8 --epochs 1 --no-report --out alone",
    small)
  assert(output:find("layer 'avg_pool' of 24 images from cache", 1, true) and not output:find "computed", output)
  output = succeeds "single_model_test --model once --data images/valid --cache runs/cache"
  assert(output:find("layer 'inception_avg_pool' of 12 images from cache", 1, true), output)
end)

test("single_model: the four outputs compute what their names state", function()
  local model <close> = assert(lurcher.nn.load(work .. "/both/model.safetensors"))
  local run <close> = model:compile{}
  lurcher.seed(5)
  local y = run:predict{ image = lurcher.uniform{ 3, 75, 75, 3, low = -1, high = 1 } }
  assert((y.maximum_1 - y.ctg_out_1:maximum(y.ctg_out_2)):abs():max() == 0)
  assert((y.ctg_out_1 - y.ctg_out_2):abs():max() > 0 and #y.ctg_out.shape == 2)
  assert(model:layer("ctg_out"):weights().kernel.shape[1] == 256 + 256)
end)

test("single_model_test: one of several outputs, ctg_out if none is named", function()
  local function loss(more)
    local output = succeeds("single_model_test --model both --data images/test %s", more)
    return assert(output:match "log%-loss (%d.%d+)")
  end
  local default = loss ""
  assert(default == loss "--output ctg_out" and default ~= loss "--output maximum_1")
  complains(1, { "no output 'ctg' of 6 numbers", "ctg_out, ctg_out_1, ctg_out_2, maximum_1" },
    "single_model_test --model both --data images/test --output ctg")
end)

--- A column of a run's history, as strings.
local function column(run, name)
  local rows, place = {}, nil
  for line in read(run .. "/history.csv"):gmatch "[^\n]+" do
    local fields = {}
    for field in line:gmatch "[^,]+" do
      fields[#fields + 1] = field
      if field == name then place = #fields end
    end
    rows[#rows + 1] = fields[place]
  end
  return table.concat(rows, " ", 2)
end

test("single_model_tune: the last layers of both backbones and the heads learn, the rest stays", function()
  local output = succeeds "single_model_tune --run both --tune-from 45 --batch 8 --epochs 4 --lr 0.001 --out tuned"
  assert(output:find("next: lurcher single_model_test --model tuned", 1, true), output)
  local before, after = weights "both", weights "tuned"
  for layer, expected in pairs{ block1_conv1 = false, block5_sepconv3 = false, block7_sepconv2 = true, conv2d_5 = false,
    conv2d_82 = false, conv2d_81 = true, conv2d_98 = true, ctg_out_1 = true, ctg_out_2 = true, ctg_out = true } do
    assert(has_changed(before, after, layer) == expected, layer)
  end
  assert(column("tuned", "lr") == "0.001 0.001 0.0001 1e-05", column("tuned", "lr"))
  succeeds "single_model_test --model tuned --data images/test --out tuned.txt"
end)

test("single_model_tune: --output leaves the other outputs' heads alone", function()
  local output = succeeds "single_model_tune --run both --output ctg_out_1 --batch 8 --epochs 1 --out only"
  assert(output:find("the Xception has 63 layers: none of them learns (--tune-from 105)", 1, true), output)
  local before, after = weights "both", weights "only"
  assert(has_changed(before, after, "ctg_out_1"))
  assert(not has_changed(before, after, "ctg_out_2") and not has_changed(before, after, "ctg_out"))
end)

test("single_model_tune: resumed after two of four epochs it ends with the same bits", function()
  local tune = "single_model_tune --run both --tune-from 45 --batch 8 --epochs %d --augment light --out %s"
  succeeds(tune, 4, "whole")
  succeeds(tune, 2, "parts")
  local output = succeeds "single_model_tune --resume parts --epochs 4"
  assert(output:find("epoch 3/4", 1, true) and not output:find("epoch 2/4", 1, true), output)
  local whole, parts = weights "whole", weights "parts"
  for name, tensor in pairs(whole) do assert((tensor - parts[name]):abs():max() == 0, name) end
  complains(2, { "--lr cannot change in a resumed run" }, "single_model_tune --resume parts --lr 1")
end)

test("single_model: an InceptionV3 alone, its frozen output computed once, then tuned from a file", function()
  local output = succeeds("single_model --backbone inception_v3 --inception-weights inception.h5 --data images %s "
    .. "--batch 8 --epochs 2 --out inception", small)
  assert(output:find("layer 'avg_pool' of 24 images from cache", 1, true), output)
  output = succeeds("single_model_tune --model inception/model.safetensors --data images --inception-tune-from 280 "
    .. "--batch 8 --epochs 1 --schedule plateau --out inception_tuned")
  assert(output:find("computed 'mixed9' once", 1, true), output)
  local before, after = weights "inception", weights "inception_tuned"
  assert(not has_changed(before, after, "conv2d_85") and has_changed(before, after, "conv2d_86"))
end)

test("single_model: other backbones, with their own preprocessing, tuned from their last stage by default", function()
  local networks = {
    resnet50 = { width = 0.125, preprocess = "caffe", learns = "conv5_block1_1_conv", stays = "conv4_block6_3_conv" },
    vit_s16 = { width = 0.2, preprocess = "tf", learns = "blocks.10.attn.qkv", stays = "blocks.9.mlp.fc2" },
  }
  for name, network in pairs(networks) do
    local train = lurcher.format("single_model --backbone %s --data images --size 64 --width %g --workers 2 --batch 8 "
      .. "--no-report", name, network.width)
    succeeds("%s --epochs 2 --out %s", train, name)
    local model <close>, extra = assert(lurcher.nn.load(work .. "/" .. name .. "/model.safetensors"))
    assert(lurcher.json.decode(extra).preprocess == network.preprocess, name)
    local backbone <close> = single.backbones(model)[name]
    assert(backbone:save(work .. "/backbone.h5"))
    local output = succeeds("%s --epochs 1 --weights backbone.h5 --out %s_frozen", train, name)
    assert(output:find(" 0 missing, 0 unused, 0 of another shape", 1, true) and output:find " of 24 images", output)
    succeeds("single_model_tune --run %s --batch 8 --epochs 1 --lr 0.01 --no-report --out %s_tuned", name, name)
    local before, after = weights(name), weights(name .. "_tuned")
    assert(has_changed(before, after, network.learns) and not has_changed(before, after, network.stays), name)
    succeeds("single_model_test --model %s_tuned --data images/test --out tested.txt", name)
  end
  complains(2, { "--inception-weights: there is no such backbone with --backbone resnet50" },
    "single_model --data images --backbone resnet50 --inception-weights inception.h5")
end)

test("single_model: the preprocessing of era 2017 is in the metadata, and later recipes follow it", function()
  succeeds("single_model --data images %s --size 60 --weights xception.h5 --era 2017 --augment light --batch 8 "
    .. "--epochs 1 --out then", small)
  succeeds "single_model_tune --run then --batch 8 --epochs 1 --out then_tuned"
  for _, run in ipairs{ "then", "then_tuned" } do
    local model <close>, extra = assert(lurcher.nn.load(work .. "/" .. run .. "/model.safetensors"))
    local metadata = lurcher.json.decode(extra)
    assert(metadata.preprocess == "rescale" and metadata.resize == "nearest", run)
    -- training's own loaders gave the first figures, prediction gives the second: files are 75 wide, the network's 60
    local trained = lurcher.json.decode(read(run .. "/figures.json")).valid
    succeeds("report %s", run)
    near(lurcher.json.decode(read(run .. "/figures.json")).valid.log_loss, trained.log_loss, 1e-6)
  end
  local before, after = assert(lurcher.load_tensors(work .. "/then/model.safetensors")), weights "then_tuned"
  assert(not has_changed(before, after, "block1_conv1"))
end)

test("single_model: --transform changes the training images, is kept, and may not change in a resumed run", function()
  local function write(text) assert(lurcher.write_file(work .. "/my_transform.lua", text)) end
  write "return function(img, random) return img:cast 'f32' * random:uniform(0.5, 1) end"
  local train = ("single_model --data images %s --weights xception.h5 --augment none --batch 8 --no-report "
    .. "--cache cache"):format(small)
  local output = succeeds("%s --transform my_transform.lua --epochs 1 --out changed", train)
  assert(output:find("'my_transform.lua' makes a new image in every epoch (see --views)", 1, true), output)
  assert(read "changed/transform.lua" == read "my_transform.lua")
  succeeds("%s --epochs 1 --out unchanged", train)
  local changed, unchanged = weights "changed", weights "unchanged"
  local apart = 0
  for name, tensor in pairs(changed) do apart = math.max(apart, (tensor - unchanged[name]):abs():max()) end
  assert(apart > 0)
  output = succeeds("%s --transform my_transform.lua --views 2 --epochs 1 --out views", train)
  assert(output:find("computed 'avg_pool' once for 24 images in 2 views", 1, true), output)
  succeeds "single_model --resume changed --epochs 2"
  write "return function(img) return img end"
  output = succeeds("%s --transform my_transform.lua --views 2 --epochs 1 --out other", train)
  assert(output:find("computed 'avg_pool' once", 1, true), output)
  complains(2, { "--transform cannot change in a resumed run: '", "my_transform.lua' is not what it was" },
    "single_model --resume changed --epochs 3")
  succeeds "single_model --resume changed --epochs 3 --transform changed/transform.lua"
  complains(1, { "--transform: (cannot read 'absent.lua': No such file or directory)" },
    "single_model --data images %s --batch 8 --transform absent.lua", small)
end)

test("single recipes: errors take one line", function()
  complains(2, { "--weights: there is no such backbone with --backbone inception_v3" },
    "single_model --data images --backbone inception_v3 --weights xception.h5")
  complains(2, { "--inception-weights: there is no such backbone" },
    "single_model --data images --inception-weights inception.h5")
  complains(2, { "all or none expected with --backbone both" },
    "single_model --data images --backbone both --freeze add_3")
  complains(1, { "is frozen, but 'cut.h5' does not give its weights", "--inception-feature-layer" },
    "single_model --data images --backbone inception_v3 --inception-weights cut.h5 --batch 8 %s", small)
  complains(2, { "one of --run and --model is expected" }, "single_model_tune --data images")
  complains(1, { "no output 'ctg'" }, "single_model_tune --run both --batch 8 --output ctg")
  complains(1, { "nowhere" }, "single_model_tune --run nowhere")
  assert(succeeds("single_model_tune --help"):find("usage: lurcher single_model_tune", 1, true))
end)
