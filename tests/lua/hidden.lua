--- Tests of hidden files and folders, which other programs leave in folders of images: they are neither classes nor
-- images, except in era 2017, as in Keras.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local data = lurcher.data
local test = harness.test

local work = harness.folder "hidden"
local succeeds, complains = harness.commands(work)

local function sh(format, ...)
  local output, code = harness.run(("cd '%s' && "):format(work) .. format:format(...))
  assert(code == 0, output)
end

local small = "--size 48 --width 0.125 --middle 1 --workers 1 --cache none --no-report --batch 8 --epochs 1"

sh("'%s' '%s/examples/draw_images.lua' --train 2 --valid 2 --test 2 --size 48 --out d", harness.program, harness.root)
succeeds("single_model --data d %s --out r", small)
sh "cp -r d clean"
sh [[for p in train valid test; do
  c=$(ls d/$p | head -1); i=$(ls d/$p/$c | head -1)
  for f in .ipynb_checkpoints __MACOSX @eaDir .git; do 
    mkdir -p d/$p/$f d/$p/$c/$f; cp d/$p/$c/$i d/$p/$f/x.jpg; cp d/$p/$c/$i d/$p/$c/$f/x.jpg; done
  cp d/$p/$c/$i d/$p/$c/._$i; cp d/$p/$c/$i d/$p/$c/.hidden.png; touch d/$p/$c/Thumbs.db d/$p/desktop.ini
done]]

test("class folders and flat folders: hidden names count only where they are asked for", function()
  local set, clean = assert(data.folder(work .. "/d/train")), assert(data.folder(work .. "/clean/train"))
  assert(#set == #clean and table.concat(set.classes, " ") == table.concat(clean.classes, " "))
  for i = 1, #set do assert(set:name(i) == clean:name(i)) end
  assert(#set.ignored == 0 and #set.loose == 0)
  set = assert(data.folder{ work .. "/d/train", hidden = true })
  assert(#set == #clean + 10 and #set.classes == #clean.classes + 4 and set.classes[1] == ".git", tostring(set))
  local class = work .. "/d/train/" .. clean.classes[1]
  assert(#assert(data.flat(class)) == 2 and #assert(data.flat{ class, hidden = true }) == 8)
  assert(lurcher.write_file(class .. "/a.webp", "x") and lurcher.write_file(work .. "/d/train/b.jpg", "x"))
  set = assert(data.folder(work .. "/d/train"))
  assert(set.ignored[1] == class .. "/a.webp" and #set.ignored == 1)
  assert(set.loose[1] == work .. "/d/train/b.jpg" and #set.loose == 1)
  assert(tostring(set):find("1 other file ignored, 1 image in no class folder", 1, true), tostring(set))
  os.remove(class .. "/a.webp")
  os.remove(work .. "/d/train/b.jpg")
end)

test("recipes: what they read of a folder with hidden names is what they read of one without", function()
  local output = succeeds("single_model --data d %s --out r2", small)
  assert(output:find("12 training and 12 validation images of 6 classes", 1, true), output)
  output = succeeds("single_model --data d %s --era 2017 --out r3", small)
  assert(output:find("22 training and 22 validation images of 10 classes", 1, true), output)
  assert(succeeds "single_model_test --model r --data d/test":find("predictions: predict.txt (12 images)", 1, true))
  assert(succeeds("froze_fine_tune --data d %s --frozen-epochs 1 --out f", small):find "12 training")
  assert(succeeds "baidu_dog_test --run f --data d/test":find("predictions: predict.txt (12 images)", 1, true))
  assert(succeeds "report r --data d/test":find "report%-test.html")
  output = harness.run(("cd '%s' && '%s' audit d"):format(work, harness.program))
  assert(output:find("36 images checked", 1, true) and not output:find("._", 1, true), output)
  succeeds "augment_preview --data d --images 50 --out a.png"
end)

test("a flat folder with a hidden folder is flat", function()
  sh "mkdir flat && cp d/test/*/001.jpg flat/ 2>/dev/null; mkdir flat/.ipynb_checkpoints; cp flat/001.jpg flat/pug_1.jpg"
  sh "cp flat/001.jpg flat/._pug_2.jpg; rm flat/001.jpg"
  assert(harness.run(("cd '%s' && '%s' audit flat"):format(work, harness.program)):find("1 images checked", 1, true))
  assert(succeeds "img2folders --data flat --out folders":find("copied 1 images", 1, true))
  succeeds "augment_preview --data flat --out b.png"
  assert(succeeds "single_model_test --model r --data flat --out p.txt":find("p.txt (1 images)", 1, true))
  complains(1, { "'flat/._pug_2.jpg'", "'.' cannot be a class's folder" }, "img2folders --data flat --out f17 --era 2017")
end)

test("img2folders: a folder within that of the images is refused, however it is named", function()
  lfs.mkdir(work .. "/flat/sub")
  sh "ln -s flat/sub link && ln -s flat other"
  for _, out in ipairs{ "flat/out", "flat", "./flat/sub/../x", "link/deep/er", "other/x", work .. "/flat/y" } do
    complains(1, { "is in the folder of the images" }, "img2folders --data flat --out %s", out)
  end
  complains(1, { "is in the folder of the images" }, "img2folders --data folders/train --rule '{class}_{}' --out folders")
  assert(not lfs.attributes(work .. "/flat/out"))
  sh "mkdir here && cp flat/pug_1.jpg here"
  complains(1, { "is in the folder" }, "img2folders --data here --out here/out")
  succeeds "img2folders --data here --out here_out"
end)

test("--pairs all: classes without images, and a single class", function()
  sh [[cp -r clean few && for c in $(ls few/train | tail -n +3); do rm few/*/$c/*; done]]
  for _, command in ipairs{ "froze_fine_tune --pairs all --frozen-epochs 1 --epochs 1", "froze_fine_tune --pairs all "
    .. "--towers --frozen-epochs 1 --epochs 1", "modern_tune --head-epochs 1 --epochs 2 --views 1" } do
    local output = succeeds("%s --data few %s --batch 4 --out pairs", command, (small:gsub("%-%-batch 8 %-%-epochs 1", "")))
    assert(output:find("warning: no image of", 1, true), output)
    sh "rm -r pairs"
  end
  sh [[for c in $(ls few/train | head -2 | tail -1); do rm few/*/$c/*; done]]
  local output = succeeds("froze_fine_tune --data few %s --batch 2 --pairs all --frozen-epochs 1 --out one",
    (small:gsub("%-%-batch 8", "")))
  assert(output:find("warning: all training images are of class", 1, true), output)
end)

test("modern_tune: epochs that do not go with --warmup are refused before the first stage", function()
  for _, options in ipairs{ "--epochs 1 --warmup 1", "--epochs 3 --warmup 3", "--epochs 2 --warmup 9" } do
    complains(2, { "stage 2 needs more epochs" }, "modern_tune --data clean --head-epochs 1 %s --out never", options)
  end
  assert(not lfs.attributes(work .. "/never"))
  for _, command in ipairs{ "modern_tune --head-epochs 1 --epochs 2", "froze_fine_tune --frozen-epochs 1" } do
    complains(2, { "bad value '1e30' for --lr (a number from 0" }, "%s --data clean --lr 1e30 --out never", command)
  end
  assert(not lfs.attributes(work .. "/never"))
end)

test("modern_tune: mixup of any alpha comes to an end", function()
  succeeds("modern_tune --data clean %s --head-epochs 1 --epochs 2 --views 1 --mixup 1e-30 --out mixed",
    (small:gsub("%-%-epochs 1", "")))
end)
