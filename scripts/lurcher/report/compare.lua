--- lurcher.report.compare: several runs in one table, as text and as a page, with a row per fact and a column per run.
-- A new fact is a row in `parts_of`; cells are empty where a run lacks it.

local lurcher = require "lurcher"
local logs_of = require "lurcher.logs"
local curves, html = require "lurcher.report.curves", require "lurcher.report.html"
local record_of = require "lurcher.report.record"
local e = html.element

local compare = {}

--- The records of run folders. Runs with the same last part of the path have the whole path as their name.
function compare.read(paths)
  local runs, used = {}, {}
  for i, path in ipairs(paths) do
    runs[i] = record_of.read(path)
    used[runs[i].name] = (used[runs[i].name] or 0) + 1
  end
  for _, run in ipairs(runs) do
    if used[run.name] > 1 then run.name = run.path end
  end
  return runs
end

--- A setting as text; of paths the last part, for narrow columns.
local function shown(value)
  if value == nil then return "" end
  if math.type(value) == "float" then return lurcher.format("%g", value) end
  local text = type(value) == "table" and lurcher.json.encode(value) or tostring(value)
  return text:find "^/" and text:match "[^/]+/*$" or text
end

--- A row: one value per run, by a function of its record; nil where no run has one.
local function row(runs, name, value)
  local made, found = { name = name }, false
  for i, run in ipairs(runs) do
    made[i] = value(run) or ""
    found = found or made[i] ~= ""
  end
  return found and made or nil
end

local function format_of(pattern, scale)
  return function(value) return type(value) == "number" and lurcher.format(pattern, value * (scale or 1)) or nil end
end

local as_percent, as_loss = format_of("%.2f %%", 100), format_of "%.4f"

local facts <const> = { { "top_1", "top-1", as_percent }, { "top_5", "top-5", as_percent },
  { "log_loss", "log-loss", as_loss } }

