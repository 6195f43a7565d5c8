--- Tests of runs that are interrupted and resumed elsewhere, or after their folder, images or first weights were moved,
-- or after the images' classes changed.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local test = harness.test

local work = harness.folder "moved_runs"
local succeeds, complains, read = harness.commands(work)

local small = "--size 48 --width 0.125 --middle 1 --workers 1 --cache none --no-report"

-- A script to run before a recipe: it ends the program, as a kill would, at the end of the first epoch.
assert(lurcher.write_file(work .. "/kill.lua", [[
local on = require "lurcher.callbacks"
local checkpoint = on.checkpoint
function on.checkpoint(given)
  local callback = checkpoint(given)
  local done = callback.on_epoch_done
  function callback.on_epoch_done(...)
    done(...)
    os.execute "kill -9 $PPID"
  end
  return callback
end
]]))

local function sh(format, ...)
  local output, code = harness.run(("cd '%s' && "):format(work) .. format:format(...))
  assert(code == 0, output)
  return output
end

--- Runs a recipe that is ended after its first epoch.
local function killed(format, ...)
  local output, code = harness.run(("cd '%s' && '%s' -e 'dofile \"kill.lua\"' %s"):format(work, harness.program,
    format:format(...)))
  assert(code == 137, output)
end

--- Whether two model files hold the same weights.
local function same(a, b)
  return harness.same(assert(lurcher.load_tensors(work .. "/" .. a)), assert(lurcher.load_tensors(work .. "/" .. b)))
end

local function options_of(run) return lurcher.json.decode(read(run .. "/settings.json")).options end

sh("'%s' '%s/examples/draw_images.lua' --train 8 --valid 4 --test 4 --size 48 --out images", harness.program,
  harness.root)
