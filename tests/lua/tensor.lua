--- Tests of lurcher.tensor in Lua: creation, indexing, arithmetic, printing.
local harness = require "harness"
local lurcher = require "lurcher"
local test, near, raises = harness.test, harness.near, harness.raises

test("nested tables, numbers and specifications", function()
  local t = lurcher.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }
  near(t.shape, { 2, 3 })
  assert(t.dtype == "f32" and t.device == "cpu" and t.bytes == 24 and t.count == 6 and #t == 2)
  near(t, { { 1, 2, 3 }, { 4, 5, 6 } })
  assert(lurcher.tensor(2.5):item() == 2.5)
  near(lurcher.tensor{ shape = { 2, 2 }, fill = 3 }, { { 3, 3 }, { 3, 3 } })
  assert(lurcher.tensor{ 1, 2, dtype = "i32" }[2] == 2)
  assert(math.type(lurcher.tensor{ 1, 2, dtype = "i32" }[2]) == "integer")
  near(lurcher.zeros(2, 1), { { 0 }, { 0 } })
  near(lurcher.ones{ 2, dtype = "u8" }, { 1, 1 })
  near(lurcher.full({ 2 }, 7), { 7, 7 })
  near(lurcher.range(4), { 0, 1, 2, 3 })
  assert(lurcher.range(0).count == 0)
  assert(lurcher.tensor{ 1, dtype = "f16" }.bytes == 2)
end)

test("making: mistakes", function()
  raises("equal lengths, got 2 and 1", lurcher.tensor, { { 1, 2 }, { 3 } })
  raises("number expected, got string", lurcher.tensor, { 1, "x" })
  raises("unknown option 'dtyp' to 'tensor' %(did you mean 'dtype'%?%)", lurcher.tensor, { 1, dtyp = "i32" })
  raises("dtype", lurcher.tensor, { 1, dtype = "f64" })
  raises("extents of a shape are at least 0, got %-1", lurcher.zeros, -1)
  raises("at most 6 dimensions", lurcher.zeros, 1, 1, 1, 1, 1, 1, 1)
  raises("number or table expected", lurcher.tensor, "x")
  raises("device", lurcher.tensor, { 1, device = "toaster" })
end)

test("indexing is 1-based, rows are views", function()
  local t = lurcher.tensor{ { 1, 2 }, { 3, 4 }, { 5, 6 } }
  assert(t[3][2] == 6 and t:get(2, 1) == 3)
  t[2] = 9
  t[3] = { 7, 8 }
  t[1] = lurcher.tensor{ -1, -2 }
  near(t, { { -1, -2 }, { 9, 9 }, { 7, 8 } })
  t[1][2] = 4
  t:set(5, 1, 1)
  near(t:rows(1, 2), { { 5, 4 }, { 9, 9 } })
  near(t:rows(3), { { 7, 8 } })
  assert(t:rows(4).count == 0)
  local seen = 0
  for i, row in ipairs(t) do
    seen = seen + i
    assert(row.shape[1] == 2)
  end
  assert(seen == 6)
  raises("index 4 is out of range %(1 to 3%)", function() return t:get(4, 1) end)
  raises("index 0 is out of range", function() return t[0] end)
  raises("index 5 is out of range", function() return t[5] end)
  raises("whole number expected, got 1.5", function() return t[1.5] end)
  raises("2 dimensions takes 2 indices, got 1", t.get, t, 1)
  raises("rows from row 3", t.rows, t, 3, 2)
  raises("number expected for element 1, got x", function() t[1][1] = "x" end)
  assert(t[4] == nil and t[-1][-1] == 8 and t:get(-2, 1) == 9)
  raises("no field 'nothing' in a lurcher.tensor", function() return t.nothing end)
  raises("no field 'lr' in a lurcher.tensor", function() t.lr = 1 end)
  raises("'shape' of a lurcher.tensor cannot be assigned", function() t.shape = {} end)
end)

test("views, copies, casts", function()
  local t = lurcher.range(6)
  local v = t:view(2, 3)
  v:set(40, 2, 2)
  assert(t[5] == 40)
  near(t:reshape{ 3, -1 }.shape, { 3, 2 })
  local c = t:clone():fill(1)
  assert(t[1] == 0 and c[1] == 1)
  near(lurcher.tensor{ -1, 1.7, 300 }:cast("u8"), { 0, 1, 255 })
  near(lurcher.zeros(2):copy(lurcher.tensor{ 1, 2 }), { 1, 2 })
  assert(t:to("cpu").dtype == "i32")
  raises("elements", t.view, t, 4)
  raises("copy", function() lurcher.zeros(2):copy(lurcher.zeros(3)) end)
end)

