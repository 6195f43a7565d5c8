--- Tests of the recipes that a new user meets: train, tune, predict, evaluate and weights, with the presets of their
-- options, and what every recipe checks at its start.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local test = harness.test

local work = harness.folder "classifiers"
local succeeds, complains, read = harness.commands(work)
local net = "--data images --size 48 --width 0.125 --middle 1 --batch 8 --workers 1 --no-report"

local function settings(run) return lurcher.json.decode(read(run .. "/settings.json")).options end

--- Output of the program on standard output, what it writes to the error stream, and the exit code.
local function apart(format, ...)
  local output, code = harness.run(("cd '%s' && { '%s' %s; } 2>error.txt"):format(work, harness.program,
    format:format(...)))
  return output, read "error.txt", code
end

succeeds("%s/examples/draw_images.lua --train 12 --valid 6 --test 4 --size 48 --out images", harness.root)

test("train: the preset's values are printed and saved; an option that is given counts", function()
  local output = succeeds("train %s --epochs 3 --ema 0.5 --out first", net)
  local line = assert(output:match "preset modern: [^\n]*\n[^\n]*\n[^\n]*", output):gsub("%s+", " ")
  for _, part in ipairs{ "optimizer adamw", "schedule cosine", "lr 0.002", "warmup 1", "label-smoothing 0.05", "ema 0.5",
    "augment modern", "views 0", "bn-ramp on", "cache-store f16" } do
    assert(line:find(part, 1, true), ("%s in %s"):format(part, line))
  end
  local o = settings "first"
  assert(o.preset == "modern" and o.optimizer == "adamw" and o.ema == 0.5 and o.bn_ramp == true and o.epochs == 3)
  local command = read "first/command.txt"
  assert(command:find "^lurcher train " and command:find("--ema 0.5", 1, true) and not command:find "adamw", command)
  assert(output:find "next: lurcher tune %-%-run first; lurcher evaluate first DIR", output)
  local last = read "first/history.csv":match "([^\n]+)\n$"
  local acc, val_acc = last:match "^%d+,[^,]*,([^,]*),[^,]*,([^,]*)"
  assert(lurcher.number(acc) and lurcher.number(val_acc), last)
end)

test("single_model keeps the original's values, and so does era 2017; --preset chooses", function()
  succeeds("single_model %s --epochs 1 --out original", net)
  local o = settings "original"
  assert(o.preset == "original" and o.optimizer == "nadam" and o.schedule == "plateau" and o.label_smoothing == 0
    and o.ema == 0 and o.augment == "none" and o.lr == nil and o.bn_ramp == false and o.cache_store == "f32")
  succeeds("train %s --epochs 1 --era 2017 --out era", net)
  assert(settings "era".preset == "original" and settings "era".augment == "none")
  succeeds("single_model %s --epochs 1 --preset modern --out modern", net)
  assert(settings "modern".optimizer == "adamw" and read "modern/command.txt":find("--preset modern", 1, true))
  complains(2, { "--preset modern cannot be had with --era 2017" }, "train %s --era 2017 --preset modern --out x", net)
end)

test("a run of a version without presets resumes with the original's values", function()
  local whole = lurcher.json.decode(read "original/settings.json")
  for _, key in ipairs{ "preset", "schedule", "warmup", "ema", "temperature", "bn_ramp" } do whole.options[key] = nil end
  assert(lurcher.write_file(work .. "/original/settings.json", lurcher.json.encode(whole)))
  local output = succeeds "single_model --resume original --epochs 2"
  assert(output:find("epoch 2/2", 1, true) and output:find("preset original:", 1, true), output)
  assert(output:find("ema 0", 1, true) and output:find("schedule plateau", 1, true), output)
end)

test("tune: small learning rates for early blocks; where nothing changes, it says so", function()
  local output = succeeds "tune --run first --epochs 2 --batch 8 --workers 1 --no-report --tune-from 20 --out tuned"
  assert(output:find("preset modern: batch 8, epochs 2, schedule cosine, lr 0.01", 1, true), output)
  assert(settings "tuned".layer_decay == 0.8)
  output = succeeds("single_model_tune --run first --epochs 2 --batch 8 --workers 1 --no-report --tune-from 20 --lr 1e-9 "
    .. "--out still")
  assert(output:find("the training loss stayed where it was", 1, true)
    and output:find("use --preset modern", 1, true), output)
  output = succeeds "tune --resume tuned"
  assert(output:find("best epoch", 1, true), output)
end)

