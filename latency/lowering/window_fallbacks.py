"""The library's depthwise convolutions and poolings as functions of standard operators.

A model that uses an operator of the library carries the function of the same name, which a
runtime without the library runs instead.
"""

from collections.abc import Mapping

import onnx
from onnx import helper

from latency.kernels.library import DOMAIN

FUNCTION_OPSET = 20  # of the standard operators inside the functions

Attributes = Mapping[str, onnx.AttributeProto.AttributeType]

_RECTIFY = "Relu"  # as a prefix: on the input
_DEPTHWISE = "DepthwiseConv"
_WINDOW: Attributes = dict.fromkeys(("strides", "dilations", "pads"), onnx.AttributeProto.INTS)
_POOL: Attributes = {"kernel_shape": onnx.AttributeProto.INTS, **_WINDOW}
_CONV: Attributes = {"group": onnx.AttributeProto.INT, **_WINDOW}
_POOLS: dict[str, Attributes] = {"MaxPool": _POOL, "AveragePool": _POOL, "GlobalAveragePool": {}}
_ACTIVATIONS = ("", "Relu", "Relu6", "Silu", "HardSwish")

WINDOW_OP_TYPES = (
    *(f"{prefix}{_DEPTHWISE}{name}" for prefix in ("", _RECTIFY) for name in _ACTIVATIONS),
    *_POOLS,
)


def window_fallback(op_type: str) -> onnx.FunctionProto:
    """Return the function that computes one of `WINDOW_OP_TYPES` in standard operators.

    Raises:
        ValueError: the library has no such window operator.
    """
    if op_type not in WINDOW_OP_TYPES:
        raise ValueError(
            f"lowering: no window operator {op_type!r}; there are {', '.join(WINDOW_OP_TYPES)}"
        )
    if op_type in _POOLS:
        return _function(op_type, ["x"], [_pool(op_type)], _POOLS[op_type])
    prefix, activation = op_type.split(_DEPTHWISE)
    source, result = ("rectified" if prefix else "x"), ("linear" if activation else "y")
    nodes = [
        *([helper.make_node("Relu", ["x"], [source])] if prefix else []),
        _with_references(helper.make_node("Conv", [source, "weight", "bias"], [result]), _CONV),
        *_activation(activation),
    ]
    return _function(op_type, ["x", "weight", "bias"], nodes, _CONV)


def _pool(op_type: str) -> onnx.NodeProto:
    # Padding does not count into a mean: that is the default of the standard operator.
    return _with_references(helper.make_node(op_type, ["x"], ["y"]), _POOLS[op_type])


def _activation(name: str) -> list[onnx.NodeProto]:
    """Return the nodes from "linear" to "y"."""
    make = helper.make_node
    if name == "Relu6":
        return [
            make("Constant", [], ["lowest"], value_float=0.0),
            make("Constant", [], ["highest"], value_float=6.0),
            make("Clip", ["linear", "lowest", "highest"], ["y"]),
        ]
    if name == "Silu":
        return [
            make("Sigmoid", ["linear"], ["share"]),
            make("Mul", ["linear", "share"], ["y"]),
        ]
    return [make(name, ["linear"], ["y"])] if name else []


def _function(
    op_type: str, inputs: list[str], nodes: list[onnx.NodeProto], attributes: Attributes
) -> onnx.FunctionProto:
    return helper.make_function(
        DOMAIN,
        op_type,
        inputs,
        ["y"],
        nodes,
        [helper.make_opsetid("", FUNCTION_OPSET)],
        attributes=list(attributes),
    )


def _with_references(node: onnx.NodeProto, attributes: Attributes) -> onnx.NodeProto:
    """Let the node take these attributes from the function's node, under the same names."""
    for name, kind in attributes.items():
        proto = node.attribute.add()
        proto.name = proto.ref_attr_name = name
        proto.type = kind
    return node
