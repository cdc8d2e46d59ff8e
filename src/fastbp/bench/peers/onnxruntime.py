"""The predictions in ONNX Runtime, inputs and outputs bound once; it does not train."""

from __future__ import annotations

from functools import partial

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

VERSIONS = {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}
DEVIATIONS: dict[str, str] = {}
ACTIVATIONS = {"relu": "Relu", "softmax": "Softmax"}


def train(workload, x, y, weights, threads):
    """Refuse: the runtime only predicts."""
    raise NotImplementedError("does not train")


def _model(workload, weights):
    """Return the network as an ONNX model, in operations of opset 17."""
    nodes, arrays, last = [], [], "x"
    for layer, ((w, b), activation) in enumerate(zip(weights, workload.activations, strict=True)):
        arrays += [numpy_helper.from_array(w, f"w{layer}"), numpy_helper.from_array(b, f"b{layer}")]
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"z{layer}"]))
        last = f"z{layer}"
        if activation in ACTIVATIONS:
            nodes.append(helper.make_node(ACTIVATIONS[activation], [last], [f"a{layer}"]))
            last = f"a{layer}"
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [workload.rows, n])
        for name, n in (("x", workload.sizes[0]), (last, workload.sizes[-1]))
    ]
    graph = helper.make_graph(nodes, "network", tensors[:1], tensors[1:], arrays)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), last


def predictor(workload, weights, x, threads):
    """Predict by io binding, from an array into another."""
    model, output = _model(workload, weights)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    out = np.empty((workload.rows, workload.sizes[-1]), x.dtype)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output(output, onnxruntime.OrtValue.ortvalue_from_numpy(out))
    return partial(session.run_with_iobinding, binding), lambda: out
