"""One function per kind of operator: OperatorSpec, weights and tensor names to ONNX nodes.

Batch norm is folded into weight and bias before. A fused activation is written as nodes behind
the convolution: every runtime of ours fuses ReLU and ReLU6 on load.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import onnx
from onnx import helper

from latency.lowering.balanced_block import gathered
from latency.lowering.weights import Weights
from latency.operator import (
    CONVERSIONS,
    Activation,
    OperatorKind,
    OperatorSpec,
    SparsityPattern,
)


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """The tensor names of one operator: what it reads, what it writes, how its own are called."""

    name: str  # of the operator; prefix of its inner tensors and initialisers
    inputs: tuple[str, ...]
    output: str
    flat_input: bool  # the inputs are (1, channels), not (1, channels, height, width)


def lower_operator(spec: OperatorSpec, wiring: Wiring, weights: Weights) -> list[onnx.NodeProto]:
    """Return the nodes of one operator; its initialisers are called `NAME.weight`, `NAME.bias`.

    Raises:
        ValueError: the weights do not fit the spec, or the operator cannot read a flat tensor.
    """
    check_weights(spec, wiring.name, weights)
    if spec.dtype != "float32":
        raise ValueError(f"lowering: {wiring.name!r} is {spec.dtype}; quantize the built model")
    if spec.kind in CONVERSIONS:
        raise ValueError(
            f"lowering: {wiring.name!r} ({spec.kind.value}) is no node of its own: it follows from "
            "the dtypes of the operators around it"
        )
    if wiring.flat_input and spec.kind in _SPATIAL:
        raise ValueError(f"lowering: {wiring.name!r} ({spec.kind.value}) cannot read a flat tensor")
    if spec.pattern is SparsityPattern.BALANCED_BLOCK:
        return _balanced_conv(spec, wiring)
    return _LOWER[spec.kind](spec, wiring)


def stored_arrays(spec: OperatorSpec, weights: Weights) -> Weights:
    """Return the initialisers of the nodes of `lower_operator`, by the last part of their names.

    Raises:
        ValueError: a block of a balanced-block pattern reads more channels than it may.
    """
    if spec.pattern is not SparsityPattern.BALANCED_BLOCK:
        return weights
    weight, channels = gathered(weights["weight"], spec.block_filters, spec.kept_channels)
    return {"weight": weight, "bias": weights["bias"], "channels": channels}


def gives_flat_output(spec: OperatorSpec, *, flat_input: bool) -> bool:
    """Return whether the output is (1, channels) instead of (1, channels, height, width)."""
    if spec.kind in (OperatorKind.LINEAR, OperatorKind.GLOBAL_AVG_POOL):
        return True
    return flat_input


def _balanced_conv(spec: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    """Copy the channels that each block of filters reads, and give each block its own group."""
    source = f"{wiring.name}.gathered"
    channels = f"{wiring.name}.channels"
    inputs = [wiring.inputs[0], channels]
    blocks = spec.out_channels // spec.block_filters
    grouped = replace(spec.dense(), in_channels=blocks * spec.kept_channels, groups=blocks)
    return [
        helper.make_node("Gather", inputs, [source], name=source, axis=1),
        *_conv(grouped, replace(wiring, inputs=(source,))),
    ]


def _conv(spec: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    output, tail = _activated(spec, wiring)
    conv = helper.make_node(
        "Conv",
        [wiring.inputs[0], f"{wiring.name}.weight", f"{wiring.name}.bias"],
        [output],
        name=wiring.name,
        kernel_shape=list(spec.kernel_shape),
        strides=[spec.stride] * 2,
        pads=list(spec.pads),
        dilations=[spec.dilation] * 2,
        group=spec.groups,
    )
    return [conv, *tail]


def _linear(spec: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    source = wiring.inputs[0]
    nodes = []
    if not wiring.flat_input:
        flat = f"{wiring.name}.flat"
        nodes.append(helper.make_node("Flatten", [source], [flat], name=flat, axis=1))
        source = flat
    output, tail = _activated(spec, wiring)
    inputs = [source, f"{wiring.name}.weight", f"{wiring.name}.bias"]
    nodes.append(helper.make_node("Gemm", inputs, [output], name=wiring.name, transB=1))
    return nodes + tail


def _activated(spec: OperatorSpec, wiring: Wiring) -> tuple[str, list[onnx.NodeProto]]:
    """Return where the operator itself writes, and the nodes of its activation."""
    if spec.activation is Activation.NONE:
        return wiring.output, []
    inner = f"{wiring.name}.linear"
    return inner, _ACTIVATE[spec.activation](wiring.name, inner, wiring.output)


def _activate_relu(name: str, source: str, output: str) -> list[onnx.NodeProto]:
    return [helper.make_node("Relu", [source], [output], name=f"{name}.relu")]


def _activate_relu6(name: str, source: str, output: str) -> list[onnx.NodeProto]:
    low, high = f"{name}.zero", f"{name}.six"
    return [
        helper.make_node("Constant", [], [low], name=low, value_float=0.0),
        helper.make_node("Constant", [], [high], name=high, value_float=6.0),
        helper.make_node("Clip", [source, low, high], [output], name=f"{name}.relu6"),
    ]


def _activate_silu(name: str, source: str, output: str) -> list[onnx.NodeProto]:
    gate = f"{name}.gate"
    return [
        helper.make_node("Sigmoid", [source], [gate], name=gate),
        helper.make_node("Mul", [source, gate], [output], name=f"{name}.silu"),
    ]


def _activate_hardswish(name: str, source: str, output: str) -> list[onnx.NodeProto]:
    return [helper.make_node("HardSwish", [source], [output], name=f"{name}.hardswish")]


def _relu(_: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    return [helper.make_node("Relu", list(wiring.inputs), [wiring.output], name=wiring.name)]


def _max_pool(spec: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    return [_pool("MaxPool", spec, wiring)]


def _avg_pool(spec: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    node = _pool("AveragePool", spec, wiring)
    node.attribute.append(helper.make_attribute("count_include_pad", 0))
    return [node]


def _pool(op_type: str, spec: OperatorSpec, wiring: Wiring) -> onnx.NodeProto:
    node = helper.make_node(
        op_type,
        list(wiring.inputs),
        [wiring.output],
        name=wiring.name,
        kernel_shape=[spec.kernel] * 2,
        strides=[spec.stride] * 2,
        pads=[spec.padding] * 4,
    )
    if spec.dilation > 1:
        node.attribute.append(helper.make_attribute("dilations", [spec.dilation] * 2))
    return node


def _global_avg_pool(_: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    pooled = f"{wiring.name}.pooled"
    return [
        helper.make_node("GlobalAveragePool", list(wiring.inputs), [pooled], name=pooled),
        helper.make_node("Flatten", [pooled], [wiring.output], name=wiring.name, axis=1),
    ]


def _add(spec: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    if spec.inputs > 2:
        return [helper.make_node("Sum", list(wiring.inputs), [wiring.output], name=wiring.name)]
    return [helper.make_node("Add", list(wiring.inputs), [wiring.output], name=wiring.name)]


def _concat(_: OperatorSpec, wiring: Wiring) -> list[onnx.NodeProto]:
    inputs = list(wiring.inputs)
    return [helper.make_node("Concat", inputs, [wiring.output], name=wiring.name, axis=1)]


def check_weights(spec: OperatorSpec, name: str, weights: Weights) -> None:
    """Check that an operator has the weights that it needs, in their shapes.

    Raises:
        ValueError: one is missing, unknown, or of another shape; the message names the operator.
    """
    shape = spec.weight_shape
    expected = {} if shape is None else {"weight": shape, "bias": (spec.out_channels,)}
    if spec.pattern is SparsityPattern.POSITIONS:
        expected |= {"positions": (spec.kept_runs,), "fill": (spec.out_channels,)}
    if set(weights) != set(expected):
        raise ValueError(f"lowering: {name!r} takes {sorted(expected)}, got {sorted(weights)}")
    for part, wanted in expected.items():
        if weights[part].shape != wanted:
            got = weights[part].shape
            raise ValueError(f"lowering: {part} of {name!r} must have shape {wanted}, got {got}")


_SPATIAL = (
    OperatorKind.CONV,
    OperatorKind.MAX_POOL,
    OperatorKind.AVG_POOL,
    OperatorKind.GLOBAL_AVG_POOL,
)
_ACTIVATE: dict[Activation, Callable[[str, str, str], list[onnx.NodeProto]]] = {
    Activation.RELU: _activate_relu,
    Activation.RELU6: _activate_relu6,
    Activation.SILU: _activate_silu,
    Activation.HARDSWISH: _activate_hardswish,
}
_LOWER: dict[OperatorKind, Callable[[OperatorSpec, Wiring], list[onnx.NodeProto]]] = {
    OperatorKind.CONV: _conv,
    OperatorKind.LINEAR: _linear,
    OperatorKind.RELU: _relu,
    OperatorKind.MAX_POOL: _max_pool,
    OperatorKind.AVG_POOL: _avg_pool,
    OperatorKind.GLOBAL_AVG_POOL: _global_avg_pool,
    OperatorKind.ADD: _add,
    OperatorKind.CONCAT: _concat,
}
