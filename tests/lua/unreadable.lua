--- Tests of images that cannot be read, in training, validation, reports and tests: they are named, and no score counts
-- the images that replace them.
local harness = require "harness"
local lfs = require "lfs"
local lurcher = require "lurcher"
local readable = require "lurcher.recipe.readable"
local report = require "lurcher.report"
local test, near = harness.test, harness.near

local work = harness.folder "unreadable"
local succeeds, complains, read = harness.commands(work)

local small = "--size 48 --width 0.125 --middle 1 --workers 1 --batch 8"

local function count(text, what) return select(2, text:gsub(what:gsub("%p", "%%%0"), "")) end

--- The rows of a history, by column.
local function history(run)
  local names, rows = nil, {}
  for line in read(run .. "/history.csv"):gmatch "[^\n]+" do
    local row = {}
    for cell in (line .. ","):gmatch "([^,]*)," do row[#row + 1] = tonumber(cell) or cell end
    if not names then names = row else
      rows[#rows + 1] = {}
      for i, name in ipairs(names) do rows[#rows][name] = row[i] end
    end
  end
  return rows
end

harness.run(("cd '%s' && '%s' '%s/examples/draw_images.lua' --train 8 --valid 4 --test 4 --size 48 --out good"):format(
  work, harness.program, harness.root))
harness.run(("cd '%s' && cp -r good bad"):format(work))
local first, second
for name in lfs.dir(work .. "/bad/valid") do
  if name:sub(1, 1) ~= "." then first, second = name, first end
end
local broken = {}
for i, class in ipairs{ first, first, second } do
  broken[i] = ("bad/valid/%s/bad_%d.jpg"):format(class, i)
  assert(lurcher.write_file(work .. "/" .. broken[i], "not an image"))
end

test("validation counts only images that could be read, and names the others once", function()
  for _, how in ipairs{ "--freeze none --epochs 2", "--freeze all --epochs 2" } do
    succeeds("single_model --data good %s %s --cache none --out good_run", small, how)
    local output = succeeds("single_model --data bad %s %s --cache none --out bad_run", small, how)
    for _, path in ipairs(broken) do assert(count(output, path) == 1, output) end
    assert(output:find("3 validation images could not be read", 1, true), output)
    local good, bad = history "good_run", history "bad_run"
    assert(#good == 2 and #bad == 2)
    for i = 1, 2 do
      near(bad[i].val_loss, good[i].val_loss, 1e-5)
      near(bad[i].val_acc, good[i].val_acc, 1e-5)
    end
    local figures = lurcher.json.decode(read "bad_run/figures.json").valid
    local expected = lurcher.json.decode(read "good_run/figures.json").valid
    assert(figures.pictures == 24 and expected.pictures == 24)
    near(figures.log_loss, expected.log_loss, 1e-5)
    succeeds "report bad_run"
    local again = lurcher.json.decode(read "bad_run/figures.json").valid
    assert(again.pictures == 24)
    near(again.log_loss, figures.log_loss, 1e-5)
    harness.run(("cd '%s' && rm -r bad_run good_run"):format(work))
  end
end)

test("stages of pairs name an image that cannot be read once, from images and from features", function()
  for _, how in ipairs{ "--cache none", "--cache kept", "--cache kept", "--towers" } do
    local output = succeeds("froze_fine_tune --data bad %s --frozen-augment none --frozen-epochs 1 --epochs 1 --tune-from 20 "
      .. "%s --no-report --out pairs", small, how)
    for _, path in ipairs(broken) do assert(count(output, path) == 1, output) end
    harness.run(("cd '%s' && rm -r pairs"):format(work))
  end
end)

test("validation of images none of which can be read is an error in one line", function()
  harness.run(("cd '%s' && cp -r good none && for f in none/valid/*/*; do echo x > $f; done"):format(work))
  complains(1, { "none/valid" }, "single_model --data none %s --freeze none --epochs 1 --cache none --out none_run", small)
end)

-- ---- the loader around loaders ----

--- A loader that gives batches of images 1, 2, 3, ..., with `replaced` (a table) in place of some.
local function loader_of(batches, replaced, fields)
  return function(sampler)
    local object = {}
    function object.epoch(_, n)
      local draw = sampler(n)
      return function()
        local drawn = draw()
        local batch = drawn and {} or nil
        for name, list in pairs(drawn or {}) do
          local index = { dtype = "i32" }
          for i, image in ipairs(list) do
            index[i] = (name:find "^im" and replaced[image] or image) - 1
          end
          batch[name:find "^im" and (name == "image" and "index" or name .. "_index") or name] = lurcher.tensor(index)
          if name:find "^img" then batch[name] = lurcher.tensor(index) end
        end
        if batch and fields then fields(batch) end
        return batch
      end
    end
    return object
  end, setmetatable({}, { __call = function()
    local i = 0
    return function()
      i = i + 1
      return batches[i]
    end
  end })
end

test("readable: pairs with an image that could not be read are left out, images stay", function()
  local batches = { { image = { 1, 2, 3, 4 }, left = { 1, 2, 3, 4 }, right = { 2, 1, 4, 3 } },
    { image = { 5, 6 }, left = { 1 }, right = { 2 } }, { image = { 7, 8 }, left = { 1, 2 }, right = { 2, 1 } } }
  local new, sampler = loader_of(batches, { [3] = 1, [6] = 5 }, function(batch) batch.bin_out = batch.left:clone() end)
  local seen = {}
  for batch in readable(new, sampler, "x"):epoch(0) do seen[#seen + 1] = batch end
  assert(#seen == 2)
  near(seen[1].left, { 0, 1 })
  near(seen[1].right, { 1, 0 })
  near(seen[1].bin_out, { 0, 1 })
  near(seen[1].index, { 0, 1, 0, 3 })
  near(seen[2].index, { 6, 7 })
end)

test("readable: of two towers, and of single images", function()
  local new, sampler = loader_of({ { img_1 = { 1, 2, 3 }, img_2 = { 4, 5, 6 } } }, { [2] = 1, [6] = 5 })
  for batch in readable(new, sampler, "x"):epoch(0) do
    near(batch.img_1_index, { 0 })
    near(batch.img_2_index, { 3 })
  end
  new, sampler = loader_of({ { image = { 1, 2, 3 } }, { image = { 4 } } }, { [2] = 3, [4] = 3 })
  local loader, batches = readable(new, sampler, "'d/valid'"), 0
  for batch in loader:epoch(0) do
    batches = batches + 1
    near(batch.index, { 0, 2 })
  end
  assert(batches == 1)
  new, sampler = loader_of({ { image = { 4 } } }, { [4] = 3 })
  harness.raises("^no batch of 'd/valid' has images that can be read", function()
    for _ in readable(new, sampler, "'d/valid'"):epoch(0) do assert(false) end
  end)
end)

test("report.scores: rows of a plain loader that replaces images are left out", function()
  local set = assert(lurcher.data.folder{ work .. "/bad/valid" })
  local input = lurcher.nn.input("image", 8, 8, 3)
  local model <close> = lurcher.nn.model(lurcher.nn.dense{ 6, activation = "softmax" }(
    lurcher.nn.global_avg_pool{}(input)))
  local run <close> = model:compile{ device = "cpu" }
  local loader <close> = lurcher.data.loader{ set, batch = 8, shuffle = false, size = 8 }
  local scores, rows = report.scores(run, loader)
  assert(#scores == 24 and #rows == 24)
  for _, row in ipairs(rows) do assert(not set:name(row):find "bad") end
end)
