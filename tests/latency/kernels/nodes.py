"""What a correct node of every operator looks like: a description per base of the op types.

An op type is `[Relu]BASE[Add][Relu|Relu6|Silu|HardSwish]`. A new base needs one function here,
and the fuzzer and the tests of runtime versions cover it in all of its forms.
"""

import ctypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from latency.kernels import library_path
from latency.kernels.library import DOMAIN
from latency.lowering.build import IR_VERSION, OPSET
from latency.lowering.library import opset_imports

NODE = "the-node"
GROUPS = [1, 2]  # of sparse convolutions
RUN_PIXELS = 16  # adjacent pixels that `SparseConvPositions` computes together

Tensors = dict[str, npt.NDArray[np.generic]]
Rng = np.random.Generator
# Type and rank only: a session takes any size, and the node itself has to look.
UNKNOWN = None


@dataclass(frozen=True, kw_only=True)
class Node:
    """One node; `inputs` vary from run to run, `constants` are initialisers."""

    op_type: str
    attributes: dict[str, Any]
    inputs: Tensors
    constants: Tensors
    order: tuple[str, ...]  # of inputs and constants, as the operator takes them
    output_shape: tuple[int, ...]
    constants_as_inputs: frozenset[str] = field(default_factory=frozenset)

    def model(
        self, functions: list[onnx.FunctionProto] | None = None, *, fixed_shapes: bool = False
    ) -> bytes:
        """Return the model of this node alone, with inputs of any shape or of their own."""
        node = helper.make_node(
            self.op_type, self.order, ["y"], name=NODE, domain=DOMAIN, **self.attributes
        )
        graph = helper.make_graph(
            [node],
            "graph",
            [
                helper.make_tensor_value_info(
                    name,
                    helper.np_dtype_to_tensor_dtype(value.dtype),
                    value.shape if fixed_shapes else UNKNOWN,
                )
                for name, value in self.feeds().items()
            ],
            [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, UNKNOWN)],
            initializer=[
                numpy_helper.from_array(array, name)
                for name, array in self.constants.items()
                if name not in self.constants_as_inputs
            ],
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET), *opset_imports()],
            ir_version=IR_VERSION,
            functions=functions or [],
        )
        serialized: bytes = model.SerializeToString()
        return serialized

    def feeds(self) -> Tensors:
        """Return what a run is given."""
        return self.inputs | {name: self.constants[name] for name in self.constants_as_inputs}


def _floats(rng: Rng, *shape: int) -> npt.NDArray[np.float32]:
    return rng.standard_normal(shape, dtype=np.float32)


