"""Standard nodes that the fallback functions of the library's operators are made of.

Tensors inside of a function have fixed names; every helper says which it reads and writes.
"""

from collections.abc import Sequence

import onnx
from onnx import helper

from latency.kernels.library import DOMAIN
from latency.lowering.op_types import OpType

FUNCTION_OPSET = 20  # of the standard operators inside the functions

_SIX = 6.0


def function(
    op_type: OpType,
    inputs: Sequence[str],
    attributes: Sequence[str],
    nodes: Sequence[onnx.NodeProto],
) -> onnx.FunctionProto:
    """Return the function of an operator: `inputs`, with `residual` last, to `y`."""
    return helper.make_function(
        DOMAIN,
        op_type.name,
        [*inputs, *(["residual"] if op_type.residual else [])],
        ["y"],
        list(nodes),
        [helper.make_opsetid("", FUNCTION_OPSET)],
        attributes=list(attributes),
    )


def read_input(op_type: OpType) -> tuple[list[onnx.NodeProto], str]:
    """Return nodes that apply the prefix to `x`, and the name of their result."""
    if op_type.relu_input:
        return [helper.make_node("Relu", ["x"], ["x_relu"])], "x_relu"
    return [], "x"


def epilogue(op_type: OpType, output: str) -> list[onnx.NodeProto]:
    """Return nodes that add `residual` to `linear` and activate the sum as `output`."""
    make = helper.make_node
    if not op_type.residual:
        return _activation(op_type.activation, "linear", output)
    return [
        make("Add", ["linear", "residual"], ["sum"]),
        *_activation(op_type.activation, "sum", output),
    ]


def _activation(activation: str, source: str, output: str) -> list[onnx.NodeProto]:
    make = helper.make_node
    if activation == "Relu6":
        return [
            make("Constant", [], ["lowest"], value_float=0.0),
            make("Constant", [], ["highest"], value_float=_SIX),
            make("Clip", [source, "lowest", "highest"], [output]),
        ]
    if activation == "Silu":
        return [
            make("Sigmoid", [source], ["gate"]),
            make("Mul", [source, "gate"], [output]),
        ]
    if activation == "HardSwish":
        return [
            make("HardSigmoid", [source], ["gate"], alpha=1.0 / _SIX, beta=0.5),
            make("Mul", [source, "gate"], [output]),
        ]
    return [make("Relu" if activation else "Identity", [source], [output])]


def constant(name: str, *values: int) -> onnx.NodeProto:
    """Return a node that gives a vector of whole numbers."""
    return helper.make_node("Constant", [], [name], value_ints=list(values))


def constant_of_attribute(attribute: str, output: str) -> onnx.NodeProto:
    """Return a node that gives the whole numbers of an attribute of the function's node."""
    node = helper.make_node("Constant", [], [output])
    node.attribute.append(reference("value_ints", attribute))
    return node


def reference(
    name: str, attribute: str, kind: onnx.AttributeProto.AttributeType = onnx.AttributeProto.INTS
) -> onnx.AttributeProto:
    """Return an attribute that takes its value from an attribute of the function's node."""
    proto = onnx.AttributeProto()
    proto.name = name
    proto.ref_attr_name = attribute
    proto.type = kind
    return proto
