--- Tests of the recipes, run as commands on small drawn images with a small Xception: the files that they write,
-- resuming to the same bits, and one-line messages for users' mistakes.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local test = harness.test

local program = harness.program
local root = harness.root
local work = harness.folder "recipes"
local images = work .. "/images"

local succeeds, complains, read = harness.commands(work)
local small = "--size 48 --width 0.125 --middle 1 --batch 8 --workers 2"

test("draw_images: class folders of different images, the same ones for the same seed", function()
  local draw = ("%s/examples/draw_images.lua --train 8 --valid 4 --test 4 --size 48 --out"):format(root)
  local output = succeeds("%s images", draw)
  assert(output:find("drew 96 images of 6 breeds", 1, true), output)
  succeeds("%s again", draw)
  assert(read "images/test/drop_broad/001.jpg" == read "again/test/drop_broad/001.jpg")
  assert(read "images/test/drop_broad/001.jpg" ~= read "images/test/drop_broad/002.jpg")
  assert(read "images/train/drop_broad/001.jpg" ~= read "images/test/drop_broad/001.jpg")
end)

test("single_model: trains and leaves everything needed to repeat it", function()
  local output = succeeds("single_model --data images %s --epochs 2 --lr 0.002 --out first", small)
  assert(output:find("48 training and 24 validation images of 6 classes", 1, true), output)
  assert(output:find "epoch 1/2  loss [%d.]+  acc [%d.]+  val_loss [%d.]+  val_acc" and not output:find "\r", output)
  local settings = lurcher.json.decode(read "first/settings.json")
  assert(settings.options.lr == 0.002 and settings.options.seed == 1 and settings.recipe == "single_model")
  assert(read "first/command.txt":find(("lurcher single_model --data %s/images --size 48"):format(work), 1,
    true))
  for _, name in ipairs{ "model.txt", "model.json", "model.safetensors", "report.html", "figures.json", "images.txt",
    "checkpoints/last.safetensors", "checkpoints/best.safetensors" } do
    assert(lfs.attributes(work .. "/first/" .. name, "size") > 0, name)
  end
  local _, lines = read "first/history.csv":gsub("\n", "")
  assert(lines == 3)
end)

test("single_model: the same seed gives the same history, another one another", function()
  succeeds("single_model --data images %s --epochs 2 --lr 0.002 --out second", small)
  succeeds("single_model --data images %s --epochs 2 --lr 0.002 --out third --seed 2", small)
  local function losses(run) return (read(run .. "/history.csv"):gsub(",[^,\n]*,[^,\n]*,[^,\n]*\n", "\n")) end
  assert(losses "first" == losses "second" and losses "first" ~= losses "third")
end)

test("single_model: resumed after two of four epochs it ends with the same bits", function()
  succeeds("single_model --data images %s --epochs 4 --patience 0 --lr 0.002 --out whole", small)
  succeeds("single_model --data images %s --epochs 2 --patience 0 --lr 0.002 --out parts", small)
  local output = succeeds("single_model --resume parts --epochs 4")
  assert(output:find("epoch 3/4", 1, true) and not output:find("epoch 2/4", 1, true), output)
  local whole = assert(lurcher.load_tensors(work .. "/whole/model.safetensors"))
  local parts = assert(lurcher.load_tensors(work .. "/parts/model.safetensors"))
  for name, tensor in pairs(whole) do
    assert((tensor - parts[name]):abs():max() == 0, name)
  end
  complains(2, { "--lr cannot change in a resumed run" }, "single_model --resume parts --lr 1")
  complains(2, { "is not a run folder" }, "single_model --resume nowhere")
end)

test("single_model: Ctrl-C leaves a checkpoint that resumes to the same bits, mid-epoch too", function()
  local options = ("single_model --data images %s --epochs 6 --patience 0 --lr 0.002 --out"):format(small)
  local started = lurcher.time()
  succeeds("%s undisturbed", options)
  local seconds = lurcher.time() - started
  local output, code = harness.run(("cd '%s' && timeout --preserve-status -s INT %.2f '%s' %s stopped"):format(work,
    seconds * 0.6, program, options))
  assert(code == 130 or code == 0, output)
  if code == 130 then succeeds "single_model --resume stopped" end
  local whole = assert(lurcher.load_tensors(work .. "/undisturbed/model.safetensors"))
  local parts = assert(lurcher.load_tensors(work .. "/stopped/model.safetensors"))
  for name, tensor in pairs(whole) do assert((tensor - parts[name]):abs():max() == 0, name) end
end)

