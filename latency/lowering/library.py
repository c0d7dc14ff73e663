"""A sparse convolution as a node of the operator library, with its fallback in standard operators.

A node reads its weights as values and indices. The model carries a function of the node's own
domain and name, so a runtime without the library runs the function instead: it scatters the
values into a dense weight, which is folded on load, and convolves.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from latency.kernels.library import DOMAIN, DOMAIN_VERSION
from latency.lowering.fallbacks import fallback_function
from latency.lowering.op_types import OpType
from latency.lowering.operators import Wiring, check_weights
from latency.lowering.weights import Weights
from latency.operator import BLOCK_ROWS, Activation, OperatorKind, OperatorSpec, SparsityPattern

_OP_TYPES = {
    Activation.NONE: OpType(base="SparseConv").name,
    Activation.RELU: OpType(base="SparseConv", activation="Relu").name,
}
_ROWS = {SparsityPattern.UNSTRUCTURED: 1, SparsityPattern.BLOCK: BLOCK_ROWS}


@dataclass(frozen=True)
class LibraryNode:
    """One operator in the regime of the library."""

    node: onnx.NodeProto
    initializers: tuple[onnx.TensorProto, ...]
    function: onnx.FunctionProto  # the fallback; a model carries it once for all of its nodes


def is_supported(spec: OperatorSpec) -> bool:
    """Return whether the library has a sparse operator for this spec."""
    return spec.kind is OperatorKind.CONV and spec.pattern in _ROWS and spec.groups == 1


def lower_to_library(spec: OperatorSpec, wiring: Wiring, weights: Weights) -> LibraryNode:
    """Return the library's node of a sparse convolution; zeros of the weight are left out.

    Args:
        spec: a convolution whose pattern is unstructured or block.
        wiring: the tensor names; initialisers are `NAME.values`, `NAME.indices`, `NAME.bias`.
        weights: "weight" (out, in, kernel, kernel), already masked, and "bias" (out,).

    Raises:
        ValueError: the library has no such operator, or the weights do not fit or are not finite.
    """
    if not is_supported(spec):
        raise ValueError(f"lowering: the library has no operator for {spec.label()!r}")
    check_weights(spec, wiring.name, weights)
    if not all(np.isfinite(array).all() for array in weights.values()):
        raise ValueError(f"lowering: {wiring.name!r} has values that are not finite")
    values, indices = compress(weights["weight"], _ROWS[spec.pattern])
    parts = {"values": values, "indices": indices, "bias": weights["bias"].astype(np.float32)}
    names = [f"{wiring.name}.{part}" for part in parts]
    node = helper.make_node(
        _OP_TYPES[spec.activation],
        [wiring.inputs[0], *names],
        [wiring.output],
        name=wiring.name,
        domain=DOMAIN,
        weight_shape=list(weights["weight"].shape),
        strides=[spec.stride] * 2,
        pads=[spec.padding] * 4,
        dilations=[spec.dilation] * 2,
        group=spec.groups,
    )
    initializers = tuple(
        numpy_helper.from_array(array, name)
        for array, name in zip(parts.values(), names, strict=True)
    )
    return LibraryNode(node, initializers, fallback_function(node.op_type))


def compress(
    weight: npt.NDArray[np.float32], rows: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int32]]:
    """Return (values, indices) of the groups of a weight that are not all zero.

    A group is `rows` adjacent output channels at one place (in, ky, kx). Values have shape
    (groups, rows); indices are flat positions in (blocks, in, height, width), ascending. The
    channels that are missing in a ragged last block have the value 0.

    Raises:
        ValueError: the weight has more places than 32 bits can tell apart.
    """
    out_channels, *place = weight.shape
    blocks = -(-out_channels // rows)
    padded = np.zeros((blocks * rows, *place), dtype=np.float32)
    padded[:out_channels] = weight
    grouped = np.moveaxis(padded.reshape(blocks, rows, *place), 1, -1).reshape(-1, rows)
    if len(grouped) > np.iinfo(np.int32).max:
        raise ValueError(f"lowering: a weight of shape {weight.shape} is too large")
    indices = np.flatnonzero(grouped.any(axis=1))
    return np.ascontiguousarray(grouped[indices]), indices.astype(np.int32)


def opset_imports() -> list[onnx.OperatorSetIdProto]:
    """Return what a model with nodes of the library imports besides the standard operators."""
    return [helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]
