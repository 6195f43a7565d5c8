--- Tests of lurcher.data: datasets, the loader and its samplers, augmentation, damage, audit, montage.
local harness = require "harness"
local lfs = require "lfs"
local logs_of = require "lurcher.logs"
local lurcher = require "lurcher"
local data, image = lurcher.data, lurcher.image
local test, raises = harness.test, harness.raises

local work = harness.folder "data"

--- A small image that is different for each number up to 20.
local function draw(path, number, height, width)
  local h, w = height or 20, width or 24
  assert(image.save(path, (lurcher.range(h * w * 3) * (60 / (h * w * 3)) + number * 9):view(h, w, 3)))
end

local function write(path, bytes)
  local file = assert(io.open(path, "wb"))
  file:write(bytes)
  file:close()
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  return bytes
end

--- Class folders a, b and c with `each` images; their numbers follow `base`.
local function make_set(name, each, base)
  local root = work .. "/" .. name
  lfs.mkdir(root)
  for c, class in ipairs{ "a", "b", "c" } do
    lfs.mkdir(root .. "/" .. class)
    for i = 1, each do draw(("%s/%s/%02d.png"):format(root, class, i), (base or 0) + (c - 1) * each + i) end
  end
  return root
end

local root = make_set("set", 6)

local function open() return assert(data.folder(root)) end

local function threads()
  local n = 0
  for name in lfs.dir "/proc/self/task" do if name:sub(1, 1) ~= "." then n = n + 1 end end
  return n
end

