--- lurcher.reference: what lurcher.help answers. It reads the annotations of bindings/api/ (the format of the Lua
-- language server), finds what a topic means, and writes it as text. The files are compiled in; nothing is read before
-- the first question.
--
--     local all = reference.read(texts)                  -- { nn = text of api/nn.lua, ... }
--     print((reference.explain(all, "conv2d")))
--
-- An entry is a table: name ("nn.conv2d", "tensor:sum"), kind ("function", "class", "alias" or "options"), text
-- (lines), arguments ("options, ..."), params, returns, fields ({ name, type, text }), overloads, base (of a class),
-- usage (a line of code; where there is none, the text has an example).

local lurcher = require "lurcher"
local suggest = require "lurcher.suggest"

local reference = {}

-- ---- reading ----

--- The type at the beginning of a text, brackets and fun(...): included, and what follows it.
local function split_type(text)
  local depth, at = 0, 1
  while at <= #text do
    local c = text:sub(at, at)
    if c:find "[%(%{%[]" then depth = depth + 1 elseif c:find "[%)%}%]]" then depth = depth - 1 end
    if c == " " and depth == 0 and not text:sub(1, at - 1):find "[:,]$" then break end
    at = at + 1
  end
  return text:sub(1, at - 1), (text:sub(at + 1):gsub("^%s+", ""))
end

local function new_block() return { text = {}, params = {}, returns = {}, fields = {}, overloads = {} } end

--- "name? type text" of a @param or @field, as { name, type, text }; optional ones have a type that ends with "?".
local function parse_value(rest)
  local name, optional, tail = rest:match "^(%[?[%w_%.]+%]?)(%??)%s*(.*)$"
  if not name then return nil end
  local kind, text = split_type(tail)
  return { name = name, type = kind, optional = optional == "?", text = text }
end

