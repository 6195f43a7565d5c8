"""The ONNX file that ONNX Runtime and OpenVINO run: PyTorch's Xception with a softmax, any batch size.

    onnx_model.py WORK BATCH FOLDER THREADS     writes FOLDER/xception.onnx; WORK, BATCH and THREADS are ignored
"""
import torch

import protocol
from xception_torch import Xception, load

if __name__ == "__main__":
    model = torch.nn.Sequential(load(Xception(), protocol.keras_weights()), torch.nn.Softmax(1)).eval()
    example = torch.zeros(2, 3, protocol.SIDE, protocol.SIDE)
    torch.onnx.export(model, (example,), protocol.FOLDER + "/xception.onnx", input_names=["x"], output_names=["y"],
                      dynamic_axes={"x": {0: "n"}, "y": {0: "n"}}, opset_version=17, dynamo=False)
