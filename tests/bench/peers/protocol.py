"""Shared by the peers of tests/bench/table.lua: the command line, the weights, the batch, and the protocol.

A peer is PEER.py WORK BATCH FOLDER THREADS [DATA]. It passes to `serve` a function that does one step and, if there are
results to compare, a function that returns them. tests/bench/table_worker.lua describes the protocol.
"""
import sys
import time

import h5py
import numpy as np
from safetensors.numpy import load_file, save_file

WORK, BATCH, FOLDER, THREADS = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
DATA = sys.argv[5] if len(sys.argv) > 5 else None
WEIGHTS = FOLDER + "/xception.h5"


IMAGES = load_file(FOLDER + "/images.safetensors")["images"]
SIDE = IMAGES.shape[1]


def images():
    """The batch, NHWC."""
    return IMAGES[:BATCH].copy()


def labels():
    return np.arange(BATCH)


def keras_weights():
    """The weights of the file: {layer: [array, ...]}, in Keras's order and layouts."""
    with h5py.File(WEIGHTS, "r") as file:
        root = file["model_weights"] if "model_weights" in file else file
        names = {layer: root[layer].attrs["weight_names"] for layer in root.attrs["layer_names"]}
        return {as_text(layer): [root[layer][name][()] for name in weights] for layer, weights in names.items()}


def as_text(name):
    return name.decode() if isinstance(name, bytes) else name


def peak():
    with open("/proc/self/status") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024


def serve(name, step, value=None):
    """Answers lines until "finish". step() does one step and may return its seconds; value() returns the first
    results."""
    print("ready", name, flush=True)
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "finish":
            break
        if command == "output":
            save_file({"y": np.ascontiguousarray(value(), dtype=np.float32)}, rest)
            print("saved", flush=True)
            continue
        seconds = []
        for _ in range(int(rest)):
            start = time.perf_counter()
            own = step()
            seconds.append(time.perf_counter() - start if own is None else own)
        print("seconds", " ".join("%.6f" % s for s in seconds), flush=True)
    print("peak", peak(), flush=True)
