"""OpenVINO on the CPU, in f32 (its default is bf16 if the processor has it) and for one batch size. See protocol.py;
the model is onnx_model.py's."""
import numpy as np
import openvino

import protocol

core = openvino.Core()
model = core.read_model(protocol.FOLDER + "/xception.onnx")
model.reshape([protocol.BATCH, 3, protocol.SIDE, protocol.SIDE])
compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY",
                                             "INFERENCE_NUM_THREADS": protocol.THREADS})
request = compiled.create_infer_request()
x = np.ascontiguousarray(protocol.images().transpose(0, 3, 1, 2))


def step():
    request.infer([x], share_inputs=True)


protocol.serve("openvino " + openvino.__version__.partition("-")[0], step,
               lambda: request.get_output_tensor(0).data.copy())
