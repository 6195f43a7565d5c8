--- cache.lua - lists and cleans a feature cache
-- A file holds the outputs of one layer for the images of one set. Every file may be removed at any time: the next run
-- computes what is missing. A file that a process has open or is filling stays. What an interrupted process left of a
-- file (.part) is completed by the next run that needs it; here it is a file like any other.

local lfs = require "lfs"
local lurcher = require "lurcher"
local logs_of, options = require "lurcher.logs", require "lurcher.recipe.options"
local data = lurcher.data

local spec = {
  name = "cache",
  summary = "list prints the files of a feature cache, the last used first. clean removes those that --older, --max\n"
    .. "or --parts selects, or --all of them, except files in use by a process.",
  { "cache", "path", default = "runs/cache", value = "DIR", help = "folder of the cache" },
  { "older", "number", min = 0, value = "DAYS", help = "clean: remove files that were last used more than DAYS ago" },
  { "max", "number", min = 0, value = "GB",
    help = "clean: remove the least recently used files until the others take at most GB" },
  { "parts", "flag", help = "clean: remove unfinished files that no process is filling" },
  { "all", "flag", help = "clean: remove all files" },
  { "dry-run", "flag", help = "clean: print what would be removed, and remove nothing" },
  arguments = { name = "list|clean", min = 0, max = 1, help = "what to do (default list)" },
}

--- Prints a line; texts in it may be names of files.
local function printf(format, ...)
  local values = table.pack(...)
  for i = 1, values.n do
    if type(values[i]) == "string" then values[i] = lurcher.visible(values[i]) end
  end
  print(format:format(table.unpack(values, 1, values.n)))
end

--- The cache files of a folder, the last used first, and the bytes of all.
local function files_of(folder)
  if lfs.attributes(folder, "mode") ~= "directory" then
    error(("there is no folder '%s': no run has used it as a cache (see --cache)"):format(folder), 0)
  end
  local files, bytes = {}, 0
  for name in lfs.dir(folder) do
    if name:find "%.features$" or name:find "%.features%.part$" then
      local path = folder .. "/" .. name
      local info, why = data.cache_info(path)
      if info then
        info.name, info.path = name, path
        files[#files + 1], bytes = info, bytes + info.bytes
      elseif lfs.attributes(path) then -- else another process has removed it
        print("  " .. why)
      end
    end
  end
  table.sort(files, function(a, b)
    if a.used ~= b.used then return a.used > b.used end
    return a.name < b.name
  end)
  return files, bytes
end

--- "2 days ago"
local function ago(time)
  local seconds = math.max(0, os.time() - time)
  for _, unit in ipairs{ { 86400, "day" }, { 3600, "hour" }, { 60, "minute" } } do
    local count = math.floor(seconds / unit[1])
    if count > 0 then return ("%d %s%s ago"):format(count, unit[2], count > 1 and "s" or "") end
  end
  return "just now"
end

--- "1674 of train, 4 views"
local function images_of(file)
  if file.images == 0 then return "?" end
  return ("%d of %s%s"):format(file.images, file.name:match "^(.*)%-[%dx]+%-%x+%.features" or "?",
    file.views > 1 and (", %d views"):format(file.views) or "")
end

--- Whether a process uses it, for people.
local function state_of(file)
  if file.part then return file.busy and "being filled" or "left unfinished" end
  return file.busy and "in use" or ""
end

local function print_table(rows)
  local width = {}
  for _, row in ipairs(rows) do
    for i, cell in ipairs(row) do
      row[i] = lurcher.visible(cell)
      width[i] = math.max(width[i] or 0, #row[i])
    end
  end
  for _, row in ipairs(rows) do
    local cells = {}
    for i, cell in ipairs(row) do cells[i] = cell .. (" "):rep(width[i] - #cell) end
    print((table.concat(cells, "  "):gsub("%s+$", "")))
  end
end

local function list(o)
  local files, bytes = files_of(o.cache)
  local rows = { { "layer", "images", "numbers", "size", "last used", "took", "", "file" } }
  for _, file in ipairs(files) do
    rows[#rows + 1] = { file.label ~= "" and file.label or "?", images_of(file), file.store, logs_of.size(file.bytes),
      ago(file.used), file.seconds > 0 and logs_of.duration(file.seconds) or "?", state_of(file), file.name }
  end
  if #files > 0 then print_table(rows) end
  printf("%s: %d file%s, %s", o.cache, #files, #files == 1 and "" or "s", logs_of.size(bytes))
end

--- The files to remove, the least recently used first. A file in use counts for --max, and stays.
local function chosen(files, bytes, o)
  local selected, limit = {}, o.max and o.max * 1e9 or math.huge
  for i = #files, 1, -1 do
    local file = files[i]
    local is_old = o.older and os.time() - file.used > o.older * 86400
    if o.all or is_old or bytes > limit or (o.parts and file.part) then
      selected[#selected + 1] = file
      if not file.busy then bytes = bytes - file.bytes end
    end
  end
  return selected
end

local function clean(o)
  if not (o.all or o.older or o.max or o.parts) then
    error("nothing to clean: one of --older DAYS, --max GB, --parts and --all is expected", 0)
  end
  local files, bytes = files_of(o.cache)
  local count, freed = 0, 0
  for _, file in ipairs(chosen(files, bytes, o)) do
    local gone, why = not file.busy, nil
    if gone and not o.dry_run then gone, why = data.cache_remove(file.path) end
    if gone then
      count, freed = count + 1, freed + file.bytes
      printf("%s %s: %s, last used %s", o.dry_run and "would remove" or "removed", file.name, logs_of.size(file.bytes),
        ago(file.used))
    else
      printf("stays: %s", why or file.name .. ", a process uses it")
    end
  end
  printf("%s: %d of %d file%s %s, %s of %s", o.cache, count, #files, #files == 1 and "" or "s",
    o.dry_run and "would go" or "removed", logs_of.size(freed), logs_of.size(bytes))
end

options.main(spec, arg, function(o)
  local action = o.arguments[1] or "list"
  if action == "list" then return list(o) end
  if action == "clean" then return clean(o) end
  error(("unknown word '%s' (list or clean expected)"):format(action), 0)
end)
