--- Tests of the recipe `cache` on small cache files: what it lists, what it removes, and what it must not touch.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local data = lurcher.data
local test, near, raises = harness.test, harness.near, harness.raises

local work = harness.folder "cache"
local succeeds, complains = harness.commands(work)
local folder = work .. "/kept"
assert(lfs.mkdir(folder) and lfs.mkdir(work .. "/set"))
for i = 1, 3 do
  assert(lurcher.image.save(("%s/set/%d.png"):format(work, i), lurcher.uniform{ 4, 4, 3, high = 255 }:cast "u8"))
end
local set = assert(data.flat{ work .. "/set" })

--- A cache named `name`-250x2-0123456789abcdef: finished, unless `part`; last used `days` ago. Returns its handle.
local function make(name, days, part)
  local path = ("%s/%s-250x2-0123456789abcdef.features"):format(folder, name)
  local cache = data.cache{ path = path, key = name, set = set, shape = { 250, 2 }, label = "add_" .. days }
  assert(cache:open() == "filling")
  if not part then
    assert(cache:put({ 1, 2, 3 }, { 1, 2, 3 }, lurcher.zeros{ 3, 250, 2 }) and cache:finish(65))
  end
  local then_ = os.time() - math.floor(days * 86400)
  assert(lfs.touch(part and path .. ".part" or path, then_, then_))
  return cache
end

local size = 8192 + 3 * 500 * 4 -- of each: header, table, rows

--- "train valid": the part before -250x2 in the names of the files that are left, sorted; "*" behind a part.
local function left()
  local names = {}
  for name in lfs.dir(folder) do
    local head, part = name:match "^(.*)%-250x2.*features(.*)$"
    if head then names[#names + 1] = head .. (part ~= "" and "*" or "") end
  end
  table.sort(names)
  return table.concat(names, " ")
end

local function fill()
  for name in lfs.dir(folder) do os.remove(folder .. "/" .. name) end
  make("train", 1):close()
  make("valid", 3):close()
  make("test", 10):close()
  make("killed", 5, true):close()
  assert(lurcher.write_file(folder .. "/notes.txt", "mine"))
  assert(left() == "killed* test train valid")
end

test("cache list: layers, images, sizes, the last used first, and what was left unfinished", function()
  fill()
  local output = succeeds "cache --cache kept"
  local at = 1
  for _, pattern in ipairs{ "\nadd_1 +3 of train +f32 +14.2 kB +1 day ago +1:05 +train%-", "\nadd_3 +3 of valid ",
    "\nadd_5 +3 of killed +f32 +14.2 kB +5 days ago +%? +left unfinished", "\nadd_10 +3 of test ",
    "\nkept: 4 files, 56.8 kB\n" } do
    at = assert(output:find(pattern, at), pattern .. " in " .. output)
  end
  assert(succeeds "cache list --cache kept" == output and not output:find "notes")
  complains(1, { "there is no folder 'nowhere'" }, "cache --cache nowhere")
  complains(1, { "unknown word 'empty'", "list or clean expected" }, "cache empty --cache kept")
end)

test("cache clean: by age, by size, parts, everything; only feature caches are removed", function()
  local function clean(how, expected)
    fill()
    local output = succeeds("cache clean --cache kept --dry-run %s", how)
    assert(output:find("would go", 1, true) and left() == "killed* test train valid", output)
    local count = output:match "(%d) of 4 files would go"
    output = succeeds("cache clean --cache kept %s", how)
    assert(left() == expected and output:find(count .. " of 4 files removed", 1, true), output .. left())
  end
  clean("--older 4", "train valid")
  clean("--older 0.5", "")
  clean("--older 20", "killed* test train valid")
  clean(("--max %.9f"):format(2 * size / 1e9), "train valid")
  clean(("--max %.9f"):format((2 * size - 1) / 1e9), "train")
  clean("--parts", "test train valid")
  clean("--all", "")
  assert(lfs.attributes(folder .. "/notes.txt"))
  fill()
  complains(1, { "one of --older DAYS, --max GB, --parts and --all is expected" }, "cache clean --cache kept")
  assert(left() == "killed* test train valid")
end)

test("cache clean: files that a process reads or fills stay unchanged", function()
  fill()
  local reading, filling = make("read", 20), make("filled", 20, true)
  local output = succeeds "cache --cache kept"
  assert(output:find "3 of read .- in use " and output:find "3 of filled .- being filled ", output)
  output = succeeds "cache clean --cache kept --all"
  assert(left() == "filled* read" and output:find("4 of 6 files removed", 1, true), output)
  assert(select(2, output:gsub("a process uses it", "")) == 2, output)
  near(reading:select{ 2 }:sum(), 0)
  assert(filling:put({ 1, 2, 3 }, { 1, 2, 3 }, lurcher.zeros{ 3, 250, 2 }) and filling:finish())
  reading:close()
  filling:close()
  succeeds "cache clean --cache kept --all"
  assert(left() == "")
end)

test("cache: files that are not feature caches are reported and kept; data.cache_info and data.cache_remove", function()
  fill()
  local odd = folder .. "/odd-250x2-00.features"
  assert(lurcher.write_file(odd, ("x"):rep(5000)))
  local output = succeeds "cache clean --cache kept --all"
  assert(output:find("odd%-250x2%-00.features' is not a feature cache") and left() == "odd", output)
  local info, message, code = data.cache_info(odd)
  assert(info == nil and message:find "is not a feature cache" and code == "EFORMAT")
  assert(select(3, data.cache_remove(odd)) == "EFORMAT" and select(3, data.cache_remove(folder .. "/none")) == "EIO")
  local cache = make("train", 2)
  info = data.cache_info(cache.path)
  assert(info.busy and not info.part and info.images == 3 and info.pictures == 3 and info.views == 1 and info.bytes == size)
  assert(info.shape[1] == 250 and info.shape[2] == 2 and #info.shape == 2 and info.seconds == 65)
  assert(info.label == "add_2" and info.store == "f32" and math.abs(os.time() - info.used - 2 * 86400) < 60)
  local path = cache.path
  assert(data.cache_remove(path) == false)
  cache:close()
  assert(data.cache_remove(path) == true)
  raises("string expected", data.cache_info)
end)
