"""Compares tensors in Lua with NumPy and PyTorch: random shapes, dtypes and arguments, with NaN, infinities, ties and
empty tensors. Not run by tests/run.sh, which needs no Python package; tests/lua/tensor_parts.lua and tensor_math.lua
hold golden values.

    python3 -m venv /tmp/torch && /tmp/torch/bin/pip install numpy torch safetensors
    /tmp/torch/bin/python tests/interop/tensors.py build/lurcher [CASES] [SEED]

Writes CASES random cases per function (default: 40) as Lua expressions, with inputs and expected outputs, to a
temporary folder; tensors.lua in this folder evaluates and compares them. Exit code 0: all agree: shapes and dtypes
exactly, integers and what only moves elements exactly, sums and functions of f32 within 1e-5.

To add a function: a generator in the list at the end, which returns the expression, its inputs and its outputs."""

import math
import os
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from safetensors.torch import save_file

FLOATS = [torch.float32, torch.float16, torch.bfloat16]
DTYPES = FLOATS + [torch.int32, torch.uint8]


class Draw:
    """Random shapes, tensors and arguments."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def int(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def flip(self, chance=0.5):
        return bool(self.rng.random() < chance)

    def pick(self, items):
        return items[self.int(0, len(items) - 1)]

    def shape(self, least=0, most=5, empty=True):
        low = 0 if empty and self.flip(0.1) else 1
        large = self.flip(0.2)
        ndim = self.int(least, most)
        long = self.int(0, ndim) if large else -1
        return [self.int(low, 300 if i == long else 5) for i in range(ndim)]

    def tensor(self, shape, dtype=torch.float32, odd=True, ties=None):
        """ties: few different values; odd: NaN, infinities and -0 among floats."""
        ties = self.flip() if ties is None else ties
        values = self.rng.integers(-3, 4, shape) if ties else self.rng.normal(0, 10, shape)
        if dtype == torch.uint8:
            values = np.abs(values)
        tensor = torch.tensor(np.array(values)).to(dtype)
        if odd and dtype in FLOATS and tensor.numel() and self.flip(0.4):
            flat = tensor.view(-1)
            for value in [math.nan, math.inf, -math.inf, -0.0]:
                for _ in range(self.int(0, 2)):
                    flat[self.int(0, flat.numel() - 1)] = value
        return tensor

    def any(self, least=0, most=5, dtype=None, **how):
        return self.tensor(self.shape(least, most), dtype or self.pick(DTYPES), **how)

    def axis(self, ndim):
        """An axis for Lua, from 1 or from -1 backwards, and for Python."""
        axis = self.int(0, ndim - 1)
        return (axis + 1 if self.flip() else axis - ndim), axis

    def broadcastable(self, shape):
        part = shape[self.int(0, len(shape)):]
        return [1 if self.flip(0.3) else extent for extent in part]


def computed(tensor):
    """What arithmetic sees: i32 stays, all else is f32."""
    return tensor if tensor.dtype == torch.int32 else tensor.float()


def lua_list(values):
    return "{ " + ", ".join(str(v) for v in values) + " }"


def saturated(values):
    return torch.tensor(np.clip(np.asarray(values, dtype=np.float64), -2**31, 2**31 - 1)).to(torch.int32)


# ---- parts ----


def slices(d, tensor):
    """Entries of t[{...}] in Lua, and the same for Python."""
    lua, python = [], []
    for extent in tensor.shape[:d.int(0, tensor.ndim)]:
        kind = d.int(0, 4)
        if extent == 0 or kind == 0:
            lua.append("{}")
            python.append(slice(None))
            continue
        first, last, step = d.int(0, extent - 1), d.int(0, extent - 1), d.int(1, 3)
        first, last = min(first, last), max(first, last)
        start = first + 1 if d.flip() else first - extent
        stop = last + 1 if d.flip() else last - extent
        if kind == 1:
            lua.append(str(start))
            python.append(first)
        elif kind == 2:
            lua.append(f"{{ {start} }}")
            python.append(slice(first, first + 1))
        elif kind == 3:
            lua.append(f"{{ {start}, {stop}, {step} }}")
            python.append(slice(first, last + 1, step))
        else:
            lua.append(f"{{ {start}, {stop} }}")
            python.append(slice(first, last + 1))
    return "{ " + ", ".join(lua) + " }", tuple(python)


def case_slice(d):
    a = d.any()
    lua, python = slices(d, a)
    return d.pick(["a[%s]", "a:slice(%s)"]) % lua, [a], [a[python]]


def case_assign(d):
    a = d.any()
    lua, python = slices(d, a)
    want, part = a.clone(), a[python]
    b = d.tensor(d.broadcastable(list(part.shape)), d.pick(DTYPES), odd=False, ties=True)
    if a.dtype == torch.uint8:
        b = b.abs() if b.dtype != torch.uint8 else b
    if part.ndim == 0:
        want[python] = b.to(a.dtype).reshape([])
    else:
        want[python] = b.to(a.dtype)
    return f"(function() a[{lua}] = b return a end)()", [a, b], [want]


def case_narrow(d):
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    if a.shape[axis] == 0:
        return None
    first = d.int(0, a.shape[axis] - 1)
    count = d.int(0, a.shape[axis] - first)
    return f"a:narrow({lua}, {first + 1}, {count})", [a], [a.narrow(axis, first, count)]


def case_permute(d):
    a = d.any(0, 6)
    order = list(d.rng.permutation(a.ndim))
    return f"a:permute{lua_list(o + 1 for o in order)}", [a], [a.permute([int(o) for o in order])]


def case_transpose(d):
    a = d.any(2, 6)
    (x, i), (y, j) = d.axis(a.ndim), d.axis(a.ndim)
    return f"a:transpose({x}, {y})", [a], [a.transpose(i, j)]


def case_flip(d):
    a = d.any(1, 6)
    axes = [int(i) for i in d.rng.permutation(a.ndim)[:d.int(1, a.ndim)]]
    return f"a:flip{lua_list(i + 1 for i in axes)}", [a], [a.flip(axes)]


def case_expand(d):
    full = d.shape(0, 5)
    a = d.tensor(d.broadcastable(full), d.pick(DTYPES))
    return f"a:expand{lua_list(full)}", [a], [a.expand(full)]


def case_tile(d):
    a = d.any(0, 4)
    counts = [d.int(0 if d.flip(0.1) else 1, 3) for _ in range(d.int(0, 5))]
    return f"a:tile{lua_list(counts)}", [a], [a.tile(counts)]


def case_reshape(d):
    a = d.any(0, 5, dtype=torch.float32)
    lua = d.int(1, a.ndim + 1)
    return f"a:unsqueeze({lua})", [a], [a.unsqueeze(lua - 1)]


def case_squeeze(d):
    a = d.tensor([1 if d.flip() else d.int(1, 4) for _ in range(d.int(0, 5))])
    return "a:squeeze()", [a], [a.squeeze()]


def case_split(d):
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    size = d.int(1, 4)
    if a.shape[axis] == 0:
        return None
    return f"table.unpack(a:split({size}, {lua}))", [a], list(a.split(size, axis))


def case_stack(d):
    a = d.any(0, 4)
    b = d.tensor(list(a.shape), a.dtype)
    axis = d.int(0, a.ndim)
    return f"lurcher.stack{{ a, b, axis = {axis + 1} }}", [a, b], [torch.stack([a, b], axis)]


def case_cat(d):
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    shape = list(a.shape)
    shape[axis] = d.int(0, 3)
    b = d.tensor(shape, a.dtype)
    return f"lurcher.cat{{ a, b, axis = {lua} }}", [a, b], [torch.cat([a, b], axis)]


# ---- masks and ids ----


def true(mask):
    return mask != 0


def case_where(d):
    full = d.shape()
    mask = d.tensor(d.broadcastable(full), d.pick(DTYPES), ties=True)
    a = d.tensor(d.broadcastable(full), d.pick(DTYPES))
    b = d.tensor(full, a.dtype if d.flip() else d.pick(DTYPES))
    same = a.dtype == b.dtype
    x, y = (a, b) if same else (a.float(), b.float())
    return "lurcher.where(a, b, c)", [mask, a, b], [torch.where(true(mask), x, y)]


def case_masked_select(d):
    a = d.any()
    mask = d.tensor(d.broadcastable(list(a.shape)), d.pick(DTYPES), ties=True)
    return "a:masked_select(b)", [a, mask], [torch.masked_select(a, true(mask))]


def case_masked_fill(d):
    a = d.any()
    mask = d.tensor(d.broadcastable(list(a.shape)), d.pick(DTYPES), ties=True)
    return "a:masked_fill(b, 3)", [a, mask], [a.masked_fill(true(mask), 3)]


def case_nonzero(d):
    a = d.any(1, ties=True)
    return "a:nonzero()", [a], [a.nonzero().int()]


def case_select(d):
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    n = d.int(0, 4) if a.shape[axis] else 0
    ids = torch.tensor([d.int(0, a.shape[axis] - 1) for _ in range(n)], dtype=torch.int32)
    return f"a:select(b, {lua})", [a, ids], [a.index_select(axis, ids)]


def case_gather(d):
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    if a.shape[axis] == 0:
        return None
    shape = [d.int(0, extent) for extent in a.shape]
    shape[axis] = d.int(0, 6)
    ids = torch.tensor(d.rng.integers(0, a.shape[axis], shape)).int()
    return f"a:gather(b, {lua})", [a, ids], [a.gather(axis, ids.long())]


def case_one_hot(d):
    ids = torch.tensor(d.rng.integers(0, 5, d.shape(0, 3))).int()
    return "lurcher.one_hot(a, 5)", [ids], [torch.nn.functional.one_hot(ids.long(), 5).float()]


# ---- element by element ----

BINARY = {"a + b": np.add, "a - b": np.subtract, "a * b": np.multiply, "a:maximum(b)": np.maximum,
          "a:minimum(b)": np.minimum, "a / b": np.true_divide, "a // b": np.floor_divide, "a % b": np.remainder}


def pair(d, odd=True):
    full = d.shape()
    a, b = d.tensor(full, d.pick(DTYPES), odd), d.tensor(d.broadcastable(full), d.pick(DTYPES), odd)
    return (a, b) if d.flip() else (b, a)


def case_binary(d):
    expression = d.pick(list(BINARY))
    a, b = pair(d, odd="//" not in expression and "%" not in expression)
    if a.dtype == b.dtype == torch.int32:
        x, y = a.numpy().astype(np.float64), b.numpy().astype(np.float64)
        if expression[2] in "/%":
            b = torch.where(b == 0, torch.tensor(3, dtype=torch.int32), b)  # division by 0 has golden values
            y = b.numpy().astype(np.float64)
        return expression, [a, b], [saturated(np.trunc(BINARY[expression](x, y)))]
    x, y = a.float().numpy(), b.float().numpy()
    if "//" in expression:
        return expression, [a, b], [torch.tensor(np.floor(np.true_divide(x, y)))]
    if "%" in expression:
        b = torch.where(b == 0, torch.ones_like(b), b)
        y = b.float().numpy()
    return expression, [a, b], [torch.tensor(np.asarray(BINARY[expression](x, y)))]


def case_compare(d):
    name = d.pick(["eq", "ne", "lt", "le", "gt", "ge"])
    a, b = pair(d)
    return f"a:{name}(b)", [a, b], [getattr(torch, name)(a.double(), b.double()).int()]


def case_logic(d):
    operator, function = d.pick([("&", torch.logical_and), ("|", torch.logical_or), ("~", torch.logical_xor)])
    a, b = pair(d)
    return f"a {operator} b", [a, b], [function(a != 0, b != 0).int()]


UNARY = {"abs": torch.abs, "floor": torch.floor, "ceil": torch.ceil, "round": torch.round, "trunc": torch.trunc,
         "sign": torch.sign, "neg": torch.neg, "square": torch.square, "relu": torch.relu}
REAL = {"exp": torch.exp, "log": torch.log, "sqrt": torch.sqrt, "sin": torch.sin, "cos": torch.cos, "tanh": torch.tanh,
        "sigmoid": torch.sigmoid, "log1p": torch.log1p, "expm1": torch.expm1, "erf": torch.erf}
TESTS = {"isnan": torch.isnan, "isinf": torch.isinf, "isfinite": torch.isfinite, "logical_not": torch.logical_not}


def case_unary(d):
    name = d.pick(list(UNARY) + list(REAL) + list(TESTS))
    a = d.any()
    if name in TESTS:
        return f"a:{name}()", [a], [TESTS[name](a.float()).int()]
    if name in REAL:
        return f"a:{name}()", [a], [REAL[name](a.double()).float()], 1e-5
    want = UNARY[name](computed(a))
    if name == "sign":
        want = torch.where(computed(a).isnan(), computed(a), want)  # PyTorch: 0
    return f"a:{name}()", [a], [want]


def case_pow(d):
    a, b = d.tensor(d.shape()).abs(), d.pick([0.0, 0.5, 1.0, 2.0, 3.0, -1.0])
    return f"a:pow({b})", [a], [(a.double() ** b).float()], 1e-5


def case_clamp(d):
    a = d.any()
    low, high = sorted([d.int(-4, 4), d.int(-4, 4)])
    return f"a:clamp({low}, {high})", [a], [computed(a).clamp(low, high)]


# ---- over dimensions ----


def axes_of(d, a):
    """Axes for Lua and for NumPy, and keepdim."""
    axes = tuple(int(i) for i in d.rng.permutation(a.ndim)[:d.int(0, a.ndim)])
    keep = d.flip()
    lua = [str(i + 1 if d.flip() else i - a.ndim) for i in axes] + (["keepdim = true"] if keep else [])
    return lua, axes or None, keep


REDUCE = {"sum": np.sum, "mean": np.mean, "prod": np.prod, "max": np.max, "min": np.min, "any": np.any, "all": np.all,
          "var": np.var, "std": np.std}


def case_reduce(d):
    name = d.pick(list(REDUCE))
    a = d.any(odd=name in ("max", "min", "any", "all", "sum"))
    if a.numel() == 0 and name not in ("sum", "any", "all", "prod"):
        return None
    lua, axes, keep = axes_of(d, a)
    ddof = d.int(0, 2)
    extra = {"ddof": ddof} if name in ("var", "std") else {}
    if extra:
        lua.append(f"ddof = {ddof}")
        count = np.prod([a.shape[i] for i in (range(a.ndim) if axes is None else axes)])
        if count <= ddof:
            extra = None
    x = computed(a).double().numpy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if extra is None:
            want = np.full(np.mean(x, axis=axes, keepdims=keep).shape, np.nan)
        else:
            want = REDUCE[name](x, axis=axes, keepdims=keep, **extra)
    whole = a.dtype == torch.int32 and name in ("sum", "max", "min", "prod")
    if whole or name in ("any", "all"):
        return f"a:{name}{{ {', '.join(lua)} }}", [a], [saturated(want)]
    return f"a:{name}{{ {', '.join(lua)} }}", [a], [torch.tensor(np.asarray(want)).float()], 1e-5


def case_norm(d):
    a = d.any(1, odd=False)
    lua, axes, keep = axes_of(d, a)
    p = d.pick([0, 1, 2, 3, math.inf])
    want = torch.linalg.vector_norm(computed(a).double(), p, axes, keep) if a.numel() else None
    if want is None:
        return None
    return (f"a:norm{{ {', '.join(lua + ['p = ' + ('math.huge' if p == math.inf else str(p))])} }}", [a],
            [want.float()], 1e-5)


def case_arg(d):
    name = d.pick(["argmax", "argmin"])
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    if a.numel() == 0:
        return None
    want = getattr(np, name)(computed(a).numpy(), axis=axis)
    return f"a:{name}({lua})", [a], [torch.tensor(np.asarray(want)).int()]


def case_cumsum(d):
    a = d.any(1, odd=False)
    lua, axis = d.axis(a.ndim)
    want = computed(a).double().cumsum(axis)
    return f"a:cumsum({lua})", [a], [saturated(want) if a.dtype == torch.int32 else want.float()], 1e-5


def case_softmax(d):
    a = d.any(1, dtype=torch.float32, odd=False)
    return "a:softmax()", [a], [a.double().softmax(-1).float()], 1e-5


# ---- by value ----


def nan_last(a, axis, descending):
    """Positions of a stable order in which NaN comes last either way, unlike PyTorch's descending one."""
    x = computed(a).double()
    return torch.argsort(-x if descending else x, dim=axis, stable=True)  # a negative NaN is last, too


