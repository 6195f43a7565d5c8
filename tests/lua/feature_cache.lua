--- Tests of the feature cache: what comes from a cache file is what would have been computed, whatever has happened to
-- the file, the images, the weights, the disk, or in another process meanwhile.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local frozen, samplers = require "lurcher.frozen", require "lurcher.samplers"
local data, nn = lurcher.data, lurcher.nn
local test, near, raises = harness.test, harness.near, harness.raises

local work = harness.folder "feature_cache"
local images = work .. "/images/train"
local count = 10

local function path_of(class, i) return ("%s/class%d/%d.png"):format(images, class, i) end

--- Draws image i of a class; `shade` changes it.
local function draw(class, i, shade)
  local image = lurcher.uniform{ 40, 40, 3, low = 0, high = 120 }
  image[1 + i]:fill(250)
  assert(lurcher.image.save(path_of(class, i), (image + (shade or 0) + 40 * class):cast "u8"))
end

assert(require "lurcher.run_folder".make_folders(images .. "/class1"))
assert(require "lurcher.run_folder".make_folders(images .. "/class2"))
for class = 1, 2 do
  for i = 1, count // 2 do draw(class, i) end
end

--- A small model, frozen up to a layer; other weights with another seed.
local function split_of(seed, separable)
  lurcher.seed(seed or 3)
  local x = nn.input{ name = "image", shape = { 32, 32, 3 } }
  x = nn.conv2d{ 6, 3, stride = 2, activation = "relu", name = "conv" }(x)
  if separable then x = nn.separable_conv2d{ 32, 3, name = "separable" }(x) end
  x = nn.max_pool{ 4, name = "pool" }(nn.batchnorm{ name = "norm" }(x))
  local model = nn.model{ said = nn.dense{ 2, activation = "softmax", name = "said" }(nn.flatten(x)) }
  model:freeze{ to = "pool" }
  return assert(frozen.split(model, "image"))
end

--- Options of load, `more` among them.
local function load(split, more)
  local o = { assert(data.folder{ images }), size = 32, batch = 3, workers = 1, device = "cpu", seed = 5,
    quiet = true }
  for key, value in pairs(more or {}) do o[key] = value end
  return split:load(o)
end

--- All features of a view, 1 by default.
local function all(loaded, view)
  local list = {}
  for i = 1, count do list[i] = i end
  return (loaded:select(list, view))
end

local function same(a, b) return (a - b):abs():max() == 0 end

--- The split with a backbone that must not be computed again.
local function without_computing(split)
  local backbone = split.backbone
  local idle = { layers = backbone.layers, outputs = backbone.outputs, json = function() return backbone:json() end,
    compile = function() error "computed again" end }
  local other = {}
  for key, value in pairs(split) do other[key] = value end
  other.backbone = idle
  return setmetatable(other, getmetatable(split))
end