test("arithmetic with numbers and broadcasting", function()
  local t = lurcher.tensor{ { 1, 2 }, { 3, 4 } }
  near(t + 1, { { 2, 3 }, { 4, 5 } })
  near(1 - t, { { 0, -1 }, { -2, -3 } })
  near(t * lurcher.tensor{ 10, 100 }, { { 10, 200 }, { 30, 400 } })
  near(2 / t, { { 2, 1 }, { 2 / 3, 0.5 } })
  near(t ^ 2, { { 1, 4 }, { 9, 16 } })
  near(-t, { { -1, -2 }, { -3, -4 } })
  near(t:eq(3), { { 0, 0 }, { 1, 0 } })
  near(t:lt(3), { { 1, 1 }, { 0, 0 } })
  near(t:le(3), { { 1, 1 }, { 1, 0 } })
  near(t:maximum(2.5), { { 2.5, 2.5 }, { 3, 4 } })
  near(t:minimum(2), { { 1, 2 }, { 2, 2 } })
  local ids = lurcher.range(3)
  assert((ids + 1).dtype == "i32" and (ids + 0.5).dtype == "f32")
  near(lurcher.tensor{ -2, 3 }:abs():sqrt():square(), { 2, 3 })
  near(lurcher.tensor{ 0, 1 }:exp():log(), { 0, 1 })
  near(lurcher.tensor{ -2, 3 }:relu(), { 0, 3 })
  near(lurcher.tensor{ 0 }:sigmoid(), { 0.5 })
  near(lurcher.tensor{ 0 }:tanh(), { 0 })
  raises("number or lurcher.tensor expected, got x", function() return t + "x" end)
  raises("2x2", function() return t + lurcher.zeros(3) end)
end)

test("reductions: axes count from 1, ids from 0", function()
  local t = lurcher.tensor{ { 1, 5, 2 }, { 4, 3, 6 } }
  assert(t:sum() == 21 and t:mean() == 3.5 and t:max() == 6 and t:min() == 1)
  near(t:sum(1), { 5, 8, 8 })
  near(t:sum(2), { 8, 13 })
  near(t:max(-1), { 5, 6 })
  assert(t:argmax() == 6 and t:argmin() == 1 and math.type(t:argmax()) == "integer")
  near(t:argmax(2), { 1, 2 })
  assert(t:argmax(2).dtype == "i32")
  near(t:argmin(1), { 0, 1, 0 })
  near(lurcher.tensor{ 0, 0 }:softmax(), { 0.5, 0.5 })
  raises("axis 3 of a tensor of 2 dimensions; axes count from 1", t.sum, t, 3)
  raises("axis 0", t.sum, t, 0)
end)

test("matmul, transpose, select, concat", function()
  local a, b = lurcher.tensor{ { 1, 2 }, { 3, 4 } }, lurcher.tensor{ { 1 }, { 10 } }
  near(a:matmul(b), { { 21 }, { 43 } })
  near(a:transpose(), { { 1, 3 }, { 2, 4 } })
  near(a:select{ 2, 1, 2 }, { { 3, 4 }, { 1, 2 }, { 3, 4 } })
  near(a:select(lurcher.tensor{ 1, 0, dtype = "i32" }), { { 3, 4 }, { 1, 2 } })
  near(lurcher.concat{ a, a, axis = 2 }, { { 1, 2, 1, 2 }, { 3, 4, 3, 4 } })
  near(lurcher.concat{ a, b:transpose() }.shape, { 3, 2 })
  raises("rows%[2%] is 0: tables count from 1", a.select, a, { 1, 0 })
  raises("rows%[1%] is 3: 1 to 2 expected", a.select, a, { 3 })
  raises("select", a.select, a, lurcher.tensor{ 2, dtype = "i32" })
  raises("position 2", lurcher.concat, { a, 3 })
  raises("axis 3", lurcher.concat, { a, a, axis = 3 })
end)

