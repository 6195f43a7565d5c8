--- lurcher.recipe.options: the command-line options of recipes.
-- A recipe declares its options once, as data; parsing, ranges, defaults, --help and "did you mean" come from the
-- declaration. It is not a general argument library: long options only, no clustering, no subcommands.
-- To add a type: a row in `types`.
--
--     local options = require "lurcher.recipe.options"
--     options.main({
--       name = "single_model", summary = "Trains a softmax classifier on class folders.",
--       { "data", "path", required = true, value = "DIR", help = "folder with train/CLASS/ and valid/CLASS/" },
--       { "epochs", "integer", default = 30, min = 1, help = "number of epochs" },
--       { "optimizer", "choice", default = "adam", choices = { "sgd", "adam" }, help = "optimizer" },
--       { "device", "device", default = "auto" },
--       { "exif", "flag", default = function(o) return o.era ~= "2017" end, default_text = "on", help = "..." },
--       { "report", "flag", default = true, help = "write report.html at the end" },       -- --no-report: do not
--       { "images", "integer", was = "pictures", help = "..." },  -- --pictures is accepted, and not in --help
--       arguments = { name = "IMAGE", min = 1, help = "images" },   -- optional: words that are not options
--     }, arg, function(o) ... o.data, o.epochs, o.arguments ... end)

local lfs = require "lfs"
local lurcher = require "lurcher"
local fields, outputs = require "lurcher.fields", require "lurcher.recipe.outputs"
local suggest = require "lurcher.suggest"

local options = {}

options.nearest = lurcher.nearest -- where it was before

--- A declaration made of parts: `head` (name, summary, ...) with the options of every list after it, in order. For
-- options that several recipes share. An option replaces an earlier one of the same name, in its place.
function options.join(head, ...)
  local place = {}
  for i, option in ipairs(head) do place[option[1]] = i end
  for _, list in ipairs{ ... } do
    for _, option in ipairs(list) do
      local i = place[option[1]] or #head + 1
      head[i], place[option[1]] = option, i
    end
  end
  return head
end

local function in_range(value, option)
  return (not option.min or value >= option.min) and (not option.max or value <= option.max)
end

local function range_text(option)
  if option.min and option.max then return lurcher.format(" from %s to %s", option.min, option.max) end
  if option.min then return lurcher.format(" of at least %s", option.min) end
  if option.max then return lurcher.format(" of at most %s", option.max) end
  return ""
end

--- Whether a file can be made at `path`: its folder exists, and it is not a folder itself.
local function is_writable(path)
  local folder = path:match "^(.*)/[^/]*$" or "."
  return path:match "[^/]$" ~= nil and lfs.attributes(folder == "" and "/" or folder, "mode") == "directory"
    and lfs.attributes(path, "mode") ~= "directory"
end

--- type -> { value: the word shown in --help; read(text, option) -> value, or nil, what was expected and the nearest
-- choice, or nil, nil, nil and a message }. "path" is a file or folder to read, or a folder to make; "file" is a file
-- to write. Files and devices are checked at once, so that an error is reported before hours of work, not after.
local types = {
  string = { value = "TEXT", read = function(text) if text ~= "" then return text end return nil, "a text" end },
  path = { value = "PATH", read = function(text) if text ~= "" then return text end return nil, "a path" end },
  file = { value = "FILE", read = function(text)
    if is_writable(text) then return text end
    return nil, "a file in a folder that exists"
  end },
  device = { value = "DEVICE", help = "device that computes: auto, cpu, ref, cuda or cuda:N", read = function(text)
    local good, message = pcall(lurcher.device, text)
    if good then return text end
    return nil, nil, nil, (tostring(message):gsub("^[^:]*:%d+: ", "")) -- without the line of this file
  end },
  integer = { value = "N", read = function(text, option)
    local value = math.tointeger(lurcher.number(text))
    if value and in_range(value, option) then return value end
    return nil, "an integer" .. range_text(option)
  end },
  number = { value = "X", read = function(text, option)
    local value = lurcher.number(text)
    if value and value - value == 0 and in_range(value, option) then return value + 0.0 end
    return nil, "a number" .. range_text(option)
  end },
  choice = { value = "WORD", read = function(text, option)
    for _, choice in ipairs(option.choices) do if choice == text then return text end end
    local near = lurcher.nearest(text, option.choices)
    return nil, "one of " .. table.concat(option.choices, ", "), near
  end },
  flag = {},
}

local function key_of(name) return (name:gsub("-", "_")) end

