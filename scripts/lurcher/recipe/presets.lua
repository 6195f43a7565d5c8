--- lurcher.recipe.presets: values of options that belong together, chosen by one (--preset). `original` are those of
-- the original competition code (see the project's README); `modern` are methods found since 2017: AdamW or SGD whose
-- learning rate rises and then follows half a cosine, label smoothing, averaged weights, crops and colour changes.
-- An option that is given counts, whatever the preset.
--
--     presets.choice "modern",
--     presets.option({ "ema", "number", min = 0, help = "..." }, 0.98, 0),

local lurcher = require "lurcher"
local options = require "lurcher.recipe.options"

local presets = {}

presets.names = { "modern", "original" }

--- The option --preset, in front of those that follow from it. default: in the current era.
function presets.choice(default)
  return { "preset", "choice", choices = presets.names,
    default = function(values) return values.era == "2017" and "original" or default end,
    default_text = default == "modern" and "modern, or original in era 2017" or default,
    help = "values of the options that are not given; modern: methods found since 2017; original: those of the "
      .. "original" }
end

local function value_of(choice, values)
  if type(choice) == "function" then return choice(values) end
  return choice
end

local function text_of(choice, text)
  if text then return text end
  if type(choice) == "boolean" then return choice and "on" or "off" end
  return lurcher.format("%s", choice)
end

--- An option whose default is `modern` or `original`, by the preset. Either may be a function of the values, and needs
-- a text for --help then.
function presets.option(option, modern, original, modern_text, original_text)
  option.by_preset = true
  function option.default(values) return value_of(values.preset == "modern" and modern or original, values) end
  local one, other = text_of(modern, modern_text), text_of(original, original_text)
  option.default_text = one == other and one or ("%s; preset original: %s"):format(one, other)
  return option
end

local function key_of(option) return (option[1]:gsub("-", "_")) end

--- For runs of versions without presets, resumed: the values that their settings lack.
function presets.complete(spec, values)
  values.preset = values.preset or "original"
  for _, option in ipairs(spec) do
    if option.by_preset and values[key_of(option)] == nil then values[key_of(option)] = option.default(values) end
  end
  return values
end

--- Raises where the preset cannot be had in the era. Returns true, or nil and a message.
function presets.check(values)
  if values.era == "2017" and values.preset == "modern" then
    return nil, "--preset modern cannot be had with --era 2017, which has the original's conventions"
  end
  return true
end

--- Prints "preset modern: optimizer adamw, lr 0.003, ...": every option that the preset decides, with its value.
function presets.print(spec, values)
  local parts = {}
  for _, option in ipairs(spec) do
    local value = option.by_preset and values[key_of(option)]
    if option.by_preset and value ~= nil then
      parts[#parts + 1] = lurcher.format("%s %s", option[1],
        type(value) == "boolean" and (value and "on" or "off") or value)
    end
  end
  local text = ("preset %s: %s"):format(values.preset, table.concat(parts, ", "))
  print(options.wrapped(text, math.max(40, lurcher.columns() or 100), 2))
end

return presets
