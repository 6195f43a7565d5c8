--- lurcher.recipe.run_folder: a folder with everything needed to repeat or resume a training: settings.json (recipe,
-- version, options, seed, device, threads), command.txt, model.txt, model.json, load_report.txt, history.csv,
-- checkpoints/last.safetensors and best.safetensors, and model.safetensors at the end.
-- The recipe decides what goes into these files; this module makes, names and reads them.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files = require "lurcher.files"
local options = require "lurcher.recipe.options"

local run_folder = {}
run_folder.__index = run_folder

run_folder.make_folders = files.make_folders -- where it was before lurcher.files

--- "runs/single_model-001", the first number that is free.
function run_folder.free_path(recipe)
  for i = 1, 9999 do
    local path = ("runs/%s-%03d"):format(recipe, i)
    if not lfs.attributes(path) then return path end
  end
  return ("runs/%s-%d"):format(recipe, os.time())
end

-- ---- settings ----

--- An option's name in the table of values.
local function key_of(option) return (option[1]:gsub("-", "_")) end

--- An option's name in settings.json: the first it ever had, so that runs of any version read alike.
local function settings_key(option) return ((option.was or option[1]):gsub("-", "_")) end

--- Options that name a run folder are not part of its settings.
local function is_setting(option) return option[1] ~= "resume" and option[1] ~= "out" end

local function quoted(word)
  if word:find("^[%w_./:=,+-]+$") then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- The command line of these values, without options at their defaults.
local function command_of(spec, values)
  local words = { "lurcher", spec.name }
  for _, option in ipairs(spec) do
    local value, default = values[key_of(option)], options.default(option, values)
    if option[2] == "flag" then
      if value ~= nil and value ~= (default or false) then
        words[#words + 1] = (value and "--" or "--no-") .. option[1]
      end
    elseif value ~= nil and value ~= default then
      words[#words + 1] = "--" .. option[1] .. " " .. quoted(lurcher.format("%s", value))
    end
  end
  return table.concat(words, " ")
end

--- An option's value in settings.json: a path from the root, so that a run can be resumed from another folder.
local function kept_value(option, value)
  if option[2] == "path" and value ~= nil then return files.absolute(value) end
  return value
end

--- For options.main's `adjust`: with --resume DIR, takes every option from DIR's settings. Those of `free`, a set of
-- names, may be given again with another value; others may not. Returns values, or nil and a message.
function run_folder.resumed(spec, values, given, free)
  if not values.resume then return values end
  local folder, message = run_folder.open(values.resume, spec.name)
  if not folder then return nil, message end
  for _, option in ipairs(spec) do
    local key, before = key_of(option), folder.settings.options[settings_key(option)]
    if option[2] == "integer" and before ~= nil then before = math.tointeger(before) end
    if free[option[1]] then
      if given[key] == nil and before ~= nil then values[key] = before end
    elseif is_setting(option) then
      if given[key] ~= nil and kept_value(option, given[key]) ~= before then
        return nil, lurcher.format("--%s cannot change in a resumed run: it was %s, now %s", option[1], before,
          given[key])
      end
      values[key] = before
    end
  end
  values.out = values.resume
  return values
end

-- ---- the folder ----

--- The folder at a path, whatever is in it.
function run_folder.at(path) return setmetatable({ path = path }, run_folder) end

--- Raises where there is a run in the folder that a new one is to have: before work that would be lost.
function run_folder.check_free(path)
  if lfs.attributes(path .. "/settings.json") then
    error(("the folder '%s' holds a run already: continue it with --resume %s, or name another with --out"):format(path,
      path), 0)
  end
end

--- Makes the folder of a new run, at values.out or the next free place under runs/, and writes settings.json and
-- command.txt. Raises where the folder holds a run already or cannot be made.
function run_folder.create(spec, values)
  local path = values.out or run_folder.free_path(spec.name)
  run_folder.check_free(path)
  assert(files.make_folders(path .. "/checkpoints"))
  local folder, kept = run_folder.at(path), {}
  for _, option in ipairs(spec) do
    if is_setting(option) then kept[settings_key(option)] = kept_value(option, values[key_of(option)]) end
  end
  folder.settings = { recipe = spec.name, version = lurcher.version, options = kept, threads = lurcher.threads(),
    started = os.date "!%Y-%m-%dT%H:%M:%SZ" }
  folder:write("settings.json", lurcher.json.encode(folder.settings, true) .. "\n")
  folder:write("command.txt", command_of(spec, values) .. "\n")
  return folder
end

--- The folder of an earlier run of `recipe`. Returns it, or nil and a message.
function run_folder.open(path, recipe)
  local text, reason = files.read(path .. "/settings.json")
  if not text then return nil, ("'%s' is not a run folder: %s"):format(path, reason) end
  local settings, message = lurcher.json.decode(text)
  if type(settings) ~= "table" or type(settings.options) ~= "table" then
    return nil, ("'%s/settings.json' is damaged%s"):format(path, message and ": " .. message or "")
  end
  if settings.recipe ~= recipe then
    return nil, ("'%s' is a run of '%s', not of '%s'"):format(path, tostring(settings.recipe), recipe)
  end
  local folder = run_folder.at(path)
  folder.settings = settings
  return folder
end

--- The folder of a recipe's run: that of values.resume, or a new one.
function run_folder.start(spec, values)
  return values.resume and assert(run_folder.open(values.resume, spec.name)) or run_folder.create(spec, values)
end

--- Path of a file of the folder.
function run_folder:file(name) return self.path .. "/" .. name end

--- The file's path where it exists, else nil.
function run_folder:existing(name)
  local path = self:file(name)
  return lfs.attributes(path, "mode") == "file" and path or nil
end

--- Writes a file of the folder whole. Raises where that fails.
function run_folder:write(name, text)
  local ok, message = lurcher.write_file(self:file(name), text)
  if not ok then error(message, 0) end
end

--- Writes a model's layer table and definition.
function run_folder:write_model(model)
  self:write("model.txt", tostring(model) .. "\n")
  self:write("model.json", model:json() .. "\n")
end

return run_folder