--- Every batch's class, index and image sums as one text.
local function trace(loader, ...)
  local lines = {}
  for batch in loader:epoch(...) do
    lines[#lines + 1] = table.concat(batch.index:totable(), " ") .. ": " .. ("%.6f"):format(batch.image:sum())
  end
  return lines
end

-- ---- datasets ----

test("folder: classes and images count from 1", function()
  local set = open()
  assert(#set == 18 and set.size == 18 and table.concat(set.classes, " ") == "a b c")
  assert(set:name(7) == "b/01.png" and set:class(7) == 2 and set:path(7) == root .. "/b/01.png")
  assert(tostring(set):find "18 images, 3 classes of 6")
  assert(table.concat(set.counts, " ") == "6 6 6" and #set:by_class()[3] == 6 and set:by_class()[3][1] == 13)
  raises("index 19 is out of range", set.path, set, 19)
  local gone, message, code = data.folder(work .. "/nowhere")
  assert(gone == nil and code == "EIO" and message:find "nowhere")
  gone, message, code = data.folder{ root, classes = { "a", "b" } }
  assert(gone == nil and code == "EFORMAT" and message:find "class 'c' is not one of the 2 given classes")
  raises("unknown option 'clases' to 'data.folder' %(did you mean 'classes'%?%)", data.folder, { root, clases = {} })
end)

test("subset and split", function()
  local set = open()
  local part = set:subset{ 18, 1, 1 }
  assert(#part == 3 and part:class(1) == 3 and part:name(3) == "a/01.png" and #part.classes == 3)
  assert(#set:subset(function(name, class, i) return class == "b" and i % 2 == 0 and name:find "^b/" end) == 3)
  local rest, picked = set:split{ share = 0.5, seed = 3 }
  assert(#rest == 9 and table.concat(picked.counts, " ") == "3 3 3")
  rest, picked = set:split{ rule = function(_, _, i) return i % 10 == 0 end }
  assert(#rest == 17 and picked:name(1) == set:name(10))
  raises("image 19 is out of range", set.subset, set, { 19 })
  local weights = set:subset{ 1, 2, 3, 7 }:class_weights()
  assert(math.abs(weights[1] - 4 / 6) < 1e-9 and math.abs(weights[2] - 2) < 1e-9 and weights[3] == 0)
end)

test("list: a table, a list, a CSV with a header and quotes", function()
  local set = data.list{ { "x/1.jpg", "pug" }, { "x/2.jpg", "beagle" }, { "x/3.jpg", "pug" } }
  assert(#set == 3 and set:class(1) == 2 and set.classes[1] == "beagle")
  assert(#data.list{ { "x/1.jpg" } }.classes == 0)
  write(work .. "/plain.txt", "a/01.png\na/02.png\r\n\nb/01.png")
  set = assert(data.list{ work .. "/plain.txt", root = root })
  assert(#set == 3 and set:class(1) == nil and set:path(2) == root .. "/a/02.png")
  write(work .. "/table.csv", 'id,file,"breed, of dog"\n1,"one, ""x"".jpg",pug\n2,/abs/two.jpg,"bull\nmastiff"\n')
  set = assert(data.list{ work .. "/table.csv", header = true, path_column = "file", class_column = "breed, of dog" })
  assert(set:name(1) == 'one, "x".jpg' and set:path(1) == work .. '/one, "x".jpg' and set:path(2) == "/abs/two.jpg")
  assert(set.classes[1] == "bull\nmastiff" and set:class(1) == 2)
  assert(data.list{ work .. "/table.csv", header = true, path_column = 2, class_column = 3 }.size == 2)
  local _, message, code = data.list{ work .. "/table.csv", header = true, path_column = "name" }
  assert(code == "EFORMAT" and message:find "the header has no column 'name'")
  write(work .. "/bad.csv", 'a.jpg,pug\nb.jpg\n')
  _, message, code = data.list(work .. "/bad.csv")
  assert(code == "EFORMAT" and message:find "line 2 has 1 fields, at least 2 expected")
  write(work .. "/open.csv", 'a.jpg,"pug\n')
  assert(select(2, data.list(work .. "/open.csv")):find "line 1: a quoted field does not end")
  assert(select(3, data.list(work .. "/none.csv")) == "EIO")
end)

test("flat: a rule for names", function()
  local folder = work .. "/flat"
  lfs.mkdir(folder)
  for _, name in ipairs{ "0002_c1s1_000451_03", "0002_c3s1_000001_00", "0007_c2s2_000002_01" } do
    draw(folder .. "/" .. name .. ".jpg", 1)
  end
  local set = assert(data.flat{ folder, rule = "{class}_c{camera}s{sequence}_{}" })
  assert(table.concat(set.classes, " ") == "0002 0007")
  assert(set:column(2, "camera") == "3" and set.columns[2] == "sequence")
  raises("no column 'color'", set.column, set, 1, "color")
  assert(#data.flat(folder).classes == 0)
end)

-- ---- loader ----

test("loader: whole epochs in a new order each, the same again for a seed and any number of workers", function()
  local set = open()
  local first
  for _, workers in ipairs{ 0, 1, 2, 8 } do
    local loader <close> = data.loader{ set, size = 16, batch = 7, seed = 5, workers = workers }
    assert(#loader == 3)
    local a, b = trace(loader), trace(loader)
    assert(#a == 3 and table.concat(a) ~= table.concat(b))
    first = first or table.concat(a)
    assert(table.concat(a) == first and table.concat(trace(loader, 0)) == first)
  end
  local loader <close> = data.loader{ set, size = { 10, 12 }, batch = 7, shuffle = false, drop_last = true,
    channels = 1 }
  assert(#loader == 2)
  for batch in loader() do
    assert(table.concat(batch.image.shape, "x") == "7x10x12x1" and batch.class.dtype == "i32")
    assert(batch.index:get(1) == 0 and batch.class:get(7) == 1)
    break
  end
  assert(#trace(loader) == 2)
end)

test("loader: preprocessing", function()
  local set = open():subset{ 1 }
  local img = assert(image.load(set:path(1))):cast "f32":view(1, 20, 24, 3)
  local function load(options)
    options[1], options.size = set, { 20, 24 }
    local loader <close> = data.loader(options)
    for batch in loader() do return batch.image end
  end
  harness.near(load{ preprocess = "none" }, img)
  harness.near(load{}, img / 127.5 - 1, 1e-6)
  harness.near(load{ preprocess = "rescale" }, img / 255, 1e-6)
  local caffe = load{ preprocess = "caffe" }
  harness.near(caffe:get(1, 3, 4, 1), img:get(1, 3, 4, 3) - 103.939, 1e-4)
  harness.near(caffe:get(1, 3, 4, 3), img:get(1, 3, 4, 1) - 123.68, 1e-4)
  raises("preprocess 'caffe' needs 3 channels", load, { preprocess = "caffe", channels = 1 })
  local torch, mean, std = load{ preprocess = "torch" }, { 0.485, 0.456, 0.406 }, { 0.229, 0.224, 0.225 }
  for c = 1, 3 do
    harness.near(torch:get(1, 3, 4, c), (img:get(1, 3, 4, c) / 255 - mean[c]) / std[c], 1e-5)
  end
  raises("preprocess 'torch' needs 3 channels", load, { preprocess = "torch", channels = 1 })
end)

test("loader: era 2017 resizes as Keras 2.0.6 did, with and without augmentation", function()
  local set = open():subset{ 1 }
  local img = assert(image.load(set:path(1)))
  local function near(filter, options)
    options[1], options.size, options.preprocess = set, { 13, 17 }, "none"
    local loader <close> = data.loader(options)
    for batch in loader() do
      harness.near(batch.image, image.resize(img, 13, 17, filter):cast "f32":view(1, 13, 17, 3))
    end
  end
  near("bilinear", {})
  near("bilinear", { era = "current" })
  near("nearest", { era = "2017" })
  near("nearest", { augment = data.augment{ era = "2017" } })
  near("bilinear", { augment = data.augment{ era = "2017" }, era = "current" })
  near("bilinear", { era = "2017", resize = "bilinear" })
  raises("bad option 'era' to 'data.loader' %(\"current\" or \"2017\" expected, got \"2018\"", data.loader,
    { set, size = 8, era = "2018" })
end)

test("loader: leaving the loop ends the workers at once", function()
  local before = threads()
  local loader <close> = data.loader{ open(), size = 64, batch = 2, workers = 3, prefetch = 4 }
  for _ in loader() do
    assert(threads() == before + 3)
    break
  end
  assert(threads() == before)
  pcall(function() for _ in loader() do error "stop" end end)
  assert(threads() == before)
  for _ in loader() do end
  assert(threads() == before and loader.summary.batches == 9)
  local n = 0
  for _ in loader do n = n + 1 end
  assert(n == 9 and threads() == before)
end)

test("loader: resuming in the middle of an epoch", function()
  local set, random = open(), data.augment{ rotate = 30, hflip = true }
  local function new(workers)
    return data.loader{ set, size = 20, batch = 4, seed = 1, augment = random, workers = workers }
  end
  local loader <close> = new(2)
  local whole = trace(loader, 3)
  local position
  local step = 0
  for _ in loader:epoch(3) do
    step = step + 1
    position = loader:position()
    if step == 2 then break end
  end
  assert(position.epoch == 3 and position.batch == 2)
  for _, workers in ipairs{ 1, 2, 8 } do
    local other <close> = new(workers)
    local rest = trace(other:resume(position))
    assert(#rest == 3 and table.concat(rest) == table.concat(whole, "", 3))
    assert(other:position().epoch == 4 and other:position().batch == 0)
  end
  assert(table.concat(trace(loader, 3, 4)) == whole[5])
end)

test("loader: samplers of every shape", function()
  local set = open()
  local function draws(sampler, options)
    options = options or {}
    options[1], options.size, options.sampler = set, 8, sampler
    local loader <close> = data.loader(options)
    local lines = {}
    for batch in loader() do lines[#lines + 1] = table.concat(batch.index:totable(), " ") end
    return table.concat(lines, "|")
  end
  assert(draws(function(epoch)
    assert(epoch == 0)
    return coroutine.wrap(function()
      coroutine.yield{ 1, 2 }
      coroutine.yield{ 3 }
    end)
  end) == "0 1|2")
  assert(draws(coroutine.create(function() coroutine.yield{ 5 } end)) == "4")
  local left = 3
  assert(draws(function()
    left = left - 1
    if left >= 0 then return { left + 1 } end
  end) == "2|1|0")
  local function once(batch) return coroutine.wrap(function() coroutine.yield(batch) end) end
  assert(draws{ epoch = function(_, epoch) return once{ epoch + 1 } end } == "0")
  local drawn = draws(function(_, random) return once(random:permutation(5)) end, { seed = 2 })
  assert(drawn ~= "0 1 2 3 4" and #drawn == 9)
end)

test("loader: further fields and targets", function()
  local loader <close> = data.loader{ open(), size = 8, images = { "image", "extra" },
    sampler = function() return coroutine.wrap(function()
      coroutine.yield{ image = { 1, 7 }, extra = { 13, 14, 15 }, rows = { 1, 2 }, share = { 0.5, 1 },
        grid = { { 1, 2 }, { 3, 4 } }, given = lurcher.tensor{ 9 } }
    end) end,
    targets = function(batch) return { same = batch.class:eq(batch.class) } end }
  local seen
  for batch in loader() do seen = batch end
  assert(table.concat(seen.class:totable(), " ") == "0 1" and table.concat(seen.extra_class:totable(), " ") == "2 2 2")
  assert(table.concat(seen.extra.shape, "x") == "3x8x8x3")
  assert(table.concat(seen.extra_index:totable(), " ") == "12 13 14")
  assert(seen.rows.dtype == "i32" and table.concat(seen.rows:totable(), " ") == "0 1")
  assert(seen.share.dtype == "f32" and seen.grid.shape[2] == 2 and seen.given:get(1) == 9)
  assert(table.concat(seen.same:totable(), " ") == "1 1")
end)

test("loader: a sampler's error names its file and line", function()
  local function fails(pattern, sampler)
    local loader <close> = data.loader{ open(), size = 8, sampler = sampler }
    raises(pattern, function() for _ in loader() do end end)
  end
  local line = debug.getinfo(1, "l").currentline
  fails("data.lua:" .. line + 1 .. ": attempt to index", function() local x; return x.y end)
  fails("data.lua:" .. line + 2 .. ": attempt to index", coroutine.wrap(function() local x; return x.y end))
  fails("data.lua:" .. line + 4 .. ": sampler: field 'image' has image 19 at position 2",
    coroutine.wrap(function() coroutine.yield{ 1, 19 } end))
  fails("data.lua:" .. line + 5 .. ": sampler: an iterator or a batch", function() return 7 end)
  fails("sampler: field 'image' has image 1.5 at position 1", function() return { 1.5 } end)
  fails("sampler: the batch has no image field", function() return { rows = { 1 } } end)
  fails("sampler: field 'image' is an empty list", function() return { image = {} } end)
  fails("rows%[1%] is 0: tables count from 1", function() return { 1, rows = { 0 } } end)
end)

test("loader: misuse", function()
  local set = open()
  raises("bad option 'size' to 'data.loader' %(required", data.loader, { set })
  raises("bad option '1' to 'data.loader' %(a dataset expected, got string", data.loader, { "set", size = 8 })
  raises("unknown option 'sise' to 'data.loader' %(did you mean 'size'%?%)", data.loader, { set, sise = 8 })
  raises("bad option 'augment'", data.loader, { set, size = 8, augment = {} })
  raises("bad option 'sampler' to 'data.loader'", function()
    local loader <close> = data.loader{ set, size = 8, sampler = "mine" }
    for _ in loader() do end
  end)
  local loader <close> = data.loader{ set, size = 8, batch = 4 }
  local old = loader:epoch()
  old()
  for _ in loader() do break end
  raises("iterator is stale", old)
end)

test("loader: a loader inside its own sampler is collected", function()
  local loader
  loader = data.loader{ open(), size = 8, sampler = function()
    return loader and coroutine.wrap(function() coroutine.yield{ 1 } end)
  end }
  for _ in loader() do end
end)

-- ---- augmentation ----

test("augment: declared options", function()
  local augment = data.augment{ rotate = 45, era = "2017", hflip = true }
  assert(tostring(augment) == 'augment{ rotate = 45, hflip = true, era = "2017" }', tostring(augment))
  raises("unknown option 'rotation' to 'augment'", data.augment, { rotation = 45 })
  raises("bad option 'rotate' to 'augment'", data.augment, { rotate = "much" })
  local names = {}
  for _, info in ipairs(data.augment_options()) do names[info.name] = info.default end
  assert(names.fill == "nearest" and names.erase_max == "0.33")
end)

test("augment: mixup gives mixed targets", function()
  local loader <close> = data.loader{ open(), size = 8, batch = 18, augment = data.augment{ mixup = 1 }, seed = 3 }
  for batch in loader() do
    assert(table.concat(batch.target.shape, "x") == "18x3")
    harness.near(batch.target:sum(2):totable(), lurcher.ones(18):totable(), 1e-5)
    local pure = 0
    for i = 1, 18 do pure = pure + (batch.target:get(i, batch.class:get(i) + 1) > 0.9999 and 1 or 0) end
    assert(pure < 18)
  end
end)

test("numpy_random: NumPy's stream", function()
  local random = data.numpy_random(7)
  assert(table.concat(random:permutation(8), " ") == "3 6 1 7 4 2 5 8")
  assert(random:seed(7):uniform(-45, 45) == -38.13225395634385 and random:uniform(-.2, .2) == 0.11196751689604584)
end)

test("random: by seed and stream", function()
  local a, b, c = data.random(3, 1), data.random(3, 1), data.random(3, 2)
  local x = a:unit()
  assert(x == b:unit() and x ~= c:unit() and x >= 0 and x < 1)
  local seen = {}
  for _ = 1, 200 do seen[a:int(3)] = true end
  assert(seen[1] and seen[2] and seen[3] and #seen == 3)
  assert(#a:shuffle{ 1, 2, 3 } == 3)
end)

-- ---- damage ----

--- A set whose class a has a damaged image of every kind and intact ones; returns the folder and the number of damaged
-- images.
local function damaged_set()
  local folder = make_set("damaged", 3)
  draw(work .. "/whole.jpg", 3, 48, 64)
  local whole, n = read(work .. "/whole.jpg"), 0
  local function bad(name, bytes)
    write(folder .. "/a/" .. name, bytes)
    n = n + 1
  end
  for percent = 5, 95, 5 do bad(("cut%02d.jpg"):format(percent), whole:sub(1, #whole * percent // 100)) end
  bad("empty.jpg", "")
  bad("text.jpg", "these are no pixels")
  bad("tail.jpg", whole:sub(1, -2))
  local at = whole:find("\xFF\xC0", 1, true)
  bad("huge.jpg", whole:sub(1, at + 4) .. "\xFF\xDC\xFF\xDC" .. whole:sub(at + 9))
  local png = read(folder .. "/a/01.png")
  bad("flipped.png", png:sub(1, 60) .. string.char(png:byte(61) ~ 0x10) .. png:sub(62))
  write(folder .. "/a/really_png.jpg", png) -- the bytes decide: no damage
  for at = 1, #whole, #whole // 40 do -- a flipped byte may spare the image: what the decoder refuses is damage
    local bytes = whole:sub(1, at - 1) .. string.char(whole:byte(at) ~ 0xFF) .. whole:sub(at + 1)
    if image.decode(bytes) then write(("%s/a/harmless%04d.jpg"):format(folder, at), bytes)
    else bad(("flipped%04d.jpg"):format(at), bytes) end
  end
  draw(folder .. "/a/vanishing.png", 1)
  n = n + 1
  return folder, n
end

test("damage: an epoch completes, names each file once, replaces by class, sums up; strict raises", function()
  local folder, n = damaged_set()
  local set = assert(data.folder(folder))
  os.remove(folder .. "/a/vanishing.png")
  local first
  for _, workers in ipairs{ 0, 1, 2, 8 } do
    local loader <close> = data.loader{ set, size = 16, batch = 5, seed = 4, workers = workers }
    local lines, classes = {}, {}
    for batch in loader() do
      for i = 1, #batch.class do
        local class = batch.class:get(i) + 1
        classes[class] = (classes[class] or 0) + 1
        assert(set:class(batch.index:get(i) + 1) == class)
      end
      lines[#lines + 1] = ("%s %.6f"):format(table.concat(batch.index:totable(), " "), batch.image:sum())
    end
    assert(table.concat(classes, " ") == table.concat(set.counts, " "))
    first = first or table.concat(lines)
    assert(table.concat(lines) == first)
    local summary, names = loader.summary, {}
    assert(#summary == n and summary.damaged >= n and summary.epoch == 0, #summary)
    for _, entry in ipairs(summary) do
      assert(not names[entry.name] and entry.fresh and entry.times >= 1 and entry.path == set:path(entry.index))
      names[entry.name] = entry.message
    end
    assert(names["a/empty.jpg"] == "empty file" and names["a/text.jpg"] == "neither JPEG nor PNG")
    assert(names["a/huge.jpg"]:find "pixels allowed" and names["a/vanishing.png"]:find "No such file")
    assert(names["a/cut50.jpg"]:find "damaged JPEG" and names["a/flipped.png"]:find "damaged PNG")
    for name in pairs(names) do assert(not name:find "really_png" and not name:find "harmless") end
    local said = {}
    local told = logs_of.damage(loader, said)
    assert(#told == n + 1 and told[1]:find "could not be read.*damaged/a/", told[1])
    assert(told[n + 1] == ("  %d images could not be read; other images replaced them in %d rows of the epoch")
      :format(n, summary.damaged), told[n + 1])
    for _ in loader() do end
    assert(#loader.summary == n and not loader.summary[1].fresh)
    assert(#logs_of.damage(loader, said) == 1) -- each is named once, the sum is of every epoch
  end
  local loader <close> = data.loader{ set, size = 16, strict = true }
  raises("damaged/a/.*", function() for _ in loader() do end end)
end)

-- A file without read permission is tested in tests/c/test_loader.c, which gives up root's privileges first.
test("damage: a folder in an image's place", function()
  local folder = make_set("locked", 2)
  local set = assert(data.folder(folder))
  os.remove(folder .. "/b/01.png")
  lfs.mkdir(folder .. "/b/01.png")
  local loader <close> = data.loader{ set, size = 8 }
  for _ in loader() do end
  assert(#loader.summary == 1 and loader.summary[1].message:find "is a folder")
end)

-- ---- audit, images ----

test("audit: damage, names, duplicates, sizes, balance", function()
  local train, valid = make_set("audit_train", 4), make_set("audit_valid", 2, 13)
  write(train .. "/a/copy.png", read(train .. "/a/01.png"))
  write(train .. "/b/other.png", read(train .. "/a/02.png"))
  write(valid .. "/c/seen.png", read(train .. "/c/03.png"))
  write(train .. "/c/wrong.jpg", read(train .. "/c/04.png"))
  write(train .. "/c/cut.png", read(train .. "/c/04.png"):sub(1, 70))
  write(train .. "/c/nameless", read(train .. "/c/04.png"))
  draw(train .. "/a/small.png", 1, 6, 40)
  lfs.mkdir(train .. "/d")
  local a, b = assert(data.folder(train)), assert(data.folder(valid))
  local found, text = {}, {}
  local findings = data.audit{ a, b, tiny = 10, workers = 2 }
  for _, finding in ipairs(findings) do
    found[finding.kind] = (found[finding.kind] or 0) + 1
    text[#text + 1] = ("%s %s %s"):format(finding.kind, finding.name or "-", finding.text)
  end
  text = table.concat(text, "\n")
  assert(findings.checked == #a + #b, findings.checked)
  assert(found.corrupt == 1 and text:find "corrupt c/cut.png damaged PNG", text)
  assert(found.extension == 2 and text:find "extension c/wrong.jpg its contents are PNG", text)
  assert(text:find "nameless: ignored", text)
  assert(found["class-duplicate"] == 1 and text:find "class%-duplicate b/other.png the same bytes as .*a/02.png", text)
  assert(found["split-duplicate"] == 1 and text:find "split%-duplicate c/seen.png", text)
  assert(found.tiny == 1 and found.imbalance == 1 and text:find "class 'd' has 0 images", text)
  assert(found.duplicate == 2, text) -- copy.png, and wrong.jpg beside 04.png
  raises("data.audit' expects datasets", data.audit, {})
end)

test("image: montage", function()
  local batch = lurcher.tensor{ shape = { 5, 6, 8, 3 }, fill = 1 }
  local img = image.montage(batch)
  assert(img.dtype == "u8" and table.concat(img.shape, "x") == "18x32x3" and img:get(3, 3, 1) == 255)
  img = image.montage(batch, { columns = 5, labels = { "a", "b" }, low = 0, high = 2 })
  assert(table.concat(img.shape, "x") == "20x52x3" and img:get(3, 3, 1) == 128)
  raises("a batch of images", image.montage, lurcher.ones(3))
end)

test("image: load, save, resize, crop", function()
  local path = work .. "/one.png"
  draw(path, 2)
  local img = assert(image.load(path))
  assert(assert(image.decode(read(path))):eq(img):min() == 1)
  assert(table.concat(image.resize(img, 7, 9).shape, "x") == "7x9x3")
  assert(image.crop(img, 2, 3, 4, 5):get(1, 1, 2) == img:get(2, 3, 2))
  raises("exceeds the image", image.crop, img, 20, 1, 4, 5)
  raises("a name ending in", image.save, work .. "/one.gif", img)
  local _, message, code = image.load(work .. "/none.png")
  assert(code == "EIO" and message:find "none.png")
  _, message, code = image.decode "no image"
  assert(code == "EFORMAT" and message:find "neither JPEG nor PNG")
end)
