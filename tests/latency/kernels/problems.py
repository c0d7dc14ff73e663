"""Sparse convolutions to test with: random ones, their models, and what they must compute."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from latency.kernels import register
from latency.kernels.library import DOMAIN
from latency.lowering.build import IR_VERSION, OPSET
from latency.lowering.fallbacks import fallback_function
from latency.lowering.library import compress, opset_imports
from latency.lowering.patterns import random_mask
from latency.operator import Activation, SparsityPattern

Array = npt.NDArray[np.float32]
NODE = "the-node"


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One convolution; pairs are (height, width), padding is (top, left, bottom, right)."""

    out_channels: int = 8
    in_channels: int = 4
    size: tuple[int, int] = (8, 8)
    kernel: tuple[int, int] = (1, 1)
    strides: tuple[int, int] = (1, 1)
    dilations: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    batch: int = 1
    rows: int = 4  # 1: unstructured, 4: block
    density: float = 0.3  # 0: no weight at all
    relu: bool = False
    seed: int = 0

    @property
    def out_size(self) -> tuple[int, int]:
        height, width = (
            (self.size[i] + self.pads[i] + self.pads[i + 2] - self.dilations[i] * (self.kernel[i] - 1) - 1)
            // self.strides[i] + 1
            for i in range(2)
        )  # fmt: skip
        return height, width

    @property
    def op_type(self) -> str:
        return "SparseConvRelu" if self.relu else "SparseConv"

    def weights(self) -> tuple[Array, Array]:
        """Return weight, zero where it is pruned, and bias."""
        rng = np.random.default_rng(self.seed)
        shape = (self.out_channels, self.in_channels, *self.kernel)
        weight = rng.standard_normal(shape, dtype=np.float32)
        pattern = SparsityPattern.UNSTRUCTURED if self.rows == 1 else SparsityPattern.BLOCK
        if self.density > 0:
            weight *= random_mask(pattern, shape, self.density, rng)
        else:
            weight *= 0
        return weight, rng.standard_normal(self.out_channels, dtype=np.float32)

    def image(self) -> Array:
        rng = np.random.default_rng(self.seed + 1)
        shape = (self.batch, self.in_channels, *self.size)
        return rng.standard_normal(shape, dtype=np.float32)


def expected(problem: Problem, image: Array) -> Array:
    """Return the output, summed over the weights that are kept: plain, in double precision."""
    weight, bias = problem.weights()
    top, left, bottom, right = problem.pads
    padded = np.pad(image.astype(np.float64), ((0, 0), (0, 0), (top, bottom), (left, right)))
    height, width = problem.out_size
    shape = (len(image), problem.out_channels, height, width)
    output = np.broadcast_to(bias[:, None, None].astype(np.float64), shape).copy()
    with np.errstate(invalid="ignore", over="ignore"):
        for out, channel, ky, kx in np.argwhere(weight):
            y, x = ky * problem.dilations[0], kx * problem.dilations[1]
            seen = padded[:, channel, y :: problem.strides[0], x :: problem.strides[1]]
            output[:, out] += weight[out, channel, ky, kx] * seen[:, :height, :width]
    return np.asarray(np.maximum(output, 0.0) if problem.relu else output, dtype=np.float32)


def node_model(problem: Problem, *, fallback: bool = False, dynamic: bool = False) -> bytes:
    """Return the model of one node, with or without the function that makes it run anywhere."""
    weight, bias = problem.weights()
    values, indices = compress(weight, problem.rows)
    return one_node_model(
        problem.op_type,
        {
            "weight_shape": weight.shape,
            "strides": problem.strides,
            "dilations": problem.dilations,
            "pads": problem.pads,
        },
        {"values": values, "indices": indices, "bias": bias},
        ("batch", problem.in_channels, "height", "width")
        if dynamic
        else (problem.batch, problem.in_channels, *problem.size),
        [fallback_function(Activation.RELU if problem.relu else Activation.NONE)]
        if fallback
        else [],
    )


def one_node_model(
    op_type: str,
    attributes: dict[str, Any],
    tensors: dict[str, npt.NDArray[np.generic]],
    input_shape: tuple[int | str, ...],
    functions: list[onnx.FunctionProto] | None = None,
) -> bytes:
    """Return a model of one node of the library, whatever its attributes and tensors are."""
    node = helper.make_node(op_type, ["x", *tensors], ["y"], name=NODE, domain=DOMAIN, **attributes)
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "graph",
        [helper.make_tensor_value_info("x", float32, list(input_shape))],
        [helper.make_tensor_value_info("y", float32, ["n", "c", "h", "w"])],
        initializer=[numpy_helper.from_array(array, name) for name, array in tensors.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET), *opset_imports()],
        ir_version=IR_VERSION,
        functions=functions or [],
    )
    serialized: bytes = model.SerializeToString()
    return serialized


def open_session(
    model: bytes, *, library: bool = True, threads: int = 1
) -> onnxruntime.InferenceSession:
    """Return a session in which every tensor is an allocation of its own, so that a sanitizer
    sees accesses beyond it.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = 4
    if library:
        assert register(options)
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def run(problem: Problem, image: Array, *, threads: int = 1) -> Array:
    """Return what the library computes."""
    session = open_session(node_model(problem), threads=threads)
    return np.asarray(session.run(None, {"x": image})[0])


def assert_close(got: Array, wanted: Array) -> None:
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4)
