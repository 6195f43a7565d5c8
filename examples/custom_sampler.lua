--- custom_sampler.lua: a custom sampler is a Lua coroutine that yields tables of image indices. The engine reads,
-- decodes and normalises the images on its own threads meanwhile.
--
--     lurcher examples/draw_images.lua --out images
--     lurcher examples/custom_sampler.lua images/train
--
-- This one draws balanced batches: the same number of images of every class, whatever the sizes of the classes.
local lurcher = require "lurcher"
local data = lurcher.data

local set = assert(data.folder{ arg[1] or "images/train" })
print(set)

--- The image indices of each class.
local members = {}
for i = 1, #set do
  local class = set:class(i)
  members[class] = members[class] or {}
  table.insert(members[class], i)
end

--- The loader calls the returned function once per epoch; every table that the coroutine yields becomes a batch.
local function balanced(each, batches)
  return function()
    return coroutine.wrap(function()
      for _ = 1, batches do
        local picks = {}
        for class = 1, #set.classes do
          for _ = 1, each do picks[#picks + 1] = members[class][math.random(#members[class])] end
        end
        coroutine.yield(picks)
      end
    end)
  end
end

math.randomseed(1)
local loader <close> = data.loader{ set, size = 96, sampler = balanced(2, 5), workers = 2 }
for batch in loader:epoch() do
  local counts = {}
  for _, id in ipairs(batch.class:totable()) do counts[id + 1] = (counts[id + 1] or 0) + 1 end
  print(("batch of %d, mean %.3f, images per class: %s"):format(#batch.image, batch.image:mean(),
    table.concat(counts, " ")))
end