--- The names in a folder.
local function names_in(folder)
  local names = {}
  for name in lfs.dir(folder) do if name:sub(1, 1) ~= "." then names[#names + 1] = name end end
  table.sort(names)
  return names
end

--- The one cache file of a folder.
local function only_file(folder)
  local names = names_in(folder)
  assert(#names == 1, table.concat(names, " "))
  return folder .. "/" .. names[1]
end

local function change_byte(path, at)
  local file = assert(io.open(path, "r+b"))
  file:seek(table.unpack(at < 0 and { "end", at } or { "set", at }))
  local byte = file:read(1):byte()
  file:seek("cur", -1)
  file:write(string.char(byte ~ 1))
  file:close()
end

test("cache: with and without it, and from it, the features are the same bits; in f16 nearly", function()
  local split = split_of()
  local memory, folder = all(load(split)), work .. "/agree"
  assert(same(all(load(split, { cache = folder })), memory))
  assert(only_file(folder):find "/train%-54%-%x+%.features$", only_file(folder))
  assert(same(all(load(without_computing(split), { cache = folder, batch = 4 })), memory))
  raises("computed again", load, without_computing(split), { cache = work .. "/none" })
  local half = all(load(split, { cache = folder, store = "f16" }))
  assert(not same(half, memory) and #names_in(folder) == 2)
  near(((half - memory):abs() / (memory:abs() + 1e-3)):max(), 0, 2 ^ -10)
  assert(same(all(load(without_computing(split), { cache = folder, store = "f16" })), half))
  assert(same(all(load(split, { store = "f16" })), half))
end)

test("cache: int8 features are near those of f32, in a separate file, with the same bits each time", function()
  local split, folder = split_of(3, true), work .. "/int8"
  local f32 = all(load(split, { cache = folder }))
  local memory = all(load(split, { precision = "int8" }))
  assert(same(all(load(split, { cache = folder, precision = "int8" })), memory))
  assert(#names_in(folder) == 2 and not same(memory, f32))
  near((memory - f32):abs():max() / f32:abs():max(), 0, 0.03)
  assert(same(all(load(without_computing(split), { cache = folder, precision = "int8" })), memory))
  raises("precision is 'f64' %('f32' or 'int8' expected%)", load, split, { precision = "f64" })
end)

--- The key that a cache file of earlier versions has for these features. What changes it makes everybody's files
-- stale: a new option of a layer kind has to be left out of a definition while it has its default value.
local key = [[
2/bias 9555823759c4e2e21b9ae3ac91c037a5
2/kernel 573ef72f44fe06d8f144bc0a2876726c
{"augment":"augment{ rotate = 10, hflip = true }","channels":3,"device":"cpu","max_pixels":0,"preprocess":"tf",]]
  .. [["resize":"bilinear","seed":5,"size":8,"store":"f32","views":2}
{"format":"lurcher-model","inputs":[0],"layers":[{"kind":"input","options":{"dtype":"f32","shape":[8,8,3]}},]]
  .. [[{"kind":"conv2d","options":{"activation":"linear","filters":2,"init":"glorot_uniform","init_deviation":0.05,]]
  .. [["kernel":[3,3],"padding":"valid","stride":[1,1],"use_bias":true}},{"kind":"relu","options":{}},]]
  .. [[{"kind":"global_avg_pool","options":{}}],"nodes":[{"inputs":[],"layer":0},{"inputs":[0],"layer":1},]]
  .. [[{"inputs":[1],"layer":2},{"inputs":[2],"layer":3}],"outputs":[{"node":3}],"version":1}]]

test("cache: files of earlier versions are found: the key of a model and a preprocessing has not changed", function()
  local x = nn.conv2d{ 2, 3, name = "zeros" }(nn.input("image", 8, 8, 3))
  local model = nn.model{ y = nn.dense{ 2, activation = "softmax" }(nn.global_avg_pool(nn.relu(x))) }:freeze "zeros"
  for _, weight in pairs(model:layer "zeros":weights()) do weight:fill(0) end
  local new_cache, found = data.cache, nil
  local function watched(o)
    found = o.key
    return new_cache(o)
  end
  data.cache = watched
  local ok, message = pcall(load, assert(frozen.split(model, "image")), { cache = work .. "/key", size = 8, views = 2,
    augment = data.augment{ rotate = 10, hflip = true } })
  data.cache = new_cache
  assert(ok, message)
  assert(found == key, found)
end)

test("cache: the features are right whichever byte is damaged, and when the file is truncated", function()
  local split, folder = split_of(), work .. "/damage"
  local memory = all(load(split))
  assert(same(all(load(split, { cache = folder })), memory))
  local path = only_file(folder)
  local size = lfs.attributes(path, "size")
  for at = 0, size - 1, size // 97 do
    change_byte(path, at)
    assert(same(all(load(split, { cache = folder })), memory), at)
  end
  change_byte(path, -1)
  raises("computed again", load, without_computing(split), { cache = folder })
  assert(same(all(load(split, { cache = folder })), memory))
  local file = assert(io.open(path, "rb"))
  local bytes = file:read "a"
  file:close()
  for _, length in ipairs{ 0, 5, 4096, 9000, size - 1 } do
    assert(lurcher.write_file(path, bytes:sub(1, length)))
    assert(same(all(load(split, { cache = folder })), memory), length)
  end
end)

test("cache: other weights, another size of images, another preprocessing are other features", function()
  local folder = work .. "/stale"
  for _, o in ipairs{ {}, { preprocess = "rescale" }, { resize = "nearest" }, { seed = 9 } } do
    for seed = 3, 4 do
      local memory = all(load(split_of(seed), o))
      o.cache = folder
      assert(same(all(load(split_of(seed), o)), memory))
      assert(same(all(load(without_computing(split_of(seed)), o)), memory))
      o.cache = nil
    end
  end
  assert(#names_in(folder) == 6, "the seed decides nothing where nothing is drawn")
end)

test("cache: an image that changes costs its own row, whatever its modification time is", function()
  local split, folder = split_of(), work .. "/changed"
  local before = all(load(split, { cache = folder }))
  local times = lfs.attributes(path_of(1, 2))
  draw(1, 2, 30)
  assert(lfs.touch(path_of(1, 2), times.access, times.modification))
  local memory, after = all(load(split)), all(load(split, { cache = folder }))
  assert(same(after, memory))
  for i = 1, count do assert(same(after[i], before[i]) == (i ~= 2), i) end
  assert(lfs.touch(path_of(1, 3)))
  assert(same(all(load(without_computing(split), { cache = folder })), memory))
end)

test("cache: k fixed views equal those of data.loader in its first k epochs, and alternate", function()
  local split, folder = split_of(), work .. "/views"
  local augment = data.augment{ hflip = true, rotate = 30, brightness = 0.2 }
  local o = { augment = augment, views = 3 }
  local memory = load(split, o)
  o.cache = folder
  local learn, run = load(split, o), split.backbone:compile{ device = "cpu" }
  local plain = data.loader{ assert(data.folder{ images }), size = 32, batch = count, shuffle = false,
    augment = augment, workers = 1, seed = 5 }
  for view = 1, 3 do
    assert(same(all(learn, view), all(memory, view)))
    for batch in plain:epoch(view - 1) do
      near((run:predict{ image = batch.image }[split.layer] - all(learn, view)):abs():max(), 0, 1e-6)
    end
    assert(view == 1 or not same(all(learn, view), all(learn, 1)))
  end
  local loader = load(without_computing(split), o):loader{ batch = count, shuffle = false, output = "said" }
  for epoch = 0, 6 do
    for batch in loader:epoch(epoch) do assert(same(batch.features, all(memory, epoch % 3 + 1))) end
  end
  o.seed = 6
  raises("computed again", load, without_computing(split), o)
  raises("views", load, split, { augment = augment })
  raises("all the same", load, split, { views = 2 })
  raises("no fixed views", load, split, { augment = data.augment{ mixup = 0.2 }, views = 2 })
end)

test("cache: a transform's views are data.loader's and belong to its text; a function's stay in memory", function()
  local split, folder, path = split_of(), work .. "/transform", work .. "/transform.lua"
  local function write(text) assert(lurcher.write_file(path, text)) end
  write "return function(img, random) return img:cast 'f32' * random:uniform(0.5, 1) end"
  local o = { transform = path, views = 2, cache = folder }
  local learn, run = load(split, o), split.backbone:compile{ device = "cpu" }
  local plain = data.loader{ assert(data.folder{ images }), size = 32, batch = count, shuffle = false, workers = 1,
    seed = 5, transform = path }
  for view = 1, 2 do
    for batch in plain:epoch(view - 1) do
      near((run:predict{ image = batch.image }[split.layer] - all(learn, view)):abs():max(), 0, 1e-6)
    end
  end
  assert(not same(all(learn, 1), all(learn, 2)))
  assert(same(all(load(without_computing(split), o), 2), all(learn, 2)))
  raises("computed again", load, without_computing(split), { cache = folder })
  raises("computed again", load, without_computing(split), { transform = path, views = 2, cache = folder, seed = 6 })
  write "return function(img, random) return img:cast 'f32' * random:uniform(0.5, 2) end"
  raises("computed again", load, without_computing(split), o)
  o.transform = dofile(path)
  local files = #names_in(folder)
  load(split, o)
  assert(#names_in(folder) == files)
  raises("computed again", load, without_computing(split), o)
  raises("transform needs views", load, split, { transform = path })
end)

test("cache: pairs of a siamese head come in the same batches as from memory", function()
  local split, folder = split_of(), work .. "/pairs"
  local o = { sampler = samplers.pairs{ assert(data.folder{ images }), batch = 4, seed = 2 },
    targets = function(batch) return { same = batch.class:select(batch.left):eq(batch.class:select(batch.right)) } end }
  load(split, { cache = folder })
  local from_memory, from_file = load(split):loader(o), load(without_computing(split), { cache = folder }):loader(o)
  for epoch = 0, 1 do
    local next_batch, batches = from_memory:epoch(epoch), 0
    for batch in from_file:epoch(epoch) do
      local expected = next_batch()
      for name, tensor in pairs(expected) do assert(same(batch[name], tensor), name) end
      batches = batches + 1
    end
    assert(batches == #from_file and batches > 1)
  end
end)

--- A script that loads the features of the images into the folder arg[1] and prints their hash. With "hold" as
-- arg[2] it stops itself (SIGSTOP) before the fourth image, so that what others do meanwhile depends on no clock.
local script = work .. "/load.lua"
assert(lurcher.write_file(script, ([[
local lurcher = require "lurcher"
local frozen = require "lurcher.frozen"
local nn, data = lurcher.nn, lurcher.data
lurcher.seed(3)
local x = nn.input{ name = "image", shape = { 64, 64, 3 } }
local deep = nn.conv2d{ 32, 3, name = "conv" }(x)
local model = nn.model{ said = nn.dense{ 2, activation = "softmax", name = "said" }(nn.flatten(deep)) }
model:freeze{ to = "conv" }
local split = frozen.split(model, "image")
if arg[2] == "hold" then
  local backbone, images = split.backbone, 0
  local function compile(_, o)
    local run = backbone:compile(o)
    local function predict(_, batch)
      images = images + 1
      if images == 4 then os.execute "kill -STOP $PPID" end
      return run:predict(batch)
    end
    return setmetatable({ predict = predict }, { __close = function() run:close() end })
  end
  split.backbone = { layers = backbone.layers, outputs = backbone.outputs, json = function() return backbone:json() end,
    compile = compile }
end
local loaded = split:load{ assert(data.folder{ %q }), size = 64, batch = 1, workers = 1, device = "cpu",
  cache = arg[1] }
print("hash " .. lurcher.hash((loaded:select{ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })))
]]):format(images)))

local function command(folder, how) return ("'%s' '%s' '%s' %s"):format(harness.program, script, folder, how or "") end

--- Shell words that start the script in the background as $held, and wait until it has stopped itself.
local function hold(folder)
  return command(folder, "hold") .. [[ & held=$!; until grep -q "^State:.[TZ]" /proc/$held/status; do sleep 0.02; done]]
end

test("cache: two processes at once: one computes, the other waits and reads", function()
  local folder, said = work .. "/both", work .. "/second.txt"
  local output, code = harness.run(([[
%s
%s >%s 2>&1 & second=$!
until grep -q "waiting for another process" %s; do sleep 0.02; done
kill -CONT $held; wait $held && wait $second && cat %s]]):format(hold(folder), command(folder), said, said, said))
  assert(code == 0, output)
  local hashes = {}
  for hash in output:gmatch "hash (%x+)" do hashes[#hashes + 1] = hash end
  assert(#hashes == 2 and hashes[1] == hashes[2], output)
  local _, computed = output:gsub("computed 'flatten_1' once", "")
  local _, reused = output:gsub("from cache", "")
  assert(computed == 1 and reused == 2 and output:find("waiting for another process", 1, true), output)
  only_file(folder)
end)

test("cache: processes that make the folder at the same moment all find it", function()
  local make = work .. "/make.lua"
  assert(lurcher.write_file(make, [[
local path = require "lurcher.run_folder".make_folders
local lfs = require "lfs"
while not lfs.attributes(arg[1] .. "/go") do end
for i = 1, 300 do assert(path(("%s/%d/a/b"):format(arg[1], i))) end
]]))
  local folder = work .. "/race"
  assert(require "lurcher.run_folder".make_folders(folder))
  local one = ("'%s' '%s' '%s'"):format(harness.program, make, folder)
  local output, code = harness.run(([[
%s & first=$!; %s & second=$!; sleep 0.1; mkdir %s/go
wait $first && wait $second]]):format(one, one, folder))
  assert(code == 0, output)
end)

test("cache: the rows of a killed process are used by the next one", function()
  local folder = work .. "/killed"
  local output = harness.run(("%s; kill -9 $held; ls %s"):format(hold(folder), folder))
  assert(output:find("%.features%.part"), output)
  local again, code = harness.run(command(folder))
  local rest = tonumber(again:match "computed 'flatten_1' once for (%d+) images")
  assert(code == 0 and rest == 7, again)
  local fresh = harness.run(command(work .. "/both"))
  assert(again:match "hash (%x+)" == fresh:match "hash (%x+)", again)
  only_file(folder)
end)

test("cache: on a full disk the features stay in memory, with a message", function()
  local folder = work .. "/full"
  local output, code = harness.run(("ulimit -f 100; %s"):format(command(folder)))
  assert(code == 0, output)
  assert(output:find("no feature cache: no room for ", 1, true) and output:find("stay in memory", 1, true), output)
  assert(output:match "hash (%x+)" == harness.run(command(work .. "/both")):match "hash (%x+)", output)
  assert(#names_in(folder) == 0)
  output, code = harness.run(command(script .. "/folder"))
  assert(code == 0 and output:find("no feature cache: cannot make the folder", 1, true), output)
end)

test("cache: limits of a file and of memory", function()
  local split = split_of()
  local none, why = load(split, { cache = work .. "/limits", limit = 100, memory = 100 })
  assert(none == nil and why:find "limit of 0%.1 kB", why)
  none, why = load(split, { memory = 100 })
  assert(none == nil and why:find "in memory", why)
  assert(load(split, { cache = work .. "/limits", limit = 100 }) and not lfs.attributes(work .. "/limits"))
  raises("store is 'u8'", load, split, { store = "u8" })
end)

test("cache: an interrupted computation leaves the file to the next", function()
  local split, folder = split_of(), work .. "/interrupted"
  lurcher.interrupt()
  raises("interrupted", load, split, { cache = folder })
  assert(only_file(folder):find "%.part$")
  assert(same(all(load(split, { cache = folder })), all(load(split))))
end)

test("cache: an image that cannot be read has the row of its replacement, and is reported from the cache, too", function()
  local file = assert(io.open(path_of(2, 4), "rb"))
  local whole = file:read "a"
  file:close()
  assert(lurcher.write_file(path_of(2, 4), whole:sub(1, #whole // 2)))
  local folder = work .. "/unreadable"
  for _, expected in ipairs{ "4.png: .*[^\n]+", "4.png\n" } do
    local output = harness.run(command(folder))
    assert(output:find("replaced by another image of the same class: " .. images .. "/class2/" .. expected), output)
  end
  local _, class, index = load(split_of(), { cache = folder }):select{ 9 }
  assert(class:totable()[1] == 1 and index:totable()[1] ~= 8)
  assert(lurcher.write_file(path_of(2, 4), whole))
  assert(not harness.run(command(folder)):find "replaced by")
end)

test("data.cache: options and states are checked", function()
  local set = assert(data.folder{ images })
  raises("path", data.cache, { key = "k", set = set, shape = { 2 } })
  raises("key", data.cache, { path = work .. "/x", set = set, shape = { 2 } })
  raises("set", data.cache, { path = work .. "/x", key = "k", shape = { 2 } })
  raises("store", data.cache, { path = work .. "/x", key = "k", set = set, shape = { 2 }, store = "u8" })
  local cache <close> = data.cache{ path = work .. "/x", key = "k", set = set, shape = { 2 } }
  raises("not open", cache.select, cache, { 1 })
  raises("not being filled", cache.finish, cache)
  assert(cache:open() == "filling" and #cache == count and #cache:missing(3, 5) == 3 and cache.note == "")
  raises("missing", cache.select, cache, { 1 })
  raises("row 10", cache.put, cache, { 11 }, { 1 }, lurcher.zeros{ 1, 2 })
  local ok, message = cache:put({ 1 }, { 1 }, lurcher.zeros{ 1, 3 })
  assert(not ok and message:find "f32 1x2 expected", message)
  local other <close> = data.cache{ path = work .. "/x", key = "k", set = set, shape = { 2 } }
  assert(other:open() == "busy")
end)

