--- tensor.lua: tensors in five minutes. Run it: lurcher examples/tensor.lua. Or type the lines at the lurcher prompt.
local lurcher = require "lurcher"

-- Tensors are made from tables, or by shape; the last dimension runs fastest.
local a = lurcher.tensor{ { 1, 2, 3 }, { 4, 5, 6 } }
print(a)
print("shape", table.concat(a.shape, " x "), "dtype", a.dtype, "rows", #a)

-- Arithmetic makes new tensors and broadcasts as NumPy does.
print(a * 10 + lurcher.tensor{ 0.1, 0.2, 0.3 })
print((a ^ 2):sum(), a:mean(1), a:max(2))

-- Tables count from 1, tensors hold ids from 0: a[1] is the first row, but argmax(2) gives class ids.
print(a[1], a:get(2, 3))
print("best column of each row", a:argmax(2))

-- a[1] and a:rows(...) are views: they share memory.
a[1]:fill(-1)
print(a)

-- Linear algebra, joins, rows by number.
print(a:matmul(a:transpose()))
print(lurcher.concat{ a, a:select{ 2, 2 }, axis = 1 })

-- Random numbers come from the seed alone: the same numbers on every machine.
lurcher.seed(7)
print(lurcher.normal{ 64, 32 })

-- Files: named tensors as .safetensors, which Python reads too.
local path = os.tmpname()
assert(lurcher.save_tensors(path, { a = a }, { about = "an example" }))
local back, about = assert(lurcher.load_tensors(path))
print("read back", back.a:eq(a):sum() == a.count, about.about)
os.remove(path)
