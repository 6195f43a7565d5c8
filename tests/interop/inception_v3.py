"""Compares InceptionV3 with real Keras's: random weights, every mixed* output. Not run by tests/run.sh, which needs no
Python package; tests/lua/inception_v3.lua holds golden values recorded after this had passed.

    python3 -m venv /tmp/keras && /tmp/keras/bin/pip install keras jax h5py safetensors
    KERAS_BACKEND=jax /tmp/keras/bin/python tests/interop/inception_v3.py build/lurcher

Keras writes weights (its legacy .h5 and its .weights.h5), images and its outputs to a temporary folder;
inception_v3.lua in this folder loads both weights files and compares. Exit code 0: all within 1e-4 relative."""

import os
import subprocess
import sys
import tempfile

import keras
import numpy
from safetensors.numpy import save_file


def randomized(model, rng):
    """Sets random beta and moving statistics: with the initial zeros and ones, a wrong batch norm would go
    unnoticed."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            beta, mean, variance = layer.get_weights()
            layer.set_weights([rng.normal(0, 0.1, beta.shape), rng.normal(0, 0.1, mean.shape),
                               rng.uniform(0.5, 1.5, variance.shape)])
    return model


def main(program):
    rng = numpy.random.default_rng(1)
    keras.utils.set_random_seed(1)
    model = randomized(keras.applications.InceptionV3(weights=None), rng)
    names = [layer.name for layer in model.layers if layer.name.startswith("mixed")] + ["avg_pool", "predictions"]
    tapped = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    images = rng.uniform(-1, 1, (2, 299, 299, 3)).astype(numpy.float32)
    outputs = tapped.predict(images, verbose=0)
    with tempfile.TemporaryDirectory() as folder:
        model.save(os.path.join(folder, "legacy.h5"))
        model.save_weights(os.path.join(folder, "new.weights.h5"))
        expected = {name: numpy.ascontiguousarray(output) for name, output in zip(names, outputs)}
        save_file({"images": images, **expected}, os.path.join(folder, "expected.safetensors"))
        print(f"Keras {keras.__version__} on {keras.backend.backend()}, {model.count_params()} parameters", flush=True)
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "inception_v3.lua")
        return subprocess.call([program, script, folder])


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
