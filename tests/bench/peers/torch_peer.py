"""PyTorch, channels_last: eager, or compiled where LURCHER_BENCH_COMPILE is set. See protocol.py."""
import os

import torch
import torch.nn.functional as F

import protocol
import torch_pairs
from xception_torch import Xception, load

COMPILED = bool(os.environ.get("LURCHER_BENCH_COMPILE"))
NAME = "torch %s%s" % (torch.__version__.partition("+")[0], ", compiled" if COMPILED else "")


def batch():
    x = torch.from_numpy(protocol.images()).permute(0, 3, 1, 2)
    return x.contiguous(memory_format=torch.channels_last), torch.from_numpy(protocol.labels())


def network():
    return load(Xception(), protocol.keras_weights()).to(memory_format=torch.channels_last)


def inference():
    model, (x, _) = network().eval(), batch()
    forward = torch.compile(model) if COMPILED else model
    result = []

    def step():
        with torch.inference_mode():
            result[:] = [forward(x)]

    return step, lambda: torch.softmax(result[0], 1).numpy()


def training(frozen):
    model, (x, target) = network().train(), batch()
    model.freeze(*frozen(model))
    learned = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learned, lr=1e-3, momentum=0.9)
    forward = torch.compile(model) if COMPILED else model
    losses = []

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(forward(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())

    return step, lambda: losses[:2]


WORKS = {
    "inference": inference,
    "train": lambda: training(lambda m: []),
    "tune": lambda: training(lambda m: [m.below]),
    "head": lambda: training(lambda m: [m.below, m.above]),
    "loader": torch_pairs.loader,
    "frozen": torch_pairs.frozen,
    "trick": torch_pairs.trick,
}

if __name__ == "__main__":
    torch.set_num_threads(protocol.THREADS)
    protocol.serve(NAME, *WORKS[protocol.WORK]())
