--- The recipes of the multi-loss model end to end, as a user starts them, on small drawn images: the original's chain
-- froze_fine_tune, trick_tune, retrain, baidu_dog_test, and modern_tune.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local pair_run = require "lurcher.recipe.pair_run"
local test, near = harness.test, harness.near

local work = harness.folder "pair_recipes"
local succeeds, complains, read = harness.commands(work)

local model = "--size 48 --width 0.125 --middle 1 --batch 16"
local small = "--data images " .. model .. " --frozen-augment none --frozen-epochs 2 --epochs 2 --lr 0.01 "
  .. "--tune-from 20"

local function equal_weights(a, b)
  return harness.same(assert(lurcher.load_tensors(work .. "/" .. a)), assert(lurcher.load_tensors(work .. "/" .. b)))
end

test("froze_fine_tune: two stages, each with its record, and the newest model in the run's folder", function()
  succeeds("%s/examples/draw_images.lua --train 12 --valid 6 --test 4 --size 48 --out images", harness.root)
  local output = succeeds("froze_fine_tune %s --out run", small)
  assert(output:find("72 training and 36 validation images of 6 classes", 1, true), output)
  assert(output:find("computed 'avg_pool' once", 1, true) and output:find("computed 'add_1' once", 1, true), output)
  local report = assert(output:match "stage 'tuned': .*")
  assert(report:find("layer 'add_1' of 36 images from cache", 1, true), report)
  local stages = pair_run.list(work .. "/run")
  assert(#stages == 2 and stages[1].name == "frozen" and stages[2].name == "tuned" and stages[2].number == 2)
  assert(stages[2].epochs == 2 and stages[2].validation.ctg_out_1_acc >= 0)
  assert(equal_weights("run/model.safetensors", "run/tuned/model.safetensors"))
  assert(not equal_weights("run/model.safetensors", "run/frozen/model.safetensors"))
  local history = read "run/history.csv"
  assert(select(2, history:gsub("\n", "")) == 5 and history:find("stage", 1, true), history)
end)

test("froze_fine_tune: the backbone's layers below --tune-from stay as they were, those above learn", function()
  local before = assert(lurcher.load_tensors(work .. "/run/frozen/pairs.safetensors"))
  local after = assert(lurcher.load_tensors(work .. "/run/tuned/pairs.safetensors"))
  local backbone <close> = require "lurcher.models.xception" { size = 48, width = 0.125, middle = 1, top = false }
  local changed = { [true] = 0, [false] = 0 }
  for i, layer in ipairs(backbone.layers) do
    for name in pairs(layer:weights()) do
      local key = layer.name .. "/" .. name
      local same = (before[key] - after[key]):abs():max() == 0
      if not same then changed[i > 20] = changed[i > 20] + 1 end
    end
  end
  assert(changed[false] == 0 and changed[true] > 20, changed[true])
end)

test("froze_fine_tune: interrupted by Ctrl-C in either stage, it resumes to the same bits", function()
  local options = ("froze_fine_tune %s --frozen-augment light --frozen-epochs 3 --epochs 4"):format(small)
  local started = lurcher.time()
  succeeds("%s --out whole", options)
  local seconds = lurcher.time() - started
  for i, share in ipairs{ 0.35, 0.8 } do
    local out = "stopped" .. i
    local output, code = harness.run(("cd '%s' && timeout --preserve-status -s INT %.2f '%s' %s --out %s"):format(work,
      seconds * share, harness.program, options, out))
    assert(code == 130 or code == 0, output)
    if code == 130 then succeeds("froze_fine_tune --resume %s", out) end
    assert(equal_weights("whole/pairs.safetensors", out .. "/pairs.safetensors"))
  end
end)

test("froze_fine_tune: the swapped and the random pairs of a batch are those of two towers", function()
  local siamese = require "lurcher.siamese"
  local set = assert(lurcher.data.folder{ work .. "/images/train" })
  local one, two = assert(lurcher.nn.load(work .. "/run/pairs.safetensors")), nil
  lurcher.seed(1)
  local backbone = require "lurcher.models.xception" { size = 48, width = 0.125, middle = 1, top = false, pooling = "avg",
    input = "image" }
  two = siamese.model(backbone, { classes = 6, towers = true })
  assert(two:load(work .. "/run/pairs.safetensors"))
  assert(two.inputs[1] == "img_1" and two.inputs[2] == "img_2")
  local function results(whole, towers)
    local loss = "categorical_crossentropy"
    local run = whole:compile{ device = "cpu", loss = { ctg_out_1 = loss, ctg_out_2 = loss, bin_out = loss } }
    local list = {}
    for batch in lurcher.data.loader{ set, size = 48, workers = 1, targets = siamese.targets,
      images = towers and { "img_1", "img_2" } or nil,
      sampler = siamese.sampler(set, { pairs = "swap", batch = 8, seed = 3, steps = 4, towers = towers }) }:epoch(0) do
      local values = run:evaluate(batch)
      for _, name in ipairs{ "loss", "ctg_out_1_loss", "ctg_out_2_loss", "bin_out_loss", "bin_out_acc" } do
        list[#list + 1] = values[name]
      end
    end
    return list
  end
  local gathered, towered = results(one, false), results(two, true)
  assert(#gathered == 20)
  for i, value in ipairs(gathered) do near(towered[i], value, 1e-5) end
  local output = succeeds("froze_fine_tune %s --towers --frozen-epochs 1 --epochs 1 --frozen-steps 1 --steps 1 "
    .. "--no-report --out towers", small)
  assert(not output:find("once", 1, true), "towers do not compute features of single images")
end)

test("siamese.sampler: all pairs of a batch of classes, half of them of one class; targets tell which", function()
  local siamese = require "lurcher.siamese"
  local set = assert(lurcher.data.folder{ work .. "/images/train" })
  for drawn in siamese.sampler(set, { pairs = "all", batch = 16, seed = 1 })(0) do
    assert(#drawn.image == 16 and #drawn.left == 96)
    local same = 0
    for i, row in ipairs(drawn.left) do
      assert(row ~= drawn.right[i])
      if set:class(drawn.image[row]) == set:class(drawn.image[drawn.right[i]]) then same = same + 1 end
    end
    assert(same == 48, same)
  end
  local ids = lurcher.tensor{ 0, 1, 1, dtype = "i32" }
  local left, right = lurcher.tensor{ 0, 1, dtype = "i32" }, lurcher.tensor{ 1, 2, dtype = "i32" }
  near(siamese.targets{ class = ids, left = left, right = right }.bin_out, { 0, 1 })
  local mixed = lurcher.tensor{ { 1, 0 }, { 0.3, 0.7 }, { 0, 1 } }
  local batch = { class = ids, target = mixed, left = left, right = right }
  near(siamese.targets(batch).bin_out, { { 0.7, 0.3 }, { 0.3, 0.7 } })
end)

test("trick_tune continues a run, and can be resumed; its model is the run's newest", function()
  local output = succeeds "trick_tune --run run --batch 16 --epochs 3 --tune-from 20"
  assert(output:find("epoch 3/3", 1, true) and output:find("lr 1e-05", 1, true), output)
  assert(equal_weights("run/model.safetensors", "run/trick_tune/model.safetensors"))
  assert(#pair_run.list(work .. "/run") == 3)
  complains(1, { "holds a run already", "--resume" }, "trick_tune --run run")
  output = succeeds "trick_tune --resume run/trick_tune --cache-limit 100 --no-report" -- no result depends on these
  assert(output:find("is already finished", 1, true) and not output:find("report:", 1, true), output)
  output = succeeds "trick_tune --run run --batch 16 --epochs 1 --tune-from 999 --no-report --out heads_alone"
  assert(output:find("layers: none of them learns (--tune-from 999)", 1, true), output)
  complains(2, { "option --run RUN is missing" }, "trick_tune")
  complains(1, { "--batch 999: more than the" }, "trick_tune --run run --out again --batch 999")
  assert(not lfs.attributes(work .. "/again"), "a failed start leaves no folder that the next one stops at")
  complains(2, { "is not a run folder" }, "trick_tune --run images")
end)

test("retrain: confident predictions become training images", function()
  complains(1, { "of 24 images of 'images/test' have a probability of at least 1", "lower --confidence" },
    "retrain --run run --test images/test --confidence 1")
  assert(not lfs.attributes(work .. "/run/retrain"), "the next try has another --confidence and the same folder")
  local output = succeeds "retrain --run run --test images/test --confidence 0 --batch 8 --epochs 1 --tune-from 20"
  assert(output:find("24 of 24 images", 1, true) and output:find("stage 'retrain'", 1, true), output)
  assert(select(2, read "run/retrain/pseudo_labels.txt":gsub("\n", "")) == 24)
  output = succeeds("retrain --run run --test images/test --confidence 0 --batch 8 --epochs 1 --pictures both "
    .. "--augment none --tune-from 20 --out both") -- the option's old name
  assert(output:find("for 96 images", 1, true), output)
  assert(lurcher.json.decode(read "both/settings.json").options.pictures == "both")
  complains(2, { "--images cannot change in a resumed run: it was both" }, "retrain --resume both --images pseudo")
end)

test("baidu_dog_test: predictions and probabilities, of views and of several models averaged", function()
  local output = succeeds "baidu_dog_test --run run --data images/test"
  assert(output:find "top%-1 %d%.%d+" and output:find("confusion (rows: truth", 1, true), output)
  local _, lines = read "predict.txt":gsub("%l+_%l+\t%l+_%l+/%d%d%d\n", "")
  assert(lines == 24)
  local function rows(path)
    local list = {}
    for line in read(path):gmatch "[^\n]+" do
      local row = {}
      for cell in line:gmatch ",([^,]+)" do row[#row + 1] = tonumber(cell) or cell end
      list[#list + 1] = row
    end
    return list
  end
  succeeds "baidu_dog_test --run run --stage frozen --data images/test --out frozen.txt"
  succeeds "baidu_dog_test --run run/frozen run/retrain --data images/test --out both.txt"
  succeeds "baidu_dog_test --run run --data images/test --tta 6 --out views.txt"
  for _ = 1, 2 do
    local said = succeeds "baidu_dog_test --run run --data images/test --tta 2 --cache kept --out kept.txt"
    assert(said:find("from cache kept/", 1, true), said)
  end
  succeeds "baidu_dog_test --run run --data images/test --tta 2 --out two.txt"
  local kept, two = rows "kept.csv", rows "two.csv"
  for i = 2, 25 do near(kept[i], two[i], 1e-5) end
  local newest, frozen, both, views = rows "predict.csv", rows "frozen.csv", rows "both.csv", rows "views.csv"
  assert(#newest == 25 and newest[1][1] == "button_broad" and #newest[2] == 6)
  local moved = 0
  for i = 2, 25 do
    for j = 1, 6 do
      near(both[i][j], (newest[i][j] + frozen[i][j]) / 2, 1e-5)
      moved = math.max(moved, math.abs(views[i][j] - newest[i][j]))
    end
  end
  assert(moved > 1e-6, "six views say the same as one")
  assert(lurcher.json.decode(read "views.json").tta == 6)
  output = succeeds "baidu_dog_test --run run --data images/test/drop_broad --era 2017 --out flat.txt"
  assert(not output:find("top-1", 1, true) and read "flat.txt":find "^%l+_%l+\t1\n")
  complains(1, { "name a run folder with --run" }, "baidu_dog_test --data images/test")
end)

test("froze_fine_tune --era 2017: batch norms of the frozen backbone on batches, nothing computed once", function()
  local output = succeeds("froze_fine_tune %s --era 2017 --frozen-epochs 1 --epochs 1 --out then", small)
  assert(not output:find("once", 1, true), output)
  succeeds "trick_tune --run then --batch 16 --epochs 1 --tune-from 20 --era 2017"
  assert(equal_weights("then/model.safetensors", "then/trick_tune/model.safetensors"))
end)

local modern = "modern_tune --data images " .. model .. " --head-epochs 1 --epochs 3 --tune-from 20 --augment none "
  .. "--mixup 0.2"

test("modern_tune: heads, then the last layers, with everything switched on; resumes to the same bits", function()
  local started = lurcher.time()
  succeeds("%s --out modern", modern)
  local seconds = lurcher.time() - started
  assert(lfs.attributes(work .. "/modern/heads/stage.json") and lfs.attributes(work .. "/modern/model.safetensors"))
  local output, code = harness.run(("cd '%s' && timeout --preserve-status -s INT %.2f '%s' %s --out again"):format(work,
    seconds * 0.7, harness.program, modern))
  assert(code == 130 or code == 0, output)
  if code == 130 then succeeds "modern_tune --resume again" end
  assert(equal_weights("modern/pairs.safetensors", "again/pairs.safetensors"))
end)

test("modern_tune: the temperatures of its heads are those of stage.json, and nothing else changes", function()
  succeeds("%s --no-temperature --no-report --out plain", modern)
  local plain = assert(lurcher.load_tensors(work .. "/plain/pairs.safetensors"))
  local divided = assert(lurcher.load_tensors(work .. "/modern/pairs.safetensors"))
  local fitted = pair_run.list(work .. "/modern")[2].temperature
  assert(not pair_run.list(work .. "/modern")[1].temperature and not pair_run.list(work .. "/plain")[2].temperature)
  for name, tensor in pairs(plain) do
    local t = fitted[name:match "^(ctg_out_.)/"] or 1
    near((divided[name] * t - tensor):abs():max(), 0, 1e-6)
  end
  assert(math.abs(fitted.ctg_out_1 - 1) > 0.05, fitted.ctg_out_1)
end)

test("modern_tune: on images, augmented and mixed differently each time", function()
  local output = succeeds("modern_tune --data images %s --head-epochs 1 --epochs 2 --warmup 0 --tune-from 20 --views 0 "
    .. "--mixup 0.4 --out anew", model)
  assert(not output:find("once", 1, true) and output:find("stage 'tuned'", 1, true), output)
end)

test("pair_run: Ctrl-C in the evaluation after the last epoch leaves the stage open; a resume closes it", function()
  local fit, siamese = require "lurcher.fit", require "lurcher.siamese"
  local set = assert(lurcher.data.folder{ work .. "/images/train" })
  local o = { batch = 16, size = 48, era = "current", seed = 1, device = "cpu", workers = 1, memory = 100,
    cache = "none", reduce_patience = 0 }
  local preprocessing = require "lurcher.preprocessing"
  local how = preprocessing.new(o)
  local run = { path = work .. "/late", metadata = preprocessing.metadata(how, set.classes, {}) }
  local function train()
    local model = assert(lurcher.nn.load(work .. "/run/pairs.safetensors"))
    siamese.backbone(model):freeze()
    return pair_run.train(model, { train = set, valid = set, preprocessing = how }, o, run, { name = "heads",
      augment = "none", epochs = 1, pair_weight = 0, optimizer = lurcher.optim.sgd{ lr = 0.01 } })
  end
  local evaluate, calls = fit.evaluate, 0
  function fit.evaluate(...)
    calls = calls + 1
    if calls == 2 then return nil, "interrupted" end -- the first is the epoch's validation
    return evaluate(...)
  end
  local first = train()
  fit.evaluate = evaluate
  assert(first == nil and #pair_run.list(run.path) == 0)
  local second = train()
  assert(second.epochs == 1 and second.validation.loss > 0 and #pair_run.list(run.path) == 1)
end)
