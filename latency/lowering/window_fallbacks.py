"""The library's depthwise convolutions and poolings in standard operators."""

import onnx
from onnx import helper

from latency.lowering.fallback_nodes import epilogue, function, read_input, reference
from latency.lowering.op_types import Family, OpType

_WINDOW = ("strides", "dilations", "pads")
_KERNEL_SHAPE = "kernel_shape"
_GROUP = "group"


def depthwise(op_type: OpType) -> onnx.FunctionProto:
    """Return DepthwiseConv as Conv and what is fused."""
    nodes, x = read_input(op_type)
    convolution = helper.make_node("Conv", [x, "weight", "bias"], ["linear"])
    convolution.attribute.extend(reference(name, name) for name in _WINDOW)
    convolution.attribute.append(reference(_GROUP, _GROUP, onnx.AttributeProto.INT))
    nodes += [convolution, *epilogue(op_type, "y")]
    return function(op_type, ["x", "weight", "bias"], [_GROUP, *_WINDOW], nodes)


def pool(op_type: OpType) -> onnx.FunctionProto:
    """Return MaxPool or AveragePool as the standard operator of that name.

    Padding does not count into a mean: that is the default of the standard operator.
    """
    attributes = [_KERNEL_SHAPE, *_WINDOW]
    node = helper.make_node(op_type.base, ["x"], ["y"])
    node.attribute.extend(reference(name, name) for name in attributes)
    return function(op_type, ["x"], attributes, [node])


def global_average_pool(op_type: OpType) -> onnx.FunctionProto:
    """Return GlobalAveragePool as the standard operator of that name."""
    return function(op_type, ["x"], [], [helper.make_node(op_type.base, ["x"], ["y"])])


FAMILIES = (
    Family(
        base="DepthwiseConv",
        relu_input=True,
        residual=False,
        activations=True,
        fallback=depthwise,
    ),
    *(
        Family(base=base, relu_input=False, residual=False, activations=False, fallback=fallback)
        for base, fallback in (
            ("MaxPool", pool),
            ("AveragePool", pool),
            ("GlobalAveragePool", global_average_pool),
        )
    ),
)
