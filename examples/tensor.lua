--- tensor.lua: tensors in five minutes. Run it with `lurcher examples/tensor.lua`, or type its lines in a session.
local lurcher = require "lurcher"

-- A tensor is made from a table, or by shape; its last dimension is contiguous.
local a = lurcher.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }
print(a)
print("shape", table.concat(a.shape, " x "), "dtype", a.dtype, "rows", #a)

-- Arithmetic makes new tensors and broadcasts as NumPy does.
print(a * 10 + lurcher.tensor{ 0.1, 0.2, 0.3 })
print((a ^ 2):sum(), a:mean(1), a:max(2))

-- Indices count from 1, class ids in tensors from 0: a[1] is the first row, but argmax(2) returns ids from 0.
print(a[1], a:get(2, 3))
print("best column of each row", a:argmax(2))

-- a[1] and a:rows(...) are views: they share memory.
a[1]:fill(-1)
print(a)

-- t[{...}] is a part, copied: an index drops its dimension, { first, last } and {} keep it. Assignment writes to it.
print("second column", a[{ {}, 2 }], "all but the first", a[{ {}, { 2, -1 } }])
a[{ {}, 2 }] = lurcher.tensor{ 20, 50 }

-- Comparisons give masks of 0 and 1.
print(lurcher.where(a:gt(5) & a:lt(50), a, 0), a:masked_select(a:lt(0)))

-- Sorting returns values and where they were; reductions take several axes, keepdim, ddof.
print(a:sort{ 2, descending = true })
print(a:std{ 2, ddof = 0 }, (a - a:mean{ 2, keepdim = true }):round())

-- Linear algebra, concatenation, selection of rows.
print(a:matmul(a:transpose()))
print(lurcher.concat{ a, a:select{ 2, 2 }, axis = 1 })

-- Random numbers depend on the seed alone: they are the same on every machine.
lurcher.seed(7)
print(lurcher.normal{ 64, 32 })

-- Named tensors and metadata in a .safetensors file, which Python can read too.
local path = os.tmpname()
assert(lurcher.save_tensors(path, { a = a }, { title = "an example" }))
local back, metadata = assert(lurcher.load_tensors(path))
print("read back", back.a:eq(a):sum() == a.count, metadata.title)
os.remove(path)
