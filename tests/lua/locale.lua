--- Tests that no number is read or written through the locale: with a decimal comma, or a decimal point of two bytes,
-- every file, message and text is as it is in the C locale. The first test reads the sources; the others run scripts in
-- locales that localedef makes, and are skipped where it cannot.
local harness = require "harness"
local lfs = require "lfs"
local files = require "lurcher.files"
local lurcher = require "lurcher"
local test = harness.test

local work = harness.folder "locale"

-- ---- the sources ----

--- Calls visit(path, text) for the files below root/folder whose names match a pattern.
local function each_file(folder, pattern, visit)
  for name in lfs.dir(harness.root .. "/" .. folder) do
    local path = folder .. "/" .. name
    if name:sub(1, 1) ~= "." then
      if lfs.attributes(harness.root .. "/" .. path, "mode") == "directory" then each_file(path, pattern, visit)
      elseif name:find(pattern) then visit(path, assert(files.read(harness.root .. "/" .. path))) end
    end
  end
end

local conversion <const> = "%%[-+ #0-9.*]*[lL]?[gGeEfFaA]"

--- The first use of the locale in a C file, or nil.
local function locale_use(text)
  text = text:gsub("/%*.-%*/", " ")
  for _, name in ipairs{ "strtod", "strtof", "strtold", "atof", "localeconv", "cJSON_Parse", "cJSON_ParseWithLengthOpts",
    "cJSON_PrintUnformatted" } do
    local found = text:match("%f[%w_]" .. name .. "%s*%b()")
    if found then return found end
  end
  for name, arguments in text:gmatch "%f[%w_](%w+)%s*(%b())" do
    if (name:find "^v?s?n?f?d?printf$" or name:find "^v?asprintf$" or name:find "scanf$")
      and arguments:gsub("%%%%", ""):find(conversion) then return name .. arguments end
    if name == "lua_pushfstring" and arguments:find("%%f") then return name .. arguments end
  end
end

test("no C file but kernels/number.c and engine/base/json.c reads or writes numbers through the locale", function()
  assert(locale_use 'x = strtod(text, NULL);' and locale_use 'snprintf(t, n, "%d %.*g", a, b, c);')
  assert(not locale_use 'lur_format(t, n, "%g", x); snprintf(t, n, "%d 100%% full", 1); /* strtod(x) */')
  local count = 0
  for _, folder in ipairs{ "kernels", "engine", "bindings" } do
    each_file(folder, "%.[ch]u?p*$", function(path, text)
      count = count + 1
      if path == "kernels/number.c" or path == "engine/base/json.c" then return end
      local found = locale_use(text)
      -- a script's JSON is printed from raw texts, and parsed between lur_c_locale_enter and _leave
      if path == "bindings/json.c" then
        local enter = assert(text:find("lur_c_locale_enter()", 1, true))
        local parse = assert(text:find("cJSON_ParseWithLengthOpts(", enter, true))
        assert(text:find("lur_c_locale_leave(", parse, true))
      else
        assert(not found, ("%s: %s"):format(path, found))
      end
    end)
  end
  assert(count > 200, count)
end)

test("no script formats or reads a number through the locale", function()
  local count = 0
  each_file("scripts", "%.lua$", function(path, text)
    count = count + 1
    for line in text:gmatch "[^\n]+" do
      local literal = line:gsub("%-%-.*", ""):gsub("%%%%", ""):match('"([^"]*' .. conversion .. '[^"]*)"%s*%)?%s*:format')
      assert(not literal, ("%s: %s (lurcher.format expected)"):format(path, line))
      local call = line:match "%f[%w_.]tonumber(%b())" -- with a base it reads an integer
      assert(not call or call:find ", %d+%)$", ("%s: %s (lurcher.number expected)"):format(path, line))
    end
  end)
  assert(count > 50, count)
end)

-- ---- in another locale ----

--- Makes locales; returns their folder, or nil and the reason.
local function made_locales(names)
  for _, name in ipairs(names) do
    local _, code = harness.run(("localedef -i %s -f UTF-8 '%s/%s.UTF-8'"):format(name, work, name))
    if code ~= 0 then return nil, "localedef cannot make the locale " .. name end
  end
  return work
end

local comma, two_bytes = "de_DE", "ps_AF"
local places, why_not = made_locales{ comma, two_bytes }

