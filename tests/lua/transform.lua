--- Tests of data.loader's transform: a Lua file that the workers run, or a function that the main thread runs.
local harness = require "harness"
local lurcher = require "lurcher"
local lfs = require "lfs"
local test, raises = harness.test, harness.raises
local data, image = lurcher.data, lurcher.image

local SIDE, COUNT = 24, 10
local folder = harness.folder "transform"

--- Writes a Lua file into the test's folder; returns its path.
local function write(name, text)
  local path = folder .. "/" .. name
  assert(lurcher.write_file(path, text))
  return path
end

for i = 1, COUNT do -- larger than the batches' images, each of one class of two
  local pixels = (lurcher.uniform{ 30 + i, 40, 3 } * 255):cast "u8"
  local class = folder .. "/set/" .. (i % 2 == 0 and "even" or "odd")
  lfs.mkdir(folder .. "/set")
  lfs.mkdir(class)
  assert(image.save(("%s/%02d.png"):format(class, i), pixels))
end

--- One epoch's batches with a transform: the hash of their images and classes; and the first batch.
local function epoch(transform, more, number)
  local set <close> = assert(data.folder(folder .. "/set"))
  local options = { set, size = SIDE, batch = 4, seed = 7, workers = 2, transform = transform }
  for key, value in pairs(more or {}) do options[key] = value end
  local loader <close> = data.loader(options)
  local hashes, first = {}, nil
  for batch in loader:epoch(number or 0) do
    first = first or batch
    hashes[#hashes + 1] = lurcher.hash(batch.image) .. lurcher.hash(batch.class)
  end
  return table.concat(hashes, " "), first
end

local random_file = write("random.lua", [[
local image, lurcher = require "lurcher.image", require "lurcher"
return function(img, random, info)
  local top = random:integer(1, 5)
  img = image.resize(image.crop(img, top, top, 16, 16), 24, 24)
  local noise = lurcher.normal{ 24, 24, 3, std = random:uniform(1, 8) } + math.random(-9, 9)
  return img:cast "f32" + noise + random:normal() * 4 + (random:boolean(0.3) and 9 or 0) + random:choice{ 1, 2, 3 }
end
]])

test("transform: the same bits with any number of workers, other ones in another epoch and with another seed",
  function()
    local one = epoch(random_file, { workers = 1 })
    for _, workers in ipairs{ 0, 2, 8 } do assert(epoch(random_file, { workers = workers }) == one, workers) end
    assert(epoch(random_file, nil, 1) ~= one)
    assert(epoch(random_file, { seed = 8 }) ~= one)
    assert(epoch(nil) ~= one)
  end)

test("transform: the same bits where math.random and lurcher.seed were used before", function()
  local one = epoch(random_file)
  math.random()
  lurcher.uniform{ 3 }:close()
  assert(epoch(random_file) == one)
end)

test("transform: the same image in an epoch is drawn anew, and the same in a resumed epoch", function()
  local set <close> = assert(data.folder(folder .. "/set"))
  local function batches(position)
    local loader <close> = data.loader{ set, size = SIDE, seed = 7, workers = 2, transform = random_file,
      sampler = function()
        local n = 0
        return function()
          n = n + 1
          return n < 5 and { 3, 3, 4 } or nil
        end
      end }
    local list = {}
    if position then loader:resume(position) end
    for batch in loader() do list[#list + 1] = batch.image:clone() end
    return list
  end
  local all, rest = batches(), batches{ epoch = 0, batch = 2 }
  assert(#all == 4 and #rest == 2)
  assert((all[1][1] - all[1][2]):abs():max() > 0)
  for i = 1, 2 do assert(lurcher.hash(rest[i]) == lurcher.hash(all[i + 2])) end
end)

test("transform: one that returns the image changes nothing without augmentation, and rounds with it", function()
  local same = write("same.lua", "return function(image) return image end")
  local gentle, strong = data.augment{ hflip = true, vflip = true }, data.augment{ rotate = 30 }
  for _, preprocess in ipairs{ "tf", "caffe", "rescale", "none" } do
    local how = { preprocess = preprocess, augment = gentle }
    assert(epoch(same, how) == epoch(nil, how), preprocess)
    assert(epoch(function(img) return img end, how) == epoch(nil, how), preprocess)
    assert(epoch(function(img) return img:cast "f32" end, how) == epoch(nil, how), preprocess)
  end
  assert(epoch(same, { channels = 1 }) == epoch(nil, { channels = 1 }))
  local how = { augment = strong, preprocess = "none" }
  local _, with = epoch(same, how)
  local _, without = epoch(nil, how)
  local apart = (with.image - without.image):abs():max()
  assert(apart > 0 and apart <= 0.5 + 1e-3, apart)
  how.channels = 1
  local _, gray = epoch(same, how)
  local _, plain = epoch(nil, how)
  assert((gray.image - plain.image):abs():max() <= 0.5 + 1e-3)
end)

test("transform: it gets the resized image as u8, and all about it", function()
  local set <close> = assert(data.folder(folder .. "/set"))
  local seen = {}
  local loader <close> = data.loader{ set, size = { SIDE, 20 }, batch = 10, shuffle = false, workers = 1, seed = 1,
    transform = function(img, random, info)
      assert(img.dtype == "u8" and table.concat(img.shape, "x") == "24x20x3" and random:unit() < 1)
      local file <close> = assert(image.load(info.path))
      local small <close> = image.resize(file, SIDE, 20)
      assert(lurcher.hash(small) == lurcher.hash(img))
      assert(info.height == file.shape[1] and info.width == file.shape[2])
      seen[#seen + 1] = info
      return img
    end }
  for _ in loader() do end
  for _ in loader() do end
  assert(#seen == 20)
  for i, info in ipairs(seen) do
    local index = (i - 1) % 10 + 1
    assert(info.index == index and info.epoch == (i - 1) // 10 and info.draw == 1)
    assert(info.name == set:name(index) and info.path == set:path(index) and info.class == set:class(index))
    assert(info.class_name == set.classes[info.class] and next(info.columns) == nil)
  end
end)

test("transform: columns of the set, no class, the draw number", function()
  local flat <close> = assert(data.flat{ folder .. "/set/even", rule = "{number}" })
  local loader <close> = data.loader{ flat, size = SIDE, sampler = function()
    local batch = { 1, 2, 1 }
    return function()
      local now = batch
      batch = nil
      return now
    end
  end, transform = function(img, _, info)
    assert(info.columns.number == flat:column(info.index, "number") and info.class == nil)
    return img * 0 + (info.index * 10 + info.draw)
  end, preprocess = "none", workers = 1 }
  for batch in loader() do harness.near(batch.image:view(3, -1):mean(2), { 11, 21, 12 }) end
end)

test("transform: a damaged image's replacement is told as such", function()
  local broken = folder .. "/broken.png"
  assert(lurcher.write_file(broken, "no image"))
  local list <close> = data.list{ { broken, "a" }, { folder .. "/set/even/02.png", "a" } }
  local loader <close> = data.loader{ list, size = SIDE, batch = 2, shuffle = false, preprocess = "none",
    transform = write("index.lua", "return function(img, _, info) return img:cast 'f32' * 0 + info.index end") }
  for batch in loader() do harness.near(batch.image:view(2, -1):mean(2), { 2, 2 }) end
  assert(loader.summary.damaged == 1)
end)

test("transform: mixup comes after it", function()
  local augment = data.augment{ mixup = 0.5 }
  local white = "return function(img) return img:cast 'f32' * 0 + 255 end"
  local _, batch = epoch(write("white.lua", white), { augment = augment, preprocess = "rescale" })
  harness.near(batch.image:mean(), 1)
  assert(batch.target:max() < 1)
  assert(epoch(load(white)(), { augment = augment }) == epoch(folder .. "/white.lua", { augment = augment }))
end)

-- ---- errors ----

--- The message of an epoch with a transform of this text.
local function failure(text, more)
  return raises("", epoch, write("wrong.lua", text), more)
end

test("transform: an error in it names the file, the line and the image, in one line, and ends the epoch", function()
  for _, workers in ipairs{ 0, 1, 2 } do
    local message = failure("return function(image, random, info)\n  if info.index == 3 then info.nothing() end\n"
      .. "  return image\nend", { workers = workers, shuffle = false })
    assert(message:find("wrong.lua:2: attempt to call a nil value %(field 'nothing'%) "
      .. "%(image 'even/06.png', epoch 0%)$"), message)
    assert(not message:find "\n")
  end
  assert(failure "return function() error('one\\n\\ttwo') end":find ":1: one two %(image", 1)
  assert(failure "return function() error{} end":find "table: 0x%x+ %(image")
end)

test("transform: the image of the lowest row is named, whatever worker is faster", function()
  for _ = 1, 5 do
    local message = failure("return function(img, _, info) if info.index > 1 then error 'no' end return img end",
      { workers = 8, shuffle = false })
    assert(message:find "'even/04.png'", message)
  end
end)

test("transform: after an error the next epoch begins with a new state", function()
  local set <close> = assert(data.folder(folder .. "/set"))
  local loader <close> = data.loader{ set, size = SIDE, workers = 1, transform = write("count.lua", [[
    local n = 0
    return function(img, _, info)
      n = n + 1
      if info.epoch == 0 then error "no" end
      assert(n <= 10)
      return img
    end]]) }
  raises("count.lua:4: no", function() for _ in loader() do end end)
  local n = 0
  for _ in loader() do n = n + 1 end
  assert(n == 1)
  raises("count.lua:5: assertion failed", function() for _ in loader() do end end) -- the state lives on
end)

test("transform: wrong results are told", function()
  for text, expected in pairs{
    ["return function() end"] = ":1: the transform returned nil: it must return the image",
    ["\nreturn function() return 3 end"] = ":2: the transform returned a number: a tensor expected, the image",
    ["return function(i) return require 'lurcher'.zeros{ 2, 24, 3 } end"] =
      ":1: the transform returned a tensor of 2x24x3: 24x24x3 expected, the size of the loader's images",
    ["return function(i) return i:cast 'i32' end"] =
      ":1: the transform returned a tensor of i32: u8 expected, or f32 with values from 0 to 255",
    ["return function(i) i:close() return i end"] = "attempt to use a closed lurcher.tensor" } do
    local message = failure(text)
    assert(message:find(expected, 1, true), message)
    if not text:find "close" then
      message = raises("", epoch, load(text, "@function.lua")())
      assert(message:find("function.lua" .. expected, 1, true) and message:find "%(image '", message)
    end
  end
end)

test("transform: a generator that is kept for the next image is closed", function()
  assert(failure("local kept return function(i, r) kept = kept or r kept:unit() return i end", { workers = 1 })
    :find "closed lurcher.random")
end)

test("transform: mistakes in the file are reported where the loader is made", function()
  local set <close> = assert(data.folder(folder .. "/set"))
  local function made(transform) return data.loader{ set, size = SIDE, transform = transform } end
  raises("bad option 'transform' to 'data.loader' %(cannot read 'absent.lua': No such file or directory%)", made,
    "absent.lua")
  raises("%(cannot read '.*/set': Is a directory%)", made, folder .. "/set")
  raises("%(.*syntax.lua:2: unexpected symbol near '%)'%)", made, write("syntax.lua", "\nreturn )"))
  raises("%(.*top.lua:1: no%)", made, write("top.lua", "error 'no'"))
  raises("%(.*nothing.lua returns nothing: it must return function%(image, random, info%)%)", made,
    write("nothing.lua", "local x = 1"))
  raises("returns a table: it must", made, write("nothing.lua", "return {}"))
  raises("module 'absent_module' not found:", made, write("requires.lua", "require 'absent_module'"))
  for _, wrong in ipairs{ 3, true, {}, { 3 } } do
    raises("%(a function, the name of a Lua file or { file, NAME = value, ... } expected%)", made, wrong)
  end
  raises("%({ file, NAME = value, ... } expected%)", made, { "same.lua", 3 })
  raises("json: a function cannot be written", made, { "same.lua", f = print })
  assert(not lurcher.nearest("transfrom", { "x" }))
  raises("unknown option 'transfrom' to 'data.loader' %(did you mean 'transform'%?%)", data.loader,
    { set, size = 3, transfrom = 1 })
end)

test("transform: what belongs to the main script raises a sentence", function()
  for call, name in pairs{ ["lurcher.nn.input('x', 3)"] = "lurcher.nn",
    ["require('lurcher.nn').dense{ 3 }"] = "lurcher.nn",
    ["lurcher.optim.adam()"] = "lurcher.optim", ["require 'lurcher.fit'()"] = "lurcher.fit",
    ["lurcher.data.loader{}"] = "lurcher.data.loader", ["lurcher.data.cache{}"] = "lurcher.data.cache",
    ["lurcher.data.audit{}"] = "lurcher.data.audit", ["lurcher.device 'cuda'"] = "lurcher.device",
    ["lurcher.devices()"] = "lurcher.devices", ["os.exit(3)"] = "os.exit", ["os.setlocale 'C'"] = "os.setlocale" } do
    local message = failure("local lurcher = require 'lurcher'\nreturn function()\n" .. call .. "\nend")
    assert(message:find("wrong.lua:3: " .. name .. " cannot be used in a loader's worker: it belongs in the script "
      .. "that makes the loader (image", 1, true), message)
  end
  assert(failure("local l = require 'lurcher' return function(i) return i:to 'cuda' end")
    :find "device 'cuda': tensors of a loader's worker are on the CPU")
end)

test("transform: a file gets the options beside it in a table", function()
  local path = write("options.lua", [[
    local options = ...
    local value = options.value or 1
    assert(not options.list or options.list[2] == "b" and options.list.n == nil and options.yes == true)
    return function(img) return img:cast "f32" * 0 + value end]])
  for transform, expected in pairs{ [path] = 1, [{ path }] = 1, [{ path, value = 2.5 }] = 2.5,
    [{ path, value = 3, list = { "a", "b" }, yes = true }] = 3 } do
    local _, batch = epoch(transform, { preprocess = "none" })
    harness.near(batch.image:mean(), expected)
  end
  assert(data.transform_hash{ path } == data.transform_hash(path))
  assert(data.transform_hash(path) ~= data.transform_hash{ path, value = 2 })
  assert(data.transform_hash{ path, value = 2, yes = true } == data.transform_hash{ path, yes = true, value = 2 })
  assert(data.transform_hash{ path, value = 2 } ~= data.transform_hash{ path, value = 3 })
end)

-- ---- states ----

test("transform: require looks beside the file, then where the script's does", function()
  lfs.mkdir(folder .. "/sub")
  write("sub/beside.lua", "return 40")
  write("elsewhere.lua", "return 2")
  local path = package.path
  package.path = folder .. "/?.lua;" .. path
  local good, hash, batch = pcall(epoch, write("sub/main.lua", [[
    local value = require "beside" + require "elsewhere"
    return function(img) return img:cast "f32" * 0 + value end]]), { preprocess = "none" })
  package.path = path
  assert(good, hash)
  harness.near(batch.image:mean(), 42)
end)

test("transform: a file that changes after the loader was made changes nothing", function()
  local set <close> = assert(data.folder(folder .. "/set"))
  local path = write("changing.lua", "return function(img) return img:cast 'f32' * 0 + 1 end")
  local loader <close> = data.loader{ set, size = SIDE, transform = path, preprocess = "none", workers = 2 }
  write("changing.lua", "return function(img) return img:cast 'f32' * 0 + 2 end")
  for batch in loader() do harness.near(batch.image:mean(), 1) end
end)

test("transform: a first line that begins with #, and numbers whatever the locale", function()
  local path = write("shebang.lua", "#!/usr/bin/lurcher\nreturn function(img) return img:cast 'f32' * 0 + 1.5 end")
  local _, batch = epoch(path, { preprocess = "none" })
  harness.near(batch.image:mean(), 1.5)
  assert(failure("#!x\nreturn function() error 'no' end"):find "wrong.lua:2: no")
end)

test("transform: a worker's memory is collected", function()
  local set <close> = assert(data.folder(folder .. "/set"))
  local loader <close> = data.loader{ set, size = SIDE, workers = 1, transform = write("memory.lua", [[
    local lurcher = require "lurcher"
    local most = 0
    return function(img)
      for i = 1, 50 do local t = lurcher.zeros{ 1000, 1000 } end -- 200 MB that Lua does not see
      most = math.max(most, lurcher.memory().rss)
      return img:cast "f32" * 0 + most / 2^20
    end]]), preprocess = "none" }
  for batch in loader() do
    local grown = batch.image:max() - batch.image:min()
    assert(grown < 600, grown) -- of 2000; a sanitizer keeps 256 of what is freed
  end
end)

test("transform: an epoch that is left early, and a loader that is closed, end at once", function()
  local set <close> = assert(data.folder(folder .. "/set"))
  local path = write("slow.lua",
    "return function(img, _, info) if info.index > 4 then while true do end end return img end")
  local started = lurcher.time()
  local loader <close> = data.loader{ set, size = SIDE, batch = 2, shuffle = false, workers = 2, transform = path }
  for _ in loader:epoch() do break end
  loader:close()
  assert(lurcher.time() - started < 5)
end)

test("transform: Ctrl-C ends a transform that never returns", function()
  local script = write("endless.lua", ([[
    local lurcher = require "lurcher"
    local set = assert(lurcher.data.folder %q)
    local loader <close> = lurcher.data.loader{ set, size = 24, workers = tonumber(arg[1]), transform = %q }
    print "begun"
    io.stdout:flush()
    print(pcall(function() for _ in loader() do end end))
    print(lurcher.interrupted())
  ]]):format(folder .. "/set", write("loop.lua",
    "return function(i) while true do pcall(function() while true do end end) end end")))
  for workers = 0, 2, 2 do
    local output = harness.run(("'%s' '%s' %d 2>&1 & p=$!; sleep 1; kill -INT $p; wait $p"):format(harness.program,
      script, workers))
    assert(output:find "begun\nfalse\t.*endless.lua:6: interrupted\nfalse\n", output)
  end
end)

test("transform_hash: of the file and of what it requires", function()
  write("sub/part.lua", "return 1")
  local path = write("sub/hashed.lua", "require 'part'\nreturn function(img) return img end")
  local one = data.transform_hash(path)
  assert(one == data.transform_hash(path) and #one == 32)
  write("sub/part.lua", "return 2")
  local two = data.transform_hash(path)
  write("sub/hashed.lua", "require 'part'\nreturn function(img) return img  end")
  assert(one ~= two and data.transform_hash(path) ~= two and data.transform_hash(path) ~= one)
  raises("bad option 'transform' to 'data.transform_hash' %(cannot read 'absent.lua'", data.transform_hash,
    "absent.lua")
end)

test("random: integer, normal, boolean, choice", function()
  local random <close> = data.random(3)
  local low, high, heads, sum, square, picks = 9, 0, 0, 0, 0, {}
  for _ = 1, 4000 do
    local i, x = random:integer(-2, 5), random:normal(3, 2)
    low, high = math.min(low, i), math.max(high, i)
    sum, square = sum + x, square + x * x
    if random:boolean(0.25) then heads = heads + 1 end
    picks[random:choice{ "a", "b" }] = true
  end
  assert(low == -2 and high == 5 and picks.a and picks.b)
  harness.near(heads / 4000, 0.25, 0.03)
  harness.near(sum / 4000, 3, 0.12)
  harness.near(square / 4000 - (sum / 4000) ^ 2, 4, 0.4)
  assert(random:integer(1) == 1 and random:integer(7, 7) == 7 and random:uniform() < 1)
  raises("a range that is not empty", random.integer, random, 3, 2)
  raises("a range that is not empty", random.integer, random, math.mininteger, math.maxinteger)
  raises("a probability from 0 to 1 expected", random.boolean, random, 2)
  raises("a list that is not empty expected", random.choice, random, {})
end)