--- Settings that are not the same in all runs.
local function differing(runs)
  local names, seen, list = {}, {}, {}
  for _, run in ipairs(runs) do
    for name in pairs(run.settings.options) do
      if not seen[name] then seen[name], names[#names + 1] = true, name end
    end
  end
  table.sort(names)
  for _, name in ipairs(names) do
    local first, differs = lurcher.json.encode(runs[1].settings.options[name]), false
    for _, run in ipairs(runs) do
      differs = differs or lurcher.json.encode(run.settings.options[name]) ~= first
    end
    if differs then
      list[#list + 1] = row(runs, (name:gsub("_", "-")), function(run) return shown(run.settings.options[name]) end)
    end
  end
  return list
end

--- The best epoch, and every loss and metric of validation there.
local function best_rows(runs)
  local list = { row(runs, "best epoch", function(run)
    return run.best and lurcher.format("%g of %d", run.best.epoch, #run.history.rows)
  end) }
  local names, seen = {}, {}
  for _, run in ipairs(runs) do
    for _, name in ipairs(run.history and run.history.names or {}) do
      if name:find "^val_" and not seen[name] then seen[name], names[#names + 1] = true, name end
    end
  end
  for _, name in ipairs(names) do
    local text = name:find "acc$" and as_percent or as_loss
    list[#list + 1] = row(runs, name, function(run) return run.best and text(run.best[name]) end)
  end
  return list
end

--- The figures of each set that a run was evaluated on.
local function evaluated_rows(runs)
  local sets, seen, list = {}, {}, {}
  for _, run in ipairs(runs) do
    for name in pairs(run.figures) do
      if not seen[name] then seen[name], sets[#sets + 1] = true, name end
    end
  end
  table.sort(sets)
  for _, set in ipairs(sets) do
    for _, fact in ipairs(facts) do
      list[#list + 1] = row(runs, set .. " " .. fact[2], function(run)
        return type(run.figures[set]) == "table" and fact[3](run.figures[set][fact[1]])
      end)
    end
  end
  return list
end

--- Everything to compare, in parts: { title =, rows = { { name =, text of run 1, ... } } }.
local function parts_of(runs)
  local recipes = { row(runs, "recipe", function(run) return run.settings.recipe end) }
  local time = { row(runs, "time in epochs", function(run)
    local seconds = record_of.total(run.history, "seconds") + record_of.total(run.history, "check_seconds")
    return seconds > 0 and logs_of.duration(seconds)
  end) }
  return { { title = "run", rows = recipes }, { title = "settings that differ", rows = differing(runs) },
    { title = "best epoch", rows = best_rows(runs) }, { title = "evaluated", rows = evaluated_rows(runs) },
    { title = "time", rows = time } }
end

local function length(text) return utf8.len(text) or #text end

local function padded(text, width) return text .. (" "):rep(width - length(text)) end

--- The numbers of the runs in tables that fit side by side into `width` characters, { { 1, 2 }, { 3 } }: every table
-- has at least one run. widths: of the columns, [0] that of the names.
local function tables_of(widths, width)
  local tables, used = { {} }, widths[0]
  for i, own in ipairs(widths) do
    local list = tables[#tables]
    if #list > 0 and used + 2 + own > width then
      list, used = {}, widths[0]
      tables[#tables + 1] = list
    end
    list[#list + 1], used = i, used + 2 + own
  end
  return tables
end

--- The table as text. width: characters per line (any number); runs that do not fit beside each other come below.
function compare.text(runs, width)
  local parts, widths, lines = parts_of(runs), { [0] = 0 }, {}
  for i, run in ipairs(runs) do widths[i] = length(run.name) end
  for _, part in ipairs(parts) do
    for _, fact in ipairs(part.rows) do
      widths[0] = math.max(widths[0], length(fact.name) + 2)
      for i, text in ipairs(fact) do widths[i] = math.max(widths[i], length(text)) end
    end
  end
  local names = {}
  for i, run in ipairs(runs) do names[i] = run.name end
  for t, list in ipairs(tables_of(widths, width or math.huge)) do
    local function line(name, texts)
      local cells = { padded(name, widths[0]) }
      for k, i in ipairs(list) do cells[k + 1] = padded(texts[i], widths[i]) end
      lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
    end
    local function concerns(fact)
      for _, i in ipairs(list) do if fact[i] ~= "" then return true end end
    end
    if t > 1 then lines[#lines + 1] = "" end
    line("", names)
    for _, part in ipairs(parts) do
      if #part.rows > 0 then
        lines[#lines + 1] = part.title
        for _, fact in ipairs(part.rows) do
          if concerns(fact) then line("  " .. fact.name, fact) end
        end
      end
    end
  end
  return table.concat(lines, "\n")
end

local function table_of(runs, parts)
  local heads = {}
  for i, run in ipairs(runs) do
    local colour = ("background:var(--c%d)"):format((i - 1) % 8 + 1)
    heads[i] = e.th{ e.span{ class = "key", e.i{ style = colour }, run.name } }
  end
  local lines = { e.tr{ e.th{ "" }, heads } }
  for _, part in ipairs(parts) do
    if #part.rows > 0 then
      lines[#lines + 1] = e.tr{ e.th{ colspan = #runs + 1, style = "padding-top:14px", part.title } }
      for _, fact in ipairs(part.rows) do
        local cells = {}
        for i = 1, #runs do cells[i] = e.td{ fact[i] } end
        lines[#lines + 1] = e.tr{ e.td{ class = "soft", fact.name }, cells }
      end
    end
  end
  return e.div{ class = "card scroll", e.table(lines) }
end

--- Writes the page; returns its path.
function compare.write(runs, path)
  local content = { e.h1{ ("%d runs side by side"):format(#runs) }, table_of(runs, parts_of(runs)), e.h2{ "Curves" },
    e.p{ class = "soft", "Of validation where the run has one, else of training. Point at a dot for its value." },
    e.div{ class = "charts", curves.over(runs) } }
  local ok, message = lurcher.write_file(path, html.page("runs side by side", content))
  if not ok then error(message, 0) end
  return path
end

return compare
