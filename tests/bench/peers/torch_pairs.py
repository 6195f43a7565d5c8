"""The recipes of pairs as a plain PyTorch program has them: images by Pillow in the DataLoader's worker processes,
both towers as one forward of 2 B images, the frozen backbone without gradients. Works of torch_peer.py.
"""
import math
import os
import random
import time

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import protocol
from protocol import SIDE
from xception_torch import Xception, load

STEPS, LOADED, WORKERS = 4, 12, 2


def light():
    """Turns by 45 degrees, shears by 0.2, zooms by 0.2, mirrors: output to input, about the centre (Pillow's order)."""
    angle, shear = math.radians(random.uniform(-45, 45)), random.uniform(-0.2, 0.2)
    zx, zy, flip = random.uniform(0.8, 1.2), random.uniform(0.8, 1.2), random.choice((-1, 1))
    c, s, half = math.cos(angle), math.sin(angle), SIDE / 2
    a, b = c * zx * flip, (-c * math.sin(shear) - s * math.cos(shear)) * zy
    d, e = s * zx * flip, (-s * math.sin(shear) + c * math.cos(shear)) * zy
    return a, b, half - a * half - b * half, d, e, half - d * half - e * half


class Images(Dataset):
    def __init__(self, folder, augment):
        self.classes = sorted(os.listdir(folder))
        self.items = [(os.path.join(folder, name, file), k) for k, name in enumerate(self.classes)
                      for file in sorted(os.listdir(os.path.join(folder, name)))]
        self.augment = augment

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        path, label = self.items[i]
        image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR)
        if self.augment:
            image = image.transform((SIDE, SIDE), Image.AFFINE, light(), Image.BILINEAR)
        x = torch.from_numpy(np.asarray(image, dtype=np.float32)).mul_(1 / 127.5).sub_(1)
        return x.permute(2, 0, 1), label


class Draws:
    """Batches of `size` random images, `count` an epoch."""

    def __init__(self, n, size, count):
        self.n, self.size, self.count = n, size, count

    def __len__(self):
        return self.count

    def __iter__(self):
        for _ in range(self.count):
            yield random.choices(range(self.n), k=self.size)


class PairDraws(Draws):
    """Two batches side by side; one in four is a batch beside a rearrangement of itself that pairs its classes."""

    def __init__(self, labels, size):
        super().__init__(len(labels), size, STEPS)
        self.labels = labels

    def __iter__(self):
        for step in range(self.count):
            left = random.sample(range(self.n), self.size)
            yield left + (self.partners(left) if step % 4 == 1 else random.sample(range(self.n), self.size))

    def partners(self, picks):
        right, waiting, alone = list(picks), {}, None
        for i, pick in enumerate(picks):
            j = waiting.pop(self.labels[pick], None)
            if j is None:
                waiting[self.labels[pick]] = i
            else:
                right[i], right[j] = picks[j], pick
        for i in waiting.values():
            if alone is None:
                alone = i
            else:
                right[i], right[alone], alone = picks[alone], picks[i], None
        return right


def reader(images, draws):
    return DataLoader(images, batch_sampler=draws, num_workers=WORKERS, persistent_workers=True)


def loader():
    images = Images(protocol.DATA + "/train", True)
    batches = reader(images, Draws(len(images), protocol.BATCH, LOADED + 1))

    def step():
        start = None
        for x, _ in batches:
            start = start or time.perf_counter()
        return (time.perf_counter() - start) / LOADED

    return step, None


class Pairs(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.backbone = load(Xception(), protocol.keras_weights())
        self.left, self.right = nn.Linear(2048, classes), nn.Linear(2048, classes)
        self.pair = nn.Linear(2048, 2)

    def forward(self, x, all_frozen):
        with torch.no_grad():
            x = self.backbone.below(x)
            if all_frozen:
                x = self.backbone.above(x)
        left, right = (x if all_frozen else self.backbone.above(x)).chunk(2)
        return self.left(F.dropout(left)), self.right(F.dropout(right)), self.pair((left - right) ** 2)


def stage(augment, all_frozen, pair_weight, make_optimizer):
    images = Images(protocol.DATA + "/train", augment)
    model = Pairs(len(images.classes)).to(memory_format=torch.channels_last)
    model.backbone.fc = None
    model.backbone.freeze(model.backbone.below, *([model.backbone.above] if all_frozen else []))
    optimizer = make_optimizer([p for p in model.parameters() if p.requires_grad])
    batches = reader(images, PairDraws([label for _, label in images.items], protocol.BATCH))

    def epoch():
        for x, label in batches:
            one, two = label.chunk(2)
            optimizer.zero_grad(set_to_none=True)
            left, right, pair = model(x.contiguous(memory_format=torch.channels_last), all_frozen)
            loss = F.cross_entropy(left, one) + F.cross_entropy(right, two)
            loss = loss + pair_weight * F.cross_entropy(pair, (one == two).long())
            loss.backward()
            optimizer.step()
            loss.item()

    return epoch, None


def frozen():
    return stage(True, True, 0.0, lambda learned: torch.optim.NAdam(learned, lr=2e-3))


def trick():
    """Nothing is kept between epochs: the frozen backbone is computed for every image of every step."""
    return stage(False, False, 0.5, lambda learned: torch.optim.SGD(learned, lr=1e-4, momentum=0.9))
