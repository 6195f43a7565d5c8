--- lurcher.recipe.run_folder: a folder with everything needed to repeat or resume a training: settings.json (recipe,
-- version, options, seed, device, threads), command.txt, model.txt, model.json, load_report.txt, history.csv, images.txt
-- (image_list), training.json (training_record), transform.lua (a copy of --transform's file),
-- checkpoints/last.safetensors and best.safetensors, until
-- the end checkpoints/start.safetensors (the weights that training started from), and model.safetensors at the end.
-- The recipe decides what goes into these files; this module makes, names and reads them. Paths in them follow the rule
-- of kept_path.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files, shell = require "lurcher.files", require "lurcher.shell"
local image_list, kept_path = require "lurcher.recipe.image_list", require "lurcher.kept_path"
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

--- An option's value in the files of the run folder `path`. none: a word that the option takes beside paths.
local function kept_value(option, value, path)
  if option[2] == "path" and value ~= nil and value ~= option.none then return kept_path.of(value, path) end
  return value
end

--- The command line of these values, without options at their defaults. path: the run folder.
local function command_of(spec, values, path)
  local words = { "lurcher", spec.name }
  for _, option in ipairs(spec) do
    local value, default = values[key_of(option)], options.default(option, values)
    if option[2] == "flag" then
      if value ~= nil and value ~= (default or false) then
        words[#words + 1] = (value and "--" or "--no-") .. option[1]
      end
    elseif value ~= nil and value ~= default then
      if option[1] ~= "out" then value = kept_value(option, value, path) end
      words[#words + 1] = "--" .. option[1] .. " " .. shell.quoted(lurcher.format("%s", value))
    end
  end
  return table.concat(words, " ")
end

--- The values of a run's settings.json by option, checked: an option that a version did not have yet has its default.
-- Or nil and a message.
local function kept_values(spec, folder)
  local values = {}
  for _, option in ipairs(spec) do
    local value, expected = folder.settings.options[settings_key(option)], nil
    if value == nil then
      value = option.default
      if type(value) == "function" then value = nil end -- what it follows from is younger than the run
      if value == nil and option.default == nil and option[2] == "flag" then value = false end
    elseif is_setting(option) then
      value, expected = options.checked(option, value)
      if expected then
        return nil, ("'%s' is damaged: option '%s' has a bad value (%s expected)"):format(folder:file "settings.json",
          settings_key(option), expected)
      end
      if option[2] == "path" and value ~= option.none then value = kept_path.resolved(value, folder.path) end
    end
    values[key_of(option)] = value
  end
  return values
end

--- The identity of --transform's file; nil without one. Raises where it is no transform.
local function hash_of_transform(values)
  if not values.transform then return nil end
  local good, text = pcall(lurcher.data.transform_hash, values.transform)
  if not good then error("--transform: " .. (text:match "^bad option 'transform' [^(]*(%b())$" or text), 0) end
  return text
end

--- For options.main's `adjust`: with --resume DIR, takes every option from DIR's settings. Paths may be given again,
-- because what they name may have been moved, and so may options of `free`, a set of names; others may not change.
-- Returns values, or nil and a message.
function run_folder.resumed(spec, values, given, free)
  if not values.resume then return values end
  local folder, message = run_folder.open(values.resume, spec.name)
  if not folder then return nil, message end
  local kept, trouble = kept_values(spec, folder)
  if not kept then return nil, trouble end
  for _, option in ipairs(spec) do
    local key = key_of(option)
    local before, now = kept[key], given[key]
    if is_setting(option) and now == nil then
      values[key] = before
    elseif is_setting(option) and not free[option[1]] and option[2] ~= "path" and now ~= before then
      return nil, ("--%s cannot change in a resumed run: it was %s, now %s"):format(option[1], tostring(before),
        tostring(now))
    end
  end
  if hash_of_transform(values) ~= folder.settings.transform_hash then
    return nil, ("--transform cannot change in a resumed run: '%s' is not what it was (its folder has a copy, "
      .. "transform.lua)"):format(values.transform)
  end
  values.resume = files.trimmed(values.resume)
  values.out = values.resume
  return values
end

-- ---- the folder ----

--- The folder at a path, whatever is in it.
function run_folder.at(path) return setmetatable({ path = files.trimmed(path) }, run_folder) end

--- Raises where there is a run in the folder that a new one is to have: before work that would be lost.
function run_folder.check_free(path)
  if lfs.attributes(path .. "/settings.json") then
    error(("the folder '%s' holds a run already: continue it with --resume %s, or name another with --out"):format(path,
      shell.quoted(path)), 0)
  end
end

--- Makes the folder of a new run, at values.out or the next free place under runs/, and writes settings.json and
-- command.txt. Raises where the folder holds a run already or cannot be made.
function run_folder.create(spec, values)
  local path = files.trimmed(values.out or run_folder.free_path(spec.name))
  run_folder.check_free(path)
  local transform_hash = hash_of_transform(values)
  assert(files.make_folders(path .. "/checkpoints"))
  local folder, kept = run_folder.at(path), {}
  for _, option in ipairs(spec) do
    if is_setting(option) then kept[settings_key(option)] = kept_value(option, values[key_of(option)], path) end
  end
  folder.settings = { recipe = spec.name, version = lurcher.version, options = kept, threads = lurcher.threads(),
    started = os.date "!%Y-%m-%dT%H:%M:%SZ",
    transform_hash = transform_hash }
  folder:write("settings.json", lurcher.json.encode(folder.settings, true) .. "\n")
  folder:write("command.txt", command_of(spec, values, path) .. "\n")
  if values.transform then folder:write("transform.lua", assert(files.read(values.transform))) end
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

--- Settings whose paths were given again go into settings.json.
local function keep_moved(folder, spec, values)
  local kept, is_moved = folder.settings.options, false
  for _, option in ipairs(spec) do
    local key, value = settings_key(option), values[key_of(option)]
    local is_path = option[2] == "path" and is_setting(option) and value ~= nil
    local before = is_path and type(kept[key]) == "string" and kept_path.resolved(kept[key], folder.path)
    if is_path and (not before or value ~= option.none and not files.same(before, value)) then
      kept[key], is_moved = kept_value(option, value, folder.path), true
    end
  end
  if is_moved then folder:write("settings.json", lurcher.json.encode(folder.settings, true) .. "\n") end
end

--- The folder of a recipe's run: that of values.resume, or a new one. sets: of class_folders.open, whose images become
-- those of the run.
function run_folder.start(spec, values, sets)
  local folder
  if values.resume then
    folder = run_folder.open(values.resume, spec.name)
    if not folder then error(select(2, run_folder.open(values.resume, spec.name)), 0) end
    keep_moved(folder, spec, values)
  else
    folder = run_folder.create(spec, values)
  end
  if sets and sets.list then folder:write("images.txt", sets.list.text) end
  return folder
end

-- ---- what training started from ----

local START <const> = "checkpoints/start.safetensors"

--- Keeps the weights that training starts from until forget_start: what a resume needs beside the last checkpoint,
-- which may hold only the layers that learn. from: a model, or the file of one.
function run_folder:keep_start(from)
  local path = self:file(START)
  local ok, message
  if type(from) ~= "string" then
    ok, message = from:save(path)
  else
    ok = lfs.link(from, path) -- no copy: a file of weights is replaced, never changed
    if not ok then
      local text, trouble = files.read(from)
      ok, message = text and lurcher.write_file(path, text), trouble
    end
  end
  if not ok then error(message or ("cannot write '%s'"):format(path), 0) end
end

function run_folder:forget_start() os.remove(self:file(START)) end

--- The first of the start's weights and the files of these names that a resumed run's folder has; nil for none.
function run_folder.start_of(path, ...)
  for _, name in ipairs{ START, ... } do
    local file = path .. "/" .. name
    if lfs.attributes(file, "mode") == "file" then return file end
  end
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
