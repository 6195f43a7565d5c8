--- lurcher.logs: names, order and formats of logs, for callbacks and reports. It keeps no state.

local lurcher = require "lurcher"

local logs_of = {}

local first = { epoch = 1, loss = 2, acc = 3, val_loss = 4, val_acc = 5, lr = 8, seconds = 9,
  wait_seconds = 10, check_seconds = 11 }

--- Place of a log name: losses before accuracies, training before validation, then lr and times.
local function rank(name)
  if first[name] then return first[name] end
  local group = name:find("^val_") and 4.5 or 2.5
  return name:find("_loss$") and group or group + 1
end

--- The names of the numbers in a table of logs, in the order of Keras: the total loss, the outputs' losses in the
-- model's order, the accuracies, then the same of validation. outputs: list of output names, or nil.
function logs_of.names(logs, outputs)
  local place, names = {}, {}
  for i, output in ipairs(outputs or {}) do
    for _, prefix in ipairs{ "", "val_" } do
      place[prefix .. output .. "_loss"], place[prefix .. output .. "_acc"] = i, i
    end
  end
  for name, value in pairs(logs) do
    if type(value) == "number" then names[#names + 1] = name end
  end
  table.sort(names, function(a, b)
    local ra, rb = rank(a), rank(b)
    if ra ~= rb then return ra < rb end
    local pa, pb = place[a] or math.huge, place[b] or math.huge
    if pa ~= pb then return pa < pb end
    return a < b
  end)
  return names
end

--- Fills in {name} and {name:02d} of a pattern, as Python's str.format does for numbers. Raises for a name that is not
-- in `values`; its message lists the names of `logs` (by default values).
function logs_of.fill(pattern, values, logs)
  return (pattern:gsub("{([%w_]+):?([^{}]*)}", function(name, form)
    local value = values[name]
    if value == nil then
      error(("no log named '%s' for the file name '%s' (there are: %s)"):format(name, pattern,
        table.concat(logs_of.names(logs or values), ", ")), 0)
    end
    if form == "" then return lurcher.format("%s", value) end
    if form:find("[di]$") then value = math.tointeger(value) or math.floor(value) end
    local ok, text = pcall(lurcher.format, "%" .. form, value)
    if not ok then error(("bad format '%s' in the file name '%s'"):format(form, pattern), 0) end
    return text
  end))
end

--- A history as CSV text: a header, and a line per epoch (counted from 1); every log that any epoch has is a column.
function logs_of.csv(history, outputs)
  local all = {}
  for _, logs in ipairs(history) do
    for name, value in pairs(logs) do if type(value) == "number" then all[name] = value end end
  end
  local names = logs_of.names(all, outputs)
  local lines = { table.concat(names, ",") }
  for _, logs in ipairs(history) do
    local row = {}
    for i, name in ipairs(names) do
      local value = logs[name]
      if name == "epoch" then row[i] = ("%d"):format(value + 1)
      elseif value == nil then row[i] = ""
      else row[i] = lurcher.format("%.9g", value) end
    end
    lines[#lines + 1] = table.concat(row, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

--- What happens to an image that could not be read: another one replaces it in training, and validation leaves it out.
function logs_of.unread(leaves_out)
  return leaves_out and "left out of the validation" or "replaced by another image of the same class"
end

--- A line for each image that a loader could not read in its last epoch, and that is not in the set `named` yet, which
-- then has it; a last line sums up. Only loaders of data.loader have such lines, and what is put around them.
-- leaves_out: whether the loader (its field leaves_out) or who uses it leaves such images out.
function logs_of.damage(loader, named, leaves_out)
  local lines = {}
  local ok, summary = pcall(function()
    leaves_out = leaves_out or type(loader) == "table" and loader.leaves_out
    return loader.summary
  end)
  if not ok or type(summary) ~= "table" then return lines end
  for _, entry in ipairs(summary) do
    if not named[entry.path] then
      named[entry.path] = true
      lines[#lines + 1] = ("  could not be read, %s: %s: %s"):format(logs_of.unread(leaves_out),
        lurcher.visible(entry.path), lurcher.visible(entry.message))
    end
  end
  if #summary > 0 and leaves_out then
    lines[#lines + 1] = ("  %d validation image%s could not be read"):format(#summary, #summary == 1 and "" or "s")
  elseif #summary > 0 then
    lines[#lines + 1] = ("  %d image%s could not be read; other images replaced them in %d rows of the epoch"):format(
      #summary, #summary == 1 and "" or "s", summary.damaged)
  end
  return lines
end

--- A line about the files of a dataset's folders that are not in it, or nil for none: "passed over in 'd/train': 3
-- .bmp, 1 .txt (only JPEG and PNG files are read), 2 images in no class folder".
function logs_of.passed_over(set, path)
  local counts, order, parts = {}, {}, {}
  for _, file in ipairs(set.ignored) do
    local ending = file:match "[^/](%.[^./]+)$" or ""
    if not counts[ending] then counts[ending], order[#order + 1] = 0, ending end
    counts[ending] = counts[ending] + 1
  end
  table.sort(order, function(a, b)
    if counts[a] ~= counts[b] then return counts[a] > counts[b] end
    return a < b
  end)
  for i, ending in ipairs(order) do
    if i > 4 then
      parts[5] = ("%d others"):format((parts.rest or 0) + counts[ending])
      parts.rest = (parts.rest or 0) + counts[ending]
    else
      parts[i] = ("%d %s"):format(counts[ending], ending == "" and "without extension" or ending)
    end
  end
  local text = #parts > 0 and table.concat(parts, ", ") .. " (only JPEG and PNG files are read)" or nil
  if #set.loose > 0 then
    local loose = ("%d image%s in no class folder"):format(#set.loose, #set.loose == 1 and "" or "s")
    text = text and text .. ", " .. loose or loose
  end
  return text and ("passed over in '%s': %s"):format(path, text) or nil
end

--- Seconds as text: "8 s", "2:05", "1:02:03".
function logs_of.duration(seconds)
  local s = math.floor(seconds + 0.5)
  if s < 60 then return s .. " s" end
  if s < 3600 then return ("%d:%02d"):format(s // 60, s % 60) end
  return ("%d:%02d:%02d"):format(s // 3600, s // 60 % 60, s % 60)
end

--- Bytes as text: "8.2 kB", "105.3 MB", "1.7 GB".
function logs_of.size(bytes)
  if bytes < 1e6 then return lurcher.format("%.1f kB", bytes / 1e3) end
  if bytes < 1e9 then return lurcher.format("%.1f MB", bytes / 1e6) end
  return lurcher.format("%.1f GB", bytes / 1e9)
end

return logs_of
