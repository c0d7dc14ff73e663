"""OperatorSpec and weights to nodes of the operator library, each with its fallback.

Everything that reads or writes images becomes a node of the library, so that a network stays in
one memory layout; sums, ReLUs and concatenations that could not be fused are standard operators,
which work on any layout, and so is a dense linear layer.

The type of a node says what it does, in order: `ReluSparseConvAddRelu` rectifies its input,
convolves, adds a tensor, rectifies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper, numpy_helper

from latency.kernels.library import DOMAIN, DOMAIN_VERSION
from latency.lowering.fallbacks import fallback_function
from latency.lowering.operators import Wiring, check_weights, lower_operator
from latency.lowering.weights import Weights
from latency.operator import BLOCK_ROWS, Activation, OperatorKind, OperatorSpec, SparsityPattern

# What a weight of its own costs, relative to a group of BLOCK_ROWS weights that share an index:
# the ratio of both patterns at equal time, from `make bench-kernels` at 90 %.
SINGLE_COST = 0.43

_SUFFIXES = {
    Activation.NONE: "",
    Activation.RELU: "Relu",
    Activation.RELU6: "Relu6",
    Activation.SILU: "Silu",
    Activation.HARDSWISH: "HardSwish",
}


@dataclass(frozen=True)
class LibraryNodes:
    """One operator in the regime of the library."""

    nodes: tuple[onnx.NodeProto, ...]
    initializers: tuple[onnx.TensorProto, ...]
    functions: tuple[onnx.FunctionProto, ...]  # a model carries each once for all of its nodes


def lower_to_library(spec: OperatorSpec, wiring: Wiring, weights: Weights) -> LibraryNodes:
    """Return the nodes of one operator; groups of weights that are all zero are left out.

    Args:
        spec: an operator in the regime of the library.
        wiring: the tensor names; initialisers are called `NAME.values`, `NAME.indices` and so on.
        weights: as the spec needs them, already masked.

    Raises:
        ValueError: the weights do not fit or are not finite, or the input is flat where an image
            is needed.
    """
    check_weights(spec, wiring.name, weights)
    for part, array in weights.items():
        if not np.isfinite(array).all():
            raise ValueError(f"lowering: {part} of {wiring.name!r} has values that are not finite")
    lower = _find_lowering(spec)
    if lower is None:
        return _standard(spec, wiring, weights)
    if wiring.flat_input and spec.kind is not OperatorKind.LINEAR:
        raise ValueError(f"lowering: {wiring.name!r} ({spec.kind.value}) cannot read a flat tensor")
    return lower(spec, wiring, weights)


def opset_imports() -> list[onnx.OperatorSetIdProto]:
    """Return what a model with nodes of the library imports besides the standard operators."""
    return [helper.make_opsetid(DOMAIN, DOMAIN_VERSION)]


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


def fastest_rows(spec: OperatorSpec, weight: npt.NDArray[np.float32]) -> int:
    """Return the rows of a group that make these weights fastest: 1 or BLOCK_ROWS.

    Both are exact. Groups of BLOCK_ROWS pay for their zeros, and win where weights share enough
    of their indices, whatever pattern made them.
    """
    if spec.groups > 1 and (spec.out_channels // spec.groups) % BLOCK_ROWS:
        return 1
    _, groups = compress(weight, BLOCK_ROWS)
    return 1 if np.count_nonzero(weight) * SINGLE_COST < len(groups) else BLOCK_ROWS


def _find_lowering(
    spec: OperatorSpec,
) -> Callable[[OperatorSpec, Wiring, Weights], LibraryNodes] | None:
    if spec.kind is OperatorKind.CONV:
        return _depthwise_conv if spec.is_depthwise else _sparse_conv
    if spec.kind is OperatorKind.LINEAR:
        return _sparse_gemm if spec.pattern is not SparsityPattern.DENSE else None
    if spec.kind in (OperatorKind.MAX_POOL, OperatorKind.AVG_POOL):
        return _pool
    return _global_pool if spec.kind is OperatorKind.GLOBAL_AVG_POOL else None


def _standard(spec: OperatorSpec, wiring: Wiring, weights: Weights) -> LibraryNodes:
    initializers = (
        numpy_helper.from_array(np.ascontiguousarray(array), f"{wiring.name}.{part}")
        for part, array in weights.items()
    )
    return LibraryNodes(
        tuple(lower_operator(spec, wiring, weights)), tuple(initializers), functions=()
    )


def _sparse_conv(spec: OperatorSpec, wiring: Wiring, weights: Weights) -> LibraryNodes:
    parts = _compressed(spec, weights)
    base = "SparseConv"
    if spec.pattern is SparsityPattern.POSITIONS:
        base = "SparseConvPositions"
        parts |= {"positions": weights["positions"], "fill": weights["fill"]}
    attributes = {**_window(spec), "weight_shape": list(spec.weight_shape or ())}
    return _node(_op_type(base, spec), wiring, parts, attributes | {"group": spec.groups})


def _depthwise_conv(spec: OperatorSpec, wiring: Wiring, weights: Weights) -> LibraryNodes:
    attributes = {**_window(spec), "group": spec.groups}
    return _node(_op_type("DepthwiseConv", spec), wiring, dict(weights), attributes)


def _sparse_gemm(spec: OperatorSpec, wiring: Wiring, weights: Weights) -> LibraryNodes:
    shape = {"weight_shape": list(spec.weight_shape or ())}
    if wiring.flat_input:
        return _node(_op_type("SparseGemm", spec), wiring, _compressed(spec, weights), shape)
    flat = f"{wiring.name}.flat"
    flatten = helper.make_node("Flatten", [wiring.inputs[0]], [flat], name=flat, axis=1)
    wiring = Wiring(name=wiring.name, inputs=(flat,), output=wiring.output, flat_input=True)
    gemm = _node(_op_type("SparseGemm", spec), wiring, _compressed(spec, weights), shape)
    return LibraryNodes((flatten, *gemm.nodes), gemm.initializers, gemm.functions)


def _pool(spec: OperatorSpec, wiring: Wiring, _: Weights) -> LibraryNodes:
    base = "MaxPool" if spec.kind is OperatorKind.MAX_POOL else "AveragePool"
    return _node(base, wiring, {}, {**_window(spec), "kernel_shape": [spec.kernel] * 2})


def _global_pool(_: OperatorSpec, wiring: Wiring, __: Weights) -> LibraryNodes:
    pooled = f"{wiring.name}.pooled"
    inner = Wiring(name=wiring.name, inputs=wiring.inputs, output=pooled, flat_input=False)
    pool = _node("GlobalAveragePool", inner, {}, {})
    flatten = helper.make_node("Flatten", [pooled], [wiring.output], name=pooled, axis=1)
    return LibraryNodes((*pool.nodes, flatten), pool.initializers, pool.functions)


def _compressed(spec: OperatorSpec, weights: Weights) -> dict[str, npt.NDArray[Any]]:
    values, indices = compress(weights["weight"], fastest_rows(spec, weights["weight"]))
    return {"values": values, "indices": indices, "bias": weights["bias"].astype(np.float32)}


def _window(spec: OperatorSpec) -> dict[str, Any]:
    return {
        "strides": [spec.stride] * 2,
        "pads": [spec.padding] * 4,
        "dilations": [spec.dilation] * 2,
    }


def _op_type(base: str, spec: OperatorSpec) -> str:
    before = "Relu" if spec.relu_input else ""
    return before + base + ("Add" if spec.residual else "") + _SUFFIXES[spec.activation]


def _node(
    op_type: str,
    wiring: Wiring,
    parts: dict[str, npt.NDArray[Any]],
    attributes: dict[str, Any],
) -> LibraryNodes:
    """Return one node that reads its input, its constants and then what it adds."""
    names = [f"{wiring.name}.{part}" for part in parts]
    node = helper.make_node(
        op_type,
        [wiring.inputs[0], *names, *wiring.inputs[1:]],
        [wiring.output],
        name=wiring.name,
        domain=DOMAIN,
        **attributes,
    )
    initializers = tuple(
        numpy_helper.from_array(np.ascontiguousarray(array), name)
        for array, name in zip(parts.values(), names, strict=True)
    )
    return LibraryNodes((node,), initializers, (fallback_function(op_type),))
