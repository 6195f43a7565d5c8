--- Tests of computing with tensors in Lua: reductions, orders, products, dtypes, NaN. Values are those of NumPy 2.4 and
-- PyTorch 2.15; tests/interop/tensors.py compares random cases with both.
local harness = require "harness"
local lurcher = require "lurcher"
local test, near, raises = harness.test, harness.near, harness.raises

local nan, inf = 0 / 0, math.huge

--- near, where NaN is near NaN.
local function same(got, want)
  assert(got:allclose(want, { equal_nan = true }) and #got.shape == #want.shape, tostring(got))
end

test("reductions over several dimensions, keepdim", function()
  local t = lurcher.range(24):view(2, 3, 4)
  near(t:sum{ 1, 3 }, { 60, 92, 124 })
  near(t:sum{ 1, 2 }, { 60, 66, 72, 78 })
  near(t:sum{ 2, 3 }, { 66, 210 })
  near(t:sum{ -1, keepdim = true }.shape, { 2, 3, 1 })
  near(t:sum{ 1, 2, keepdim = true }.shape, { 1, 1, 4 })
  near(t:sum{ keepdim = true }, { { { 276 } } })
  assert(t:sum{} == 276 and t:sum{ 1, 2, 3 }:item() == 276)
  near(t:mean{ 1, 3 }, { 7.5, 11.5, 15.5 })
  near(t:max{ 1, 3 }, { 15, 19, 23 })
  near(t:min{ 1, 2 }, { 0, 1, 2, 3 })
  near(t:argmax{ 2, keepdim = true }.shape, { 2, 1, 4 })
  near(lurcher.tensor{ { 1, 2 }, { 3, 4 } }:prod(1), { 3, 8 })
  near((t - t:cast("f32"):mean{ 3, keepdim = true }):sum(3), { { 0, 0, 0 }, { 0, 0, 0 } })
  raises("sum: axis %-3 is given twice", t.sum, t, { 1, -3 })
  raises("axis 4 of a tensor of 3 dimensions", t.sum, t, { 4 })
  raises("unknown option 'keepdims' to 'sum' %(did you mean 'keepdim'%?%)", t.sum, t, { 1, keepdims = true })
  raises("sum: at most 1 argument expected, got 2; options are given as in t:sum{ 2, keepdim = true }", t.sum, t, 1, 1)
  raises("argmax: one dimension expected, or all", t.argmax, t, { 1, 2 })
  raises("mean: a tensor of 0x2 has no elements", function() return lurcher.zeros(0, 2):mean(1) end)
  near(lurcher.zeros(0, 2):sum(1), { 0, 0 })
  near(lurcher.zeros(0, 2):prod(1), { 1, 1 })
end)

test("var, std, norm, any, all", function()
  local t = lurcher.tensor{ { 1, 2, 4 }, { -3, 0, 5 } }
  near(t:var(), 8.3) -- torch
  near(t:var{ ddof = 0 }, 6.9166667) -- numpy
  near(t:std(2), { 1.5275252, 4.0414519 })
  near(t:std{ 1, ddof = 0 }, { 2, 1, 0.5 })
  assert(lurcher.tensor{ 1 }:std() ~= lurcher.tensor{ 1 }:std()) -- NaN, as in both
  near(t:norm(), 7.4161985)
  near(t:norm{ 2, p = 1 }, { 7, 8 })
  near(t:norm{ p = inf }, 5)
  near(t:norm{ p = 0 }, 5)
  near(t:norm{ 1, p = 3 }, { 3.0365889, 2, 5.7388 }, 1e-4)
  raises("norm: p is %-1 %(0 or more expected%)", t.norm, t, { p = -1 })
  raises("bad option 'ddof' to 'std'", t.std, t, { ddof = -1 })
  assert(t:any() == true and t:all() == false and t:gt(-9):all() == true and lurcher.zeros(2):any() == false)
  assert(lurcher.zeros(0):any() == false and lurcher.zeros(0):all() == true)
  near(t:gt(0):all(1), { 0, 0, 1 })
  near(t:gt(0):any{ 2, keepdim = true }, { { 1 }, { 1 } })
  assert(lurcher.tensor{ nan }:any() == true)
end)

test("long lines: sums, extremes and their positions", function()
  local t = lurcher.range(1000):cast "f32"
  t[700], t[900] = 5000, 5000
  t[130], t[131] = -5, -5
  for _, x in ipairs{ t, t:cast "i32", t:view(1, 1000):expand(3, 1000), t:view(1000, 1):expand(1000, 2) } do
    assert(x:max() == 5000 and x:min() == -5)
    if #x.shape == 1 then assert(x:argmax() == 700 and x:argmin() == 130 and x:sum() == 507633) end
  end
  near(t:view(1, 1000):expand(2, 1000):argmax(2), { 699, 699 })
  near(t:view(1000, 1):expand(1000, 2):argmin(1), { 129, 129 })
  t[955] = nan
  assert(t:argmax() == 955 and t:argmin() == 955 and t:max() ~= t:max() and t:min() ~= t:min())
  t[3] = nan
  assert(t:argmax() == 3 and t:argmin() == 3)
end)

test("sort, argsort, topk: stable, NaN last", function()
  local t = lurcher.tensor{ { 3, nan, 1, 3 }, { -1, 7, -inf, 7 } }
  local values, ids = t:sort()
  same(values, lurcher.tensor{ { 1, 3, 3, nan }, { -inf, -1, 7, 7 } })
  near(ids, { { 2, 0, 3, 1 }, { 2, 0, 1, 3 } })
  values, ids = t:sort{ descending = true }
  same(values, lurcher.tensor{ { 3, 3, 1, nan }, { 7, 7, -1, -inf } })
  near(ids, { { 0, 3, 2, 1 }, { 1, 3, 0, 2 } })
  near(t:argsort(1), { { 1, 1, 1, 0 }, { 0, 0, 0, 1 } })
  values, ids = t:topk(2)
  near(values, { { 3, 3 }, { 7, 7 } })
  near(ids, { { 0, 3 }, { 1, 3 } })
  values, ids = t:topk(1, { 1, largest = false })
  near(ids, { { 1, 1, 1, 0 } })
  same(values, lurcher.tensor{ { -1, 7, -inf, 3 } })
  local bytes = lurcher.tensor{ 9, 200, 3, dtype = "u8" }:sort()
  assert(bytes.dtype == "u8")
  near(bytes, { 3, 9, 200 })
  near(lurcher.tensor{ -2, 5, 0, dtype = "f16" }:sort(), { -2, 0, 5 })
  near(lurcher.tensor{ 2147483647, -2147483648, 0, dtype = "i32" }:sort(), { -2147483648, 0, 2147483647 })
  near(lurcher.zeros(2, 0):sort().shape, { 2, 0 })
  raises("topk: k is 5; 0 to 4 expected for dimension 2 of 2x4", t.topk, t, 5)
  raises("sort: one axis expected, got 2", t.sort, t, { 1, 2 })
  raises("sort: a tensor of at least one dimension expected, got a scalar", function() return lurcher.tensor(1):sort() end)
end)

test("sorting many elements: radix against table.sort", function()
  lurcher.seed(11)
  for _, dtype in ipairs{ "f32", "i32" } do
    local t = (lurcher.normal{ 3000 } * 100):cast(dtype)
    local list = t:totable()
    local order = {}
    for i = 1, #list do order[i] = i end
    table.sort(order, function(a, b) return list[a] < list[b] or list[a] == list[b] and a < b end)
    local values, ids = t:sort()
    local got = ids:totable()
    for i = 1, #list do assert(got[i] == order[i] - 1 and values[i] == list[order[i]]) end
    assert(t:topk(7, { largest = false }):equal(values:rows(1, 7)))
    local best, where = t:topk(9)
    assert(best:equal(t:sort{ descending = true }:rows(1, 9)) and where:equal(t:argsort{ descending = true }:rows(1, 9)))
  end
end)

test("unique, cumsum", function()
  local values, inverse, counts = lurcher.tensor{ { 2, nan, 1 }, { -0.0, nan, 0 } }:unique()
  same(values, lurcher.tensor{ 0, 1, 2, nan })
  near(inverse, { { 2, 3, 1 }, { 0, 3, 0 } })
  near(counts, { 2, 1, 1, 2 })
  assert(lurcher.zeros(0):unique().count == 0 and lurcher.tensor(5):unique()[1] == 5)
  assert(lurcher.range(3):unique().dtype == "i32")
  local t = lurcher.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }
  near(t:cumsum(), { { 1, 3, 6 }, { 4, 9, 15 } })
  near(t:cumsum(1), { { 1, 2, 3 }, { 5, 7, 9 } })
  near(lurcher.tensor{ 2147483647, 1, -5, dtype = "i32" }:cumsum(), { 2147483647, 2147483647, 2147483643 })
  raises("axis 3", t.cumsum, t, 3)
end)

