#!/usr/bin/env python3
"""Peer of tests/bench/xception.lua: the same Xception in PyTorch, channels_last.

Usage: torch_xception.py WORK BATCH ITERATIONS THREADS [SIZE [DEVICE [PRECISION [MODE]]]]
WORK: inference, train (all trainable), tune (layers[105:] trainable, the rest frozen in inference form).
DEVICE: cpu, cuda. PRECISION: f32, tf32, bf16 (autocast), f16 (autocast, loss scaling). MODE: eager, compile.
Prints one line: the seconds of each timed iteration, then "peak BYTES": of the process, or of the GPU's allocations.
"""
import contextlib
import resource
import sys
import time

import torch
import torch.nn.functional as F

from xception_torch import Xception


def main():
    work, batch, iterations, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    size = int(sys.argv[5]) if len(sys.argv) > 5 else 299
    device = sys.argv[6] if len(sys.argv) > 6 else "cpu"
    precision = sys.argv[7] if len(sys.argv) > 7 else "f32"
    mode = sys.argv[8] if len(sys.argv) > 8 else "eager"
    cuda = device.startswith("cuda")
    torch.set_num_threads(threads)
    torch.manual_seed(7)
    if cuda:
        torch.backends.cudnn.benchmark = True
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = precision == "tf32"
    model = Xception().to(device).to(memory_format=torch.channels_last)
    x = (torch.rand(batch, 3, size, size).contiguous(memory_format=torch.channels_last) * 2 - 1).to(device)
    target = (torch.arange(batch) % 1000).to(device)
    model.train(work != "inference")
    if work == "tune":
        model.freeze(model.below)
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=1e-3, momentum=0.9)
    half = {"bf16": torch.bfloat16, "f16": torch.float16}.get(precision)
    scaler = torch.amp.GradScaler(device) if half is torch.float16 else None
    run = torch.compile(model) if mode == "compile" else model

    def cast():
        return torch.autocast(device, half) if half else contextlib.nullcontext()

    def infer():
        with torch.no_grad(), cast():
            run(x).float().cpu()

    def train():
        optimizer.zero_grad(set_to_none=True)
        with cast():
            loss = F.cross_entropy(run(x), target)
        if scaler:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        else:
            loss.backward()
            optimizer.step()
        loss.item()
        if cuda:
            torch.cuda.synchronize()

    step = infer if work == "inference" else train
    seconds = []
    for i in range(iterations + 2):
        start = time.perf_counter()
        step()
        if i >= 2:
            seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(" ".join(f"{s:.6f}" for s in seconds), "peak", peak)


main()
