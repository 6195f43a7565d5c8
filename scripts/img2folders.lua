--- img2folders.lua - copies a flat folder of images, typeid_randhash.jpg, into train/CLASS/ and valid/CLASS/
-- Nothing is ever overwritten or moved. Everything is checked before the first file is written, and a file that exists
-- with the same contents counts as done: after an interruption the same command continues.

local lfs = require "lfs"
local lurcher = require "lurcher"
local files, ticker = require "lurcher.files", require "lurcher.ticker"
local logs_of = require "lurcher.logs"
local options = require "lurcher.recipe.options"
local data = lurcher.data

local spec = {
  name = "img2folders",
  summary = "Copies the images of a flat folder into OUT/train/CLASS/ and OUT/valid/CLASS/: every tenth image of a\n"
    .. "class goes to OUT/valid/CLASS/.",
  { "data", "path", required = true, value = "DIR", help = "folder of images whose names contain their class" },
  { "out", "path", required = true, value = "OUT", help = "folder to make train/ and valid/ in" },
  { "rule", "string", default = "{class}_{}",
    help = "position of the class in a file name without extension; {} is any text" },
  { "every", "integer", default = 10, min = 2, help = "every Nth image of a class goes to validation" },
  { "link", "flag", help = "make hard links instead of copies" },
  { "dry-run", "flag", help = "print what would be done, and do nothing" },
  { "era", "choice", default = "current", choices = { "current", "2017" },
    help = "2017: count over all entries of DIR instead of the images of each class, as in the original" },
  notes = "The last image of a class of fewer than --every goes to validation, unless it is the only one.",
}

local function base_name(path) return path:match "[^/]*$" end

--- Part of each image, counted class by class: images `every`, 2 * `every`, ... go to validation.
local function parts_by_class(set, every)
  local parts = {}
  for _, images in ipairs(set:by_class()) do
    local count = #images
    for k, image in ipairs(images) do
      local chosen = k % every == 0 or (count < every and k == count and count > 1)
      parts[image] = chosen and "valid" or "train"
    end
  end
  return parts
end

--- Part of each image as in the original (img2keras.py): entries 1, 11, 21, ... of the folder go to validation,
-- whatever they are. There the order was the file system's; here it is by name.
local function parts_by_entry(set, every, folder)
  local names, index, parts = {}, {}, {}
  for name in lfs.dir(folder) do
    if name ~= "." and name ~= ".." then names[#names + 1] = name end
  end
  table.sort(names)
  for i, name in ipairs(names) do index[name] = i - 1 end
  for i = 1, #set do parts[i] = index[set:name(i):match "^[^/]+"] % every == 0 and "valid" or "train" end
  return parts
end

--- The bytes of a file. Raises where it cannot be read.
local function read(path)
  local text, message = files.read(path)
  return text or error(("cannot read '%s': %s"):format(path, message), 0)
end

--- Whether two files are one, or hold the same bytes.
local function is_same(a, b)
  local of_a, of_b = lfs.attributes(a), lfs.attributes(b)
  if of_a.dev == of_b.dev and of_a.ino == of_b.ino then return true end
  return of_a.size == of_b.size and read(a) == read(b)
end

local function refuse(path, target, why)
  error(("'%s' cannot be copied to '%s': %s"):format(path, target, why), 0)
end

--- What is to be done: a list of { from, to, class, part, done }. Raises where an image's target is taken.
local function plan_of(set, parts, out)
  local plan, taken = {}, {}
  for i = 1, #set do
    local from, class, part = set:path(i), set.classes[set:class(i)], parts[i]
    local name = class .. "/" .. base_name(from)
    local to, other = out .. "/" .. part .. "/" .. name,
      out .. "/" .. (part == "train" and "valid" or "train") .. "/" .. name
    if class == "." or class == ".." then refuse(from, to, ("'%s' cannot be a class's folder"):format(class)) end
    if taken[name] then refuse(from, to, ("'%s' is copied there"):format(taken[name])) end
    if lfs.symlinkattributes(other) then
      refuse(from, to, ("'%s' exists, from other images or another --every (remove it, or use another --out)")
        :format(other))
    end
    local is_there = lfs.symlinkattributes(to) ~= nil
    if is_there and (lfs.attributes(to, "mode") ~= "file" or not is_same(from, to)) then
      refuse(from, to, "a different file of that name exists")
    end
    taken[name] = from
    plan[i] = { from = from, to = to, class = class, part = part, done = is_there }
  end
  return plan
end

local function link(from, to)
  local ok, message = lfs.link(from, to)
  if not ok then refuse(from, to, message .. " (hard links need one file system: leave out --link to copy)") end
end

local function copy(from, to)
  local ok, message = lurcher.write_file(to, read(from))
  if not ok then error(message, 0) end
end

--- Carries out the plan. Returns how many files were made, and whether that was all.
local function carry_out(plan, how)
  local made, is_made, tick = 0, {}, ticker{ label = "copying", total = #plan }
  for i, step in ipairs(plan) do
    if not step.done then
      local folder = step.to:match "^(.*)/[^/]*$"
      if not is_made[folder] then is_made[folder] = assert(files.make_folders(folder)) end
      how(step.from, step.to)
      made = made + 1
    end
    tick:count(i)
    if lurcher.interrupted() then return made, false end
  end
  tick:break_line()
  return made, true
end

local function print_table(plan, classes)
  local counts, width = { total = { train = 0, valid = 0 } }, #"total"
  for _, class in ipairs(classes) do
    counts[class] = { train = 0, valid = 0 }
    width = math.max(width, #lurcher.visible(class))
  end
  for _, step in ipairs(plan) do
    for _, row in ipairs{ step.class, "total" } do counts[row][step.part] = counts[row][step.part] + 1 end
  end
  local function row(class, train, valid)
    local name = lurcher.visible(class)
    print(("%s%s  %6s %6s"):format(name, (" "):rep(width - #name), train, valid))
  end
  row("class", "train", "valid")
  for _, class in ipairs(classes) do row(class, counts[class].train, counts[class].valid) end
  row("total", counts.total.train, counts.total.valid)
end

--- Raises where what is made would be read as images of DIR by the same command, or where DIR is a folder of OUT.
local function check_apart(o)
  for _, folder in ipairs{ o.out, o.out .. "/train", o.out .. "/valid" } do
    if files.is_within(folder, o.data) then
      error(("--out %s: '%s' is in the folder of the images, '%s', and would be read as some of them the next time "
        .. "(name a folder outside it)"):format(o.out, folder, o.data), 0)
    end
  end
end

options.main(spec, arg, function(o)
  check_apart(o)
  local set, message = data.flat{ o.data, rule = o.rule, hidden = o.era == "2017" }
  if not set then error(message:find "the rule" and message .. " (see --rule)" or message, 0) end
  local passed_over = logs_of.passed_over(set, o.data)
  if passed_over then print(passed_over) end
  local parts = o.era == "2017" and parts_by_entry(set, o.every, o.data) or parts_by_class(set, o.every)
  local plan, there = plan_of(set, parts, o.out), 0
  for _, step in ipairs(plan) do there = there + (step.done and 1 or 0) end
  print_table(plan, set.classes)
  if o.dry_run then
    print(("would %s %d images to %s; %d exist already"):format(o.link and "link" or "copy", #plan - there, o.out,
      there))
    return
  end
  local made, complete = carry_out(plan, o.link and link or copy)
  print(("%s %d images to %s; %d existed already"):format(o.link and "linked" or "copied", made, o.out, there))
  if complete then return end
  print(("interrupted with %d images left: the same command continues"):format(#plan - there - made))
  return 130
end)
