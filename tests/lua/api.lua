--- Compares bindings/api/ with what is registered: every name must be in both.
local harness = require "harness"
local lurcher = require "lurcher"
local test = harness.test

local modules = { "nn", "data", "optim", "image", "json" }
local files = { "lurcher", "nn", "run", "data" } -- in bindings/api/

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
  local section = before:match "^.*\nfunction [^\n]*\n(.*)$"
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
