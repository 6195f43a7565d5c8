"""ONNX Runtime on the CPU: all graph optimizations. See protocol.py; the model is onnx_model.py's."""
import numpy as np
import onnxruntime

import protocol

options = onnxruntime.SessionOptions()
options.intra_op_num_threads = protocol.THREADS
options.inter_op_num_threads = 1
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
session = onnxruntime.InferenceSession(protocol.FOLDER + "/xception.onnx", options, providers=["CPUExecutionProvider"])
x = np.ascontiguousarray(protocol.images().transpose(0, 3, 1, 2))
result = []


def step():
    result[:] = session.run(None, {"x": x})


protocol.serve("onnxruntime " + onnxruntime.__version__, step, lambda: result[0])