def case_sort(d):
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    descending = d.flip()
    ids = nan_last(a, axis, descending)
    option = ", descending = true" if descending else ""
    return f"a:sort{{ {lua}{option} }}", [a], [a.gather(axis, ids), ids.int()]


def case_topk(d):
    a = d.any(1)
    lua, axis = d.axis(a.ndim)
    largest, k = d.flip(), d.int(0, a.shape[axis])
    ids = nan_last(a, axis, largest).narrow(axis, 0, k)
    option = "" if largest else ", largest = false"
    return f"a:topk({k}, {{ {lua}{option} }})", [a], [a.gather(axis, ids), ids.int()]


def case_unique(d):
    a = d.any(ties=True)
    if a.dtype == torch.bfloat16:
        return None
    values, inverse, counts = np.unique(a.numpy(), return_inverse=True, return_counts=True)
    return ("a:unique()", [a], [torch.tensor(values), torch.tensor(inverse).reshape(a.shape).int(),
                                torch.tensor(counts).int()])


# ---- products, closeness ----


def case_matmul(d):
    batch = d.shape(0, 3)
    m, k, n = d.int(1, 20), d.int(1, 20), d.int(1, 20)
    a = d.tensor((batch if d.flip() else d.broadcastable(batch)) + [m, k], d.pick(DTYPES), odd=False)
    b = d.tensor(d.broadcastable(batch) + [k, n], d.pick(DTYPES), odd=False)
    if d.flip(0.2):
        a = d.tensor([k], a.dtype, odd=False)
    if d.flip(0.2):
        b = d.tensor([k], b.dtype, odd=False)
    want = torch.matmul(a.double(), b.double())
    both = a.dtype == b.dtype == torch.int32
    bound = 1e-7 * k * float(a.double().abs().amax() * b.double().abs().amax()) if a.numel() and b.numel() else 0
    return "a:matmul(b)", [a, b], [saturated(want) if both else want.float()], max(bound, 1e-5)


