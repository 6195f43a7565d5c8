--- Compares bindings/api/ with what is registered, and with the modules in Lua: every name must be in both.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local reference = require "lurcher.reference"
local suggest = require "lurcher.suggest"
local test = harness.test

local modules = { "nn", "data", "optim", "image", "json" }
local files = {} -- in bindings/api/
for name in lfs.dir(harness.root .. "/bindings/api") do files[#files + 1] = name:match "^(%w.*)%.lua$" end
table.sort(files)

--- The modules of the library in Lua. Those in folders are parts of the others, but for models.
local library, networks = {}, {}
for name in lfs.dir(harness.root .. "/scripts/lurcher") do library[#library + 1] = name:match "^(%w.*)%.lua$" end
for name in lfs.dir(harness.root .. "/scripts/lurcher/models") do
  name = name:match "^(%w.*)%.lua$"
  if name then library[#library + 1] = "models." .. name end
  if name and name ~= "builder" then networks[#networks + 1] = name end
end
table.sort(library)


local function path_of(name) return ("%s/bindings/api/%s.lua"):format(harness.root, name) end

--- The text of all annotation files.
local function annotations()
  local texts = {}
  for i, name in ipairs(files) do
    local file <close> = assert(io.open(path_of(name)))
    texts[i] = file:read "a"
  end
  return table.concat(texts)
end

--- Set of the "class.name" that the annotations list. A class without a `local x = {}` after it describes a table of
-- options and is skipped.
local function annotated()
  local names, class, fields, owner_of = {}, nil, {}, {}
  local function bind(variable)
    if not class then return end
    owner_of[variable] = class
    for field in pairs(fields) do names[class .. "." .. field] = true end
    class, fields = nil, {}
  end
  for line in annotations():gmatch "[^\n]+" do
    local named = line:match "^%-%-%-@class ([%w_.]+)"
    if named then class, fields = named, {} end
    local field = line:match "^%-%-%-@field ([%w_]+)"
    if field then fields[field] = true end
    local variable = line:match "^local ([%w_]+) = {}$" or line:match "^(lurcher%.[%w_]+) = {}$"
    if variable then bind(variable) end
    local alias, of = line:match "^local ([%w_]+) = (lurcher%.[%w_]+)$"
    if alias then owner_of[alias] = owner_of[of] end
    local owner, name = line:match "^function ([%w_.]+)[.:]([%w_]+)%("
    if owner then names[assert(owner_of[owner], "no class for " .. owner) .. "." .. name] = true end
  end
  return names
end

local function add(names, class, members)
  for name in pairs(members or {}) do
    if type(name) == "string" and name:sub(1, 2) ~= "__" then names[class .. "." .. name] = true end
  end
end

--- Set of the "class.name" that are registered.
local function registered()
  local names = {}
  add(names, "lurcher", lurcher)
  for _, module in ipairs(modules) do add(names, "lurcher." .. module, lurcher[module]) end
  for class, metatable in pairs(debug.getregistry()) do
    if type(class) == "string" and class:find "^lurcher%." and type(metatable) == "table" then
      add(names, class, rawget(metatable, "__methods"))
      add(names, class, rawget(metatable, "__fields"))
    end
  end
  add(names, "lurcher.chain", debug.getregistry()["lurcher.chain"].__index)
  for _, name in ipairs(library) do
    local module = name ~= "strict" and require("lurcher." .. name)
    if type(module) == "table" then add(names, "lurcher." .. name, module) end
  end
  return names
end

local function missing(from, names)
  local list = {}
  for name in pairs(names) do
    if not from[name] then list[#list + 1] = name end
  end
  table.sort(list)
  return table.concat(list, ", ")
end

test("what is registered is annotated", function()
  local undocumented = missing(annotated(), registered())
  assert(undocumented == "", undocumented .. ": not in bindings/api")
end)

test("what is annotated is registered", function()
  local absent = missing(registered(), annotated())
  assert(absent == "", absent .. ": in bindings/api, but not registered")
end)

test("nothing is annotated twice", function()
  local seen = {}
  for line in annotations():gmatch "[^\n]+" do
    local name = line:match "^function [^(]+" or line:match "^%-%-%-@class [%w_.]+"
    assert(not (name and seen[name]), name)
    if name then seen[name] = true end
  end
end)

test("annotations are Lua", function()
  for _, name in ipairs(files) do assert(loadfile(path_of(name))) end
end)

test("modules are there for require", function()
  for _, module in ipairs(modules) do assert(require("lurcher." .. module) == lurcher[module]) end
end)

--- Every option must be documented, with its help, in the lines before `function NAME(`: as "`option`" or as a field.
local function holds_options(text, name, options)
  local before = text:sub(1, assert(text:find("\nfunction " .. name .. "(", 1, true), name))
  local section = before:match "^.*\nfunction [^\n]*\n(.*)$":gsub("\n%-%-%- ", " ")
  for _, option in ipairs(options) do
    local known = option.name == "name" or option.name == "trainable"
    local named = section:find("`" .. option.name .. "`", 1, true)
      or section:find("@field " .. option.name .. "%?? ")
    assert(known or named and section:find(option.help, 1, true),
      ("%s: option '%s' (%s)"):format(name, option.name, option.help))
  end
end

test("every option of layers and augmentation is annotated with its help", function()
  local text = annotations()
  for _, kind in ipairs(lurcher.nn.kinds()) do
    if kind ~= "input" and kind ~= "index" then holds_options(text, "nn." .. kind, (lurcher.nn.options(kind))) end
  end
  holds_options(text, "data.augment", lurcher.data.augment_options())
end)

--- The annotations of class `name` as a table: field -> its text, continuation lines included.
local function fields_of(name)
  local text, fields = annotations():gsub("\n%-%-%- ", " "), {}
  local _, start = assert(text:find("\n---@class " .. name .. "\n", 1, true))
  for line in text:sub(start + 1):gmatch "[^\n]+" do
    local field, help = line:match "^%-%-%-@field ([%w_]+)%??(.*)$"
    if field then fields[field] = help
    elseif not line:find "^%-%-%-@field %[" then break end
  end
  return fields
end

test("the options of compile and of loaders are annotated with their help, and no others", function()
  for class, options in pairs{ ["lurcher.compile_options"] = lurcher.nn.compile_options(),
    ["lurcher.loader_options"] = lurcher.data.loader_options() } do
    local fields = fields_of(class)
    for _, option in ipairs(options) do
      local help = assert(fields[option.name], class .. ": " .. option.name)
      assert(help:find(option.help, 1, true), ("%s: option '%s' (%s)"):format(class, option.name, option.help))
      fields[option.name] = nil
    end
    assert(next(fields) == nil, ("%s: no option '%s'"):format(class, next(fields)))
  end
end)

-- ---- the library in Lua ----

local texts = {}
for _, name in ipairs(files) do
  local file <close> = assert(io.open(path_of(name)))
  texts[name] = file:read "a"
end
local all = reference.read(texts)

test("every file of annotations is compiled in", function()
  for _, name in ipairs(files) do
    local text = lurcher.help(name == "models" and "xception" or name, true)
    assert(not text:find "^no help", name)
  end
end)

test("every module of the library is annotated, with a sentence", function()
  for _, name in ipairs(library) do
    local entry = assert(all.by_class["lurcher." .. name], name .. ": not in bindings/api")
    assert(entry.kind == "class" and #entry.text > 0, name .. ": no sentence")
  end
end)

--- The names that a function of options takes, as its error about an unknown one knows them; nil: it raised no such.
local function options_taken(f, ...)
  local hint, known = suggest.hint, nil
  suggest.hint = function(_, candidates)
    known = known or candidates
    return ""
  end
  local good, message = pcall(f, ...)
  suggest.hint = hint
  assert(not good, "an unknown option is accepted")
  return assert(known, message)
end

--- Compares the names that an error knows with the fields of an options class. Every callback takes `era`.
local function compare_options(name, known, class)
  local fields, entry = {}, all.by_class[class]
  while entry do
    for _, field in ipairs(entry.fields) do
      if not field.name:find "^%[" then fields[field.name] = true end
    end
    entry = all.by_class[entry.base or ""]
  end
  local names = {}
  for _, option in ipairs(known) do names[option] = true end
  for option in pairs(names) do
    assert(fields[option] or option == "era", ("%s: option '%s' is not annotated"):format(name, option))
    fields[option] = nil
  end
  assert(next(fields) == nil, ("%s has no option '%s', which is annotated"):format(name, tostring(next(fields))))
end

--- The functions of a module whose annotations name a class of options: { member, class }.
local function with_options(module)
  local list = {}
  for _, entry in ipairs(all.entries) do
    local first = entry.owner == "lurcher." .. module and entry.params[1]
    local class = first and first.type:match "lurcher%.[%w_]+_options"
    if class then list[#list + 1] = { entry.member, class } end
  end
  return list
end

test("the options of callbacks, schedules and samplers are annotated, and no others", function()
  local count = 0
  for _, module in ipairs{ "callbacks", "schedules", "samplers" } do
    for _, row in ipairs(with_options(module)) do
      local given = module == "samplers" and { 10, nonsense = 1 } or { nonsense = 1 }
      compare_options(module .. "." .. row[1], options_taken(require("lurcher." .. module)[row[1]], given), row[2])
      count = count + 1
    end
  end
  assert(count == 9 + 3 + 9, count)
end)

test("the options of fit, of backbones and of the ticker are annotated, and no others", function()
  local run = { train = print }
  compare_options("fit", options_taken(require "lurcher.fit", run, {}, { nonsense = 1 }), "lurcher.fit_options")
  for _, name in ipairs(networks) do
    local class = all.by_class["lurcher.models." .. name].overloads[1]:match "lurcher%.[%w_]+_options"
    compare_options(name, options_taken(require("lurcher.models." .. name), { nonsense = 1 }), class)
  end
  compare_options("ticker", options_taken(require "lurcher.ticker", { nonsense = 1 }), "lurcher.ticker_options")
end)

test("the defaults of callbacks are those of the annotations", function()
  local output = harness.run(("'%s' -e '%s'"):format(harness.program, [[
    local common = require "lurcher.callbacks.common"
    common.settings = function(kind, _, defaults)
      for name, value in pairs(defaults) do
        if type(value) == "string" then value = ("%q"):format(value) end
        if value and type(value) ~= "userdata" then print(kind, name, lurcher.format("%s", value)) end
      end
      error "enough"
    end
    local on = require "lurcher.callbacks"
    for _, f in pairs(on) do pcall(f, {}) end]]))
  local count = 0
  for kind, name, default in output:gmatch "([%w_]+)\t([%w_]+)\t([^\t\n]+)" do
    local help = assert(fields_of("lurcher." .. kind .. "_options")[name], kind .. "." .. name)
    assert(help:find("default " .. default, 1, true), ("%s: option '%s': default %s"):format(kind, name, default))
    count = count + 1
  end
  assert(count > 20, output)
end)

--- What a short fit gives to a callback: calls[method] = its arguments, and the set of the state's fields.
local function recorded()
  local calls, seen = {}, {}
  local callback = {}
  for _, field in ipairs(all.by_class["lurcher.callback"].fields) do
    if field.name:find "^on_" then
      callback[field.name] = function(_, ...)
        calls[field.name] = { n = select("#", ...), ... }
        for name in pairs((select(select("#", ...), ...))) do seen[name] = true end
      end
    end
  end
  local nn = lurcher.nn
  local model = nn.model{ out = nn.dense(2)(nn.input("image", 3)) }
  local run <close> = model:compile{ device = "cpu", loss = "mse", optimizer = "sgd" }
  local batches = { { image = lurcher.ones(2, 3), out = lurcher.ones(2, 2) } }
  require "lurcher.fit"(run, batches, { progress = false, steps = 1, valid = batches, callback })
  return calls, seen
end

test("every hook is called with the arguments that are annotated", function()
  local calls = recorded()
  for _, field in ipairs(all.by_class["lurcher.callback"].fields) do
    if field.name:find "^on_" then
      local call = assert(calls[field.name], field.name .. " is never called")
      local parameters = field.type:match "^fun%(self, (.*)%)$"
      local _, commas = parameters:gsub(",", "")
      assert(call.n == commas + 1, field.name)
      local i = 0
      for name, kind in parameters:gmatch "(%w+): ([%w_.]+)" do
        i = i + 1
        local want = kind == "integer" and "integer" or "table"
        local got = want == "integer" and math.type(call[i]) or type(call[i])
        assert(got == want, ("%s: %s is %s"):format(field.name, name, got))
      end
    end
  end
end)

test("every field of a fit's state is annotated, and no other", function()
  local fields, _, seen = {}, recorded()
  for _, field in ipairs(all.by_class["lurcher.fit_state"].fields) do fields[field.name] = true end
  for name in pairs(seen) do assert(fields[name], "state." .. name .. " is not annotated") end
  for name in pairs(fields) do assert(seen[name] or name == "failed", "there is no state." .. name) end
end)

-- ---- sentences ----

test("every public name has a sentence", function()
  local bare = {}
  for _, entry in ipairs(all.entries) do
    local is_public = entry.kind == "function" or entry.kind == "class"
    if is_public and not table.concat(entry.text, " "):find "%a" then bare[#bare + 1] = entry.name end
  end
  assert(#bare == 0, ("%d names have no sentence: %s"):format(#bare, table.concat(bare, ", ")))
end)

--- What the examples are about.
local function example_values()
  local nn, data = lurcher.nn, lurcher.data
  local hidden = nn.dense{ 5, activation = "relu", name = "hidden" }(nn.input("image", 4))
  local model = nn.model{ breed = nn.dense{ 3, activation = "softmax", name = "dense_1" }(hidden) }
  return { lurcher = lurcher, nn = nn, data = data, optim = lurcher.optim, image = lurcher.image,
    t = lurcher.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }, ids = lurcher.tensor{ 0, 2, dtype = "i32" },
    scores = lurcher.tensor{ { 1, 2, 3, 0, 1, 2 }, { 4, 5, 6, 0, 1, 2 } }, name = "pug",
    x = nn.input("x", 8, 8, 4), v = nn.input("v", 6), img = lurcher.zeros{ 16, 16, 3, dtype = "u8" },
    random = data.random(1), model = model, layer = model:layer "dense_1",
    run = model:compile{ device = "cpu", loss = "categorical_crossentropy", optimizer = "sgd" },
    batch = { image = lurcher.ones(2, 4), breed = lurcher.tensor{ 0, 2, dtype = "i32" } } }
end

--- A folder with the files that the examples read.
local function example_folder()
  local folder = harness.folder "api"
  local values = example_values()
  assert(values.run:save(folder .. "/pug.safetensors"))
  assert(values.model:save(folder .. "/pug.h5"))
  assert(lurcher.save_tensors(folder .. "/t.safetensors", { t = values.t }))
  assert(require "lurcher.files".make_folders(folder .. "/dogs/train/pug"))
  for _, name in ipairs{ "pug.jpg", "dogs/train/pug/1.jpg" } do
    assert(lurcher.image.save(folder .. "/" .. name, values.img))
  end
  return folder
end

test("the examples run", function()
  local count, here = 0, lfs.currentdir()
  local home <close> = setmetatable({}, { __close = function() lfs.chdir(here) end })
  assert(lfs.chdir(example_folder()))
  for _, entry in ipairs(all.entries) do
    if entry.usage then
      local values = example_values()
      values.print = function() end
      local globals = setmetatable(values, { __index = _G })
      local example = load("return " .. entry.usage, entry.name, "t", globals)
        or load(entry.usage, entry.name, "t", globals)
      local good, message = pcall(assert(example, entry.usage))
      assert(good, ("%s: %s: %s"):format(entry.name, entry.usage, message))
      assert(entry.usage:find(entry.member, 1, true), entry.name .. ": its example does not use it")
      count = count + 1
    end
  end
  assert(count > 150, count)
end)

test("layers, optimizers, tensors, images and runs have examples", function()
  local bare = {}
  for _, entry in ipairs(all.entries) do
    local text = "\n" .. table.concat(entry.text, "\n")
    local has = entry.usage or text:find "`" or text:find "\n    "
    local wanted = entry.owner == "lurcher.nn" or entry.owner == "lurcher.optim" or entry.owner == "lurcher.tensor"
      or entry.owner == "lurcher.image" or entry.owner == "lurcher.run" or entry.owner == "lurcher.callbacks"
      or entry.owner == "lurcher.schedules" or entry.owner == "lurcher.samplers"
    if wanted and not has and entry.member ~= "close" then bare[#bare + 1] = entry.name end
  end
  assert(#bare == 0, table.concat(bare, ", ") .. ": no example")
end)

--- The range of a numeric option as its error names it: "at least 1", "from 0 to 1"; nil: it has none.
local function range_of(f, option)
  local message = tostring(select(2, pcall(f, { [option] = "no number" })))
  if message:find("positive integer expected, got", 1, true) then return "at least 1" end
  local low, high = message:match " from (%S+) to (%S+) expected, got"
  if not low then return nil end
  return lurcher.number(high) >= 1e7 and "at least " .. low or ("from %s to %s"):format(low, high)
end

test("help has the ranges of numeric options of layers, augmentation and optimizers", function()
  local count = 0
  local function check(name, f, option)
    local range = range_of(f, option)
    if not range then return end
    local text = lurcher.help(name, true):gsub("%s+", " ")
    assert(text:find(option .. "`?[^:]-" .. range:gsub("%p", "%%%0")),
      ("%s: option '%s' is %s"):format(name, option, range))
    count = count + 1
  end
  for _, kind in ipairs(lurcher.nn.kinds()) do
    if kind ~= "input" and kind ~= "index" then
      for _, o in ipairs((lurcher.nn.options(kind))) do check("nn." .. kind, lurcher.nn[kind], o.name) end
    end
  end
  for _, o in ipairs(lurcher.data.augment_options()) do check("data.augment", lurcher.data.augment, o.name) end
  for _, field in ipairs(all.by_class["lurcher.nadam_options"].fields) do
    check("optim.nadam", lurcher.optim.nadam, field.name)
  end
  for _, field in ipairs(all.by_class["lurcher.optimizer_options"].fields) do
    check("optim.sgd", lurcher.optim.sgd, field.name)
  end
  assert(count > 60, count)
end)

test("help explains every public name, by its name", function()
  for _, entry in ipairs(all.entries) do
    if entry.kind == "function" then
      local text, found = lurcher.help(entry.name, true)
      assert(found and text:find(entry.name .. "(", 1, true), entry.name)
    end
  end
end)
