"""Makes the seeds of tests/fuzz/hdf5.c with h5py; crash_*.h5 and the damaged files own_layout.h5 and vlen.h5 were found.

    python3 tests/fuzz/seeds/hdf5.py tests/fuzz/seeds/hdf5
"""
import os
import sys

import h5py
import numpy as np

VERSIONS = ("earliest", "v108", "v110", "latest")
NUMBERS = np.arange(60, dtype="<f4").reshape(6, 10)


def keras(f):
    f.attrs["layer_names"] = np.array([b"a", b"dense_1"], dtype="S")
    f.attrs["backend"] = "tensorflow"
    for layer in ("a", "dense_1"):
        g = f.create_group(layer)
        g.attrs["weight_names"] = np.array([(layer + "/kernel:0").encode()], dtype="S")
        g.create_dataset(layer + "/kernel:0", data=NUMBERS[:2, :3])


def chunked(f):
    f.create_dataset("a", data=NUMBERS, chunks=(4, 4), compression="gzip", shuffle=True, fletcher32=True)
    f.create_dataset("b", data=NUMBERS.astype(">i2"), chunks=(3, 5), maxshape=(None, 10))
    f.create_dataset("c", data=NUMBERS.astype("f2"), chunks=(6, 10), compression="gzip")
    f.create_dataset("d", data=NUMBERS, chunks=(2, 2), maxshape=(None, None), compression="gzip")
    f.create_dataset("e", shape=(8,), dtype="f8", chunks=(2,), fillvalue=3)
    f["s"] = np.float64(3)


def attributes(f):
    for i in range(10):
        f.attrs["a%d" % i] = "text %d" % i
    f.attrs.create("v", ["one", "two", "drei"], dtype=h5py.string_dtype())
    f.attrs["empty"] = h5py.Empty("S1")
    f.attrs["numbers"] = [1, 2]
    for i in range(12):
        f.create_group("g%d" % i)
    f["soft"] = h5py.SoftLink("/g1")
    f["x"] = h5py.ExternalLink("other.h5", "/y")


def large_attribute(f):
    f.attrs["big"] = np.array([b"x" * 5000] * 2)
    for i in range(9):
        f.attrs["a%d" % i] = "t"


def deep_tree(f):
    for i in range(40):
        f.create_group("g%02d" % i)


def virtual(f):
    layout = h5py.VirtualLayout(shape=(4,), dtype="f4")
    layout[:] = h5py.VirtualSource("o.h5", "d", shape=(4,))
    f.create_virtual_dataset("v", layout)


def arrays(f):
    f.create_dataset("q", data=np.arange(40, dtype="i1"), chunks=(1,), maxshape=(None,))


def opaque(f):
    f.create_dataset("a", data=NUMBERS[:2].astype("<u2").view("V2"))


def btree2(f):
    f.create_dataset("q", data=np.zeros((20, 20), "i1"), chunks=(1, 1), maxshape=(None, None))


def main():
    def write(name, fill, **options):
        with h5py.File(os.path.join(sys.argv[1], name + ".h5"), "w", **options) as f:
            fill(f)

    for version in VERSIONS:
        write("chunked_" + version, chunked, libver=version)
    for version in ("earliest", "latest"):
        write("keras_" + version, keras, libver=version)
        write("attributes_" + version, attributes, libver=version, track_order=True)
    for name, fill in (("large_attribute", large_attribute), ("virtual", virtual), ("array_paged", arrays), ("btree2", btree2)):
        write(name, fill, libver="latest")
    write("deep_tree", deep_tree)
    write("opaque", opaque)
    write("userblock", keras, userblock_size=512)


if __name__ == "__main__":
    main()
