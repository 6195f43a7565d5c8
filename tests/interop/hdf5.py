"""Writes random HDF5 files with h5py, in the format of every library version that it offers, and compares what Lurcher's
reader finds in them. For a machine with h5py; not a part of the test suite.

    cmake --build build --target hdf5_dump
    python3 tests/interop/hdf5.py build/hdf5_dump [FILES [SEED]]
"""
import os
import random
import subprocess
import sys
import tempfile

import h5py
import numpy as np

DTYPES = ["<f4", ">f4", "<f2", ">f2", "<f8", ">f8", "i1", "u1", "<i2", ">u2", "<i4", ">i4", "<u8", ">i8"]
VERSIONS = ["earliest", "v108", "v110", "v112", "v114", "latest"]


def name(r):
    return r.choice(["kernel:0", "bias:0", "ä", "block1_conv1", "x" * r.randint(1, 90)]) + str(r.randint(0, 999999))


def text(r):
    return "".join(r.choice("abcdefg/:_0123é") for _ in range(r.randint(0, 40)))


def dataset(r, g):
    shape = tuple(r.randint(0 if r.random() < 0.05 else 1, 40 // (1 + n)) for n in range(r.randint(0, 4)))
    dtype = np.dtype(r.choice(DTYPES))
    low, high = (-100, 100) if dtype.kind != "u" else (0, 200)
    data = np.array([r.uniform(low, high) for _ in range(int(np.prod(shape)))]).reshape(shape).astype(dtype)
    options = {"track_order": r.random() < 0.3}
    if shape and data.size and r.random() < 0.7:
        options["chunks"] = tuple(r.randint(1, n) for n in shape) if r.random() < 0.7 else True
        if r.random() < 0.4:
            options["maxshape"] = tuple(r.choice([None, n, 3 * n]) for n in shape)
        if r.random() < 0.5:
            options["compression"] = "gzip"
        options["shuffle"] = r.random() < 0.4
        options["fletcher32"] = r.random() < 0.3
        if r.random() < 0.3:
            options["fillvalue"] = 7
    where = name(r)
    d = g.create_dataset(where, shape=shape, dtype=dtype, **options)
    if options.get("chunks") and r.random() < 0.3:  # some chunks are never written
        part = tuple(slice(0, r.randint(1, n)) for n in shape)
        d[part] = data[part]
    elif data.size or not shape:
        d[...] = data
    if "maxshape" in options and r.random() < 0.4:
        d.resize(tuple(n if m == n else r.randint(1, n + 5) if m is None else r.randint(1, min(m, n + 5))
                       for n, m in zip(shape, d.maxshape)))


def attributes(r, g):
    for _ in range(r.choice([0, 1, 3, 7, 9, 30])):
        items = [text(r) for _ in range(r.choice([0, 1, 2, 30, 300]))]
        where, kind = name(r), r.randint(0, 4)
        if kind == 0:
            g.attrs[where] = text(r)
        elif kind == 1:
            g.attrs.create(where, np.array([i.encode() for i in items] or [b"a"], dtype="S"))
        elif kind == 2:
            g.attrs.create(where, items, dtype=h5py.string_dtype())
        elif kind == 3:
            g.attrs[where] = text(r).encode() + b"x"
        else:
            g.attrs.create(where, np.array(["y" * r.randint(1, 3000)] * r.randint(1, 15), dtype="S"))


def fill(r, g, depth):
    attributes(r, g)
    for _ in range(r.choice([0, 1, 4])):
        dataset(r, g)
    for _ in range(r.choice([0, 1, 3, 12]) if depth < 3 else 0):
        fill(r, g.create_group(name(r), track_order=r.random() < 0.3), depth + 1)
    if r.random() < 0.1:
        for i in range(r.choice([50, 400])):
            g.create_group("many_%d" % i)
    if r.random() < 0.2 and len(g):
        g["soft"] = h5py.SoftLink(list(g)[0])


def write(r, path):
    options = {"userblock_size": r.choice([512, 1024, 4096])} if r.random() < 0.2 else {}
    with h5py.File(path, "w", libver=r.choice(VERSIONS), track_order=r.random() < 0.3, **options) as f:
        fill(r, f, 0)


def expected(f):
    lines = set()

    def add(o, path):
        if isinstance(o, h5py.Group):
            lines.add("group\t%s" % path)
            for key in o.attrs:
                value = o.attrs[key]
                items = [] if isinstance(value, h5py.Empty) else np.atleast_1d(value).tolist()
                items = [i.encode() if isinstance(i, str) else i for i in items]
                lines.add("\t".join(["texts", path, key, str(len(items))] + [i.hex() for i in items]))
            for key in o:
                add(o[key], ("" if path == "/" else path) + "/" + key)
        else:
            values = np.asarray(o[()]).astype("<f4")
            lines.add("values\t%s\t%s\t%s" % (path, "x".join(map(str, o.shape)), values.tobytes().hex()))

    add(f, "/")
    return lines


def main():
    dump, files, seed = sys.argv[1], int((sys.argv + [None, "300"])[2] or 300), int(sys.argv[3]) if len(sys.argv) > 3 else 1
    compared = 0
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.h5")
        for number in range(files):
            write(random.Random(seed * 100003 + number), path)
            with h5py.File(path, "r") as f:
                want = expected(f)
            found = set(subprocess.run([dump, path], capture_output=True).stdout.decode().split("\n")[:-1])
            compared += len(want)
            if want != found:
                for line in sorted(want - found)[:3] + ["--- found:"] + sorted(found - want)[:3]:
                    print(line[:300])
                sys.exit("file %d of seed %d differs" % (number, seed))
    print("%d files, %d groups, attributes and arrays: all equal" % (files, compared))


if __name__ == "__main__":
    main()
