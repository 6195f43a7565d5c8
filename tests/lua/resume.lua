--- Tests of recipes that are killed (SIGKILL) in the first or second epoch of a stage and then resumed: they must end
-- with the same bits as without interruption. Ctrl-C is tested in recipes.lua.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local test = harness.test

local work = harness.folder "resume"
local succeeds, complains, read = harness.commands(work)

local small = "--data images --size 48 --width 0.125 --middle 1 --workers 2"

-- A script to run before a recipe: it kills the program in training KILL_STAGE, at the end of batch KILL_BATCH.
assert(lurcher.write_file(work .. "/kill.lua", [[
local on = require "lurcher.callbacks"
local checkpoint, stage = on.checkpoint, 0
local fatal_stage, fatal_batch = tonumber(os.getenv "KILL_STAGE"), tonumber(os.getenv "KILL_BATCH")
function on.checkpoint(given)
  local callback, batches = checkpoint(given), 0
  stage = stage + 1
  if stage == fatal_stage then
    function callback.on_batch_end()
      batches = batches + 1
      if batches == fatal_batch then os.execute "kill -9 $PPID" end
    end
  end
  return callback
end
]]))

--- Whether two model files hold the same weights.
local function same(a, b)
  return harness.same(assert(lurcher.load_tensors(work .. "/" .. a)), assert(lurcher.load_tensors(work .. "/" .. b)))
end

--- The columns of a history, without times.
local function history(run)
  local rows = {}
  for line in read(run .. "/history.csv"):gmatch "[^\n]+" do rows[#rows + 1] = line end
  local names, kept = {}, {}
  for name in rows[1]:gmatch "[^,]+" do names[#names + 1] = name end
  for _, row in ipairs(rows) do
    local i = 0
    for value in row:gmatch "[^,]+" do
      i = i + 1
      if not names[i]:find "seconds" then kept[#kept + 1] = value end
    end
  end
  return table.concat(kept, ",")
end

--- command: a recipe and its options, without --out. kills: a list of { stage, batch }. model: the file to compare.
local function check(name, command, kills, model)
  succeeds("%s --out %s", command, name)
  for i, kill in ipairs(kills) do
    local out = name .. "_killed_" .. i
    local output, code = harness.run(("cd '%s' && KILL_STAGE=%d KILL_BATCH=%d '%s' -e 'dofile \"kill.lua\"' %s --out %s")
      :format(work, kill[1], kill[2], harness.program, command, out))
    assert(code == 137 and not lfs.attributes(work .. "/" .. out .. "/report.html"), output)
    output = succeeds("%s --resume %s", command:match "^%S+", out)
    assert(same(name .. "/" .. model, out .. "/" .. model), ("killed in stage %d at batch %d: %s"):format(kill[1], kill[2],
      output))
    assert(history(name) == history(out), out)
  end
end

test("resume: single_model and single_model_tune, killed in the first epoch and later", function()
  succeeds("%s/examples/draw_images.lua --train 12 --valid 4 --test 4 --size 48 --out images", harness.root)
  check("single", ("single_model %s --batch 16 --epochs 3 --augment flip --patience 2"):format(small),
    { { 1, 2 }, { 1, 7 } }, "model.safetensors")
  check("single_tuned", "single_model_tune --run single --tune-from 20 --batch 16 --epochs 3 --lr 0.01",
    { { 1, 7 } }, "model.safetensors")
end)

test("resume: killed between the last epoch's checkpoint and its line in history.csv", function()
  assert(lurcher.write_file(work .. "/kill_late.lua", [[
local on, epochs = require "lurcher.callbacks", 0
local csv = on.csv
function on.csv(given)
  local callback = csv(given)
  local write = callback.on_epoch_done
  function callback.on_epoch_done(...)
    epochs = epochs + 1
    if epochs == 3 then
      local temporary = assert(io.open("late/.history.csv.lurcher-tmp", "w")) -- as if killed while it is written
      temporary:write "epoch,"
      temporary:close()
      os.execute "kill -9 $PPID"
    end
    return write(...)
  end
  return callback
end
]]))
  local output, code = harness.run(("cd '%s' && '%s' -e 'dofile \"kill_late.lua\"' single_model %s --batch 16 --epochs 3 "
    .. "--augment flip --patience 2 --out late"):format(work, harness.program, small))
  assert(code == 137, output)
  succeeds "single_model --resume late"
  assert(history "late" == history "single")
  assert(not lfs.attributes(work .. "/late/.history.csv.lurcher-tmp"))
end)

test("resume: froze_fine_tune in either stage; trick_tune and retrain", function()
  check("pairs", ("froze_fine_tune %s --batch 16 --frozen-augment light --frozen-epochs 3 --epochs 3 --lr 0.01 --tune-from "
    .. "20"):format(small), { { 1, 6 }, { 2, 2 }, { 2, 6 } }, "pairs.safetensors")
  check("tricked", "trick_tune --run pairs --batch 16 --epochs 3 --tune-from 20", { { 1, 6 } }, "pairs.safetensors")
  check("retrained", "retrain --run pairs --test images/test --confidence 0 --batch 8 --epochs 3 --tune-from 20",
    { { 1, 2 }, { 1, 5 } }, "pairs.safetensors")
end)

test("resume: modern_tune in either stage, with averaged weights, fixed views and mixup", function()
  check("modern", ("modern_tune %s --batch 16 --head-epochs 3 --epochs 3 --warmup 1 --tune-from 20 --views 2 --mixup 0.4 "
    .. "--ema 0.9"):format(small), { { 1, 5 }, { 2, 5 } }, "pairs.safetensors")
  complains(2, { "--ema cannot change in a resumed run" }, "modern_tune --resume modern_killed_1 --ema 0")
end)
