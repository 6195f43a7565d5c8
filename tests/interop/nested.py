"""Compares backbones out of nested Keras files with real Keras: Xception and InceptionV3 used as a layer below a head,
saved as .keras and .weights.h5 with the names of layers and, as Keras before 3.10 did, without them. Not run by
tests/run.sh, which needs no Python package.

    KERAS_BACKEND=jax /tmp/keras/bin/python tests/interop/nested.py build/lurcher

nested.lua in this folder loads the files and compares. Exit code 0: all layers loaded, outputs within 1e-4 relative."""

import io
import os
import subprocess
import sys
import tempfile
import zipfile

import h5py
import keras
import numpy
from safetensors.numpy import save_file


def nameless(source):
    """Removes the attribute `name` of every group, which Keras writes from 3.10 on."""
    with h5py.File(source, "r+") as file:
        file.visititems(lambda _, item: item.attrs.pop("name", None) and None)


def without_names(folder, name):
    for kind in ("keras", "weights.h5"):
        with open(os.path.join(folder, f"{name}.{kind}"), "rb") as file:
            data = file.read()
        target = os.path.join(folder, f"{name}_old.{kind}")
        if kind == "weights.h5":
            with open(target, "wb") as file:
                file.write(data)
            nameless(target)
            continue
        with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(target, "w") as new:
            for member in old.namelist():
                content = io.BytesIO(old.read(member))
                if member == "model.weights.h5":
                    nameless(content)
                new.writestr(member, content.getvalue())


def write(folder, name):
    base = getattr(keras.applications, name)(include_top=False, weights=None, input_shape=(96, 96, 3))
    x = inputs = keras.Input((96, 96, 3))
    x = keras.layers.GlobalAveragePooling2D()(base(x))
    model = keras.Model(inputs, keras.layers.Dense(5, activation="softmax", name="head")(x))
    model.save(os.path.join(folder, name + ".keras"))
    model.save_weights(os.path.join(folder, name + ".weights.h5"))
    without_names(folder, name)
    images = numpy.random.default_rng(1).random((2, 96, 96, 3), dtype=numpy.float32)
    features = numpy.asarray(base.predict(images, verbose=0)).mean((1, 2))
    save_file({"images": images, "features": features}, os.path.join(folder, name + ".safetensors"))


with tempfile.TemporaryDirectory() as folder:
    for name in ("Xception", "InceptionV3"):
        write(folder, name)
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nested.lua")
    sys.exit(subprocess.run([sys.argv[1], script, folder]).returncode)
