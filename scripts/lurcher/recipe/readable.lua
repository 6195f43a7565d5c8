--- lurcher.recipe.readable: a loader of validation batches without the rows of images that could not be read. The
-- loader below puts another image of the class in their place, which is right for training; a score must not count it.
--
--     local valid = readable(function(sampler) return data.loader{ set, sampler = sampler } end, sampler, "'d/valid'")

local readable = {}

--- A sampler like `sampler` that keeps what it draws in self.drawn, by the number of the batch.
local function remembered(self, sampler)
  local like = type(sampler) == "table" and { batches = sampler.batches, kind = sampler.kind } or {}
  return setmetatable(like, { __call = function(_, ...)
    local draw, drawn, count = sampler(...), {}, 0
    self.drawn = drawn
    return function()
      local picks = draw()
      count = count + 1
      drawn[count] = picks
      return picks
    end
  end })
end

--- Positions of the images that are those that were drawn, as a set, and whether that is all of them.
local function good_rows(index, picks)
  local is_good, all = {}, true
  for row, image in ipairs(index:totable()) do
    is_good[row] = image + 1 == picks[row]
    all = all and is_good[row]
  end
  return is_good, all
end

--- The fields of a batch that have a row per image; where the batch has pairs, others have a row per pair.
local function is_per_image(name)
  return name == "image" or name == "class" or name == "index" or name == "target" or name:find "^features" ~= nil
end

--- The batch without rows, or pairs, of images that could not be read; nil where none is left.
local function cleaned(batch, picks)
  local is_good, all, other_good
  local pairs_of_images, towers = batch.left ~= nil, batch.img_1 ~= nil
  if towers then
    local both
    is_good, all = good_rows(batch.img_1_index, picks.img_1)
    other_good, both = good_rows(batch.img_2_index, picks.img_2)
    all = all and both
  else
    is_good, all = good_rows(batch.index, picks.image or picks)
  end
  if all then return batch end
  local kept, right = {}, pairs_of_images and batch.right:totable()
  for i, row in ipairs(pairs_of_images and batch.left:totable() or is_good) do
    local is_kept = row
    if pairs_of_images then is_kept = is_good[row + 1] and is_good[right[i] + 1] end
    if towers then is_kept = is_good[i] and other_good[i] end
    if is_kept then kept[#kept + 1] = i end
  end
  if #kept == 0 then return nil end
  local clean = {}
  for name, value in pairs(batch) do
    local is_left = pairs_of_images and is_per_image(name) or type(value) ~= "userdata"
    clean[name] = is_left and value or value:select(kept)
  end
  return clean
end

readable.__index = function(self, key)
  if readable[key] then return readable[key] end
  return key == "summary" and self.loader.summary or nil
end

function readable:__len() return #self.loader end

--- As of data.loader. Raises after an epoch without a batch.
function readable:epoch(n)
  local next_batch, state, control, closing = self.loader:epoch(n)
  local at, count, drawn = 0, 0, self.drawn
  return function()
    while true do
      local batch = next_batch(state, control)
      if not batch then break end
      at = at + 1
      batch = cleaned(batch, drawn[at])
      drawn[at] = nil
      if batch then
        count = count + 1
        return batch
      end
    end
    if count > 0 then return nil end
    error(("no batch of %s has images that can be read (see lurcher audit)"):format(self.what), 0)
  end, nil, nil, closing
end

--- new: function(sampler) -> the loader below. what: the images, for a message.
return function(new, sampler, what)
  local self = setmetatable({ what = what, leaves_out = true }, readable)
  self.loader = new(remembered(self, sampler))
  return self
end