test("evaluate: accuracy and confusion, and no file unless it is asked for", function()
  local before = {}
  for name in lfs.dir(work) do before[name] = true end
  local output = succeeds "evaluate first images/test"
  assert(output:find "top%-1 %d%.%d%d%d%d\n" and output:find "log%-loss" and output:find "confusion", output)
  for name in lfs.dir(work) do assert(before[name], name) end
  succeeds "evaluate first images/test --scores s.json --out p.txt --probabilities p.csv"
  assert(lurcher.json.decode(read "s.json").top_1 and read "s.json":find "\n$")
  assert(select(2, read "p.txt":gsub("\n", "")) == 24 and select(2, read "p.csv":gsub("\n", "")) == 25)
  complains(1, { "has no subfolder named like a class" }, "evaluate first images/test/drop_broad")
  complains(2, { "RUN DIR is missing" }, "evaluate first")
  output = harness.run(("cd '%s' && COLUMNS=45 '%s' evaluate first images/test"):format(work, harness.program))
  for line in output:gmatch "[^\n]+" do assert(#line <= 72, line) end
  assert(output:find "too wide" and output:find "drop_broad +4", output)
end)

-- ---- predict ----

--- A folder with images whose names need care, in folders in folders.
local function make_tree()
  local image = read "images/test/drop_broad/001.jpg"
  assert(os.execute(("mkdir -p '%s/tree/in, side/deep' '%s/tree/.hidden'"):format(work, work)))
  local names = { "a.b.jpg", "in, side/with \"quotes\".JPG", "in, side/deep/z.jpeg", ".hidden/h.jpg" }
  for i, name in ipairs(names) do
    assert(lurcher.write_file(work .. "/tree/" .. name, i == 1 and image or read(("images/test/drop_broad/00%d.jpg"):format(i))))
  end
  assert(lurcher.write_file(work .. "/tree/notes.txt", "no image"))
end
make_tree()
local tree <const> = { "tree/a.b.jpg", "tree/in, side/deep/z.jpeg", "tree/in, side/with \"quotes\".JPG" }

test("predict: folders at any depth, names as they are, as text, JSON and CSV with the same numbers", function()
  local output, errors, code = apart "predict first tree --top 2"
  assert(code == 0 and errors:find "predicted 3 images", errors)
  for _, path in ipairs(tree) do assert(output:find(path .. "\n  0.%d%d%d%d  %l+_%l+\n  0.%d%d%d%d  %l+_%l+\n"), output) end
  local json = apart "predict first tree --json"
  local objects = {}
  for line in json:gmatch "[^\n]+" do objects[#objects + 1] = lurcher.json.decode(line) end
  assert(#objects == 3)
  succeeds "predict first tree --csv p.csv"
  local lines = {}
  for line in read "p.csv":gmatch "[^\n]+" do lines[#lines + 1] = line end
  assert(#lines == 4 and lines[1]:find "^image,class,probability,button_broad,", lines[1])
  assert(lines[3]:find('"tree/in, side/deep/z.jpeg"', 1, true) and lines[4]:find('with ""quotes"".JPG"', 1, true))
  for i, object in ipairs(objects) do
    assert(object.image == tree[i] and #object.predictions == 5)
    local best = object.predictions[1]
    local text = ("\n  %s  %s\n"):format(lurcher.format("%.4f", best.probability), best.class)
    assert(output:find(tree[i] .. text, 1, true), text)
    assert(lines[i + 1]:find(("%s,%s"):format(best.class, lurcher.format("%.6g", best.probability)), 1, true))
  end
  -- the same as the test recipe says of these images
  succeeds "single_model_test --model first --data tree --out flat.txt"
  assert(read "flat.txt":find(objects[1].predictions[1].class .. "\ta.b\n", 1, true))
end)

test("predict: files, a list, standard input; --top 1 in a line each", function()
  local one = apart("predict first '%s' '%s' --top 1", tree[1], tree[2])
  assert(select(2, one:gsub("[^\n]+: %l+_%l+ 0%.%d%d%d%d\n", "")) == 2, one)
  assert(lurcher.write_file(work .. "/list.txt", tree[1] .. "\r\n\n" .. tree[2] .. "\n"))
  assert(apart "predict first --list list.txt --top 1" == one)
  local piped = harness.run(("cd '%s' && '%s' predict first - --top 1 < list.txt 2>/dev/null"):format(work, harness.program))
  assert(piped == one, piped)
  piped = harness.run(("cd '%s' && echo tree | '%s' predict first --list - --top 1 2>/dev/null"):format(work,
    harness.program))
  assert(select(2, piped:gsub("\n", "")) == 3, piped)
end)

test("predict: images that cannot be read are named, and the exit code says so", function()
  assert(lurcher.write_file(work .. "/bad.jpg", "no image"))
  local output, errors, code = apart "predict first bad.jpg tree gone.jpg --top 1"
  assert(code == 1 and select(2, output:gsub("\n", "")) == 3 and not output:find "bad", output)
  assert(errors:find "cannot be read: bad.jpg: %w" and errors:find "cannot be read: gone.jpg: .*No such file"
    and errors:find "2 of 5 images could not be read", errors)
  output, errors, code = apart "predict first bad.jpg"
  assert(code == 1 and output == "" and errors:find "bad.jpg", errors)
  complains(1, { "no image: only JPEG and PNG" }, "predict first tree/.hidden/../../runs || true; cd tree && mkdir -p e && "
    .. "touch e/x.txt && '%s' predict ../first e", harness.program)
  complains(1, { "no image: a file, a folder, or -" }, "predict first")
  complains(2, { "RUN PATH is missing" }, "predict")
  complains(2, { "one of --csv and --json" }, "predict first tree --csv x.csv --json")
end)

-- ---- weights ----

test("weights: found by the names of Keras in $LURCHER_WEIGHTS and ~/.keras/models, else what to fetch", function()
  local name = "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"
  local function lists(environment, arguments)
    return harness.run(("cd '%s' && env -u LURCHER_WEIGHTS HOME='%s/home' %s '%s' %s"):format(work, work, environment,
      harness.program, arguments))
  end
  local output = lists("", "weights")
  for _, part in ipairs{ "xception: missing", name, "https://storage.googleapis.com/", "b0042744bf5b25fce3cb969f33bebb97",
    "curl -fL", work .. "/home/.keras/models/", "inception_v3: missing" } do
    assert(output:find(part, 1, true), ("%s in %s"):format(part, output))
  end
  local code
  output, code = lists("", "train --data images --weights imagenet --out none")
  assert(code == 1 and output:find "no Xception weights in %$LURCHER_WEIGHTS %(not set%), ~/.keras/models" and
    output:find("curl -fL", 1, true) and not lfs.attributes(work .. "/none"), output)
  local xception = require "lurcher.models.xception"
  local backbone <close> = xception{ size = 48, width = 0.125, middle = 1, top = false }
  assert(os.execute(("mkdir -p '%s/home/.keras/models' '%s/own' '%s/home/.cache/torch/hub/checkpoints'"):format(work, work,
    work)))
  assert(backbone:save(("%s/home/.keras/models/%s"):format(work, name)))
  assert(lurcher.write_file(work .. "/home/.cache/torch/hub/checkpoints/xception-43020ad28.pth", "PK"))
  output = lists("", "weights")
  assert(output:find(work .. "/home/.keras/models/" .. name, 1, true) and output:find "pth  %(a PyTorch pickle", output)
  output, code = lists("", ("train %s --weights imagenet --epochs 1 --views 1 --out found"):format(net))
  assert(code == 0 and output:find "weights: %d+ layers loaded, 0 missing", output)
  assert(output:find("as f16 in the feature cache 'runs/cache'", 1, true), output)
  assert(settings "found".weights == ("%s/home/.keras/models/%s"):format(work, name))
  assert(os.execute(("cp '%s/home/.keras/models/%s' '%s/own/'"):format(work, name, work)))
  output = lists(("LURCHER_WEIGHTS='%s/own'"):format(work), "weights")
  assert(output:match "xception[^\n]*":find("/own/", 1, true), output)
end)

-- ---- what every recipe checks at its start ----

test("values that no training can have are refused at the start, by the option's name", function()
  local function refused(what, format, ...)
    complains(2, what, format, ...)
    assert(not lfs.attributes(work .. "/x"))
  end
  for recipe, options in pairs{ single_model = { "lr", "weight-decay" }, train = { "lr", "weight-decay" },
    froze_fine_tune = { "lr", "frozen-lr", "pair-weight" }, modern_tune = { "lr", "head-lr", "weight-decay" } } do
    for _, option in ipairs(options) do
      refused({ ("for --%s (a number from 0"):format(option) }, "%s %s --%s 1e300 --out x", recipe, net, option)
    end
  end
  refused({ "--epochs 2: stage 2 needs more epochs" }, "modern_tune %s --epochs 2 --warmup 2 --out x", net)
  refused({ "--epochs 3: more epochs are needed" }, "train %s --epochs 3 --warmup 3 --out x", net)
  complains(1, { "bad value 'add_99' for --feature-layer (the network has no layer 'add_99'; did you mean" },
    "single_model %s --feature-layer add_99 --out x", net)
  assert(not lfs.attributes(work .. "/x"))
  complains(1, { "bad value 'add_99' for --layer (the network" }, "features --weights first/model.safetensors --size 48 "
    .. "--width 0.125 --middle 1 --layer add_99 images/test")
  complains(1, { "bad value '400' for --rotate (number from 0 to 360" }, "augment_preview --data images --rotate 400")
end)

test("modern_tune: a single epoch has no warm-up; a run that could not end resumes", function()
  local small = net .. " --head-epochs 1 --steps 2 --views 1 --tune-from 20"
  local output = succeeds("modern_tune %s --epochs 1 --out once", small)
  assert(output:find "stage 'tuned': 1 epochs" and settings "once".warmup == 0, output)
  local whole = lurcher.json.decode(read "once/settings.json")
  whole.options.warmup = 1
  assert(lurcher.write_file(work .. "/once/settings.json", lurcher.json.encode(whole)))
  assert(os.execute(("rm -r '%s/once/tuned'"):format(work)))
  output = succeeds "modern_tune --resume once"
  assert(output:find "stage 'heads' is already finished" and output:find "stage 'tuned': 1 epochs", output)
end)

test("every JSON file that a recipe writes ends with a newline", function()
  succeeds "baidu_dog_test --run once --data images/test --out b.txt"
  local count = 0
  local function look(folder)
    for name in lfs.dir(folder) do
      local path = folder .. "/" .. name
      if name:sub(1, 1) ~= "." then
        if lfs.attributes(path, "mode") == "directory" then look(path)
        elseif name:find "%.json$" and not (name == "settings.json" and path:find "once" or path:find "original") then
          count = count + 1
          assert(read(path):find "\n$", path)
        end
      end
    end
  end
  look(work)
  assert(count > 10, count)
end)

-- ---- a terminal ----

--- What the program displays on a terminal of that width; nil where none can be had.
local function on_terminal(columns, arguments)
  if harness.run "command -v script" == "" then return nil end
  return (harness.run(("cd '%s' && script -qec \"stty cols %d rows 40 && '%s' %s\" /dev/null"):format(work, columns,
    harness.program, arguments)))
end

test("tables of compare and profile fit the width; without one they are whole", function()
  local function lines_of(columns, arguments)
    local longest, output = 0, harness.run(("cd '%s' && env -u COLUMNS %s '%s' %s"):format(work,
      columns and ("COLUMNS=%d"):format(columns) or "", harness.program, arguments))
    for line in output:gmatch "[^\n]+" do longest = math.max(longest, #line) end
    return longest, output
  end
  local runs = "compare first tuned still original modern"
  local longest, output = lines_of(70, runs)
  assert(longest <= 70, output)
  for _, name in ipairs{ "first", "tuned", "still", "original", "modern" } do
    assert(output:find("%f[%w]" .. name .. "%f[%W]"), output)
  end
  assert(lines_of(nil, runs) > 70)
  local profile = "profile --size 48 --width 0.125 --middle 1 --steps 1 --gflops 100 --gbytes 10 --html p.html"
  local widest = lines_of(nil, profile)
  longest, output = lines_of(80, profile)
  assert(longest <= 80 and widest > 90 and output:find "block4_sepconv2" and output:find " ms " and output:find "reached",
    output)
end)

test("on a terminal of 80 columns no progress line wraps, of one head or of three", function()
  for k, arguments in ipairs{ "train " .. net .. " --epochs 4 --workers 1 --cache none --out terminal1",
    "froze_fine_tune " .. net .. " --frozen-augment none --frozen-epochs 2 --epochs 2 --tune-from 20 --cache none "
      .. "--out terminal3" } do
    local output = on_terminal(80, arguments)
    if not output then return end
    local count = 0
    for line in output:gsub("\27%[K", ""):gmatch "[^\r\n]+" do
      if line:find "^epoch " then
        count = count + 1
        assert(#line <= 79 and line:find "loss %d" and line:find "acc %d", line)
      end
    end
    assert(count >= 4, ("%d: %s"):format(k, output))
  end
  local help = on_terminal(70, "train --help")
  for line in help:gmatch "[^\r\n]+" do assert(#line <= 70, line) end
end)
