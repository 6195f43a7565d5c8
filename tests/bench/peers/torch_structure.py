"""The rows of tests/bench/structure.c in PyTorch, in turns with it: prints a table of milliseconds and their ratio.

Usage: python torch_structure.py BENCH_STRUCTURE [THREADS] [TURNS]

Images are channels_last. Forward is without a graph; backward is of all inputs and weights. Each figure is the best
time of all turns. "speed" is PyTorch's time over Lurcher's.
"""
import os
import subprocess
import sys
import time

import torch
import torch.nn.functional as F

BENCH, THREADS, TURNS = sys.argv[1], int((sys.argv + [None, "2"])[2] or 2), int((sys.argv + [0, 0, "3"])[3] or 3)
torch.set_num_threads(THREADS)


def tensor(*shape):
    return torch.rand(*shape).requires_grad_()


def image(n, h, w, c):
    return torch.rand(n, c, h, w).to(memory_format=torch.channels_last).requires_grad_()


def norm(f, x, c, *args):
    gamma, beta = tensor(c), tensor(c)
    return (lambda: f(x, *args, gamma, beta, 1e-6)), [x, gamma, beta]


def scores():
    q, k = tensor(8, 6, 197, 64), tensor(8, 6, 197, 64)
    return (lambda: q @ k.transpose(-1, -2)), [q, k]


def product(a, b):
    return (lambda: a @ b), [a, b]


def one(x, f):
    return (lambda: f(x)), [x]


def joined():
    token, x = tensor(1, 1, 384), tensor(8, 196, 384)
    return (lambda: torch.cat([token.expand(8, 1, 384), x], 1)), [token, x]


def upsample(mode, **options):
    return one(image(8, 28, 28, 64), lambda x: F.interpolate(x, scale_factor=2, mode=mode, **options))


ROWS = {
    "matmul_scores": scores,
    "matmul_mix": lambda: product(tensor(8, 6, 197, 197), tensor(8, 6, 197, 64)),
    "matmul_parameter": lambda: product(tensor(8, 197, 384), tensor(384, 384)),
    "permute_heads": lambda: one(tensor(8, 197, 6, 64), lambda x: x.permute(0, 2, 1, 3).contiguous()),
    "permute_nchw": lambda: one(tensor(8, 56, 56, 96), lambda x: x.permute(0, 3, 1, 2).contiguous()),
    "slice_token": lambda: one(tensor(8, 197, 384), lambda x: x[:, :1].clone()),
    "slice_channels": lambda: one(tensor(8, 56, 56, 96), lambda x: x[..., 48:].contiguous()),
    "pad_image": lambda: one(image(8, 56, 56, 96), lambda x: F.pad(x, (1, 1, 1, 1))),
    "layernorm_vit": lambda: norm(F.layer_norm, tensor(8, 197, 384), 384, [384]),
    "layernorm_image": lambda: norm(F.layer_norm, tensor(8, 56, 56, 96), 96, [96]),
    "groupnorm_image": lambda: norm(F.group_norm, image(8, 56, 56, 96), 96, 32),
    "upsample_nearest": lambda: upsample("nearest"),
    "upsample_bilinear": lambda: upsample("bilinear", align_corners=False),
    "reduce_tokens": lambda: one(tensor(8, 197, 384), lambda x: x.mean(1)),
    "reduce_image": lambda: one(image(8, 56, 56, 96), lambda x: x.mean((2, 3))),
    "concat_token": joined,
}


def best(f):
    least, start, n = 1e9, time.perf_counter(), 0
    while n < 5 or (n < 400 and time.perf_counter() - start < 0.4):
        t = time.perf_counter()
        f()
        least, n = min(least, time.perf_counter() - t), n + 1
    return least * 1e3


def torch_times(name):
    forward, inputs = ROWS[name]()
    y = forward()
    dy = torch.rand_like(y)
    with torch.no_grad():
        first = best(forward)
    return first, best(lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True))


def own_times(name):
    text = subprocess.run([BENCH, name], check=True, capture_output=True, text=True,
                          env=dict(os.environ, LURCHER_THREADS=str(THREADS))).stdout
    return tuple(float(v) for v in text.split()[1:])


print("| op, batch 8 | forward, ms | PyTorch | speed | backward, ms | PyTorch | speed |")
print("|---|---|---|---|---|---|---|")
for row in ROWS:
    own, peer = [1e9, 1e9], [1e9, 1e9]
    for _ in range(TURNS):
        own = [min(a, b) for a, b in zip(own, own_times(row))]
        peer = [min(a, b) for a, b in zip(peer, torch_times(row))]
    cells = ["%.3f | %.3f | %.2fx" % (a, b, b / a) for a, b in zip(own, peer)]
    print("| %s | %s |" % (row, " | ".join(cells)), flush=True)
