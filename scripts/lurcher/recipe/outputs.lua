--- lurcher.recipe.outputs: whether the files and folders that a command is to write can be written, and are not what it
-- or another run needs. Found out at the start, not after hours of work.

local lfs = require "lfs"
local files = require "lurcher.files"

local outputs = {}

--- Files of a run folder that only the run itself writes.
local of_a_run <const> = {}
for name in ([[settings.json command.txt model.txt model.json model.safetensors pairs.safetensors history.csv
  figures.json stage.json training.json images.txt pseudo_labels.txt load_report.txt
  load_report_inception_v3.txt]]):gmatch "%S+" do
  of_a_run[name] = true
end

--- Whether a path is one of a run's own files, or a checkpoint.
local function belongs_to_run(path)
  local folder = files.parent(path)
  local name = path:match "[^/]*$"
  local is_run = lfs.attributes(folder .. "/settings.json") or lfs.attributes(folder .. "/stage.json")
  local is_checkpoint = name:find "%.safetensors$" and files.absolute(folder):find "/checkpoints$"
  return is_checkpoint and lfs.attributes(path) ~= nil or is_run and of_a_run[name]
end

--- Whether the files of a list can be written: { { path, what the user calls it }, ... }. inputs: the same of what the
-- command reads. Returns true, or nil and a message.
function outputs.check(list, inputs)
  for i, output in ipairs(list) do
    local path, what = output[1], output[2]
    for k = 1, i - 1 do
      if files.same(path, list[k][1]) then
        return nil, ("%s and %s would both be written to '%s': name another file"):format(list[k][2], what, path)
      end
    end
    for _, input in ipairs(inputs) do
      if files.same(path, input[1]) then
        return nil, ("%s would overwrite '%s', which is %s: name another file"):format(what, path, input[2])
      end
    end
    if belongs_to_run(path) then
      return nil, ("%s would overwrite '%s', a file of the run there: name another file"):format(what, path)
    end
    local ok, message = files.check_writable(path)
    if not ok then return nil, ("%s '%s' cannot be written: %s"):format(what, path, message) end
  end
  return true
end

--- The same of what the options and arguments of a command line name, by their types: "file", and of type "path" the
-- folder --out and those that the option's declaration calls written.
function outputs.of(spec, values)
  local list, inputs = {}, {}
  for i, path in ipairs(values.arguments) do inputs[i] = { path, "an argument" } end
  for _, option in ipairs(spec) do
    local value, name = values[option[1]:gsub("-", "_")], "--" .. option[1]
    if value ~= nil and option[2] == "file" then
      list[#list + 1] = { value, name }
    elseif value ~= nil and option.written then
      local ok, message = files.check_folder(value)
      if not ok then return nil, ("%s '%s' cannot be made: %s"):format(name, value, message) end
    elseif value ~= nil and option[2] == "path" and option[1] ~= "out" and value ~= option.none then
      inputs[#inputs + 1] = { value, name }
    elseif value ~= nil and option[2] == "path" and option[1] == "out" and not values.resume then
      local ok, message = files.check_folder(value)
      if not ok then return nil, ("--out '%s' cannot be made: %s"):format(value, message) end
    end
  end
  return outputs.check(list, inputs)
end

return outputs
