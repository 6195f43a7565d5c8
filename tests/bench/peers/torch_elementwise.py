"""Element-wise ops and broadcasting beside PyTorch's, on the CPU: a table in Markdown.

    python torch_elementwise.py build/bench_elementwise [--threads 2] [--rounds 3] [ROW ...]

For each row of bench_elementwise the engines take turns, and the best time of each counts. Forward writes into memory
that exists; backward makes PyTorch's new gradients, as autograd does. Ratios below 1: Lurcher is faster.
"""
import argparse
import os
import subprocess
import time

import torch
import torch.nn.functional as F

BINARY = {"add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div, "pow": torch.pow,
          "maximum": torch.maximum, "minimum": torch.minimum, "gt": torch.gt, "ge": torch.ge, "lt": torch.lt,
          "le": torch.le, "eq": torch.eq, "ne": torch.ne}
ATEN = torch.ops.aten
# name: (forward into y, for autograd)
ACTIVATIONS = {
    "gelu": (lambda x, y: ATEN.gelu.out(x, out=y), F.gelu),
    "silu": (lambda x, y: ATEN.silu.out(x, out=y), F.silu),
    "leaky_relu": (lambda x, y: ATEN.leaky_relu.out(x, 0.01, out=y), F.leaky_relu),
    "elu": (lambda x, y: ATEN.elu.out(x, out=y), F.elu),
    "relu6": (lambda x, y: ATEN.hardtanh.out(x, 0, 6, out=y), F.relu6),
    "hard_sigmoid": (lambda x, y: ATEN.hardsigmoid.out(x, out=y), F.hardsigmoid),
    "hard_swish": (lambda x, y: ATEN.hardswish.out(x, out=y), F.hardswish),
    "softplus": (lambda x, y: ATEN.softplus.out(x, out=y), F.softplus),
}
SECONDS = 0.4


def best(f):
    least, start, n = 1e9, time.perf_counter(), 0
    while n < 5 or time.perf_counter() - start < SECONDS:
        t = time.perf_counter()
        f()
        least, n = min(least, time.perf_counter() - t), n + 1
    return 1e3 * least


def operands(kind, function, shapes):
    low = 0.5 if function in ("pow", "div") else -2
    made = [low + 4 * torch.rand([int(e) for e in s.split("x")]) for s in shapes]
    return [made[0] > 0] + made[1:] if kind == "where" else made


def measure(kind, function, shapes):
    x = operands(kind, function, shapes)
    y = torch.empty(torch.broadcast_shapes(*(t.shape for t in x)))
    wanted = [t.requires_grad_() for t in x if t.dtype == torch.float32]
    if kind == "activation":
        into, f = ACTIVATIONS[function]
        forward = lambda: into(x[0], y)
        result = lambda: f(x[0])
    elif kind == "where":
        forward = lambda: torch.where(*x, out=y)
        result = lambda: torch.where(*x)
    else:
        forward = lambda: BINARY[function](*x, out=y)
        result = lambda: BINARY[function](*x)
    with torch.no_grad():
        forward_ms = best(forward)
    z = result()
    if not z.requires_grad:
        return forward_ms, 0.0
    dy = torch.rand_like(z) * 4 - 2
    return forward_ms, best(lambda: torch.autograd.grad(z, wanted, dy, retain_graph=True))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_intermixed_args()
    torch.set_num_threads(args.threads)
    torch.set_flush_denormal(True)
    environment = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    listed = subprocess.run([args.program], capture_output=True, text=True, check=True).stdout
    print("| op | forward, ms | PyTorch | ratio | backward, ms | PyTorch | ratio |\n|---|---|---|---|---|---|---|")
    for line in listed.splitlines():
        name, kind, function, *shapes = line.split("\t")
        if args.rows and name not in args.rows:
            continue
        ours, theirs = [1e9, 1e9], [1e9, 1e9]
        for _ in range(args.rounds):
            out = subprocess.run([args.program, name], capture_output=True, text=True, check=True, env=environment)
            ours = [min(a, float(b)) for a, b in zip(ours, out.stdout.split())]
            theirs = [min(a, b) for a, b in zip(theirs, measure(kind, function, shapes))]
        cells = [name]
        for a, b in zip(ours, theirs):
            cells += [f"{a:.2f}", f"{b:.2f}", f"{a / b:.2f}"] if b > 0 else ["", "", ""]
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
