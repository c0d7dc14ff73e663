"""Operators of the conv family to test with: random ones, and their models."""

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
from latency.lowering.op_types import OpType
from latency.lowering.patterns import random_mask
from latency.operator import SparsityPattern
from tests.latency.kernels.nodes import output_size

Array = npt.NDArray[np.float32]
NODE = "the-node"
RUN_PIXELS = 16


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
    group: int = 1  # must divide the channels
    relu_input: bool = False
    residual: bool = False
    activation: str = ""  # suffix of the op type
    computed: float | None = None  # fraction of runs of pixels; None: a plain convolution
    seed: int = 0

    @property
    def out_size(self) -> tuple[int, int]:
        return output_size(self.size, self.kernel, self.strides, self.dilations, self.pads)

    @property
    def op_type(self) -> OpType:
        return OpType(
            base="SparseConv" if self.computed is None else "SparseConvPositions",
            relu_input=self.relu_input,
            residual=self.residual,
            activation=self.activation,
        )

    def weights(self) -> tuple[Array, Array]:
        """Return weight, zero where it is pruned, and bias."""
        rng = np.random.default_rng(self.seed)
        shape = (self.out_channels, self.in_channels // self.group, *self.kernel)
        weight = rng.standard_normal(shape, dtype=np.float32)
        pattern = SparsityPattern.UNSTRUCTURED if self.rows == 1 else SparsityPattern.BLOCK
        if self.density > 0:
            weight *= random_mask(pattern, shape, self.density, rng)
        else:
            weight *= 0
        return weight, rng.standard_normal(self.out_channels, dtype=np.float32)

    def positions(self) -> tuple[npt.NDArray[np.int32], Array]:
        """Return the runs that are computed and the constants of all other pixels."""
        rng = np.random.default_rng(self.seed + 2)
        runs = -(-int(np.prod(self.out_size)) // RUN_PIXELS)
        chosen = np.flatnonzero(rng.random(runs) < (self.computed or 0.0))
        return chosen.astype(np.int32), rng.standard_normal(self.out_channels, dtype=np.float32)

    def feed(self) -> dict[str, Array]:
        """Return the inputs of a run."""
        rng = np.random.default_rng(self.seed + 1)
        shape = (self.batch, self.in_channels, *self.size)
        feed = {"x": rng.standard_normal(shape, dtype=np.float32)}
        if self.residual:
            out_shape = (self.batch, self.out_channels, *self.out_size)
            feed["residual"] = rng.standard_normal(out_shape, dtype=np.float32)
        return feed


def node_model(problem: Problem, *, fallback: bool = False, dynamic: bool = False) -> bytes:
    """Return the model of one node, with or without the function that makes it run anywhere."""
    weight, bias = problem.weights()
    values, indices = compress(weight, problem.rows)
    tensors: dict[str, npt.NDArray[np.generic]] = {
        "values": values, "indices": indices, "bias": bias,
    }  # fmt: skip
    attributes: dict[str, Any] = {
        "weight_shape": weight.shape,
        "strides": problem.strides,
        "dilations": problem.dilations,
        "pads": problem.pads,
    }
    if problem.computed is None:
        attributes["group"] = problem.group
    else:
        tensors["positions"], tensors["fill"] = problem.positions()
    shapes: dict[str, tuple[int | str, ...]] = {
        name: array.shape for name, array in problem.feed().items()
    }
    if dynamic:
        shapes = {name: ("n", shape[1], name + "h", name + "w") for name, shape in shapes.items()}
    op_type = problem.op_type.name
    functions = [fallback_function(op_type)] if fallback else []
    return one_node_model(op_type, attributes, tensors, shapes, functions)


def one_node_model(
    op_type: str,
    attributes: dict[str, Any],
    tensors: dict[str, npt.NDArray[np.generic]],
    shapes: dict[str, tuple[int | str, ...]],
    functions: list[onnx.FunctionProto] | None = None,
) -> bytes:
    """Return a model of one node of the library, whatever its attributes and tensors are.

    `shapes`: of the inputs that are no initialisers; the first comes first, others last.
    """
    first, *others = shapes
    node = helper.make_node(
        op_type, [first, *tensors, *others], ["y"], name=NODE, domain=DOMAIN, **attributes
    )
    float32 = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [node],
        "graph",
        [
            helper.make_tensor_value_info(name, float32, list(shape))
            for name, shape in shapes.items()
        ],
        [helper.make_tensor_value_info("y", float32, [None] * len(shapes[first]))],
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


def run(problem: Problem, feed: dict[str, Array], *, threads: int = 1) -> Array:
    """Return what the library computes."""
    session = open_session(node_model(problem), threads=threads)
    return np.asarray(session.run(None, feed)[0])


def assert_close(got: Array, wanted: Array) -> None:
    assert got.shape == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=2e-4, atol=2e-4)