local classes = {}
for name in lfs.dir(work .. "/images/train") do
  if name:sub(1, 1) ~= "." then classes[#classes + 1] = name end
end
table.sort(classes)

test("a resumed stage reaches its run, however the stage's folder is named", function()
  succeeds("froze_fine_tune --data images %s --batch 8 --frozen-epochs 1 --epochs 1 --tune-from 20 --out ff", small)
  local tune = "trick_tune --run %s --batch 8 --cache none --no-report --epochs 2 --tune-from 20"
  for i, name in ipairs{ "ff%d/trick_tune", "./ff%d//trick_tune/", "%s/ff%d/trick_tune" } do
    sh("cp -r ff ff%d", i)
    killed(tune, "ff" .. i)
    local output = succeeds("trick_tune --resume " .. (i == 3 and name:format(work, i) or name:format(i)))
    assert(same(("ff%d/model.safetensors"):format(i), ("ff%d/trick_tune/model.safetensors"):format(i)), output)
    assert(not same(("ff%d/model.safetensors"):format(i), "ff/model.safetensors"))
    assert(not lfs.attributes(("%s/ff%d/trick_tune/checkpoints/start.safetensors"):format(work, i)))
    local _, lines = read(("ff%d/history.csv"):format(i)):gsub("\n", "")
    assert(lines == 5, "a line per epoch of every stage")
  end
end)

test("a stage is resumed from within its folder, and after its run was moved", function()
  sh "cp -r ff inside && cp -r ff moving"
  killed "trick_tune --run inside --batch 8 --cache none --no-report --epochs 2 --tune-from 20"
  sh("cd inside/trick_tune && '%s' trick_tune --resume .", harness.program)
  assert(same("inside/model.safetensors", "ff1/model.safetensors"))
  killed "trick_tune --run moving --batch 8 --cache none --no-report --epochs 2 --tune-from 20"
  assert(options_of "moving/trick_tune".run == ".." and options_of "moving/trick_tune".data == work .. "/images")
  sh "mkdir there && mv moving there/moved"
  sh("cd there && '%s' trick_tune --resume moved/trick_tune", harness.program)
  assert(same("there/moved/model.safetensors", "ff1/model.safetensors"))
end)

test("the run of a stage as earlier versions kept it, from the root", function()
  sh "cp -r ff old"
  killed "trick_tune --run old --batch 8 --cache none --no-report --epochs 2 --tune-from 20"
  sh("sed -i 's|\"run\":.*\"..\"|\"run\": \"%s/old\"|' old/trick_tune/settings.json", work)
  sh "rm old/trick_tune/images.txt old/trick_tune/checkpoints/start.safetensors; cp -r old copied"
  succeeds "trick_tune --resume old/trick_tune"
  assert(same("old/model.safetensors", "ff1/model.safetensors"))
  succeeds "trick_tune --resume copied/trick_tune"
  assert(same("copied/model.safetensors", "ff1/model.safetensors"), "not the run that it was copied from")
end)

test("a finished stage that did not reach its run does when it is resumed", function()
  sh "cp ff/model.safetensors ff/pairs.safetensors ff1"
  assert(succeeds "trick_tune --resume ff1/trick_tune":find("is already finished", 1, true))
  assert(same("ff1/model.safetensors", "ff1/trick_tune/model.safetensors"))
end)

test("the images may be elsewhere when a run is resumed: --data", function()
  local command = "single_model --data %s " .. small .. " --batch 8 --epochs 2 --patience 0 --out %s"
  succeeds(command, "images", "whole")
  sh "cp -r images first"
  killed(command, "first", "parts")
  sh "mkdir away && mv first away/second"
  complains(1, { "there is no folder '" .. work .. "/first/train'" }, "single_model --resume parts")
  succeeds "single_model --resume parts --data away/second"
  assert(same("whole/model.safetensors", "parts/model.safetensors"))
  assert(options_of "parts".data == work .. "/away/second" and options_of "parts".cache == "none")
  sh "mkdir elsewhere"
  sh("cd elsewhere && '%s' report ../parts", harness.program)
end)

test("the first weights are not needed once there is a checkpoint", function()
  lurcher.seed(5)
  local backbone <close> = require "lurcher.models.xception" { size = 48, width = 0.125, middle = 1, top = false }
  for _, recipe in ipairs{ "single_model --epochs 2 --freeze all", "single_model --epochs 2 --freeze none",
    "single_model --epochs 2 --freeze none --middle 2", -- layers that the file lacks
    "froze_fine_tune --frozen-epochs 2 --epochs 1", "modern_tune --head-epochs 2 --epochs 2 --views 1" } do
    assert(backbone:save(work .. "/w.safetensors"))
    local name = recipe:match "^%S+"
    local command = ("%s --data images %s --weights w.safetensors --batch 8 %s"):format(name, small, recipe:sub(#name + 2))
    succeeds("%s --out with_weights", command)
    killed("%s --out without", command)
    sh "rm w.safetensors"
    succeeds("%s --resume without", name)
    assert(same("with_weights/model.safetensors", "without/model.safetensors"), recipe)
    assert(not lfs.attributes(work .. "/without/checkpoints/start.safetensors"))
    succeeds("%s --resume without", name) -- finished
    sh "rm -r with_weights without"
  end
end)

test("pseudo-labels are found from any folder, where earlier versions wrote them, and where the images were moved",
  function()
  local command = "retrain --run ff --test %s --confidence 0 --batch 8 --epochs 2 --augment none --cache none --no-report "
    .. "--tune-from 20 --out %s"
  succeeds(command, "images/test", "labels_whole")
  assert(read "labels_whole/pseudo_labels.txt":find("^" .. work:gsub("%p", "%%%0") .. "/images/test/"))
  killed(command, "images/test", "labels")
  sh "cp -r labels labels_old && cp -r labels labels_moved"
  sh("cd elsewhere && '%s' retrain --resume ../labels", harness.program)
  sh("sed -i 's|%s/||' labels_old/pseudo_labels.txt", work)
  sh("cd elsewhere && '%s' retrain --resume ../labels_old", harness.program)
  sh "mv images/test tests"
  complains(1, { "labelled images are not there any more", "name their folder with --test" },
    "retrain --resume labels_moved")
  succeeds "retrain --resume labels_moved --test tests"
  sh "mv tests images/test"
  for _, name in ipairs{ "labels", "labels_old", "labels_moved" } do
    assert(same("labels_whole/model.safetensors", name .. "/model.safetensors"), name)
  end
end)

-- ---- classes and images that changed ----

--- Every recipe that trains, and how it begins. Stages begin from the run ff.
local recipes = {
  single_model = "--data changing " .. small .. " --batch 8 --epochs 2 --patience 0",
  single_model_tune = "--run parts --data changing --batch 8 --epochs 2 --cache none --no-report --tune-from 20",
  froze_fine_tune = "--data changing " .. small .. " --batch 8 --frozen-epochs 2 --epochs 1 --tune-from 20",
  trick_tune = "--run ff --data changing --batch 8 --epochs 2 --cache none --no-report --tune-from 20",
  modern_tune = "--data changing " .. small .. " --batch 8 --head-epochs 2 --epochs 2 --tune-from 20 --views 1",
  retrain = "--run ff --data changing --test images/test --confidence 0 --batch 8 --epochs 2 --cache none --no-report "
    .. "--augment none --tune-from 20",
}

test("a run is not resumed on images of other classes, in any recipe", function()
  sh "cp -r images changing"
  for recipe, begin in pairs(recipes) do
    killed("%s %s --out c_%s", recipe, begin, recipe)
    local checkpoint = harness.run(("cd '%s' && cat c_%s/checkpoints/last.safetensors c_%s/*/checkpoints/last.safetensors "
      .. "2>/dev/null | head -c 100000 | tr '{' '\\n' | grep -a classes"):format(work, recipe, recipe))
    assert(checkpoint:find(classes[1], 1, true) and checkpoint:find(classes[#classes], 1, true), recipe)
  end
  local last = classes[#classes]
  for _, part in ipairs{ "train", "valid" } do sh("mv changing/%s/%s changing/%s/zz_other", part, last, part) end
  for recipe in pairs(recipes) do
    local output, code = harness.run(("cd '%s' && '%s' %s --resume c_%s"):format(work, harness.program, recipe, recipe))
    assert(code == 1 and not output:find "traceback", output)
    assert(output:find("zz_other", 1, true), output)
    if not recipe:find "tric" and recipe ~= "retrain" and recipe ~= "single_model_tune" then
      assert(output:find(("there is no class '%s' any more, 'zz_other' is new"):format(last), 1, true), output)
    end
  end
  for _, part in ipairs{ "train", "valid" } do sh("mv changing/%s/zz_other changing/%s/%s", part, part, last) end
end)

test("a run is not resumed where the folders of two classes were exchanged, or images moved between classes", function()
  local a, b = classes[1], classes[2]
  sh("cd changing/train && mv %s x && mv %s %s && mv x %s", a, b, a, b)
  for recipe in pairs(recipes) do
    complains(1, { "16 images are not of the class that 'c_" .. recipe .. "' was trained with", "move them back" },
      "%s --resume c_%s", recipe, recipe)
  end
  sh("cd changing/train && mv %s x && mv %s %s && mv x %s", a, b, a, b)
  sh("cd changing/valid && mv \"$(ls -d %s/* | head -1)\" %s/moved.jpg", a, b)
  complains(1, { "1 image is not of the class", ("'%s/moved.jpg' was of class '%s'"):format(b, a) },
    "trick_tune --resume c_trick_tune")
  sh("rm -r changing && cp -r images changing")
end)

test("images that were added or removed before a run is resumed are named in a line", function()
  sh("cd changing/train && rm \"$(ls -d %s/* | head -1)\"", classes[1])
  sh("cd changing/train && for f in ../valid/%s/*; do cp $f %s/new_${f##*/}; done", classes[2], classes[2])
  for recipe in pairs(recipes) do
    local output = succeeds("%s --resume c_%s", recipe, recipe)
    assert(output:find("images that are not as they were in the run so far: train: 4 added, 1 removed\n"), output)
    assert(not succeeds("%s --resume c_%s", recipe, recipe):find("as they were", 1, true))
  end
end)