test("functions of one tensor", function()
  local t = lurcher.tensor{ -2.5, -0.5, 0.5, 1.5, 2.5 }
  near(t:floor(), { -3, -1, 0, 1, 2 })
  near(t:ceil(), { -2, 0, 1, 2, 3 })
  near(t:round(), { -2, 0, 0, 2, 2 }) -- half to even
  near(t:trunc(), { -2, 0, 0, 1, 2 })
  near(t:sign(), { -1, -1, 1, 1, 1 })
  near(t:clamp(-1, 1), { -1, -0.5, 0.5, 1, 1 })
  near(t:clamp(nil, 0), { -2.5, -0.5, 0, 0, 0 })
  near(t:clamp{ min = 2 }, { 2, 2, 2, 2, 2.5 })
  near(t:pow(2), { 6.25, 0.25, 0.25, 2.25, 6.25 })
  near(t:neg(), { 2.5, 0.5, -0.5, -1.5, -2.5 })
  near(t:erf(), { -0.9995930, -0.5204999, 0.5204999, 0.9661051, 0.9995930 })
  near(t:sin(), { -0.5984721, -0.4794255, 0.4794255, 0.9974950, 0.5984721 })
  near(t:cos(), { -0.8011436, 0.8775826, 0.8775826, 0.0707372, -0.8011436 })
  near(lurcher.tensor{ 1e-6 }:log1p() * 1e6, { 0.9999995 })
  near(lurcher.tensor{ 1e-6 }:expm1() * 1e6, { 1.0000005 })
  same(lurcher.tensor{ nan, 3 }:clamp(0, 1), lurcher.tensor{ nan, 1 })
  raises("clamp: 3 to 1 %(bounds in ascending order expected%)", t.clamp, t, 3, 1)
  local odd = lurcher.tensor{ nan, inf, -inf, 0 }
  near(odd:isnan(), { 1, 0, 0, 0 })
  near(odd:isinf(), { 0, 1, 1, 0 })
  near(odd:isfinite(), { 0, 0, 0, 1 })
  near(odd:logical_not(), { 0, 0, 0, 1 })
  near(odd:ne(odd), { 1, 0, 0, 0 })
  near(t:gt(0.5), { 0, 0, 0, 1, 1 })
  near(t:ge(0.5), { 0, 0, 1, 1, 1 })
end)

