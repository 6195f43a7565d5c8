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
import torch.nn as nn
import torch.nn.functional as F


class Separable(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.depthwise = nn.Conv2d(cin, cin, 3, padding=1, groups=cin, bias=False)
        self.pointwise = nn.Conv2d(cin, cout, 1, bias=False)
        self.bn = nn.BatchNorm2d(cout, eps=1e-3, momentum=0.01)

    def forward(self, x):
        return self.bn(self.pointwise(self.depthwise(x)))


def same_pool(x):
    """3x3 stride 2 'same' max pooling of TensorFlow: pads (0, 1) where the extent is even."""
    h = 0 if x.shape[2] % 2 == 0 else 1
    return F.max_pool2d(F.pad(x, (h, 1, h, 1), value=float("-inf")), 3, 2)


class Block(nn.Module):
    """Two separable convolutions, a strided pool and a strided 1x1 residual; or three and the identity."""

    def __init__(self, cin, widths, strided, relu_first=True):
        super().__init__()
        ins = [cin] + widths[:-1]
        self.separables = nn.ModuleList(Separable(i, o) for i, o in zip(ins, widths))
        self.relu_first = relu_first
        self.strided = strided
        if strided:
            self.residual = nn.Conv2d(cin, widths[-1], 1, stride=2, bias=False)
            self.residual_bn = nn.BatchNorm2d(widths[-1], eps=1e-3, momentum=0.01)

    def forward(self, x):
        y = x
        for i, separable in enumerate(self.separables):
            if i > 0:
                y = F.relu(y, inplace=True)
            elif self.relu_first:
                y = F.relu(y)  # x itself is still needed by the residual
            y = separable(y)
        if not self.strided:
            return y + x
        return same_pool(y) + self.residual_bn(self.residual(x))


class Xception(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, stride=2, bias=False)
        self.bn1 = nn.BatchNorm2d(32, eps=1e-3, momentum=0.01)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.bn2 = nn.BatchNorm2d(64, eps=1e-3, momentum=0.01)
        blocks = [Block(64, [128, 128], True, False), Block(128, [256, 256], True), Block(256, [728, 728], True)]
        blocks += [Block(728, [728] * 3, False) for _ in range(8)]
        blocks += [Block(728, [728, 1024], True)]
        self.blocks = nn.Sequential(*blocks)
        self.sep3 = Separable(1024, 1536)
        self.sep4 = Separable(1536, 2048)
        self.fc = nn.Linear(2048, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.blocks(x)
        x = F.relu(self.sep3(x), inplace=True)
        x = F.relu(self.sep4(x), inplace=True)
        return self.fc(x.mean((2, 3)))


def freeze_below_add_10(model):
    """Keras's layers[105:]: blocks 12, 13 and 14 learn. Frozen modules stay in inference form."""
    frozen = [model.conv1, model.bn1, model.conv2, model.bn2] + list(model.blocks[:10])
    for module in frozen:
        module.eval()
        for p in module.parameters():
            p.requires_grad_(False)


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
        freeze_below_add_10(model)
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
