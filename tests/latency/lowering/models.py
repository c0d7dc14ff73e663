"""Small ONNX models made node by node, and what ONNX Runtime computes with a model."""

from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from latency.kernels.library import register

Array = npt.NDArray[np.float32]
FLOAT = onnx.TensorProto.FLOAT


def random(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def chain(
    *nodes: onnx.NodeProto,
    constants: dict[str, npt.NDArray[Any]] | None = None,
    shape: tuple[int | str, ...] = (1, 4, 8, 8),
    opset: int = 20,
    output: str = "y",
    dtype: int = FLOAT,
    sparse: onnx.SparseTensorProto | None = None,
) -> onnx.ModelProto:
    """A model from `x` to `output`."""
    graph = helper.make_graph(
        list(nodes),
        "test",
        [helper.make_tensor_value_info("x", dtype, list(shape))],
        [helper.make_tensor_value_info(output, dtype, None)],
        initializer=[numpy_helper.from_array(a, n) for n, a in (constants or {}).items()],
        sparse_initializer=[sparse] if sparse else [],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    inferred = onnx.shape_inference.infer_shapes(model)
    inferred.graph.output[0].type.tensor_type.shape.SetInParent()  # what cannot be inferred
    return inferred


def run(model: onnx.ModelProto | bytes, image: Array, *, library: bool = False) -> Array:
    """The one output for one image (1, C, H, W)."""
    options = onnxruntime.SessionOptions()
    if library:
        register(options)
    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (name,) = [value.name for value in session.get_inputs()]
    return np.asarray(session.run(None, {name: image})[0])


def assert_same(got: Array, wanted: Array) -> None:
    assert got.shape == wanted.shape
    scale = max(1.0, float(np.abs(wanted).max()))
    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5 * scale)