test("integers: what stays i32, and how it rounds and saturates", function()
  local t = lurcher.tensor{ -7, 7, 0, dtype = "i32" }
  for _, y in ipairs{ t:floor(), t:round(), t:sign(), t:clamp(-5, 5), t // 2, t % 3, t:sum{ keepdim = true }, t:cumsum() } do
    assert(y.dtype == "i32")
  end
  assert(t:clamp(-0.5, 0.5).dtype == "f32" and t:mean{ keepdim = true }.dtype == "f32" and (t // 0.5).dtype == "f32")
  near(t / 2, { -3, 3, 0 })
  near(t // 2, { -4, 3, 0 })
  near(t % 3, { 2, 1, 0 })
  near(t % -3, { -1, -2, 0 })
  near(t // 0, { -2147483648, 2147483647, 0 })
  near(t % 0, { 0, 0, 0 })
  near(lurcher.tensor{ -7.5, 7.5 } // 2, { -4, 3 })
  near(lurcher.tensor{ -7.5, 7.5 } % 2, { 0.5, 1.5 })
  near(lurcher.tensor{ -7.5, 7.5 } % -2, { -1.5, -0.5 })
  near(10 // t:abs():clamp(1, 5), { 2, 2, 10 })
  near(t * 1000000000, { -2147483648, 2147483647, 0 })
  assert((t + 3000000000).dtype == "f32") -- no i32
end)

test("matmul: batches, vectors, operands off 64-byte boundaries", function()
  local function plain(a, b) -- of matrices
    local y = {}
    for i = 1, #a do
      y[i] = {}
      for j = 1, #b[1] do
        y[i][j] = 0
        for k = 1, #b do y[i][j] = y[i][j] + a[i][k] * b[k][j] end
      end
    end
    return y
  end
  lurcher.seed(5)
  local a, b = lurcher.normal{ 3, 2, 4, 5 }, lurcher.normal{ 2, 5, 3 }
  local y = a:matmul(b)
  near(y.shape, { 3, 2, 4, 3 })
  for i = 1, 3 do
    for j = 1, 2 do near(y[i][j], plain(a[i][j]:totable(), b[j]:totable()), 1e-5) end
  end
  near(b[1]:transpose():matmul(a:transpose(3, 4)), a:matmul(b[1]):transpose(3, 4), 1e-5)
  local v, w = lurcher.tensor{ 1, 2, 3 }, lurcher.tensor{ 4, 5, 6 }
  assert(v:matmul(w):item() == 32)
  near(v:matmul(lurcher.eye(3, 2)), { 1, 2 })
  near(lurcher.eye(2, 3):matmul(v), { 1, 2 })
  near(lurcher.ones(2, 2, 3):matmul(v), { { 6, 6 }, { 6, 6 } })
  near(lurcher.range(4):view(2, 2):matmul(lurcher.range(4):view(2, 2)), { { 2, 3 }, { 6, 11 } })
  near(lurcher.zeros(2, 0):matmul(lurcher.zeros(0, 3)), { { 0, 0, 0 }, { 0, 0, 0 } })
  near(lurcher.zeros(0, 2, 3):matmul(lurcher.zeros(3, 4)).shape, { 0, 2, 4 })
  raises("matmul: 2x3 times 2x3 %(the inner extents must be equal%)",
    function() return lurcher.zeros(2, 3):matmul(lurcher.zeros(2, 3)) end)
  raises("matmul: 2x4x5 times 3x5x3 %(the extents before the last two must be equal or 1%)",
    function() return lurcher.zeros(2, 4, 5):matmul(lurcher.zeros(3, 5, 3)) end)
  raises("matmul: scalar times 3", function() return lurcher.tensor(1):matmul(v) end)
end)

test("linspace, eye, allclose, equal", function()
  near(lurcher.linspace(-1, 1, 5), { -1, -0.5, 0, 0.5, 1 })
  near(lurcher.linspace(3, 9, 1), { 3 })
  assert(lurcher.linspace(0, 0.1, 7)[7] == lurcher.tensor{ 0.1 }[1])
  near(lurcher.eye(2), { { 1, 0 }, { 0, 1 } })
  near(lurcher.eye(1, 3), { { 1, 0, 0 } })
  raises("linspace: at most 3 arguments expected, got 4", lurcher.linspace, 1, 2, 3, 4)
  local t = lurcher.tensor{ 1, 2 }
  assert(t:allclose(lurcher.tensor{ 1.000001, 2 }) and not t:allclose(lurcher.tensor{ 1.001, 2 }))
  assert(t:allclose(lurcher.tensor{ 1.001, 2 }, { rtol = 0.01 }) and lurcher.ones(2, 2):allclose(1))
  assert(not lurcher.tensor{ nan }:allclose(lurcher.tensor{ nan }) and lurcher.tensor{ inf }:allclose(lurcher.tensor{ inf }))
  assert(not lurcher.tensor{ inf }:allclose(lurcher.tensor{ -inf }, { rtol = 1 }))
  assert(t:equal(lurcher.tensor{ 1, 2 }) and not t:equal(lurcher.tensor{ { 1, 2 } }) and not t:equal(lurcher.tensor{ 1, 3 }))
  assert(lurcher.zeros(0):equal(lurcher.zeros(0)))
end)

test("NaN and infinities are written nan, inf and -inf", function()
  local t = lurcher.tensor{ nan, -nan, inf, -inf }
  assert(tostring(t) == "lurcher.tensor 4 f32 cpu\n   nan  nan  inf -inf", tostring(t))
  assert(tostring(t[1]) == "nan" and tostring(t:sum()) == "nan" and tostring(t:totable()[2]) == "nan")
  assert(tostring(lurcher.tensor(nan)) == "lurcher.tensor scalar f32 cpu nan")
end)
