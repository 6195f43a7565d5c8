"""The Python pipeline of tests/bench/loader.lua, with the loader's steps: Pillow's decode and resize, SciPy's affine
transform per channel, normalisation; one thread.

    python3 pillow_scipy.py FOLDER SECONDS      prints images per second, and per CPU second

Needs Debian 12's python3-pil and python3-scipy.
"""
import os
import sys
import time

import numpy as np
from PIL import Image
from scipy.ndimage import affine_transform

SIDE = 299


def matrix(rng):
    theta = np.deg2rad(rng.uniform(-45, 45))
    tx, ty = rng.uniform(-0.1, 0.1, 2) * SIDE
    shear = np.deg2rad(rng.uniform(-10, 10))
    zx, zy = rng.uniform(0.8, 1.2, 2)
    c, s = np.cos(theta), np.sin(theta)
    rotation = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    shift = np.array([[1, 0, tx], [0, 1, ty], [0, 0, 1]])
    sheared = np.array([[1, -np.sin(shear), 0], [0, np.cos(shear), 0], [0, 0, 1]])
    centre, back = np.eye(3), np.eye(3)
    centre[:2, 2], back[:2, 2] = SIDE / 2 - 0.5, 0.5 - SIDE / 2
    return centre @ rotation @ shift @ sheared @ np.diag([zx, zy, 1]) @ back


def sample(path, rng):
    image = Image.open(path).convert("RGB").resize((SIDE, SIDE), Image.BILINEAR)
    x = np.asarray(image, dtype=np.float32)
    m = matrix(rng)
    x = np.stack([affine_transform(x[..., k], m[:2, :2], m[:2, 2], order=1, mode="nearest") for k in range(3)], axis=-1)
    if rng.random_sample() < 0.5:
        x = x[:, ::-1]
    return x / 127.5 - 1


def main(folder, seconds):
    paths = sorted(os.path.join(base, name) for base, _, names in os.walk(folder) for name in names
                   if name.lower().endswith((".jpg", ".jpeg", ".png")))
    rng, n = np.random.RandomState(1), 0
    sample(paths[0], rng)
    start, used = time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        sample(paths[n % len(paths)], rng)
        n += 1
    print("%.2f %.2f" % (n / (time.perf_counter() - start), n / (time.process_time() - used)))


main(sys.argv[1], float(sys.argv[2]))
