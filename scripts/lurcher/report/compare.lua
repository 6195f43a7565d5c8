--- lurcher.report.compare: several runs in one table, as text and as a page, with a row per fact and a column per run.
-- A new fact is a row in `parts_of`; cells are empty where a run lacks it. The best value of a row is marked, where
-- the runs' values mean the same.

local lurcher = require "lurcher"
local kept_path, logs_of = require "lurcher.kept_path", require "lurcher.logs"
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

--- The set of the places of the largest or least of numbers by place; nil where they are equal, or fewer than two.
local function winners(numbers, way)
  local most, least, won = -math.huge, math.huge, {}
  for _, number in pairs(numbers) do most, least = math.max(most, number), math.min(least, number) end
  if most <= least then return nil end
  local wanted = way == "high" and most or least
  for i, number in pairs(numbers) do won[i] = number == wanted or nil end
  return won
end

--- A row: one text per run, by a function of its record and place; nil where no run has one. The function may also
-- return the number to compare; `way`, a function of the runs that have one, then returns "high" or "low", whichever is
-- the best, or nil where their numbers mean different things. The row has `won`, the set of the places of the best.
local function row(runs, name, value, way)
  local made, found, numbers, having = { name = name }, false, {}, {}
  for i, run in ipairs(runs) do
    local text, number = value(run, i)
    made[i] = text or ""
    found = found or made[i] ~= ""
    if text and type(number) == "number" and number == number then
      numbers[i], having[#having + 1] = number, run
    end
  end
  local best = way and #having > 1 and way(having)
  if best then made.won = winners(numbers, best) end
  return found and made or nil
end

local function format_of(pattern, scale)
  return function(value)
    if type(value) ~= "number" then return nil end
    return lurcher.format(pattern, value * (scale or 1)), value
  end
end

local as_percent, as_loss = format_of("%.2f %%", 100), format_of "%.4f"

local facts <const> = { { "top_1", "top-1", as_percent, "high" }, { "top_5", "top-5", as_percent, "high" },
  { "log_loss", "log-loss", as_loss, "low" }, { "ece", "ECE", as_percent, "low" } }

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

--- Settings that change what a loss is a sum of.
local of_loss <const> = { "label_smoothing", "pair_weight", "frozen_pair_weight", "weight_decay", "backbone" }

--- Whether all values of a list, where they are not nil, are equal.
local function all_equal(runs, value_of)
  local first
  for _, run in ipairs(runs) do
    local value = value_of(run)
    if value ~= nil and first ~= nil and value ~= first then return false end
    first = first == nil and value or first
  end
  return true
end

--- Whether the runs have the same folder of images, and so the same validation images.
local function same_images(runs)
  return all_equal(runs, function(run)
    local data = run.settings.options.data
    return type(data) == "string" and kept_path.resolved(data, run.path) or nil
  end)
end

--- Whether the losses of the runs are of one kind, so that the least is the best.
local function same_losses(runs)
  for _, run in ipairs(runs) do
    if run.settings.recipe ~= runs[1].settings.recipe then return false end
    for _, name in ipairs(of_loss) do
      local one, first = run.settings.options[name], runs[1].settings.options[name]
      if lurcher.json.encode(one) ~= lurcher.json.encode(first) then return false end
    end
  end
  return true
end

--- "high" or "low", where the values of a column of validation can be compared over the runs.
local function better(runs, name)
  if not same_images(runs) then return nil end
  if name:find "acc$" then return "high" end
  return same_losses(runs) and "low" or nil
end

--- The place of a row of history among those of its stage.
local function place_of(stage)
  for i, row_of in ipairs(stage.rows) do if row_of == stage.best then return i end end
end

--- The best epoch of a stage, and every loss and metric of validation there. Each stage has a part: its epochs are
-- compared with each other only, because the losses of stages have different weights.
local function stage_part(runs, stage)
  local word = stage.key == "" and "validation" or stage.key .. ", validation"
  local list, names, seen = {}, {}, {}
  list[1] = row(runs, "best epoch", function(run, i)
    local one = stage.of[i]
    local last = run.settings.options.era == "2017" and " (the last)" or ""
    return one and one.best and lurcher.format("%d of %d%s", place_of(one), #one.rows, last) or nil
  end)
  for _, run in ipairs(runs) do
    for _, name in ipairs(run.history and run.history.names or {}) do
      if name:find "^val_" and not seen[name] then seen[name], names[#names + 1] = true, name end
    end
  end
  for _, name in ipairs(names) do
    local text = name:find "acc$" and as_percent or as_loss
    list[#list + 1] = row(runs, name, function(_, i)
      local one = stage.of[i]
      if one and one.best then return text(one.best[name]) end
    end, function(having) return better(having, name) end)
  end
  return { title = word, rows = list }
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
    local function of_set(run) return type(run.figures[set]) == "table" and run.figures[set] or {} end
    local function way_of(way)
      return function(having)
        return all_equal(having, function(run)
          local data = of_set(run).data
          return type(data) == "string" and kept_path.resolved(data, run.path) or nil
        end) and way or nil
      end
    end
    for _, fact in ipairs(facts) do
      list[#list + 1] = row(runs, set .. " " .. fact[2], function(run)
        return fact[3](of_set(run)[fact[1]])
      end, way_of(fact[4]))
    end
  end
  return list
end

--- "1:02, 0:58 for features".
local function whole_time(run)
  local seconds, features = run.training.seconds, run.training.feature_seconds
  if not seconds then return nil end
  return logs_of.duration(seconds) .. (features and features >= 0.5 and (", %s for features"):format(
    logs_of.duration(features)) or "")
end

--- Everything to compare, in parts: { title =, rows = { { name =, text of run 1, ..., won = } } }.
local function parts_of(runs)
  local parts = { { title = "run", rows = { row(runs, "recipe", function(run) return run.settings.recipe end) } },
    { title = "settings that differ", rows = differing(runs) } }
  for _, stage in ipairs(curves.stages(runs)) do parts[#parts + 1] = stage_part(runs, stage) end
  local time = {}
  time[1] = row(runs, "whole time", whole_time)
  time[#time + 1] = row(runs, "time in epochs", function(run)
    local seconds = record_of.total(run.history, "seconds") + record_of.total(run.history, "check_seconds")
    return seconds > 0 and logs_of.duration(seconds) or nil
  end)
  time[#time + 1] = row(runs, "device", function(run) return run.training.device end)
  parts[#parts + 1] = { title = "evaluated", rows = evaluated_rows(runs) }
  parts[#parts + 1] = { title = "time", rows = time }
  return parts
end

local function length(text) return utf8.len(text) or #text end

local function padded(text, width) return text .. (" "):rep(width - length(text)) end

--- A cell as text; a star marks the best of its row.
local function cell_text(fact, i) return fact[i] .. (fact.won and fact.won[i] and " *" or "") end

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

--- Widths of the columns, [0] that of the names, and whether any cell has a star.
local function widths_of(runs, parts)
  local widths, has_star = { [0] = 0 }, false
  for i, run in ipairs(runs) do widths[i] = length(run.name) end
  for _, part in ipairs(parts) do
    for _, fact in ipairs(part.rows) do
      widths[0] = math.max(widths[0], length(fact.name) + 2)
      for i in ipairs(fact) do widths[i] = math.max(widths[i], length(cell_text(fact, i))) end
      has_star = has_star or fact.won ~= nil
    end
  end
  return widths, has_star
end

--- The table of some of the runs, a list of their numbers, as lines.
local function lines_of(runs, parts, widths, list)
  local lines = {}
  local function line(name, text_of)
    local cells = { padded(name, widths[0]) }
    for k, i in ipairs(list) do cells[k + 1] = padded(text_of(i), widths[i]) end
    lines[#lines + 1] = (table.concat(cells, "  "):gsub("%s+$", ""))
  end
  local function concerns(fact)
    for _, i in ipairs(list) do if fact[i] ~= "" then return true end end
  end
  line("", function(i) return runs[i].name end)
  for _, part in ipairs(parts) do
    local title = part.title
    for _, fact in ipairs(part.rows) do
      if concerns(fact) then
        if title then lines[#lines + 1], title = title, nil end
        line("  " .. fact.name, function(i) return cell_text(fact, i) end)
      end
    end
  end
  return table.concat(lines, "\n")
end

--- The table as text. width: characters per line (any number); runs that do not fit beside each other come below.
function compare.text(runs, width)
  local parts, texts = parts_of(runs), {}
  local widths, has_star = widths_of(runs, parts)
  for t, list in ipairs(tables_of(widths, width or math.huge)) do texts[t] = lines_of(runs, parts, widths, list) end
  return table.concat(texts, "\n\n") .. (has_star and "\n* the best of its row" or "")
end

local function table_of(runs, parts)
  local heads = {}
  for i, run in ipairs(runs) do
    local colour = ("background:var(--c%d)"):format((i - 1) % 8 + 1)
    heads[i] = e.th{ e.span{ class = "key", e.i{ style = colour }, html.breaking(run.name) } }
  end
  local lines = {}
  for _, part in ipairs(parts) do
    if #part.rows > 0 then
      lines[#lines + 1] = e.tr{ class = "part", e.th{ part.title }, e.th{ colspan = #runs, "" } }
      for _, fact in ipairs(part.rows) do
        local cells = {}
        for i = 1, #runs do
          local won = fact.won and fact.won[i]
          cells[i] = e.td{ class = won and "won" or false, title = won and "the best of the row" or false,
            html.breaking(fact[i]), won and " \u{2605}" or false }
        end
        lines[#lines + 1] = e.tr{ e.td{ class = "soft", html.breaking(fact.name) }, cells }
      end
    end
  end
  return e.div{ class = "card scroll", e.table{ class = "compare", e.thead{ e.tr{ e.th{ "" }, heads } },
    e.tbody{ lines } } }
end

--- Writes the page; returns its path.
function compare.write(runs, path)
  local title = #runs == 1 and "1 run" or ("%d runs side by side"):format(#runs)
  local content = { e.h1{ title }, e.h2{ style = "margin-top:16px", "Curves" },
    e.p{ class = "soft", "Of validation where the run has one, else of training; each stage of a run by itself, from ",
      "its first epoch. A ring is the epoch whose model was kept. Point at a chart, or touch it, for its values." },
    e.div{ class = "charts", curves.over(runs) }, e.h2{ "Runs" },
    e.p{ class = "soft", "\u{2605} the best of a row, where the runs' values mean the same: losses of different ",
      "settings do not." }, table_of(runs, parts_of(runs)) }
  local ok, message = lurcher.write_file(path, html.page("runs side by side", content))
  if not ok then error(message, 0) end
  return path
end

return compare