def case_allclose(d):
    a, b = pair(d)
    rtol, nan = d.pick([1e-5, 0.5]), d.flip()
    want = np.allclose(a.float().numpy(), b.float().numpy(), rtol=rtol, equal_nan=nan)
    return (f"a:allclose(b, {{ rtol = {rtol}, equal_nan = {str(nan).lower()} }}) and 1 or 0", [a, b],
            [torch.tensor(float(want))])


def case_linspace(d):
    first, last, n = d.int(-9, 9), d.int(-9, 9) / 4, d.int(1, 20)
    return f"lurcher.linspace({first}, {last}, {n})", [], [torch.tensor(np.linspace(first, last, n)).float()], 1e-6


def case_eye(d):
    n, m = d.int(0, 5), d.int(0, 5)
    return f"lurcher.eye({n}, {m})", [], [torch.eye(n, m)]


def main(program, count=40, seed=1):
    makers = [value for name, value in sorted(globals().items()) if name.startswith("case_")]
    draw, cases, arrays = Draw(seed), [], {}
    np.seterr(all="ignore")
    for maker in makers:
        made = 0
        while made < count:
            case = maker(draw)
            if case is None:
                continue
            expression, inputs, outputs = case[:3]
            tolerance = case[3] if len(case) > 3 else 0
            made += 1
            index = len(cases) + 1
            cases.append((maker.__name__[5:], expression, len(inputs), len(outputs), tolerance))
            for kind, tensors in (("in", inputs), ("out", outputs)):
                for i, tensor in enumerate(tensors):
                    arrays[f"{index}/{kind}/{i + 1}"] = tensor.contiguous().clone()
    with tempfile.TemporaryDirectory() as folder:
        save_file(arrays, os.path.join(folder, "cases.safetensors"))
        with open(os.path.join(folder, "cases.lua"), "w", encoding="utf-8") as file:
            file.write("return {\n")
            for name, expression, inputs, outputs, tolerance in cases:
                file.write(f"  {{ '{name}', [==[{expression}]==], {inputs}, {outputs}, {tolerance} }},\n")
            file.write("}\n")
        print(f"NumPy {np.__version__}, PyTorch {torch.__version__}, {len(makers)} functions, {len(cases)} cases",
              flush=True)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "tensors.lua")
        return subprocess.call([program, script, folder])


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], *[int(argument) for argument in sys.argv[2:4]]))
