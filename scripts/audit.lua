--- audit.lua - finds damaged, misnamed and duplicate images in a folder before a network is trained on it
-- Prints the findings and a line with their numbers; the exit code is 1 where an image is damaged, misnamed or
-- duplicate.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files, logs_of = require "lurcher.files", require "lurcher.logs"
local options = require "lurcher.recipe.options"
local data = lurcher.data

local spec = {
  name = "audit",
  summary = "Decodes every image of DIR and reports damaged, misnamed, duplicate (also across classes and across\n"
    .. "DIR/train, DIR/valid, DIR/test) and tiny images, small classes, and classes missing from one of these.",
  { "tiny", "integer", default = 32, min = 1, max = 1048576, help = "report images with a side shorter than N pixels" },
  { "imbalance", "number", default = 10, min = 1, help = "report classes X times smaller than the largest" },
  { "workers", "integer", default = 0, min = 0, max = 64, help = "threads that decode images; 0: one per core" },
  { "limit", "integer", default = 50, min = 1, help = "number of findings of each kind to print" },
  arguments = { name = "DIR", min = 1, max = 1,
    help = "folder with one subfolder per class, flat folder, or folder of train/ valid/ test/ of either" },
  notes = "The exit code is 1 if there are findings of the kinds corrupt, extension, duplicate, class-duplicate,\n"
    .. "split-duplicate, class-missing.",
}

local parts = { "train", "valid", "val", "test", "query", "gallery" }

local function is_folder(path) return lfs.attributes(path, "mode") == "directory" end

--- A set of class folders, or of a flat folder.
local function open_set(path)
  if not is_folder(path) then error(("'%s' is not a folder"):format(path), 0) end
  local set, message = (files.folders(path)[1] and data.folder or data.flat){ path }
  if not set then error(message, 0) end
  local passed_over = logs_of.passed_over(set, path)
  if passed_over then print(passed_over) end
  return set
end

--- The sets of DIR and their names: its parts where it has any, else itself.
local function open_sets(path)
  local sets, names = {}, {}
  for _, part in ipairs(parts) do
    if is_folder(path .. "/" .. part) then
      sets[#sets + 1], names[#names + 1] = open_set(path .. "/" .. part), part
    end
  end
  if #sets == 0 then sets[1], names[1] = open_set(path), path end
  return sets, names
end

--- Parts that must have the same classes; query/ and gallery/ are of other identities than train/ by design.
local same_classes = { train = true, valid = true, val = true, test = true }

--- Number of images of each class, by name; classes without images are left out.
local function counts_of(set)
  local counts = {}
  for i, name in ipairs(set.classes) do
    if set.counts[i] > 0 then counts[name] = set.counts[i] end
  end
  return counts
end

--- Adds a finding for each class that one part has images of while another part with classes has none: the class is
-- learnt and never validated, or validated and never learnt.
local function find_missing_classes(findings, sets, names)
  local counts, all, has = {}, {}, {}
  for k, set in ipairs(sets) do
    if same_classes[names[k]] then counts[k] = counts_of(set) end
    if counts[k] and not next(counts[k]) then counts[k] = nil end -- no class folders
    for name in pairs(counts[k] or {}) do
      if not has[name] then all[#all + 1], has[name] = name, k end
    end
  end
  table.sort(all)
  for k = 1, #sets do
    for _, name in ipairs(counts[k] and all or {}) do
      if not counts[k][name] then
        local other = has[name]
        findings[#findings + 1] = { kind = "class-missing", set = k,
          text = ("no image of class '%s' (%s has %d)"):format(name, names[other], counts[other][name]) }
      end
    end
  end
end

local function print_findings(findings, names, limit)
  local counts, order = {}, {}
  for _, finding in ipairs(findings) do
    local kind = finding.kind
    if not counts[kind] then counts[kind], order[#order + 1] = 0, kind end
    counts[kind] = counts[kind] + 1
    if counts[kind] <= limit then
      local where = finding.name and names[finding.set] .. "/" .. finding.name or names[finding.set]
      print(("%-16s %s: %s"):format(kind, lurcher.visible(where), lurcher.visible(finding.text)))
    elseif counts[kind] == limit + 1 then
      print(("%-16s ... (see --limit)"):format(kind))
    end
  end
  return counts, order
end

local harmless = { tiny = true, imbalance = true }

options.main(spec, arg, function(o)
  local sets, names = open_sets(o.arguments[1])
  for i, set in ipairs(sets) do print(("%s: %s"):format(names[i], set)) end
  local request = { tiny = o.tiny, imbalance = o.imbalance, workers = o.workers }
  for i, set in ipairs(sets) do request[i] = set end
  local findings = data.audit(request)
  find_missing_classes(findings, sets, names)
  local counts, order = print_findings(findings, names, o.limit)
  local sums, code = {}, 0
  for _, kind in ipairs(order) do
    sums[#sums + 1] = ("%d %s"):format(counts[kind], kind)
    if not harmless[kind] then code = 1 end
  end
  if findings.turned > 0 then
    print(("%d of the images %s an EXIF orientation: recipes turn them, but not with --no-exif or in era 2017")
      :format(findings.turned, findings.turned == 1 and "has" or "have"))
  end
  print(("%d images checked: %s"):format(findings.checked, #sums > 0 and table.concat(sums, ", ") or "nothing found"))
  return code
end)