test("random tensors depend on the seed alone", function()
  lurcher.seed(5)
  local a, n = lurcher.uniform{ 100, low = -1, high = 3 }, lurcher.normal{ 1000, mean = 2, std = 0.5 }
  lurcher.seed(5)
  local b = lurcher.uniform{ 100, low = -1, high = 3 }
  near(a, b, 0)
  assert(a:min() >= -1 and a:max() < 3 and a:max() > 2)
  near(n:mean(), 2, 0.1)
  near((n:square():mean() - n:mean() ^ 2) ^ 0.5, 0.5, 0.05)
  lurcher.seed(5)
  local same = lurcher.normal{ 1000, std = 0.5 }
  lurcher.seed(5)
  near(lurcher.normal{ 1000, deviation = 0.5 }, same, 0) -- the old name
  assert(lurcher.seed() == 5)
end)

test("metrics", function()
  local scores = lurcher.tensor{ { 0.5, 0.3, 0.2 }, { 0.1, 0.3, 0.6 } }
  local ids = lurcher.tensor{ 0, 1, dtype = "i32" }
  near(lurcher.top_k(scores, ids), 0.5)
  near(lurcher.top_k(scores, ids, 2), 1)
  near(lurcher.log_loss(scores, ids), -(math.log(0.5) + math.log(0.3)) / 2)
  local counts = lurcher.confusion(scores, ids)
  near(counts, { { 1, 0, 0 }, { 0, 0, 1 }, { 0, 0, 0 } })
  assert(lurcher.confusion(scores, ids, counts) == counts)
  near(counts, { { 2, 0, 0 }, { 0, 0, 2 }, { 0, 0, 0 } })
end)

test("printing", function()
  assert(tostring(lurcher.tensor{ { 1, 2.5 }, { 3, 4 } }) == "lurcher.tensor 2x2 f32 cpu\n    1 2.5\n    3   4")
  assert(tostring(lurcher.tensor(3)) == "lurcher.tensor scalar f32 cpu 3")
  assert(tostring(lurcher.zeros(0)) == "lurcher.tensor 0 f32 cpu")
  local text = tostring(lurcher.zeros(64, 299, 299, 3))
  assert(text:find("^lurcher.tensor 64x299x299x3 f32 cpu\n%[1, 1%]\n"), text)
  assert(text:find("[64, 299]", 1, true) and text:find("...", 1, true) and #text < 2000)
  assert(tostring(lurcher.range(1000)):find "0%s+1%s+2%s+%.%.%.%s+997%s+998%s+999$")
end)

test("garbage is collected by its size, not by its handles", function()
  local before = lurcher.memory().rss
  for _ = 1, 200 do lurcher.zeros(5, 1000, 1000):fill(1) end
  local grown = lurcher.memory().rss - before
  assert(grown < 400e6, ("200 dropped tensors of 20 MB hold %.0f MB"):format(grown / 1e6))
end)

test("named tensors in a file", function()
  local path = harness.folder "tensors" .. "/t.safetensors"
  assert(lurcher.save_tensors(path, { a = lurcher.tensor{ 1, 2 }, b = lurcher.range(3) }, { note = "hello" }))
  local tensors, metadata = assert(lurcher.load_tensors(path))
  near(tensors.a, { 1, 2 })
  near(tensors.b, { 0, 1, 2 })
  assert(tensors.b.dtype == "i32" and metadata.note == "hello")
  local function bytes(...)
    local list = {}
    for _, name in ipairs{ ... } do list[name] = lurcher.range(3) end
    assert(lurcher.save_tensors(path .. "2", list, { [...] = "1", z = "2" }))
    local file <close> = assert(io.open(path .. "2", "rb"))
    return file:read "a"
  end
  assert(bytes("a", "b", "c", "d") == bytes("a", "d", "c", "b"), "order of a table must not show")
  local nothing, message, code = lurcher.load_tensors(path .. ".missing")
  assert(nothing == nil and message:find "No such file" and code == "EIO")
  assert(lurcher.write_file(path, "no tensors at all"))
  nothing, message, code = lurcher.load_tensors(path)
  assert(nothing == nil and message:find "t.safetensors" and code == "EFORMAT")
  raises("lurcher.tensor expected for 'a', got number", lurcher.save_tensors, path, { a = 1 })
  nothing, message, code = lurcher.write_file("/nowhere/at/all", "x")
  assert(nothing == nil and message and code == "EIO")
end)