--- Adds a line `---@tag rest` to a block. last: where further lines of text go.
local function add_tag(block, tag, rest, entries)
  if tag == "param" or tag == "field" then
    local value = parse_value(rest)
    local list = tag == "param" and block.params or block.fields
    list[#list + 1] = value
    block.last = value
  elseif tag == "return" then
    block.last = { name = "", type = "", text = rest }
    block.returns[#block.returns + 1] = block.last
  elseif tag == "class" then
    block.class, block.base = rest:match "^[%w_.]+", rest:match "^[%w_.]+:%s*([%w_.]+)"
    block.last = nil
  elseif tag == "usage" then
    block.usage, block.last = rest, nil
  elseif tag == "overload" then
    block.overloads[#block.overloads + 1] = rest
    block.last = nil
  elseif tag == "alias" then
    local name, kind = rest:match "^(%S+)%s*(.*)$"
    local alias = { kind = "alias", name = name, text = block.text, type = kind, params = {}, returns = {}, fields = {},
      overloads = {} }
    entries[#entries + 1], block.text, block.alias, block.last = alias, {}, alias, nil
  else
    block.last = nil
  end
end

local function add_text(block, line)
  if block.alias and line:find "^|" then
    block.alias.type = block.alias.type .. line
  elseif block.last then
    block.last.text = (block.last.text .. " " .. line:gsub("^%s+", "")):gsub("^ ", "")
  else
    block.text[#block.text + 1] = line
  end
end

--- Makes a block an entry. owner: the class of a function; a class without a table describes options.
local function finish(entries, block, kind, name, owner)
  local entry = { kind = kind, name = name, owner = owner, text = block.text, params = block.params,
    returns = block.returns, fields = block.fields, overloads = block.overloads, base = block.base,
    usage = block.usage }
  entries[#entries + 1] = entry
  return entry
end

--- "lurcher.nn" -> "nn"; the module itself stays "lurcher".
local function short(class) return (class:gsub("^lurcher%.", "")) end

--- Adds the entries of a file of annotations to a list. An entry of a module has is_module.
local function parse(text, entries, file)
  local block, owner_of = new_block(), {}
  local function end_block()
    if block.class then finish(entries, block, "options", short(block.class)).class = block.class end
    block = new_block()
  end
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do
    local tag, rest = line:match "^%-%-%-@(%w+)%s*(.*)$"
    local words = line:match "^%-%-%-(.*)$"
    local variable = line:match "^local ([%w_]+) = {}$" or line:match "^(lurcher%.[%w_]+) = {}$"
    local alias, of = line:match "^local ([%w_]+) = (lurcher%.[%w_]+)$"
    local owner, mark, name, arguments = line:match "^function ([%w_.]+)([.:])([%w_]+)(%b())"
    if tag then add_tag(block, tag, rest, entries)
    elseif words then add_text(block, words)
    elseif variable and block.class then
      owner_of[variable] = block.class
      local entry = finish(entries, block, "class", short(block.class))
      entry.class, entry.is_module, block = block.class, short(block.class) == file, new_block()
    elseif alias then owner_of[alias] = owner_of[of]
    elseif owner then
      local class = assert(owner_of[owner], owner)
      local entry = finish(entries, block, "function", short(class) .. mark .. name, class)
      entry.member, entry.arguments, block = name, arguments:sub(2, -2), new_block()
    else end_block() end
  end
  end_block()
end

--- The entries of texts of annotation files, by name of the file. recipes: their first lines, by name.
function reference.read(texts, recipes)
  local files, all = {}, { entries = {}, by_class = {}, recipes = recipes or {} }
  for name in pairs(texts) do files[#files + 1] = name end
  table.sort(files)
  for _, name in ipairs(files) do parse(texts[name], all.entries, name) end
  for _, entry in ipairs(all.entries) do
    if entry.class or entry.kind == "alias" then all.by_class[entry.class or entry.name] = entry end
  end
  return all
end

-- ---- finding ----

--- A topic or a name in one spelling: "lurcher.Tensor:sum()" -> "tensor.sum", "on.csv" -> "callbacks.csv".
local function normal(name)
  name = name:lower():gsub("%s*%b()%s*$", ""):gsub(":", "."):gsub("^%s+", ""):gsub("%s+$", "")
  return (name:gsub("^lurcher%.(.)", "%1"):gsub("^on%.", "callbacks."):gsub("^t%.", "tensor."))
end

--- Fields of an options class, those of the class that it extends first.
local function fields_of(all, class)
  local entry, fields = all.by_class[class], {}
  if not entry then return fields end
  if entry.base then fields = fields_of(all, entry.base) end
  return table.move(entry.fields, 1, #entry.fields, #fields + 1, fields)
end

--- The entries whose name, or the last part of it, is the topic: modules first, then functions, then classes.
local function named(all, topic)
  local modules, functions, others = {}, {}, {}
  for _, entry in ipairs(all.entries) do
    local name = normal(entry.name)
    if name == topic or entry.kind ~= "options" and name:match "[^.]+$" == topic then
      local list = entry.kind == "function" and functions or entry.is_module and name == topic and modules or others
      list[#list + 1] = entry
    end
  end
  table.move(functions, 1, #functions, #modules + 1, modules)
  return table.move(others, 1, #others, #modules + 1, modules)
end

local function sentence_of(entry)
  local prose = {}
  for _, line in ipairs(entry.text) do
    if line == "" and #prose > 0 or line:find "^%s%s%s%s" then break end
    prose[#prose + 1] = line
  end
  local text = table.concat(prose, " ")
  local first = text:match "^(.-[.:])%s+%u" or text:match "^(.-[.:])%s*$" or text:match "^(.-):%s*`" or text
  if first == "" and entry.returns[1] then first = "Returns " .. entry.returns[1].text:gsub("lurcher%.(%a)", "%1") end
  return first
end

--- Whether all words are in a text.
local function has_all(text, words)
  text = text:lower()
  for _, word in ipairs(words) do if not text:find(word, 1, true) then return false end end
  return true
end

--- What a search finds: a list of { name, text, rank }, the best first: names before sentences before options before
-- the rest.
local function search(all, words)
  local hits, seen = {}, {}
  local function add(name, text, rank)
    if seen[name] then return end
    seen[name], hits[#hits + 1] = true, { name = name, text = text, rank = rank, place = #hits }
  end
  for _, entry in ipairs(all.entries) do
    local text = table.concat(entry.text, " ")
    if has_all(entry.name, words) then add(entry.name, sentence_of(entry), 1)
    elseif has_all(sentence_of(entry), words) then add(entry.name, sentence_of(entry), 2) end
    for _, list in ipairs{ entry.fields, entry.params } do
      for _, field in ipairs(list) do
        if has_all(field.name .. " " .. field.text, words) then
          add(("%s, %s"):format(entry.name, field.name), field.text, 3)
        end
      end
    end
    if has_all(text, words) then add(entry.name, sentence_of(entry), 4) end
  end
  table.sort(hits, function(a, b)
    if a.rank ~= b.rank then return a.rank < b.rank end
    return a.place < b.place
  end)
  return hits
end

--- Words of a question that are not searched for.
local small <const> = { a = true, an = true, the = true, how = true, to = true, ["do"] = true, i = true, of = true,
  my = true, is = true, what = true, does = true, with = true, ["for"] = true, ["in"] = true, one = true, own = true }

--- Words of other libraries for what has another name here, as a name or words to search for.
local elsewhere <const> = { ["custom loss"] = "loss", ["early stopping"] = "early_stop", earlystopping = "early_stop",
  modelcheckpoint = "on.checkpoint", reducelronplateau = "reduce_lr", learningratescheduler = "on.schedule",
  csvlogger = "on.csv", dataloader = "loader", ["data loader"] = "loader", imagefolder = "data.folder",
  flow_from_directory = "data.folder", scheduler = "schedules", ["data augmentation"] = "augment",
  augmentation = "augment", fit_generator = "fit", summary = "model", sequential = "nn.seq",
  linear = "dense", batch_norm = "batchnorm", ["batch norm"] = "batchnorm", maxpooling2d = "max_pool",
  ["cross entropy"] = "loss", crossentropy = "loss", state_dict = "layer:weights", dataset = "data.folder",
  ["predict image"] = "prediction", inference = "run:predict", ["gradient accumulation"] = "fit" }

--- The words of a topic that are searched for; all of them where nothing else remains.
local function words_of(topic)
  local words, every = {}, {}
  for word in topic:lower():gmatch "[^%s?]+" do
    every[#every + 1] = word
    if not small[word] then words[#words + 1] = word end
  end
  return #words > 0 and words or every
end

-- ---- writing ----

local WIDEST <const>, NARROWEST <const> = 100, 40

local function width_now() return math.max(NARROWEST, math.min(WIDEST, lurcher.columns() or 80)) end

--- Appends text to lines, broken at blanks; lines after the first are indented by `margin`. head: begins the first.
local function wrap(lines, head, text, margin, width)
  local line, is_empty = head, head:find "^%s*$" ~= nil
  for word in text:gmatch "%S+" do
    if not is_empty and utf8.len(line) + 1 + utf8.len(word) > width then
      lines[#lines + 1] = (line:gsub("%s+$", ""))
      line, is_empty = (" "):rep(margin), true
    end
    line = is_empty and line .. word or line:find "%s$" and line .. word or line .. " " .. word
    is_empty = false
  end
  lines[#lines + 1] = (line:gsub("%s+$", ""))
end

--- Appends annotated text: paragraphs are filled, lists, tables and code stay as they are.
local function write_text(lines, text, margin, width)
  local paragraph, indent = {}, (" "):rep(margin)
  local function flush()
    if #paragraph > 0 then wrap(lines, indent, table.concat(paragraph, " "), margin, width) end
    paragraph = {}
  end
  for _, line in ipairs(text) do
    local item = line:match "^%s?%- (.*)$"
    if line == "" then flush() lines[#lines + 1] = ""
    elseif line:find "^%s%s%s%s" or line:find "^|" then flush() lines[#lines + 1] = indent .. line
    elseif item then
      flush()
      paragraph = { "- " .. item }
    else paragraph[#paragraph + 1] = (line:gsub("^%s+", "")) end
  end
  flush()
end

--- A type as it is shown: without the module's name.
local function type_text(value)
  local text = value.type:gsub("lurcher%.", "")
  return value.optional and text .. ", optional" or text
end

--- Appends a list of values: name, what it means, type.
local function write_values(lines, values, margin, width)
  for _, value in ipairs(values) do
    local head = ("%s%-" .. 16 .. "s "):format((" "):rep(margin), value.name)
    local text = value.text ~= "" and ("%s (%s)"):format(value.text, type_text(value)) or type_text(value)
    wrap(lines, head, text, margin + 17, width)
  end
end

--- The options classes that a text of types names, each once.
local function options_in(all, text, seen, list)
  for class in text:gmatch "lurcher[%w_.]*[%w_]" do
    local entry = all.by_class[class]
    if entry and entry.kind == "options" and not seen[class] then
      seen[class], list[#list + 1] = true, entry
    end
  end
end

--- Appends the fields of the options that an entry takes.
local function write_options(all, lines, entry, width)
  local list, seen = {}, {}
  for _, param in ipairs(entry.params) do options_in(all, param.type, seen, list) end
  for _, overload in ipairs(entry.overloads) do options_in(all, overload, seen, list) end
  for _, options in ipairs(list) do
    lines[#lines + 1] = ""
    lines[#lines + 1] = ("  %s:"):format(options.name)
    if #options.text > 0 then write_text(lines, options.text, 4, width) end
    write_values(lines, fields_of(all, options.class), 4, width)
  end
end

local function write_members(all, lines, entry, width)
  local list = {}
  for _, member in ipairs(entry.class and all.entries or {}) do
    if member.owner == entry.class then list[#list + 1] = member end
  end
  if #list == 0 then return end
  lines[#lines + 1] = ""
  lines[#lines + 1] = "  functions:"
  for _, member in ipairs(list) do
    local head = ("    %-16s "):format(member.member)
    wrap(lines, head, sentence_of(member), 21, width)
  end
end

local function write_function(all, lines, entry, width)
  wrap(lines, ("%s(%s)"):format(entry.name, entry.arguments), "", 0, width)
  if #entry.text > 0 then lines[#lines + 1] = "" end
  write_text(lines, entry.text, 2, width)
  if entry.usage then table.move({ "", "      " .. entry.usage }, 1, 2, #lines + 1, lines) end
  if #entry.params > 0 then
    lines[#lines + 1] = ""
    write_values(lines, entry.params, 2, width)
  end
  write_options(all, lines, entry, width)
  for i, value in ipairs(entry.returns) do
    if i == 1 then lines[#lines + 1] = "" end
    wrap(lines, "  returns ", (value.text:gsub("lurcher%.(%a)", "%1")), 10, width)
  end
end

local function write_class(all, lines, entry, width)
  lines[#lines + 1] = entry.kind == "alias" and ("%s: %s"):format(short(entry.name), entry.type:gsub("lurcher%.", ""))
    or entry.name
  for _, overload in ipairs(entry.overloads) do
    wrap(lines, "  ", "called as " .. overload:gsub("lurcher%.", ""), 4, width)
  end
  if #entry.text > 0 then lines[#lines + 1] = "" end
  write_text(lines, entry.text, 2, width)
  local fields = entry.class and fields_of(all, entry.class) or {}
  if #fields > 0 then
    lines[#lines + 1] = ""
    lines[#lines + 1] = "  fields:"
    write_values(lines, fields, 4, width)
  end
  write_options(all, lines, entry, width)
  for class in (entry.kind == "alias" and entry.type or ""):gmatch "lurcher[%w_.]*[%w_]" do
    local other = all.by_class[class]
    if other and other.kind == "alias" and #other.text > 0 then
      table.move({ "", ("  %s: %s"):format(short(class), (other.type:gsub("lurcher%.", ""))) }, 1, 2, #lines + 1, lines)
      write_text(lines, other.text, 4, width)
    end
  end
  write_members(all, lines, entry, width)
end

local function write_entry(all, lines, entry, width)
  if #lines > 0 then lines[#lines + 1] = "" end
  if entry.kind == "function" then write_function(all, lines, entry, width)
  else write_class(all, lines, entry, width) end
end

-- ---- values ----

--- The tables that functions are found in, by the class of their annotations: modules, and methods of classes.
local function tables_of(all)
  local tables = {}
  for name, module in pairs(package.loaded) do
    if all.by_class[name] and type(module) == "table" then tables[name] = module end
  end
  for class, metatable in pairs(debug.getregistry()) do
    if type(class) == "string" and all.by_class[class] and type(metatable) == "table" then
      tables[class] = rawget(metatable, "__methods") or tables[class]
    end
  end
  return tables
end

--- The class that a value is of, or that it is in as a member; nil for what is neither. Layers, callbacks and samplers
-- are as what made them.
local function origin(all, value)
  local meta = getmetatable(value)
  local class = type(meta) == "table" and rawget(meta, "__name")
  if class == "lurcher.layer" then return "lurcher.nn", value.kind end
  if class and all.by_class[class] then return class end
  if type(value) ~= "table" and type(value) ~= "function" then return nil end
  for name, members in pairs(tables_of(all)) do
    if rawequal(members, value) then return name end
    for key, member in pairs(members) do
      if rawequal(member, value) and type(member) == "function" then return name, key end
    end
  end
  local kind = type(value) == "table" and rawget(value, "kind")
  if type(kind) == "string" then
    return rawget(value, "batches") and "lurcher.samplers" or "lurcher.callbacks", kind
  end
end

--- The entries about a value that is no text.
local function entries_about(all, value)
  local class, member = origin(all, value)
  local list = {}
  for _, entry in ipairs(class and all.entries or {}) do
    local is_it = entry.class == class
    if member then is_it = entry.owner == class and entry.member == member end
    if is_it then list[#list + 1] = entry end
  end
  return list
end

-- ---- answers ----

local function overview(all, width)
  local lines = { "help(TOPIC): a name (\"conv2d\", \"fit\", \"tensor:sum\"), a value, or words to search for.", "" }
  for _, entry in ipairs(all.entries) do
    if entry.kind == "class" and #entry.text > 0 then
      wrap(lines, ("  %-20s "):format(entry.name), sentence_of(entry), 23, width)
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

local function search_page(hits, topic, width)
  local most <const>, lines = 20, {}
  for i = 1, math.min(#hits, most) do wrap(lines, ("  %s"):format(hits[i].name), "- " .. hits[i].text, 6, width) end
  if #hits > most then lines[#lines + 1] = ("  ... and %d more: add a word"):format(#hits - most) end
  return ("'%s' occurs in:\n%s\n"):format(lurcher.visible(topic), table.concat(lines, "\n"))
end

local function nothing(all, topic)
  local names = {}
  for _, entry in ipairs(all.entries) do
    names[#names + 1] = normal(entry.name)
    if entry.member then names[#names + 1] = entry.member end
  end
  return ("no help about '%s'%s\n"):format(lurcher.visible(topic), suggest.hint(normal(topic), names))
end

local function recipe_line(all, topic)
  local first = all.recipes[topic]
  if not first then return nil end
  return ("recipe %s: %s. `lurcher %s --help` lists its options."):format(topic, first:gsub("^.- %- ", ""), topic)
end

local function pages(all, entries, width)
  local lines = {}
  for _, entry in ipairs(entries) do write_entry(all, lines, entry, width) end
  return lines
end

--- Help about a topic, or about any value, as text; and whether something was found.
function reference.explain(all, topic)
  local width = width_now()
  if topic == nil then return overview(all, width), true end
  if type(topic) ~= "string" then
    local lines = pages(all, entries_about(all, topic), width)
    if #lines > 0 then return table.concat(lines, "\n") .. "\n", true end
    return ("no help about this %s; help \"WORD\" explains names, and searches\n"):format(type(topic)), false
  end
  local words = words_of(topic)
  local entries = named(all, normal(topic))
  if #entries == 0 then
    local known = elsewhere[table.concat(words, " ")]
    entries = known and named(all, normal(known)) or entries
  end
  local lines, recipe = pages(all, entries, width), recipe_line(all, topic)
  if recipe then
    if #lines > 0 then lines[#lines + 1] = "" end
    wrap(lines, "", recipe, 2, width)
  end
  if #lines > 0 then return table.concat(lines, "\n") .. "\n", true end
  local hits = #words > 0 and search(all, words) or {}
  if #hits > 0 then return search_page(hits, topic, width), true end
  return nothing(all, topic), false
end

return reference
