--- A walk through wrong command lines and damaged files of run folders: whatever a user does, every recipe ends with a
-- message of one line, never with an error of the Lua code. Recipes run in this process: there are thousands of cases.
local harness = require "harness"
local lurcher = require "lurcher"
local files = require "lurcher.files"
local test = harness.test

local work = harness.folder "damaged_runs"
local succeeds = harness.commands(work)
local lfs = require "lfs"

local net = "--size 32 --width 0.05 --middle 0 --workers 1 --cache none --no-report"

local function sh(format, ...)
  local output, code = harness.run(("cd '%s' && "):format(work) .. format:format(...))
  assert(code == 0, output)
end

--- Runs a recipe in this process, in the folder `work`. Returns its exit code and the text of its error or "".
local function call(name, args)
  local chunk = assert(load(files.read(("%s/scripts/%s.lua"):format(harness.root, name)), ("=<%s.lua>"):format(name)))
  local saved = { arg = arg, print = print, exit = os.exit, stderr = io.stderr, stdout = io.stdout }
  local text, code, bug = {}, 0, nil
  args[0] = name
  rawset(_G, "arg", args)
  rawset(_G, "print", function() end)
  rawset(os, "exit", function(status) error({ status = status }) end)
  io.stdout = { write = function() end, flush = function() end }
  io.stderr = { write = function(_, ...) for _, part in ipairs{ ... } do text[#text + 1] = part end end }
  local good, message = xpcall(chunk, function(object)
    if type(object) == "table" then return object end
    if debug.getinfo(2, "S").what ~= "C" then bug = debug.traceback(tostring(object), 2) end -- not raised on purpose
    return tostring(object)
  end)
  rawset(_G, "arg", saved.arg)
  rawset(_G, "print", saved.print)
  rawset(os, "exit", saved.exit)
  io.stderr, io.stdout = saved.stderr, saved.stdout
  if not good and type(message) == "table" then code = message.status
  elseif not good then code, text = 1, { message } end
  text = table.concat(text)
  assert(not bug, bug)
  assert(not text:find "attempt to " and not text:find "bad argument #%d to 'for iterator'", text)
  local lines = select(2, text:gsub("\n", "\n"))
  local is_plain = not table.concat(args):find "\n"
  assert(lines <= (code == 2 and 2 or 0) or code ~= 2 and not is_plain, ("one line expected: %s"):format(text))
  return code, text
end

--- Calls f in the folder `work`.
local function inside(f)
  local before = lfs.currentdir()
  lfs.chdir(work)
  local good, message = pcall(f)
  lfs.chdir(before)
  if not good then error(message, 0) end
end

sh("'%s' '%s/examples/draw_images.lua' --train 4 --valid 2 --test 2 --size 32 --out d", harness.program, harness.root)
succeeds("single_model --data d %s --batch 8 --epochs 1 --out single_model", net)
succeeds "single_model_tune --run single_model --batch 8 --epochs 1 --cache none --no-report --out single_model_tune"
succeeds("froze_fine_tune --data d %s --batch 8 --frozen-epochs 1 --epochs 1 --out froze_fine_tune", net)
succeeds("modern_tune --data d %s --batch 8 --head-epochs 1 --epochs 2 --views 1 --out modern_tune", net)
succeeds "trick_tune --run froze_fine_tune --batch 8 --epochs 1 --cache none --no-report"
succeeds "retrain --run froze_fine_tune --test d/test --batch 8 --epochs 1 --confidence 0 --augment none --cache none --no-report"

local folders = { single_model = "single_model", single_model_tune = "single_model_tune",
  froze_fine_tune = "froze_fine_tune", modern_tune = "modern_tune", trick_tune = "froze_fine_tune/trick_tune",
  retrain = "froze_fine_tune/retrain" }
local recipes = {}
for name in lfs.dir(harness.root .. "/scripts") do
  recipes[#recipes + 1] = name:match "^([%w_]+)%.lua$"
end
table.sort(recipes)

local odd = { "--=x", "--=", "--", "---", "--x=", "-", "-x", "", "--\n=1", "--no-", "--no-=1", "--help=1", "\n", "\255", "--=--" }
local odd_values = { "", "nan", "inf", "-inf", "1e999", "-1", "1e308", "99999999999999999999", "9223372036854775807", "0x10",
  "1.5", "x\ny", "\255", "--x", "none", "/", "d", "d/train", "/dev/null", "nowhere/x", "." }

test("wrong command lines: every recipe, every option", function()
  local count = 0
  inside(function()
    for _, name in ipairs(recipes) do
      for _, word in ipairs(odd) do
        call(name, { word, "--out=" }) -- "": never the start of work
        call(name, { word })
        count = count + 2
      end
      local help = harness.run(("'%s' %s --help"):format(harness.program, name))
      for option in help:gmatch "\n  %-%-%[?n?o?%-?%]?([%w-]+)" do
        for _, value in ipairs(odd_values) do
          for _, args in ipairs{ { "--" .. option .. "=" .. value }, { "--" .. option, value, "--" .. option, value } } do
            if option ~= "html" and not (name == "profile" or name == "cache") then
              call(name, args)
              count = count + 1
            end
          end
        end
        call(name, { "--" .. option })
      end
    end
  end)
  assert(count > 4000, count)
end)

--- Values of every kind that JSON has.
local values = { true, -1, 1.5, "x", "", 1e300, lurcher.json.array{}, { a = 1 } }

--- Every table that differs from `whole` in one field: without it, or with another value.
local function mutations(whole)
  return coroutine.wrap(function()
    local keys = {}
    for key in pairs(whole) do keys[#keys + 1] = key end
    table.sort(keys)
    for _, key in ipairs(keys) do
      local before = whole[key]
      for i = 0, #values do
        whole[key] = values[i]
        coroutine.yield(key, lurcher.json.encode(whole))
      end
      whole[key] = before
    end
  end)
end

--- Calls f with each file's damaged contents written, then puts it back.
local function damaged(path, contents, f)
  local before = assert(files.read(path))
  for what, text in contents do
    assert(lurcher.write_file(path, text))
    local good, message = pcall(f)
    if not good then error(("%s, %s: %s"):format(path, what, message), 0) end
  end
  assert(lurcher.write_file(path, before))
end

--- A text cut at several places, and with other bytes.
local function cuts(text)
  return coroutine.wrap(function()
    for i = 0, 12 do coroutine.yield("cut", text:sub(1, #text * i // 13)) end
    for _, other in ipairs{ "[]", "{}", "null", "3", "\"x\"", "[1,2]", "{\"a\":[]}", "\0\1\2", ("["):rep(2000) } do
      coroutine.yield("other", other)
    end
  end)
end

for recipe, folder in pairs(folders) do
  test("damaged settings: " .. recipe, function()
    inside(function()
      local path, codes = folder .. "/settings.json", {}
      local function resume()
        local code = call(recipe, { "--resume", folder })
        codes[code] = (codes[code] or 0) + 1
      end
      local settings = assert(files.read_json(path))
      local contents = mutations(settings.options)
      damaged(path, function()
        local key = contents()
        return key, key and lurcher.json.encode(settings)
      end, resume)
      damaged(path, mutations(settings), resume)
      damaged(path, cuts(files.read(path)), resume)
      assert(codes[2] > 50, "most damage is found at once")
    end)
  end)
end

test("damaged stage.json, history.csv, figures.json, images.txt, pseudo_labels.txt: resume, report, compare, tests", function()
  inside(function()
    local function read_all()
      call("report", { "froze_fine_tune", "--maps", "0", "--mistakes", "0" })
      call("compare", { "froze_fine_tune", "single_model" })
    end
    local function resume_stage()
      call("trick_tune", { "--resume", "froze_fine_tune/trick_tune" })
      call("compare", { "froze_fine_tune" })
    end
    local stage = "froze_fine_tune/trick_tune/stage.json"
    damaged(stage, mutations(files.read_json(stage)), resume_stage)
    damaged(stage, cuts(files.read(stage)), resume_stage)
    call("report", { "froze_fine_tune" })
    local figures = "froze_fine_tune/figures.json"
    damaged(figures, mutations(files.read_json(figures)), read_all)
    damaged(figures, mutations{ valid = files.read_json(figures).valid }, read_all)
    damaged(figures, cuts(files.read(figures)), read_all)
    local history = "froze_fine_tune/history.csv"
    damaged(history, cuts(files.read(history)), read_all)
    local rows = { "epoch,val_loss,acc,stage,lr\n1,nan,inf,x,-1\n2,1e308,-1e308,,0\n", "epoch\nnan\ninf\n-inf\n", ",,,\n,\n",
      "epoch,loss\n1e300,1\n-1e300,2\n", "loss,loss\n1,2,3,4\n", "\n\n\n", "epoch,acc\n0,1e-320\n1,1e308\n" }
    local i = 0
    damaged(history, function() i = i + 1 return rows[i] and "row " .. i, rows[i] end, read_all)
    damaged("single_model/images.txt", cuts(files.read "single_model/images.txt"), function()
      call("single_model", { "--resume", "single_model" })
    end)
    local labels = "froze_fine_tune/retrain/pseudo_labels.txt"
    damaged(labels, cuts(files.read(labels)), function()
      call("retrain", { "--resume", "froze_fine_tune/retrain" })
    end)
  end)
end)

test("damaged checkpoints: what is in them for fit", function()
  inside(function()
    local path = "single_model/checkpoints/last.safetensors"
    local model <close> = assert(lurcher.nn.load "single_model/model.safetensors")
    local run <close> = model:compile{ device = "cpu", optimizer = lurcher.optim.nadam{}, loss = "categorical_crossentropy" }
    local before = assert(files.read(path))
    local whole = lurcher.json.decode(assert(run:restore(path)))
    local function try(text)
      assert(run:save(path, text))
      call("single_model", { "--resume", "single_model", "--epochs", "2" })
    end
    for _, text in mutations(whole.fit) do
      try(("{\"fit\":%s}"):format(text))
      for _, file in ipairs{ "history.csv", "model.safetensors" } do assert(lfs.attributes("single_model/" .. file)) end
    end
    for i, entry in ipairs(whole.fit.callbacks) do
      for _, text in mutations(entry) do
        local kept = whole.fit.callbacks[i]
        whole.fit.callbacks[i] = lurcher.json.decode(text)
        try(lurcher.json.encode(whole))
        whole.fit.callbacks[i] = kept
      end
      for _, text in mutations(entry.state or {}) do
        local kept = entry.state
        entry.state = lurcher.json.decode(text)
        try(lurcher.json.encode(whole))
        entry.state = kept
      end
    end
    for _, text in cuts(lurcher.json.encode(whole)) do if not text:find "%z" then try(text) end end
    assert(lurcher.write_file(path, before))
  end)
end)

test("damaged metadata of a model", function()
  inside(function()
    local model, extra = assert(lurcher.nn.load "single_model/model.safetensors")
    local run <close> = model:compile{ device = "cpu" }
    local metadata = lurcher.json.decode(extra)
    assert(run:save("m.safetensors", extra))
    local before = assert(files.read "m.safetensors")
    local function try(text)
      assert(run:save("m.safetensors", text))
      call("single_model_test", { "--model", "m.safetensors", "--data", "d/test", "--cache", "none" })
      call("single_model_tune", { "--model", "m.safetensors", "--batch", "8", "--epochs", "1", "--cache", "none", "--no-report",
        "--out", "tuned" })
      harness.run "rm -rf tuned"
    end
    for _, text in mutations(metadata) do try(text) end
    for _, text in mutations{ settings = metadata.settings, classes = metadata.classes, size = metadata.size } do try(text) end
    for _, text in cuts(extra) do if not text:find "%z" then try(text) end end
    assert(lurcher.write_file("m.safetensors", before))
    model:close()
  end)
end)
