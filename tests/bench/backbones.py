"""The networks of scripts/lurcher/models/ beside PyTorch (channels_last, eager) and ONNX Runtime: inference, f32, on
the CPU. Prints a table in Markdown; all engines take turns, and a figure is the median of the turns' ratios.

    PYTHON tests/bench/backbones.py build/lurcher [NAME ...] [BATCH ...]

needs a Python environment with torch, torchvision, timm, onnx and onnxruntime; LURCHER_THREADS: compute threads of each
engine (2). The weights are random: every engine has its own, and only times are compared (tests/interop/backbones.py
compares values). The peers' networks are those of torchvision and timm; ResNet-50 with the strides of version 1, as in
Keras."""

import os
import statistics
import subprocess
import sys
import tempfile
import time

THREADS = int(os.environ.get("LURCHER_THREADS", "2"))
os.environ["OMP_NUM_THREADS"] = os.environ["LURCHER_THREADS"] = str(THREADS)

import numpy
import onnxruntime
import timm
import torch
import torchvision

ROUNDS, SIDE = 7, 224


def resnet50():
    model = torchvision.models.resnet50()
    for name, module in model.named_modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck) and module.conv2.stride == (2, 2):
            module.conv1.stride, module.conv2.stride = (2, 2), (1, 1)
    return model


NETWORKS = {
    "resnet50": resnet50,
    "densenet121": torchvision.models.densenet121,
    "mobilenet_v2": torchvision.models.mobilenet_v2,
    "efficientnet_b0": lambda: timm.create_model("tf_efficientnet_b0"),
    "convnext_tiny": lambda: timm.create_model("convnext_tiny"),
    "vit_s16": lambda: timm.create_model("vit_small_patch16_224"),
}


class Lurcher:
    """A process that does steps when it is asked to."""

    def __init__(self, program, name, batch):
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "backbones_worker.lua")
        self.process = subprocess.Popen([program, script, name, str(batch)], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()

    def seconds(self):
        self.process.stdin.write("step\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def timed(step):
    def seconds():
        start = time.perf_counter()
        step()
        return time.perf_counter() - start

    return seconds


def peers(name, batch):
    """{ peer: a function that does a step and returns its seconds }"""
    torch.set_num_threads(THREADS)
    model = torch.nn.Sequential(NETWORKS[name](), torch.nn.Softmax(1)).eval()
    x = torch.randn(batch, 3, SIDE, SIDE)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        torch.onnx.export(model, (x,), path, input_names=["x"], output_names=["y"], opset_version=17, dynamo=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = THREADS, 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    image = x.numpy()
    model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)

    def eager():
        with torch.inference_mode():
            model(x)

    return {"torch": timed(eager), "ONNX Runtime": timed(lambda: session.run(None, {"x": image}))}


def measure(program, name, batch):
    lurcher, others = Lurcher(program, name, batch), peers(name, batch)
    turns = {"lurcher": [], **{peer: [] for peer in others}}
    steps = {"lurcher": lurcher.seconds, **others}
    for turn in range(ROUNDS + 1):
        for engine, step in steps.items():
            step()  # the caches are another engine's
            seconds = min(step() for _ in range(2))
            if turn > 0:
                turns[engine].append(seconds)
    lurcher.close()
    own = turns["lurcher"]
    cells = [f"{batch / statistics.median(own):.1f}"]
    for peer in others:
        ratios = sorted(b / a for a, b in zip(own, turns[peer]))
        cells.append(f"{statistics.median(ratios):.2f}x ({ratios[0]:.2f} to {ratios[-1]:.2f})")
    print(f"| {name}, batch {batch} | " + " | ".join(cells) + " |", flush=True)


def main(program, words):
    names = [word for word in words if not word.isdigit()] or NETWORKS
    batches = [int(word) for word in words if word.isdigit()] or [1, 8]
    print(f"torch {torch.__version__}, ONNX Runtime {onnxruntime.__version__}, numpy {numpy.__version__}; "
          f"{THREADS} threads\n")
    print("| what | images/s | speed beside torch | beside ONNX Runtime |\n|---|---|---|---|")
    for name in names:
        for batch in batches:
            measure(program, name, batch)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:])