def _window(rng: Rng, kernel: int) -> dict[str, Any]:
    return {
        "strides": [int(step) for step in rng.integers(1, 3, size=2)],
        "dilations": [int(step) for step in rng.integers(1, 3, size=2)],
        "pads": [int(pad) for pad in rng.integers(0, kernel // 2 + 1, size=4)],
    }


def output_size(
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    pads: Sequence[int],
) -> tuple[int, int]:
    """Return (height, width) of the output of a window; padding is (top, left, bottom, right)."""
    height, width = (
        (size[i] + pads[i] + pads[i + 2] - dilations[i] * (kernel[i] - 1) - 1) // strides[i] + 1
        for i in range(2)
    )
    return height, width


def _image_size(rng: Rng) -> tuple[int, int]:
    height, width = (int(size) for size in rng.integers(9, 24, size=2))
    return height, width


def _sparse(rng: Rng, rows: int, blocks: int, places: int) -> Tensors:
    """Return values and indices of some of the `places` of every block."""
    count = int(rng.integers(0, blocks * places + 1))
    indices = np.sort(rng.choice(blocks * places, size=count, replace=False)).astype(np.int32)
    return {"values": _floats(rng, count, rows), "indices": indices}


def sparse_conv(rng: Rng) -> Node:
    """Return a sparse convolution."""
    kernel, rows = int(rng.choice([1, 3, 5])), int(rng.choice([1, 4]))
    group = int(rng.choice(GROUPS))
    out_channels = 8 if group == 2 else int(rng.integers(1, 12))
    channels = int(rng.integers(1, 5))  # of each group
    batch, size, window = int(rng.integers(1, 3)), _image_size(rng), _window(rng, kernel)
    constants = _sparse(rng, rows, -(-out_channels // rows), channels * kernel * kernel)
    return Node(
        op_type="SparseConv",
        attributes={
            "weight_shape": [out_channels, channels, kernel, kernel],
            **window,
            "group": group,
        },
        inputs={"x": _floats(rng, batch, channels * group, *size)},
        constants=constants | {"bias": _floats(rng, out_channels)},
        order=("x", "values", "indices", "bias"),
        output_shape=(batch, out_channels, *output_size(size, (kernel, kernel), **window)),
    )


def sparse_conv_positions(rng: Rng) -> Node:
    """Return a sparse convolution of some runs of pixels."""
    conv = sparse_conv(rng)
    while conv.attributes["group"] != 1:
        conv = sparse_conv(rng)
    runs = -(-int(np.prod(conv.output_shape[2:])) // RUN_PIXELS)
    positions = np.sort(rng.choice(runs, size=int(rng.integers(0, runs + 1)), replace=False))
    return Node(
        op_type="SparseConvPositions",
        attributes=conv.attributes,
        inputs=conv.inputs,
        constants=conv.constants
        | {"positions": positions.astype(np.int32), "fill": _floats(rng, conv.output_shape[1])},
        order=(*conv.order, "positions", "fill"),
        output_shape=conv.output_shape,
    )


def sparse_gemm(rng: Rng) -> Node:
    """Return a sparse fully connected layer."""
    rows = int(rng.choice([1, 4]))
    batch, channels, out_channels = (int(size) for size in rng.integers(1, 20, size=3))
    return Node(
        op_type="SparseGemm",
        attributes={"weight_shape": [out_channels, channels]},
        inputs={"x": _floats(rng, batch, channels)},
        constants=_sparse(rng, rows, -(-out_channels // rows), channels)
        | {"bias": _floats(rng, out_channels)},
        order=("x", "values", "indices", "bias"),
        output_shape=(batch, out_channels),
    )


def depthwise_conv(rng: Rng) -> Node:
    """Return a depthwise convolution."""
    kernel, (batch, channels) = int(rng.choice([3, 5])), (int(n) for n in rng.integers(1, 5, 2))
    size, window = _image_size(rng), _window(rng, kernel)
    return Node(
        op_type="DepthwiseConv",
        attributes={"group": channels, **window},
        inputs={"x": _floats(rng, batch, channels, *size)},
        constants={
            "weight": _floats(rng, channels, 1, kernel, kernel),
            "bias": _floats(rng, channels),
        },
        order=("x", "weight", "bias"),
        output_shape=(batch, channels, *output_size(size, (kernel, kernel), **window)),
    )


def _pool(op_type: str) -> Callable[[Rng], Node]:
    def make(rng: Rng) -> Node:
        kernel, (batch, channels) = int(rng.choice([2, 3])), (int(n) for n in rng.integers(1, 5, 2))
        size, window = _image_size(rng), _window(rng, kernel)
        return Node(
            op_type=op_type,
            attributes={"kernel_shape": [kernel, kernel], **window},
            inputs={"x": _floats(rng, batch, channels, *size)},
            constants={},
            order=("x",),
            output_shape=(batch, channels, *output_size(size, (kernel, kernel), **window)),
        )

    return make


def global_average_pool(rng: Rng) -> Node:
    """Return a mean over all pixels."""
    batch, channels = (int(size) for size in rng.integers(1, 5, size=2))
    return Node(
        op_type="GlobalAveragePool",
        attributes={},
        inputs={"x": _floats(rng, batch, channels, *_image_size(rng))},
        constants={},
        order=("x",),
        output_shape=(batch, channels, 1, 1),
    )


BASES: dict[str, Callable[[Rng], Node]] = {
    "SparseConv": sparse_conv,
    "SparseConvPositions": sparse_conv_positions,
    "SparseGemm": sparse_gemm,
    "DepthwiseConv": depthwise_conv,
    "MaxPool": _pool("MaxPool"),
    "AveragePool": _pool("AveragePool"),
    "GlobalAveragePool": global_average_pool,
}
_OP_TYPE = re.compile(r"(?:Relu)?(\w+?)(Add)?(?:Relu6|Relu|Silu|HardSwish)?")


def correct_node(op_type: str, rng: Rng) -> Node:
    """Return a random correct node of an op type.

    Raises:
        ValueError: its base has no description.
    """
    match = _OP_TYPE.fullmatch(op_type)
    base, residual = (match[1], match[2]) if match else ("", None)
    if base not in BASES:
        raise ValueError(f"{op_type}: describe its base {base!r} in {__name__}.BASES")
    node = BASES[base](rng)
    added = {"residual": _floats(rng, *node.output_shape)} if residual else {}
    return Node(
        op_type=op_type,
        attributes=node.attributes,
        inputs=node.inputs | added,
        constants=node.constants,
        order=(*node.order, *added),
        output_shape=node.output_shape,
    )


def registered_op_types() -> list[str]:
    """Return the names of all operators of the library, which must have been registered."""
    path = library_path()
    assert path is not None
    function = ctypes.CDLL(str(path)).edgewright_operators
    function.restype = ctypes.c_char_p
    names = function()
    assert isinstance(names, bytes)
    return sorted(names.decode().split())