test("single_model: a frozen backbone's output is computed once, by the weights of another run", function()
  local output = succeeds("single_model --data images %s --weights first/model.safetensors --epochs 3 --out frozen",
    small)
  assert(output:find("computed 'avg_pool' once for 48 images", 1, true), output)
  output = succeeds("single_model --data images %s --weights first/model.safetensors --epochs 3 --out again", small)
  assert(not output:find "computed", output)
  assert(output:find("layer 'avg_pool' of 48 images from cache runs/cache/train", 1, true), output)
  local function history(run) -- losses and accuracies; times follow lr
    local rows = {}
    for line in read(run .. "/history.csv"):gmatch "[^\n]+" do
      rows[#rows + 1] = line:match "^([^,]*,[^,]*,[^,]*,[^,]*,[^,]*,)"
    end
    return table.concat(rows, "\n")
  end
  assert(history "again" == history "frozen")
  output = succeeds("single_model --data images %s --weights first/model.safetensors --epochs 3 --augment flip "
    .. "--views 2 --cache elsewhere --cache-store f16 --out views", small)
  assert(output:find("computed 'avg_pool' once for 48 images in 2 views", 1, true), output)
  output = succeeds("single_model --data images %s --weights first/model.safetensors --epochs 3 --cache none "
    .. "--out uncached", small)
  assert(output:find("computed 'avg_pool' once", 1, true) and not output:find("from cache", 1, true), output)
  assert(history "uncached" == history "frozen")
  output = succeeds("single_model --data images %s --weights first/model.safetensors --freeze add_3 --epochs 1 "
    .. "--out partly", small)
  assert(output:find("computed 'add_3' once", 1, true), output)
  output = succeeds("single_model --data images %s --weights first/model.safetensors --epochs 1 --augment flip "
    .. "--out flipped", small)
  assert(not output:find("once", 1, true), output)
end)

test("single_model: the first layer that a weights file lacks and all after it have fresh weights", function()
  local xception = require "lurcher.models.xception"
  local backbone <close> = xception{ size = 48, width = 0.125, middle = 1, feature_layer = "add_3" }
  assert(backbone:save(work .. "/cut.safetensors"))
  local output = succeeds("single_model --data images %s --weights cut.safetensors --freeze add_3 --epochs 1 "
    .. "--out cut", small)
  assert(output:find("'block5_sepconv1' and the layers after it have fresh weights", 1, true), output)
  complains(1, { "layer 'block5_sepconv1' is frozen, but 'cut.safetensors' does not give its weights" },
    "single_model --data images %s --weights cut.safetensors --out cut2", small)
end)

test("single_model_test: predictions, figures, confusion table; a folder without classes", function()
  local output = succeeds "single_model_test --model first --data images/test"
  for _, figure in ipairs{ "top%-1 %d%.%d%d%d%d\n", "top%-5 %d%.%d%d%d%d\n", "log%-loss %d+%.%d%d%d%d\n" } do
    assert(output:find("\n" .. figure), output)
  end
  assert(output:find("confusion (rows: truth, columns: prediction)", 1, true))
  local lines = {}
  for line in read "predict.txt":gmatch "[^\n]+" do lines[#lines + 1] = line end
  assert(#lines == 24)
  for _, line in ipairs(lines) do assert(line:find "^%l+_%l+\t%l+_%l+/%d%d%d$", line) end
  succeeds "single_model_test --model first/model.safetensors --data images/test/drop_broad --out flat.txt"
  assert(select(2, read "flat.txt":gsub("%l+_%l+\t%d%d%d\n", "")) == 4)
end)

test("single_model_test: the frozen features are found again, with the same predictions", function()
  local outputs = {}
  for i, cache in ipairs{ "none", "tested", "tested" } do
    outputs[i] = succeeds("single_model_test --model frozen --data images/test --cache %s --out p%d.txt", cache, i)
    outputs["text" .. i] = read(("p%d.txt"):format(i))
  end
  assert(outputs.text1 == outputs.text2 and outputs.text1 == outputs.text3)
  assert(not outputs[1]:find "cache" and outputs[2]:find "computed 'avg_pool' once for 24" and
    outputs[3]:find "from cache tested/test" and not outputs[3]:find "computed", outputs[3])
end)

test("tests and reports use a cache that is there, and write none unless --cache is given", function()
  local function files_of(folder)
    local names = {}
    for name in lfs.dir(folder) do if name:find "features" then names[#names + 1] = name end end
    table.sort(names)
    return table.concat(names, " ")
  end
  local before = files_of(work .. "/runs/cache")
  local output = succeeds "single_model_test --model frozen --data images/test --tta 2 --out once.txt"
  assert(files_of(work .. "/runs/cache") == before and not output:find "computed", output)
  output = succeeds "single_model_test --model frozen --data images/valid --out once.txt"
  assert(output:find("from cache runs/cache/valid", 1, true), output)
  succeeds "report frozen --data images/test --mistakes 0 --maps 0"
  assert(files_of(work .. "/runs/cache") == before)
  output = succeeds "single_model_test --model frozen --data images/test --cache asked --out asked.txt"
  assert(output:find("take 24.6 kB as f32 in the feature cache 'asked'", 1, true), output)
  assert(files_of(work .. "/asked"):find "^test")
  -- a cache that lacks an image now is not used, and not completed
  local path, other = images .. "/test/drop_broad/001.jpg", read(images .. "/test/drop_broad/002.jpg")
  local whole = read(path)
  assert(lurcher.write_file(path, other .. " "))
  os.rename(work .. "/asked", work .. "/kept_cache")
  output = succeeds "single_model_test --model frozen --data images/test --out once.txt"
  assert(not output:find "from cache", output)
  assert(lurcher.write_file(path, whole))
end)

test("single_model_test: a damaged image is named and left out", function()
  local broken = work .. "/broken/drop_broad"
  succeeds("%s/examples/draw_images.lua --train 0 --valid 0 --test 2 --size 48 --out damaged", root)
  os.rename(work .. "/damaged/test", work .. "/broken")
  local whole = read(broken .. "/001.jpg")
  assert(lurcher.write_file(broken .. "/001.jpg", whole:sub(1, #whole // 2)))
  local output = succeeds "single_model_test --model first --data broken --out broken.txt"
  assert(output:find("broken/drop_broad/001.jpg", 1, true) and output:find("(11 images)", 1, true), output)
end)

test("single_model: a truncated image is named once and training continues", function()
  local path = images .. "/train/drop_broad/001.jpg"
  local whole = read(path)
  assert(lurcher.write_file(path, whole:sub(1, #whole // 2)))
  for run, more in pairs{ cut_whole = "", cut_frozen = "--weights first/model.safetensors" } do
    local output = succeeds("single_model --data images %s %s --epochs 2 --out %s", small, more, run)
    local _, times = output:gsub("replaced by another image of the same class: images/train/drop_broad/001.jpg", "")
    assert(times == 1, output)
  end
  assert(lurcher.write_file(path, whole))
end)

test("features: one JSON object per image, or a matrix of a folder", function()
  local common = "--weights first/model.safetensors --layer add_2 --size 48 --width 0.125 --middle 1"
  local output = succeeds("features %s images/test/drop_broad/001.jpg images/test/drop_broad/002.jpg", common)
  local first, second = output:match "^([^\n]+)\n([^\n]+)\n$"
  local one, two = assert(lurcher.json.decode(first)), assert(lurcher.json.decode(second))
  assert(one.image == "images/test/drop_broad/001.jpg" and one.layer == "add_2")
  assert(#one.shape == 3 and #one.pooled == one.shape[3] and one.l2 > 0 and one.mean ~= two.mean)
  succeeds("features %s --out matrix.safetensors images/test", common)
  local tensors, metadata = assert(lurcher.load_tensors(work .. "/matrix.safetensors"))
  assert(#tensors.features == 24 and tensors.features.shape[2] == one.shape[3])
  local names = lurcher.json.decode(metadata.names)
  assert(#names == 24 and names[1] == "button_broad/001.jpg")
  for _, expected in ipairs{ "from cache", "computed" } do -- from the cache, and without one
    local more = expected == "computed" and "--cache none " or ""
    output = succeeds("features %s %s--out other.safetensors images/test", common, more)
    assert((output:find("from cache", 1, true) ~= nil) == (expected == "from cache"), output)
    assert(not output:find "computed", output)
    local other = assert(lurcher.load_tensors(work .. "/other.safetensors"))
    assert((other.features - tensors.features):abs():max() < 1e-5)
  end
  for _, more in ipairs{ "--cache none ", "" } do -- in int8, without and with the cache
    output = succeeds("features %s %s--precision int8 --out bytes.safetensors images/test", common, more)
    assert((output:find("computed", 1, true) ~= nil) == (more == ""), output)
    local bytes = assert(lurcher.load_tensors(work .. "/bytes.safetensors")).features
    local apart = (bytes - tensors.features):abs():max() / tensors.features:abs():max()
    assert(apart > 0 and apart < 0.1, apart)
  end
end)

test("recipes: errors take one line, with the exit code for them", function()
  complains(2, { "unknown option '--epoch' (did you mean '--epochs'?)" }, "single_model --epoch 3")
  complains(2, { "--data is missing" }, "single_model")
  complains(2, { "bad value 'many' for --epochs" }, "single_model --data images --epochs many")
  complains(1, { "there is no folder 'nowhere/train'", "train/ and valid/ expected" }, "single_model --data nowhere")
  complains(2, { "--device cude: unknown device 'cude'" }, "single_model --data images %s --device cude", small)
  complains(2, { "bad value 'no/where/p.txt' for --out" },
    "single_model_test --model first --data images/test --out no/where/p.txt")
  complains(1, { "holds a run already" }, "single_model --data images %s --epochs 1 --out first", small)
  complains(1, { "cannot load weights" }, "single_model --data images %s --weights images/test/drop_broad/001.jpg",
    small)
  complains(1, { "did you mean 'add_" }, "single_model --data images %s --feature-layer add_99", small)
  complains(1, { "is frozen, but 'first/model.safetensors' does not give", "--feature-layer" },
    "single_model --data images %s --middle 2 --weights first/model.safetensors", small)
  complains(1, { "--batch 49: more than the 48 images" }, "single_model --data images %s --batch 49", small)
  complains(1, { "nowhere" }, "single_model_test --model nowhere --data images/test")
  complains(1, { "nowhere" }, "features --weights first/model.safetensors --layer add_2 --size 48 --width 0.125 "
    .. "--middle 1 nowhere.jpg")
  for name in lfs.dir(work .. "/runs") do
    assert(name:find "^%.+$" or name == "cache", "a failed start left a run folder")
  end
end)

test("recipes: a class in valid/ that train/ lacks; an empty folder", function()
  os.rename(images .. "/train/drop_broad", work .. "/aside")
  complains(1, { "drop_broad" }, "single_model --data images %s", small)
  os.rename(work .. "/aside", images .. "/train/drop_broad")
  os.rename(images .. "/valid/drop_broad", work .. "/aside")
  local output = succeeds("single_model --data images %s --epochs 1 --out no_valid", small)
  assert(output:find("warning: no image of 'drop_broad' in 'images/valid'", 1, true), output)
  os.rename(work .. "/aside", images .. "/valid/drop_broad")
  lfs.mkdir(work .. "/empty")
  lfs.mkdir(work .. "/empty/train")
  complains(1, { "empty/train" }, "single_model --data empty %s", small)
end)

test("recipes: every one has --help with all its options", function()
  for _, name in ipairs{ "single_model", "single_model_test", "features", "report" } do
    local output = succeeds("%s --help", name)
    assert(output:find("usage: lurcher " .. name, 1, true) and output:find("--device", 1, true), output)
  end
end)
