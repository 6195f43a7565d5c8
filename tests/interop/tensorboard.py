"""Reads event files of Lurcher with the real tensorboard package: python tensorboard.py build/lurcher

Compares the bytes of each kind of event with those of TensorBoard's own protocol buffers, lists what its reader finds,
and asks a TensorBoard server for scalars, images, histograms and hyperparameters. Prints what it found; exit code 1
where anything differs. Needs: pip install tensorboard pillow
"""
import glob
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import urllib.request

sys.path = [p for p in sys.path if os.path.abspath(p) != os.path.dirname(os.path.abspath(__file__))]  # not this file

import numpy
from PIL import Image
from tensorboard import program
from tensorboard.backend.event_processing import event_accumulator, event_file_loader
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

TIME = 1234567890.25


def scalar(tag, value):
    return summary_pb2.Summary.Value(tag=tag, simple_value=value)


def event(step, value=None, **more):
    if value is not None:
        more["summary"] = summary_pb2.Summary(value=[value])
    return event_pb2.Event(wall_time=TIME, step=step, **more)


def raw_events(folder):
    for path in sorted(glob.glob(folder + "/*tfevents*")):
        # checks both CRCs of every record
        for data in event_file_loader.RawEventFileLoader(path).Load():
            yield data


def check_plain(folder):
    """One of each kind, byte for byte."""
    got = list(raw_events(folder))
    want = [event(0, file_version="brain.Event:2"), event(0, scalar("loss", 0.75)), event(1, scalar("loss", 0.1)),
            event(300, scalar("huge", float("inf"))), event(2**40, scalar("negative", -2.5))]
    for bytes_of, message in zip(got, want):
        assert bytes_of == message.SerializeToString(deterministic=True), (bytes_of, message)
    events = [event_pb2.Event.FromString(data) for data in got]
    for data, message in zip(got, events):
        assert message.SerializeToString(deterministic=True) == data, message  # no unknown field, canonical order
    values = {v.tag: v for e in events for v in e.summary.value}
    shown = values["image"].image
    pixels = numpy.asarray(Image.open(io.BytesIO(shown.encoded_image_string)))
    assert (shown.height, shown.width, shown.colorspace) == (2, 3, 3)
    assert (pixels.reshape(-1) == numpy.arange(18)).all(), pixels
    histogram = values["weights"].histo
    assert (histogram.min, histogram.max, histogram.num, histogram.sum, histogram.sum_squares) == (-1, 2, 4, 1.5, 5.25)
    counts, edges = numpy.histogram([-1, 0, 0.5, 2], bins=30)
    assert len(histogram.bucket) == 30 and sum(histogram.bucket) == 4 and histogram.bucket_limit[-1] == 2
    assert numpy.allclose(histogram.bucket_limit, edges[1:])
    assert list(values["flat"].histo.bucket) == [4] and list(values["flat"].histo.bucket_limit) == [0.5]
    assert values["note"].tensor.string_val[0].decode() == "two\nlines \u00fc"
    start = plugin_data_pb2.HParamsPluginData.FromString(
        values["_hparams_/session_start_info"].metadata.plugin_data.content).session_start_info
    assert start.hparams["lr"].number_value == 0.001 and start.hparams["optimizer"].string_value == "adam"
    assert start.hparams["nesterov"].bool_value is True and start.start_time_secs == TIME
    experiment = plugin_data_pb2.HParamsPluginData.FromString(
        values["_hparams_/experiment"].metadata.plugin_data.content).experiment
    assert [info.name for info in experiment.hparam_infos] == ["lr", "nesterov", "optimizer"]
    print("plain: %d events, the bytes of TensorBoard's own messages" % len(got))


def check_fit(folder):
    """A training that was resumed: each epoch and step once."""
    for name, tags, steps in (("train", ["epoch_loss", "epoch_acc", "epoch_learning_rate"], [1, 2, 3, 4, 5]),
                              ("validation", ["epoch_loss", "epoch_acc"], [1, 2, 3, 4, 5]),
                              ("steps", ["batch_loss", "batch_acc", "batch_learning_rate"],
                               [2, 4, 6, 8, 10, 12, 14, 16, 18, 20])):
        # 0: keep every value of every kind
        reader = event_accumulator.EventAccumulator(folder + "/" + name, size_guidance={"scalars": 0, "images": 0,
                                                    "histograms": 0, "tensors": 0})
        reader.Reload()
        found = reader.Tags()
        print(name + ":", json.dumps({k: v for k, v in found.items() if v}))
        for tag in tags:
            assert [e.step for e in reader.Scalars(tag)] == steps, (name, tag, [e.step for e in reader.Scalars(tag)])
        assert len(glob.glob(folder + "/" + name + "/*tfevents*")) == 2
        if name == "train":
            assert [e.step for e in reader.Images("image/1")] == [1, 2, 3, 4, 5]
            assert reader.Images("image/1")[0].width == 6
            for tag in ("head/kernel", "head/bias", "gradients/head/kernel"):
                histograms = reader.Histograms(tag)
                assert [e.step for e in histograms] == [1, 2, 3, 4, 5], tag
                assert histograms[0].histogram_value.num == (2 if tag == "head/bias" else 216)


def check_server(folder):
    """What a TensorBoard server answers."""
    board = program.TensorBoard()
    board.configure(argv=["tensorboard", "--logdir", folder, "--port", "0", "--load_fast", "false"])
    url = board.launch()

    def ask(path, data=None):
        request = urllib.request.Request(url + "data/plugin/" + path, data=data and json.dumps(data).encode(),
                                         headers={"Content-Type": "application/json"})
        return json.loads(urllib.request.urlopen(request).read())

    for _ in range(100):
        runs = ask("scalars/tags")
        if len(runs) >= 4:
            break
        threading.Event().wait(0.2)
    assert {"fit/train", "fit/validation", "fit/steps"} <= set(runs), runs
    values = ask("scalars/scalars?" + urllib.parse.urlencode({"run": "fit/validation", "tag": "epoch_loss"}))
    assert [value[1] for value in values] == [1, 2, 3, 4, 5], values
    assert "image/1" in str(ask("images/tags")["fit/train"])
    assert "head/kernel" in ask("histograms/tags")["fit/train"]
    experiment = ask("hparams/experiment", {"experimentName": "", "includeMetrics": True})
    names = [info["name"] for info in experiment["hparamInfos"]]
    assert "lr" in names and "name" in names, experiment
    print("server: runs %s; hyperparameters %s" % (sorted(runs), sorted(names)))


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], here + "/tensorboard.lua", folder], check=True)
        check_plain(folder + "/plain")
        check_fit(folder + "/fit")
        check_server(folder)
    print("equal")
    sys.stdout.flush()
    os._exit(0)  # the server's threads do not end


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        print("differs:", error)
        raise
