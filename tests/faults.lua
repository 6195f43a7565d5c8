--- faults.lua - what tests/faults.sh runs under the library of tests/c/fault.c: a phase whose k-th call fails, for every k.
--     lurcher tests/faults.lua PHASE FOLDER        FOLDER: made by `lurcher tests/faults.lua prepare FOLDER`
-- Whatever fails, the phase must succeed or say why; files that it replaces are the old or the new ones; and the next
-- try, without faults, succeeds. To add a phase: a function that makes what it needs and returns the work that may fail
-- and a check of what is left.
local lfs = require "lfs"
local lurcher = require "lurcher"
local data, nn = lurcher.data, lurcher.nn

local phase, work = arg[1], arg[2]
local checkpoint, images = work .. "/old.safetensors", work .. "/images"

local function new_model()
  lurcher.seed(3)
  local x = nn.input("image", 16, 16, 3)
  x = nn.conv2d{ 4, 3, stride = 2, name = "conv" }(x)
  x = nn.relu{}(nn.batchnorm{ name = "norm" }(x))
  return nn.model{ class = nn.dense{ 2, activation = "softmax", name = "class" }(nn.global_avg_pool{}(x)) }
end

local function compile(model)
  return model:compile{ optimizer = "adam", loss = { class = "categorical_crossentropy" }, device = "cpu" }
end

local function new_loader(workers)
  return data.loader{ assert(data.folder{ images }), size = 16, batch = 4, workers = workers, prefetch = 2, seed = 5 }
end

local damaged = 0 -- images that a loader called damaged; none is

--- One epoch; its loss.
local function train(run, loader)
  local loss
  for batch in loader:epoch() do loss = run:train{ image = batch.image, class = batch.class }.loss end
  damaged = loader.summary.damaged
  return loss
end

local phases = {}

