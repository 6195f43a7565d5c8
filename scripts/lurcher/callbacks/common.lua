--- lurcher.callbacks.common: what the callbacks share: options, the monitored log, the weights that training changes.

local lfs = require "lfs"
local logs_of = require "lurcher.logs"
local suggest = require "lurcher.suggest"

local common = {}

--- Defaults under `given`, which may also be a bare value for the first positional option. Raises at the caller's
-- caller for unknown options, and for values of another type where the default is a number or a string. first: what
-- the positional option is, for messages; nil: there is none.
function common.settings(kind, given, defaults, first)
  if type(given) ~= "table" then given = { given } end
  if given[1] ~= nil and not first then
    error(("on.%s takes named options, on.%s{ NAME = value }, got %s"):format(kind, kind, type(given[1])), 3)
  end
  local names = { "era" }
  for name in pairs(defaults) do names[#names + 1] = name end
  local o = {}
  for name, value in pairs(defaults) do o[name] = value end
  for name, value in pairs(given) do
    if name ~= 1 and name ~= "era" and defaults[name] == nil then
      error(("unknown option '%s' to 'on.%s'%s"):format(tostring(name), kind, suggest.hint(tostring(name), names)), 3)
    end
    local wanted = type(defaults[name])
    if (wanted == "number" or wanted == "string") and type(value) ~= wanted then
      error(("bad option '%s' to 'on.%s' (a %s expected, got %s)"):format(name, kind, wanted, type(value)), 3)
    end
    o[name] = value
  end
  if o.era ~= nil and o.era ~= "2017" then
    error(("bad option 'era' to 'on.%s' (\"2017\" or nothing expected, got %s)"):format(kind, tostring(o.era)), 3)
  end
  return o
end

--- Raises where the folder of a file to be written does not exist: at the start, not after an epoch.
function common.check_folder(kind, path)
  local folder = path:match "^(.+)/[^/]*$"
  if folder and not folder:find("{", 1, true) and lfs.attributes(folder, "mode") ~= "directory" then
    error(("on.%s: there is no folder '%s' for '%s'"):format(kind, folder, path), 0)
  end
end

--- The monitored value. Raises where there is none.
function common.monitored(kind, name, logs)
  local value = logs[name]
  if type(value) ~= "number" then
    error(("on.%s: no log named '%s' to monitor (there are: %s)"):format(kind, name,
      table.concat(logs_of.names(logs), ", ")), 0)
  end
  return value
end

--- Larger is better for accuracies only, as in Keras's "auto" mode.
local function larger_is_better(name) return name:find("acc", 1, true) ~= nil end

--- Whether `value` beats `best` (nil: yes) by more than `margin`. NaN never does.
function common.improved(name, value, best, margin)
  if value ~= value then return false end
  if best == nil then return true end
  if larger_is_better(name) then return value - margin > best end
  return value + margin < best
end

--- Adds the learned weights that only the run's losses have. They are no layers of the model, so `layer` is a table
-- with what callbacks use of one.
local function add_loss_weights(list, run, known)
  for _, entry in ipairs(run.weights and run:weights() or {}) do
    if entry.learned and not known[entry.layer] then
      local layer = { name = entry.layer }
      function layer.set_weight(_, _, value) entry.tensor:copy(value) end
      list[#list + 1] = { layer = layer, name = entry.name, value = entry.tensor,
        key = entry.layer .. "/" .. entry.name }
    end
  end
end

--- The weights that training changes, as a list of { layer =, name =, value = tensor }; each value shares the layer's
-- memory. Those of layers that learn, and of every batch norm: frozen ones change too with batchnorm = "batch"; and
-- those of the run's losses.
function common.learned(model, run)
  local list, known = {}, {}
  for _, layer in ipairs(model.layers) do
    known[layer.name] = true
    if layer.trainable or layer.kind == "batchnorm" then
      for name, value in pairs(layer:weights()) do
        list[#list + 1] = { layer = layer, name = name, value = value, key = layer.name .. "/" .. name }
      end
    end
  end
  add_loss_weights(list, run, known)
  table.sort(list, function(a, b) return a.key < b.key end)
  return list
end

--- A tensor in host memory: itself, or a copy of a device's.
function common.on_host(tensor)
  return tensor.device == "cpu" and tensor or tensor:to "cpu"
end

return common
