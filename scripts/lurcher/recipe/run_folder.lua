--- lurcher.run_folder: a folder with everything needed to repeat or resume a training.
-- It holds settings.json (recipe, version, options, seed, device, threads), command.txt, model.txt, model.json,
-- load_report.txt, history.csv, checkpoints/last.safetensors and best.safetensors, and model.safetensors at the end.
-- What goes into these files is the recipe's; this file only makes, names and reads them.

local lfs = require "lfs"
local lurcher = require "lurcher"
local folders = require "lurcher.folders"

local run_folder = {}
run_folder.__index = run_folder

run_folder.make_folders = folders.make -- where it was before lurcher.folders

--- "runs/single_model-001", the first number that is free.
function run_folder.free_path(recipe)
  for i = 1, 9999 do
    local path = ("runs/%s-%03d"):format(recipe, i)
    if not lfs.attributes(path) then return path end
  end
  return ("runs/%s-%d"):format(recipe, os.time())
end

local function quoted(word)
  if word:find("^[%w_./:=,+-]+$") then return word end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- The command line that repeats what the option values say, options at their defaults left out.
local function command_of(spec, values)
  local words = { "lurcher", spec.name }
  for _, option in ipairs(spec) do
    local value = values[(option[1]:gsub("-", "_"))]
    if option[2] == "flag" then
      if value ~= (option.default or false) then words[#words + 1] = (value and "--" or "--no-") .. option[1] end
    elseif value ~= nil and value ~= option.default then
      words[#words + 1] = "--" .. option[1] .. " " .. quoted(("%s"):format(value))
    end
  end
  return table.concat(words, " ")
end

--- An option's value as settings.json keeps it: a path from the root, so that a run can be resumed from another folder.
local function kept_value(option, value)
  if option[2] == "path" and value ~= nil then return folders.absolute(value) end
  return value
end

--- Raises where there is a run in the folder that a new one is to have: before work that would be in vain.
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
  assert(folders.make(path .. "/checkpoints"))
  local folder = setmetatable({ path = path }, run_folder)
  local kept = {}
  for _, option in ipairs(spec) do
    local key = (option[1]:gsub("-", "_"))
    if key ~= "resume" and key ~= "out" then kept[key] = kept_value(option, values[key]) end
  end
  folder.settings = { recipe = spec.name, version = lurcher.version, options = kept, threads = lurcher.threads(),
    started = os.date "!%Y-%m-%dT%H:%M:%SZ" }
  folder:write("settings.json", lurcher.json.encode(folder.settings, true) .. "\n")
  folder:write("command.txt", command_of(spec, values) .. "\n")
  return folder
end

--- The folder of an earlier run of `recipe`. Returns it, or nil and a message.
function run_folder.open(path, recipe)
  local file, reason = io.open(path .. "/settings.json", "rb")
  if not file then return nil, ("'%s' is no run folder: %s"):format(path, reason) end
  local text = file:read "a"
  file:close()
  local settings, message = lurcher.json.decode(text)
  if type(settings) ~= "table" or type(settings.options) ~= "table" then
    return nil, ("'%s/settings.json' is damaged%s"):format(path, message and ": " .. message or "")
  end
  if settings.recipe ~= recipe then
    return nil, ("'%s' is a run of '%s', not of '%s'"):format(path, tostring(settings.recipe), recipe)
  end
  return setmetatable({ path = path, settings = settings }, run_folder)
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

--- For options.main's `adjust`: with --resume DIR, takes every option from DIR's settings but those of `free` (a set of
-- option names that may change); another option given with another value is refused. Returns values, or nil, message.
function run_folder.resumed(spec, values, given, free)
  if not values.resume then return values end
  local folder, message = run_folder.open(values.resume, spec.name)
  if not folder then return nil, message end
  for _, option in ipairs(spec) do
    local key = (option[1]:gsub("-", "_"))
    local before = folder.settings.options[key]
    if free[option[1]] then
      if given[key] == nil and before ~= nil then values[key] = before end
    elseif key ~= "resume" and key ~= "out" then
      if given[key] ~= nil and kept_value(option, given[key]) ~= before then
        return nil, ("--%s cannot change in a resumed run: it was %s, now %s"):format(option[1], tostring(before),
          tostring(given[key]))
      end
      values[key] = before
      if option[2] == "integer" and before ~= nil then values[key] = math.tointeger(before) end
    end
  end
  values.out = values.resume
  return values
end

return run_folder