function phases.load()
  return function()
    local model, extra = assert(nn.load(checkpoint))
    return assert(extra == "one" and #model.layers > 4)
  end, function() end
end

function phases.compile()
  local model = assert(nn.load(checkpoint))
  return function()
    local run <close> = compile(model)
  end, function() end
end

function phases.train()
  local want
  do
    local run <close> = compile(assert(nn.load(checkpoint)))
    local loader <close> = new_loader(0)
    want = train(run, loader)
  end
  local model = assert(nn.load(checkpoint))
  return function()
    local run <close> = compile(model)
    local loader <close> = new_loader(2)
    return train(run, loader)
  end, function(loss)
    assert(damaged == 0, "a fault was taken for a damaged image")
    assert(not loss or loss == want, "a fault changed the training")
  end,
    function() model = assert(nn.load(checkpoint)) end
end

function phases.transform()
  local path = work .. "/transform.lua"
  assert(lurcher.write_file(path, [[
    local image, lurcher = require "lurcher.image", require "lurcher"
    return function(img, random)
      img = image.rotate(image.flip(img), random:uniform(-20, 20))
      return img:cast "f32" + lurcher.normal{ 16, 16, 3 }
    end]]))
  local set, lost = assert(data.folder{ images }), 0
  local function epoch()
    local hashes = {}
    local loader <close> = data.loader{ set, size = 16, batch = 4, workers = 2, prefetch = 2, seed = 5,
      transform = path }
    for batch in loader:epoch(0) do hashes[#hashes + 1] = lurcher.hash(batch.image) end
    lost = loader.summary.damaged
    return table.concat(hashes)
  end
  local want = epoch()
  return epoch, function(got)
    assert(lost == 0, "a fault was taken for a damaged image")
    assert(not got or got == want, "a fault changed the images")
  end
end

function phases.checkpoint()
  local path = work .. "/kept.safetensors"
  local run = compile(assert(nn.load(checkpoint)))
  assert(run:save(path, "old"))
  return function() return assert(run:save(path, "new")) end, function(saved)
    local _, extra = assert(nn.load(path))
    assert(extra == "new" or not saved and extra == "old")
  end
end

function phases.weights()
  local path = work .. "/kept.h5"
  local model = assert(nn.load(checkpoint))
  assert(model:save(path))
  return function() return assert(model:save(path)) end, function() assert(new_model():load(path)) end
end

function phases.cache()
  local path = work .. "/features"
  os.remove(path)
  os.remove(path .. ".part")
  local set = assert(data.folder{ images })
  local rows, features = {}, lurcher.uniform{ #set, 8 }
  for i = 1, #set do rows[i] = i end
  return function()
    local cache <close> = data.cache{ path = path, key = "k", set = set, shape = { 8 } }
    local state = assert(cache:open(0))
    if state ~= "ready" then
      assert(cache:put(rows, rows, features))
      assert(cache:finish(1))
    end
    return assert((assert(cache:select(rows)) - features):abs():max() == 0)
  end, function() end
end

function phases.audit()
  local set = assert(data.folder{ images })
  return function()
    local found = data.audit{ set }
    return assert(found, "no result")
  end, function(found)
    for _, finding in ipairs(found or {}) do
      assert(finding.kind ~= "corrupt", "a fault was taken for a damaged image: " .. finding.text)
    end
  end
end

function phases.report()
  local report = require "lurcher.report"
  local path = work .. "/run/report.html"
  report.write(work .. "/run", { mistakes = 1, maps = 0, device = "cpu", workers = 1 })
  local function page()
    local file <close> = assert(io.open(path))
    local text = file:read "a"
    return assert(text:find("</html>", 1, true) and text)
  end
  return function() return report.write(work .. "/run", { mistakes = 1, maps = 0, device = "cpu", workers = 1 }) end, page
end

--- The images, a checkpoint and a run, for all phases.
local function prepare()
  local number = 0
  assert(lfs.mkdir(work) and lfs.mkdir(images))
  for _, part in ipairs{ "/train", "/valid" } do assert(lfs.mkdir(work .. part)) end
  for _, class in ipairs{ "pug", "whippet" } do
    for _, folder in ipairs{ images, work .. "/train", work .. "/valid" } do
      assert(lfs.mkdir(folder .. "/" .. class))
      for i = 1, 4 do
        number = number + 1
        lurcher.seed(number)
        local image = lurcher.uniform{ 20, 18, 3, low = 0, high = 255 }:cast "u8"
        assert(lurcher.image.save(("%s/%s/%d.%s"):format(folder, class, i, i % 2 == 0 and "png" or "jpg"), image))
      end
    end
  end
  local run <close> = compile(new_model())
  assert(run:save(checkpoint, "one"))
end

if phase == "prepare" then return prepare() end
if phase == "same" then -- FOLDER and a third argument are files, for tests/kill.sh
  local a, b = assert(lurcher.load_tensors(work)), assert(lurcher.load_tensors(arg[3]))
  assert(next(a), "no tensor")
  for name, tensor in pairs(a) do assert((tensor - b[name]):abs():max() == 0, name .. " differs") end
  return
end

-- Everything that the end needs exists before the beginning: what fails may be its allocation.
local remove, pcall, result = os.remove, pcall, nil
local begin, finish, done = "/fault/begin", "/fault/end", "/fault/done"
local attempt, check, again = phases[phase]()
local function try() result = attempt() end
local function fault()
  remove(begin)
  result = attempt()
end
collectgarbage()
local ok, message = pcall(fault)
remove(finish)
if not ok and (type(message) ~= "string" or #message == 0) then error "a failure without a message" end
if not ok and message:find("attempt to", 1, true) then error("a failure that is a mistake: " .. message) end
if not ok and os.getenv "FAULT_KIND" == "alloc" and not message:find "memory" then
  error("lack of memory is called something else: " .. message)
end
if os.getenv "FAULT_VERBOSE" then io.stderr:write(ok and "succeeded" or message, "\n") end
check(ok and result or nil)
if again then again() end
result = nil
local second, why = pcall(try)
if not second then error("the next try failed: " .. tostring(why)) end
check(result)
remove(done)