--- Writes a script and runs it, in the C locale and in the others: what it prints and returns must be the same.
local function same_everywhere(code, program)
  local path = work .. "/case.lua"
  local want
  for _, name in ipairs{ "C", comma .. ".UTF-8", two_bytes .. ".UTF-8" } do
    -- chunks are compiled before the locale is set: Lua itself reads numbers through it
    assert(lurcher.write_file(path, "local lurcher = require 'lurcher'\nassert(os.setlocale(arg[1]))\n" .. code))
    local output, exit = harness.run(("cd '%s' && LOCPATH='%s' %s '%s' %s"):format(work, places,
      program or ("'" .. harness.program .. "'"), path, name))
    assert(exit == 0, output)
    assert(#output > 0)
    want = want or output
    assert(output == want, ("%s: %s\nexpected, as in the C locale: %s"):format(name, output, want))
  end
  return want
end

local function in_locales(name, fn)
  if places then test(name, fn) else harness.skip(name, why_not) end
end

in_locales("defaults of optimizers, layers, augmentation and training are the same in every locale", function()
  local text = same_everywhere [=[
    local nn, optim, data = lurcher.nn, lurcher.optim, lurcher.data
    local function show(...) io.write(lurcher.format(...), "\n") end
    for _, name in ipairs{ "sgd", "adam", "nadam", "rmsprop", "adadelta", "adamw" } do
      if optim[name] then show("%s", optim[name]{}) end
    end
    for _, spec in ipairs{ { "batchnorm", {} }, { "dropout", { 1 / 2 } }, { "dense", { 3, init = "normal" } }, { "conv2d", { 3, 3 } } } do
      show("%s", nn[spec[1]](spec[2])(nn.input("x", 8, 8, 3)))
    end
    show("%s", data.augment{ rotate = 45 / 2, zoom = 1 / 4 })
    lurcher.seed(3)
    local x = nn.input("x", 4)
    local y = nn.dense{ 2, name = "y", activation = "softmax", init = "normal" }(nn.batchnorm{ name = "b" }(x))
    local model = nn.model(y)
    local run = model:compile{ device = "ref", optimizer = optim.adam{}, loss = "categorical_crossentropy" }
    show("%.9g", run.lr)
    local batch = { x = lurcher.normal{ 4, 4 }, y = lurcher.tensor{ 0, 1, 0, 1 }:cast "i32" }
    show("%.9g %.9g", run:train(batch).loss, run:train(batch).loss)
    show("%s", model:json())
    show("%s", run)
    show("%s", lurcher.tensor{ 1 / 2, 1 / 4, -1 / 3 })
    show("%s", lurcher.json.encode({ a = 1 / 2, b = 1 / 3, c = { 1e300, 5 } }, true))
    show("%.17g", lurcher.json.decode("[0.5, 1e-3, 12.25]")[3])
    show("%s %s", lurcher.number "0.5", tostring(lurcher.number "0,5"))
    for _, bad in ipairs{ { lr = -1 / 2 }, { lr = "x" }, { beta_1 = 3 / 2 } } do show("%s", select(2, pcall(optim.adam, bad))) end
    show("%s", select(2, pcall(nn.dropout, { 3 / 2 })))
    show("%s", select(2, pcall(lurcher.zeros, { 1 / 2 })))
    assert(model:save "weights.safetensors")
    show("%s", lurcher.hash(io.open("weights.safetensors", "rb"):read "a"))
    assert(run:save "run.safetensors")
    show("%s", run:restore "run.safetensors")
    show("%s", nn.from_json(model:json()):json())
    lurcher.save_tensors("t.safetensors", { a = lurcher.tensor{ 1 / 2 } }, { lr = "0.5" })
    show("%s", lurcher.load_tensors("t.safetensors").a)
  ]=]
  assert(text:find("lr = 0.001", 1, true) and text:find '"a":%s*0%.5' and text:find("0.5 nil", 1, true), text)
  assert(not text:find "%d,%d+ f32", text)
end)

in_locales("logs, schedules, histories and charts are the same in every locale", function()
  local text = same_everywhere [=[
    local logs, schedules = require "lurcher.logs", require "lurcher.schedules"
    local html, chart = require "lurcher.report.html", require "lurcher.report.chart"
    print(logs.csv{ { epoch = 0, loss = 1 / 2, lr = 1 / 8 }, { epoch = 1, loss = 1 / 3, lr = 1 / 16 } })
    print(logs.fill("e{epoch:02d}-{loss:.3f}-{loss}", { epoch = 3, loss = 1 / 2 }))
    print(logs.size(1536))
    print(html.text(html.element.p{ style = 1 / 2, 3 / 4 }))
    print(html.text(chart{ title = "loss", series = { { name = "a", colour = 1, points = { { 1, 1 / 2 }, { 2, 1 / 3 } } } } }))
    print(select(2, pcall(schedules.cosine, { lr = -1 / 2 })))
  ]=]
  assert(text:find("1,0.5,0.125\n2,0.333333333,0.0625", 1, true), text)
  assert(text:find("e03-0.500-0.5", 1, true) and text:find("1.5 kB", 1, true), text)
end)

in_locales("the module in a stock lua5.4 is the same in every locale", function()
  if harness.run "command -v lua5.4" == "" then return end
  local so = harness.program:match "^(.*)/[^/]*$"
  local text = same_everywhere([=[
    local run = lurcher.nn.model(lurcher.nn.dense{ 2, name = "y" }(lurcher.nn.input("x", 4)))
      :compile{ device = "ref", optimizer = lurcher.optim.adam{}, loss = "mean_squared_error" }
    io.write(lurcher.format("%g %s", run.lr, lurcher.json.encode{ 1 / 2 }), "\n")
  ]=], ("LD_PRELOAD='%s' LUA_CPATH='%s/?.so;;' lua5.4"):format(os.getenv "LURCHER_TEST_PRELOAD" or "", so))
  assert(text == "0.001 [0.5]\n", text)
end)

in_locales("the session shows numbers with a point in every locale", function()
  for _, name in ipairs{ comma, two_bytes } do
    local output = harness.run(("printf '%%s\\n' 'os.setlocale(\"%s.UTF-8\")' '1 / 2' '{ a = 1 / 4 }' '4 / 2' 'lurcher.tensor{ 1 / 2 }' | LOCPATH='%s' '%s'")
      :format(name, places, harness.program))
    assert(output:find("\n0.5\n{ a = 0.25 }\n2.0\n", 1, true) and output:find "\n +0%.5", output)
  end
end)

in_locales("a recipe in another locale writes the same files", function()
  -- The program never calls setlocale; a script that did runs the recipe's code here.
  local make = [[
    local data = { "a", "b" }
    for _, part in ipairs{ "train", "valid" } do
      for k, class in ipairs(data) do
        require "lfs".mkdir(part) require "lfs".mkdir(part .. "/" .. class)
        lurcher.seed(k)
        for i = 1, 4 do lurcher.image.save(part .. "/" .. class .. "/" .. i .. ".png", lurcher.uniform{ 32, 32, 3, low = 0, high = 255 }) end
      end
    end]]
  local path, want = work .. "/images", nil
  assert(lfs.mkdir(path))
  local output, code = harness.run(("cd '%s' && '%s' -e '%s'"):format(path, harness.program, make))
  assert(code == 0, output)
  for _, name in ipairs{ "C", comma .. ".UTF-8", two_bytes .. ".UTF-8" } do
    local out = work .. "/run-" .. name
    output, code = harness.run(("cd '%s' && LOCPATH='%s' '%s' -e 'assert(os.setlocale \"%s\")' single_model --data '%s' --out '%s' "
      .. "--backbone xception --size 64 --width 0.25 --middle 1 --epochs 2 --batch 4 --workers 1 --cache none --lr 0.0625"):format(work,
        places, harness.program, name, path, out))
    assert(code == 0, output)
    local history = assert(files.read(out .. "/history.csv")):gsub("[^,\n]*seconds", "")
    local kept = {}
    for line in history:gmatch "[^\n]+" do kept[#kept + 1] = line:match "^[^,]*,[^,]*,[^,]*,[^,]*,[^,]*" end
    local text = table.concat(kept, "\n") .. assert(files.read(out .. "/command.txt")):gsub("%-%-out %S+", "")
      .. assert(files.read(out .. "/model.json"))
    assert(text:find("0.0625", 1, true) and not files.read(out .. "/settings.json"):find "%d,%d", text)
    assert(not files.read(out .. "/report.html"):find 'x="%d+,', "report.html has a decimal comma")
    want = want or text
    assert(text == want, ("%s: %s\nexpected: %s"):format(name, text, want))
  end
end)