--- An option's value that was read from a file, settings.json: the value, or nil and what is expected there.
function options.checked(option, value)
  local kind = option[2]
  if kind == "flag" then
    if type(value) == "boolean" then return value end
    return nil, "true or false"
  elseif kind == "integer" then
    local whole = math.tointeger(type(value) == "number" and value or nil)
    if whole and in_range(whole, option) then return whole end
    return nil, "an integer" .. range_text(option)
  elseif kind == "number" then
    if type(value) == "number" and value - value == 0 and in_range(value, option) then return value + 0.0 end
    return nil, "a number" .. range_text(option)
  elseif type(value) ~= "string" or value:find "%z" then
    return nil, "a text"
  elseif kind == "device" then
    return value -- it is opened when all options are known: another may be given on the command line
  end
  return types[kind].read(value, option)
end

--- The option of a name, or of a name that it was given once.
local function find(spec, name)
  for _, option in ipairs(spec) do if option[1] == name or option.was == name then return option end end
end

local function names_of(spec)
  local names = { "help" }
  for _, option in ipairs(spec) do names[#names + 1] = option[1] end
  return names
end

local function shown(default, text)
  if type(default) == "function" then return text end
  if type(default) == "boolean" then return default and "on" or "off" end
  if math.type(default) == "float" then return lurcher.format("%g", default) end
  return tostring(default)
end

--- A text in lines of at most `width` characters, broken at blanks; the lines after the first are indented by `margin`.
local function wrapped(text, width, margin)
  local lines, line = {}, nil
  for word in text:gmatch "%S+" do
    if line and #line + 1 + #word <= width then line = line .. " " .. word
    else
      lines[#lines + 1] = line
      line = word
    end
  end
  lines[#lines + 1] = line
  return table.concat(lines, "\n" .. (" "):rep(margin))
end

local LEAST <const>, MOST <const> = 60, 100 -- columns

--- What --help shows of each option: { left = "--epochs N", right = "number of epochs (default 30)" }.
local function help_rows(spec, arguments)
  local rows = {}
  if arguments then rows[1] = { arguments, spec.arguments.help } end
  for _, option in ipairs(spec) do
    local name, kind, notes = option[1], option[2], {}
    local value = option.value or types[kind].value
    if kind == "choice" and not option.value then value = table.concat(option.choices, "|") end
    if option.required then notes[#notes + 1] = "required" end
    if option.default ~= nil then notes[#notes + 1] = "default " .. shown(option.default, option.default_text) end
    local dashes = kind == "flag" and option.default and "--[no-]" or "--"
    rows[#rows + 1] = { dashes .. name .. (value and " " .. value or ""),
      (option.help or types[kind].help) .. (#notes > 0 and " (" .. table.concat(notes, ", ") .. ")" or "") }
  end
  rows[#rows + 1] = { "--help", "print this text" }
  return rows
end

--- The --help text of a declaration, in lines of at most `columns` characters, from 60 to 100. columns: by default
-- those of the terminal; 80 where there is none.
function options.help(spec, columns)
  columns = math.max(LEAST, math.min(columns or lurcher.columns() or 80, MOST))
  local arguments = spec.arguments and spec.arguments.name .. (spec.arguments.max == 1 and "" or "...")
  local lines = { wrapped(("usage: lurcher %s [options]%s"):format(spec.name, arguments and " " .. arguments or ""),
    columns, 2), "", wrapped(spec.summary, columns, 0), "", "options:" }
  local rows, width = help_rows(spec, arguments), 0
  for _, row in ipairs(rows) do width = math.max(width, #row[1]) end
  width = math.min(width, columns < 80 and 22 or 30)
  for _, row in ipairs(rows) do
    local text = wrapped(row[2], columns - width - 4, width + 4)
    if #row[1] > width then
      lines[#lines + 1] = "  " .. wrapped(row[1]:gsub("|", "| "), columns - 2, 4):gsub("| ", "|")
      lines[#lines + 1] = (" "):rep(width + 4) .. text
    else
      lines[#lines + 1] = ("  %-" .. width .. "s  %s"):format(row[1], text)
    end
  end
  if spec.notes then lines[#lines + 1] = "\n" .. wrapped(spec.notes, columns, 0) end
  return table.concat(lines, "\n")
end

--- Reads one option's text into `values`. Returns true, or nil and a message.
local function assign(values, option, text)
  local value, expected, near, message = types[option[2]].read(text, option)
  if message then return nil, ("--%s %s: %s"):format(option[1], text, message) end
  if value == nil then
    return nil, ("bad value '%s' for --%s (%s expected%s)"):format(text, option[1], expected,
      near and "; did you mean '" .. near .. "'?" or "")
  end
  values[key_of(option[1])] = value
  return true
end

local function unknown(spec, name)
  return ("unknown option '--%s'%s"):format(name, suggest.hint(name, names_of(spec), "--"))
end

--- Takes the word args[i], an option; returns the position of the next word, or nil and a message.
local function take(spec, args, i, values)
  local name, text = args[i]:match("^%-%-([^=]*)=?(.*)$")
  if name == "" then return nil, ("unknown option '%s' (options are written --name; see --help)"):format(args[i]) end
  local has_value = args[i]:find("=", 1, true)
  local negated = name:match("^no%-(.+)$")
  local option = find(spec, name) or (negated and find(spec, negated))
  if not option then return nil, unknown(spec, name) end
  if option[2] == "flag" then
    if has_value then return nil, ("option --%s takes no value"):format(name) end
    values[key_of(option[1])] = option[1] == name or option.was == name
    return i + 1
  end
  if option[1] ~= name and option.was ~= name then return nil, unknown(spec, name) end
  if not has_value then
    i = i + 1
    text = args[i]
    if text == nil or text:find("^%-%-%a") then return nil, ("option --%s needs a value"):format(name) end
  end
  local ok, message = assign(values, option, text)
  if not ok then return nil, message end
  return i + 1
end

--- Parses `args` (a list of words) by the declaration `spec`.
-- @return values by option name with "-" as "_" (and `arguments`, a list), and the set of names that were given;
--   or "help"; or nil and a message.
function options.read(spec, args)
  local given, words, i = {}, {}, 1
  while args[i] do
    local word = args[i]
    if word == "--help" or word == "-h" then return "help" end
    if word == "--" then
      table.move(args, i + 1, #args, #words + 1, words)
      break
    elseif word:find("^%-%-") then
      local next_word, message = take(spec, args, i, given)
      if not next_word then return nil, message end
      i = next_word
    elseif word:find("^%-%a") then
      return nil, ("unknown option '%s' (options are written --name; see --help)"):format(word)
    else
      words[#words + 1] = word
      i = i + 1
    end
  end
  local values = { arguments = words }
  for _, option in ipairs(spec) do
    local key = key_of(option[1])
    if given[key] ~= nil then values[key] = given[key]
    elseif type(option.default) ~= "function" then values[key] = option.default end
    if values[key] == nil and option[2] == "flag" and option.default == nil then values[key] = false end
  end
  for _, option in ipairs(spec) do
    local key = key_of(option[1])
    if values[key] == nil then values[key] = options.default(option, values) end
  end
  return values, given
end

--- The value of an option that is not given: its default, which may be a function of the other options' values.
function options.default(option, values)
  if type(option.default) == "function" then return option.default(values) end
  return option.default
end

--- Checks what needs the whole command line: required options, number of arguments. Returns true or nil, message.
function options.complete(spec, values)
  local arguments = spec.arguments or { min = 0, max = 0, name = "argument" }
  if arguments.max and #values.arguments > arguments.max then
    return nil, ("unexpected argument '%s'"):format(values.arguments[arguments.max + 1])
  end
  for _, option in ipairs(spec) do
    if option.required and values[key_of(option[1])] == nil then
      return nil, ("option --%s is missing: %s"):format(option[1], option.help)
    end
  end
  if #values.arguments < (arguments.min or 0) then
    return nil, ("%s is missing: %s"):format(arguments.name, arguments.help)
  end
  return true
end

options.wrapped = wrapped

--- Ends the program with a message in one line, whatever is in it.
local function complain(spec, message)
  message = message:gsub("%c", fields.escaped)
  io.stdout:flush()
  io.stderr:write(("lurcher %s: %s\ntry 'lurcher %s --help'\n"):format(spec.name, lurcher.visible(message), spec.name))
  os.exit(2, true)
end

--- Calls a function of the library with a table of options. What it says of an option of its own is said of the command
-- line's: flags are the names of these by those of the library.
function options.called(f, given, flags)
  local results = table.pack(pcall(f, given))
  if results[1] then return table.unpack(results, 2, results.n) end
  local option, what = tostring(results[2]):match "bad option '([%w_]+)' to '[%w_]+' %((.*)%)$"
  if not flags[option] then error(results[2], 0) end
  what = what:gsub(", got [^(]*$", "")
  local value = given[option]
  if math.type(value) == "float" then value = lurcher.format("%g", value) end
  error(("bad value '%s' for --%s (%s)"):format(value, flags[option], what), 0)
end

--- Parses `args`, then calls `body(values, given)`. Ends the program with code 2 for a wrong command line, and with the
-- number that body returns, if any. It catches no error: the program prints what body raises in one line.
-- @param spec the declaration; `spec.adjust(values, given)` may complete values (from a run folder) before checks.
function options.main(spec, args, body)
  local values, given = options.read(spec, args)
  if values == "help" then
    print(options.help(spec))
    os.exit(0, true)
  end
  if not values then complain(spec, given) end
  if spec.adjust then
    local adjusted, message = spec.adjust(values, given)
    if not adjusted then complain(spec, message) end
    values = adjusted
  end
  local complete, missing = options.complete(spec, values)
  if not complete then complain(spec, missing) end
  local writable, trouble = outputs.of(spec, values)
  if not writable then complain(spec, trouble) end
  local code = body(values, given)
  io.stdout:flush()
  if math.type(code) == "integer" and code ~= 0 then os.exit(code, true) end
end

return options
