"""Keras on TensorFlow: keras.applications' Xception, compiled graphs, weights by load_weights. See protocol.py."""
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import tensorflow as tf

import protocol


def network():
    model = keras.applications.Xception(weights=None, input_shape=(protocol.SIDE, protocol.SIDE, 3))
    model.load_weights(protocol.WEIGHTS)
    return model


def inference():
    model, x = network(), tf.constant(protocol.images())
    forward = tf.function(lambda images: model(images, training=False))
    result = []

    def step():
        result[:] = [forward(x).numpy()]

    return step, lambda: result[0]


def training(first):
    """Layers from `first` on learn."""
    model = network()
    for layer in model.layers[:first]:
        layer.trainable = False
    model.compile(optimizer=keras.optimizers.SGD(1e-3, momentum=0.9), loss="sparse_categorical_crossentropy")
    x, y = tf.constant(protocol.images()), tf.constant(protocol.labels())
    losses = []

    def step():
        model.reset_metrics()
        losses.append(float(model.train_on_batch(x, y)))

    return step, lambda: losses[:2]


WORKS = {"inference": inference, "train": lambda: training(0), "tune": lambda: training(105),
         "head": lambda: training(-1)}

if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(protocol.THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    protocol.serve("keras %s, tensorflow %s" % (keras.__version__, tf.__version__), *WORKS[protocol.WORK]())
