"""What each operator of the library computes, as a function of standard operators.

A model carries the functions of the operators that it uses, under their own domain and name, so a
runtime without the library runs them instead: the values are scattered into a dense weight, which
is folded on load, and convolved.
"""

import onnx
from onnx import helper

from latency.kernels.library import DOMAIN
from latency.lowering.window_fallbacks import WINDOW_OP_TYPES, window_fallback

FUNCTION_OPSET = 20  # of the standard operators inside the functions

_ATTRIBUTES = ["weight_shape", "strides", "pads", "dilations"]


def fallback_function(op_type: str) -> onnx.FunctionProto:
    """Return the operator in standard operators, for any pattern and shape."""
    if op_type in WINDOW_OP_TYPES:
        return window_fallback(op_type)
    relu = op_type.endswith("Relu")
    linear = "linear" if relu else "y"
    nodes = [
        *_dense_weight(),
        _convolution(linear),
        *([helper.make_node("Relu", [linear], ["y"])] if relu else []),
    ]
    return helper.make_function(
        DOMAIN,
        op_type,
        ["x", "values", "indices", "bias"],
        ["y"],
        nodes,
        [helper.make_opsetid("", FUNCTION_OPSET)],
        attributes=_ATTRIBUTES,
    )


def _dense_weight() -> list[onnx.NodeProto]:
    """Scatter the values into (blocks x in x height x width, rows) and bring rows to the front."""
    make = helper.make_node
    return [
        _constant_of_attribute("weight_shape", "shape"),
        *(_constant(name, value) for name, value in (("zero", 0), ("one", 1), ("four", 4))),
        _constant("last", -1),
        make("Shape", ["values"], ["rows"], start=1, end=2),
        make("Slice", ["shape", "zero", "one"], ["channels"]),
        make("Slice", ["shape", "one", "four"], ["place"]),
        make("Add", ["channels", "rows"], ["beyond"]),
        make("Sub", ["beyond", "one"], ["rounded"]),
        make("Div", ["rounded", "rows"], ["blocks"]),
        make("Concat", ["blocks", "place"], ["grid"], axis=0),
        make("ReduceProd", ["grid"], ["places"], keepdims=1),
        make("Concat", ["places", "rows"], ["flat_shape"], axis=0),
        make("ConstantOfShape", ["flat_shape"], ["zeros"]),
        make("Cast", ["indices"], ["positions"], to=onnx.TensorProto.INT64),
        make("Unsqueeze", ["positions", "last"], ["targets"]),
        make("ScatterND", ["zeros", "targets", "values"], ["scattered"]),
        make("Concat", ["grid", "rows"], ["grid_shape"], axis=0),
        make("Reshape", ["scattered", "grid_shape"], ["grouped"]),
        make("Transpose", ["grouped"], ["by_channel"], perm=[0, 4, 1, 2, 3]),
        make("Concat", ["last", "place"], ["padded_shape"], axis=0),
        make("Reshape", ["by_channel", "padded_shape"], ["padded"]),
        make("Slice", ["padded", "zero", "channels", "zero"], ["weight"]),
    ]


def _convolution(output: str) -> onnx.NodeProto:
    node = helper.make_node("Conv", ["x", "weight", "bias"], [output])
    for name in _ATTRIBUTES[1:]:
        node.attribute.append(_reference(name, name))
    return node


def _constant(name: str, value: int) -> onnx.NodeProto:
    return helper.make_node("Constant", [], [name], value_ints=[value])


def _constant_of_attribute(attribute: str, output: str) -> onnx.NodeProto:
    node = helper.make_node("Constant", [], [output])
    node.attribute.append(_reference("value_ints", attribute))
    return node


def _reference(name: str, attribute: str) -> onnx.AttributeProto:
    """Return an attribute that takes its value from an attribute of the function's node."""
    proto = onnx.AttributeProto()
    proto.name = name
    proto.ref_attr_name = attribute
    proto.type = onnx.AttributeProto.INTS
    return proto
