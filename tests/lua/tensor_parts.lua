--- Tests of parts of tensors in Lua: t[{...}], slices and their assignment, orders, masks, ids, names that are not there.
-- Elements are numbered, so that where they went is seen; slices of random shapes are compared with plain loops.
local harness = require "harness"
local lurcher = require "lurcher"
local test, near, raises = harness.test, harness.near, harness.raises
local nan = 0 / 0

--- 0, 1, 2... in the given extents.
local function numbered(...)
  local count = 1
  for _, extent in ipairs{ ... } do count = count * extent end
  return lurcher.range(count):view(...)
end

test("t[{...}]: indices, ranges, steps, columns", function()
  local t = numbered(2, 3, 4)
  near(t[{ 2 }], { { 12, 13, 14, 15 }, { 16, 17, 18, 19 }, { 20, 21, 22, 23 } })
  near(t[{ {}, 2 }], { { 4, 5, 6, 7 }, { 16, 17, 18, 19 } })
  near(t[{ {}, {}, -1 }], { { 3, 7, 11 }, { 15, 19, 23 } })
  near(t[{ 1, { 2, 3 }, { 1, 4, 3 } }], { { 4, 7 }, { 8, 11 } })
  near(t[{ { 2 }, { -2, -1 }, { 1, 2 } }], { { { 16, 17 }, { 20, 21 } } })
  near(t[{ -1, { 3 } }], { { 20, 21, 22, 23 } })
  near(t[{}].shape, { 2, 3, 4 })
  assert(t[{ 2, 3, 4 }] == 23 and math.type(t[{ -1, -1, -1 }]) == "integer")
  near(t[{ { 1, 0 } }].shape, { 0, 3, 4 })
  near(t[{ {}, { 4, 3 } }].shape, { 2, 0, 4 })
  near(t:slice{ { 1, 2 }, {}, { 2, 3 } }, t[{ {}, {}, { 2, 3 } }])
  assert(t:slice{ 1, 1, 2 } == 1 and lurcher.tensor{ 5, 6 }[{ 2 }] == 6)
  near(lurcher.tensor(3)[{}], 3)
  near(t:narrow(2, 2, 2), t[{ {}, { 2, 3 } }])
  near(t:narrow(-1, -2, 1), t[{ {}, {}, { 3 } }])
  near(t:narrow(1, 1, 0).shape, { 0, 3, 4 })
  for _, dtype in ipairs{ "f32", "f16", "bf16", "u8" } do
    local part = t:cast(dtype)[{ {}, 2, { 1, 4, 2 } }]
    assert(part.dtype == dtype)
    near(part, { { 4, 6 }, { 16, 18 } })
  end
end)

--- Plain loops: the elements of nested tables in the ranges from, to, step.
local function plain(nested, ranges, depth)
  if depth > #ranges then return nested end
  local part, r = {}, ranges[depth]
  for i = r[1], r[2], r[3] do part[#part + 1] = plain(nested[i], ranges, depth + 1) end
  return part
end

test("slices of random shapes are what loops give", function()
  local random = lurcher.data.numpy_random(3)
  local function draw(low, high) return low + math.floor((high - low + 1) * random:uniform()) end
  for _ = 1, 60 do
    local shape, ranges, entries = {}, {}, {}
    for d = 1, draw(1, 5) do
      shape[d] = draw(1, 6)
      local first, step = draw(1, shape[d]), draw(1, 3)
      ranges[d] = { first, draw(first, shape[d]), step }
      entries[d] = draw(0, 1) == 0 and ranges[d] or { first - shape[d] - 1, ranges[d][2] - shape[d] - 1, step }
    end
    local t = numbered(table.unpack(shape))
    local want = plain(t:totable(), ranges, 1)
    near(t[entries], want)
    local before, written = t:sum(), t:clone()
    written[entries] = 7
    assert((written:eq(7)):sum() >= t[entries].count and before == t:sum())
    written[entries] = t[entries]
    assert(written:equal(t))
  end
end)

test("writing through t[{...}]: numbers, tables, tensors that broadcast and are cast", function()
  local t = lurcher.zeros(2, 3)
  t[{ {}, 2 }] = 5
  near(t, { { 0, 5, 0 }, { 0, 5, 0 } })
  t[{ 1 }] = { 1, 2, 3 }
  t[{ 2, { 2, 3 } }] = lurcher.range(2)
  near(t, { { 1, 2, 3 }, { 0, 0, 1 } })
  t[{ {}, { 1, 3, 2 } }] = lurcher.tensor{ { 8 }, { 9 } }
  near(t, { { 8, 2, 8 }, { 9, 0, 9 } })
  t[{ 2, 3 }] = -1
  t[{ {}, { 1 } }] = { { 4 }, { 6 } }
  near(t, { { 4, 2, 8 }, { 6, 0, -1 } })
  t[{}] = 1
  assert(t:sum() == 6)
  t[{ 1 }] = lurcher.ones(1, 1, 3) * 2 -- leading dimensions of extent 1 count for nothing
  assert(t:sum() == 9)
  local bytes = lurcher.zeros{ 3, dtype = "u8" }
  bytes[{ { 1, 2 } }] = lurcher.tensor{ 300, 1.9 }
  near(bytes, { 255, 1, 0 })
  local line = lurcher.tensor{ 1, 2, 3, 4 }
  line[{ { 2, 4 } }] = line:rows(1, 3) -- overlaps
  near(line, { 1, 1, 2, 3 })
  local view = lurcher.zeros(2, 2, 2)
  view[2][{ {}, 1 }] = 3
  near(view, { { { 0, 0 }, { 0, 0 } }, { { 3, 0 }, { 3, 0 } } })
end)

test("t[{...}]: mistakes", function()
  local t = lurcher.zeros(2, 3)
  local function get(key) return function() return t[key] end end
  raises("t%[{...}%]: 3 entries for a tensor of 2x3, which has 2 dimensions", get{ 1, 1, 1 })
  raises("t%[{...}%]: index 4 of dimension 2 is out of range %(1 to 3%)", get{ {}, 4 })
  raises("index 0 of dimension 1 is out of range %(1 to 2%)", get{ 0 })
  raises("t%[{...}%]: 2 to 4 of dimension 2, which has 3 %(first to last, from 1, or from %-1 backwards, expected%)",
    get{ {}, { 2, 4 } })
  raises("3 to 1 of dimension 2", get{ {}, { 3, 1 } })
  raises("0 to 1 of dimension 1", get{ { 0, 1 } })
  raises("step %-1 for dimension 2 %(1 or more expected; t:flip%(2%) reverses%)", get{ {}, { 1, 3, -1 } })
  raises("{ first, last, step } expected for dimension 1, got 4 numbers", get{ { 1, 2, 1, 1 } })
  raises("of whole numbers expected for dimension 1, got 1.5", get{ { 1.5 } })
  raises("an index or a table { first, last } expected for dimension 1, got string", get{ "x" })
  raises("dimension 1, got nil %({} stands for all%)", get{ nil, 2 })
  raises("unknown option 'step' to 't%[{...}%]'", get{ { step = 2 } })
  raises("whole number expected for dimension 1, got 1.5", get{ 1.5 })
  raises("assign: 3x2x1 does not broadcast to 2x1 %(trailing", function() t[{ {}, { 1 } }] = lurcher.zeros(3, 2, 1) end)
  raises("number, table or lurcher.tensor expected for t%[{...}%], got string", function() t[{ 1 }] = "x" end)
  raises("could be ids or a mask: use t:select%(ids%), t:masked_select%(mask%)", function() return t[t] end)
  raises("could be ids or a mask", function() t[t] = 0 end)
  raises("a lurcher.tensor cannot be indexed by a boolean", function() return t[true] end)
  raises("narrow: 2 from 3 on requested, but dimension 2 has 3", t.narrow, t, 2, 3, 2)
  raises("narrow: first 4 is out of range", t.narrow, t, 2, 4, 0)
  raises("slice: at most 1 argument expected, got 2", t.slice, t, { 1 }, { 2 })
end)

test("unknown fields raise, with what is near or what it is called here", function()
  local t = lurcher.zeros(2, 3)
  local function get(name) return function() return t[name] end end
  raises("no field 'shpe' in a lurcher.tensor %(did you mean 'shape'%?%)", get "shpe")
  raises("no field 'argsrt' in a lurcher.tensor %(did you mean 'argsort'%?%)", get "argsrt")
  raises("no field 'size' in a lurcher.tensor: use t.shape", get "size")
  raises("no field 'numpy' in a lurcher.tensor: use t:totable%(%)", get "numpy")
  raises("no field 'completely_unknown' in a lurcher.tensor$", get "completely_unknown")
  raises("tensor: one number or table expected, got 2 arguments %(a tensor by its extents is lurcher.zeros%(2, 3%)",
    lurcher.tensor, 2, 3)
  raises("got 2 arguments", lurcher.tensor, { 1 }, nil)
end)

test("permute, transpose, flip", function()
  local t = numbered(2, 3, 4)
  local p = t:permute(3, 1, 2)
  near(p.shape, { 4, 2, 3 })
  for a = 1, 2 do
    for b = 1, 3 do
      for c = 1, 4 do assert(p:get(c, a, b) == t:get(a, b, c)) end
    end
  end
  assert(t:permute{ -2, 1, -1 }:equal(t:transpose(1, 2)) and t:transpose(1, -1):equal(t:permute(3, 2, 1)))
  near(lurcher.tensor{ { 1, 2 }, { 3, 4 } }:flip(2), { { 2, 1 }, { 4, 3 } })
  near(lurcher.tensor{ { 1, 2 }, { 3, 4 } }:flip{ 1, 2 }, { { 4, 3 }, { 2, 1 } })
  assert(t:flip(1, 2, 3):view(24):equal(t:view(24):flip(1)))
  local large = numbered(130, 70, 3) -- goes through tiles
  assert(large:permute(2, 3, 1):permute(3, 1, 2):equal(large))
  raises("permute: all 3 dimensions expected in their new order, got 2", t.permute, t, 1, 2)
  raises("permute: dimension 1 at position 2, for a tensor of 2x3x4 %(each of 1 to 3 once%)", t.permute, t, 1, 1, 2)
  raises("axis 4 of a tensor of 3 dimensions; axes count from 1", t.flip, t, 4)
  raises("flip: at least one dimension expected", t.flip, t)
  raises("transpose: a tensor of 2 dimensions expected, got 2x3x4", t.transpose, t)
end)

test("squeeze, unsqueeze and flatten are views; expand and tile copy", function()
  local t = lurcher.zeros(1, 2, 1, 3)
  near(t:squeeze().shape, { 2, 3 })
  near(t:squeeze(1).shape, { 2, 1, 3 })
  near(t:squeeze(1, 3).shape, { 2, 3 })
  near(t:unsqueeze(1).shape, { 1, 1, 2, 1, 3 })
  near(t:unsqueeze(-1).shape, { 1, 2, 1, 3, 1 })
  t:squeeze():unsqueeze(2):flatten():fill(2)
  assert(t:sum() == 12)
  raises("squeeze: dimension 2 is 2 %(1 expected%)", t.squeeze, t, 2)
  near(lurcher.tensor{ { 1 }, { 2 } }:expand(2, 3), { { 1, 1, 1 }, { 2, 2, 2 } })
  near(lurcher.tensor{ 1, 2 }:expand{ 2, -1 }, { { 1, 2 }, { 1, 2 } })
  near(lurcher.tensor(4):expand(2), { 4, 4 })
  raises("expand: 2 does not broadcast to 3 %(trailing extents must be equal or 1%)",
    function() return lurcher.zeros(2):expand(3) end)
  near(lurcher.tensor{ 1, 2 }:tile(2), { 1, 2, 1, 2 })
  near(lurcher.tensor{ 1, 2 }:tile(2, 1), { { 1, 2 }, { 1, 2 } })
  near(lurcher.tensor{ { 1 }, { 2 } }:tile(2), { { 1, 1 }, { 2, 2 } })
  near(lurcher.tensor{ 1 }:tile(0).shape, { 0 })
end)

test("split, stack, cat", function()
  local t = numbered(5, 2)
  local pieces = t:split(2)
  assert(#pieces == 3 and pieces[3].count == 2)
  assert(lurcher.cat(pieces):equal(t))
  pieces = t:split({ 1, 0, 4 })
  near(pieces[2].shape, { 0, 2 })
  near(pieces[3], t:rows(2))
  near(t:split(1, 2)[2], { { 1 }, { 3 }, { 5 }, { 7 }, { 9 } })
  raises("split: size 0 of piece 1 %(a positive whole number expected%)", t.split, t, 0)
  raises("split: piece 2 of 5 exceeds the dimension, of which 4 are left", t.split, t, { 1, 5 })
  raises("split: the pieces leave 2 of dimension 1", t.split, t, { 1, 2 })
  local a, b = lurcher.tensor{ 1, 2 }, lurcher.tensor{ 3, 4 }
  near(lurcher.stack{ a, b }, { { 1, 2 }, { 3, 4 } })
  near(lurcher.stack{ a, b, axis = 2 }, { { 1, 3 }, { 2, 4 } })
  near(lurcher.stack{ a, b, axis = -1 }, { { 1, 3 }, { 2, 4 } })
  near(lurcher.stack{ lurcher.tensor(1), lurcher.tensor(2) }, { 1, 2 })
  raises("stack: tensor 2 is 3, tensor 1 is 2 %(equal shapes expected%)", lurcher.stack, { a, lurcher.zeros(3) })
end)

test("masks: where, masked_select, masked_fill, nonzero", function()
  local t = lurcher.tensor{ { -1, 2 }, { 3, -4 } }
  near(lurcher.where(t:gt(0), t, 0), { { 0, 2 }, { 3, 0 } })
  near(t:where(t:gt(0), lurcher.tensor{ 10, 20 }), { { 10, 2 }, { 3, 20 } })
  near(lurcher.where(lurcher.tensor{ { 1 }, { 0 } }, t, -t), { { -1, 2 }, { -3, 4 } })
  near(lurcher.where(lurcher.tensor{ 0.5, 0, 0 / 0 }, 1, 2), { 1, 2, 1 }) -- every element but 0 is true
  assert(lurcher.where(t:gt(0), lurcher.range(2), 7).dtype == "i32")
  assert(lurcher.where(t:gt(0), lurcher.range(2), 0.5).dtype == "f32")
  near(t:masked_select(t:lt(0)), { -1, -4 })
  near(t:masked_select(lurcher.tensor{ 0, 1 }), { 2, -4 })
  near(t:masked_select(t:gt(9)).shape, { 0 })
  near(t:masked_fill(t:lt(0), 0), { { 0, 2 }, { 3, 0 } })
  local bytes = lurcher.tensor{ 1, 2, dtype = "u8" }:masked_fill(lurcher.tensor{ 1, 0 }, 9)
  assert(bytes.dtype == "u8" and bytes[1] == 9 and bytes[2] == 2)
  near(t:lt(0):nonzero(), { { 0, 0 }, { 1, 1 } })
  near(lurcher.zeros(3):nonzero().shape, { 0, 1 })
  near((t:gt(-2) & t:lt(3)), { { 1, 1 }, { 0, 0 } })
  near((t:gt(2) | t:lt(-1)), { { 0, 0 }, { 1, 1 } })
  near(t:gt(0) ~ t:lt(3), { { 1, 0 }, { 1, 1 } })
  near(~t:gt(0), { { 1, 0 }, { 0, 1 } })
  near(lurcher.tensor{ nan, 0.5, 0 } & 2, { 1, 1, 0 })
  raises("tensors are compared per element by a:lt%(b%)", function() return t < 3 end)
  raises("max: an axis or a table of axes expected, got a tensor %(a:maximum%(b%)", t.max, t, t)
  raises("where: 2x2 and 3 do not broadcast", lurcher.where, t, t, lurcher.zeros(3))
  raises("masked_select: the mask: expand: 3 does not broadcast to 2x2", t.masked_select, t, lurcher.zeros(3))
end)

test("ids: select along an axis, gather, one_hot", function()
  local t = lurcher.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }
  near(t:select({ 3, 1 }, 2), { { 3, 1 }, { 6, 4 } })
  near(t:select(lurcher.tensor{ 2, 2, dtype = "i32" }, -1), { { 3, 3 }, { 6, 6 } })
  near(t:gather(lurcher.tensor{ { 2 }, { 0 }, dtype = "i32" }, 2), { { 3 }, { 4 } })
  near(t:gather(lurcher.tensor{ { 1, 0, 1 }, dtype = "i32" }), { { 4, 2, 6 } })
  near(t:gather(t:argsort{ 2, descending = true }, 2), { { 3, 2, 1 }, { 6, 5, 4 } })
  raises("rows%[1%] is 4: 1 to 3 expected", t.select, t, { 4 }, 2)
  raises("gather: id 2 at position 0 %(0 to 1 expected%)", t.gather, t, lurcher.tensor{ { 2 }, dtype = "i32" }, 1)
  raises("gather: ids of 3 into 2x3", t.gather, t, lurcher.range(3), 1)
  raises("gather: i32 ids expected, got f32", t.gather, t, t, 1)
  near(lurcher.one_hot(lurcher.tensor{ 2, 0, dtype = "i32" }, 3), { { 0, 0, 1 }, { 1, 0, 0 } })
  near(lurcher.one_hot({ 3, 1 }, 3), { { 0, 0, 1 }, { 1, 0, 0 } })
  near(lurcher.one_hot(numbered(2, 2), 4).shape, { 2, 2, 4 })
  assert(lurcher.one_hot({ 1 }, 2).dtype == "f32")
  raises("ids%[2%] is 4: 1 to 3 expected", lurcher.one_hot, { 1, 4 }, 3)
  raises("one_hot: id 3 at position 0 %(0 to 2 expected%)", lurcher.one_hot, lurcher.tensor{ 3, dtype = "i32" }, 3)
  raises("one_hot: ids of i32 or u8 expected, got f32", lurcher.one_hot, lurcher.zeros(2), 3)
end)
