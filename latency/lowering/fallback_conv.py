"""Sparse convolutions and matrices of the library in standard operators.

The values are scattered into a dense weight, which a runtime folds on load, and convolved.
"""

import onnx
from onnx import helper

from latency.lowering.fallback_nodes import (
    constant,
    constant_of_attribute,
    epilogue,
    function,
    read_input,
    reference,
)
from latency.lowering.op_types import Family, OpType

RUN_PIXELS = 16  # adjacent output pixels that SparseConvPositions computes or fills together

_WINDOW = ["strides", "pads", "dilations"]


def conv(op_type: OpType) -> onnx.FunctionProto:
    """Return SparseConv as scattered weight, Conv and what is fused."""
    nodes, x = read_input(op_type)
    nodes += [*_dense_weight(), _convolution(x, grouped=True), *epilogue(op_type, "y")]
    attributes = ["weight_shape", *_WINDOW, "group"]
    return function(op_type, ["x", "values", "indices", "bias"], attributes, nodes)


def conv_positions(op_type: OpType) -> onnx.FunctionProto:
    """Return SparseConvPositions as a whole convolution of which a part is replaced."""
    nodes, x = read_input(op_type)
    nodes += [
        *_dense_weight(),
        _convolution(x, grouped=False),
        *epilogue(op_type, "whole"),
        *_mask_of_positions(),
        helper.make_node("Reshape", ["fill", "by_channel_shape"], ["constants"]),
        helper.make_node("Where", ["mask", "whole", "constants"], ["y"]),
    ]
    inputs = ["x", "values", "indices", "bias", "positions", "fill"]
    return function(op_type, inputs, ["weight_shape", *_WINDOW], nodes)


def gemm(op_type: OpType) -> onnx.FunctionProto:
    """Return SparseGemm as scattered weight, Gemm and activation."""
    nodes = [
        *_dense_weight(),
        helper.make_node("Gemm", ["x", "weight", "bias"], ["linear"], transB=1),
        *epilogue(op_type, "y"),
    ]
    return function(op_type, ["x", "values", "indices", "bias"], ["weight_shape"], nodes)


FAMILIES = (
    Family(base="SparseConv", relu_input=True, residual=True, activations=True, fallback=conv),
    Family(
        base="SparseConvPositions",
        relu_input=True,
        residual=False,
        activations=True,
        fallback=conv_positions,
    ),
    Family(base="SparseGemm", relu_input=False, residual=False, activations=True, fallback=gemm),
)


def _dense_weight() -> list[onnx.NodeProto]:
    """Scatter the values into (blocks x places, rows) and bring the rows to the front.

    From `values`, `indices` and the attribute to `weight`, of any rank.
    """
    make = helper.make_node
    return [
        constant_of_attribute("weight_shape", "shape"),
        *(constant(name, value) for name, value in (("zero", 0), ("one", 1), ("four", 4))),
        constant("last", -1),
        make("Shape", ["values"], ["rows"], start=1, end=2),
        make("Slice", ["shape", "zero", "one"], ["channels"]),
        make("Slice", ["shape", "one", "four"], ["place"]),
        make("ReduceProd", ["place"], ["places"], keepdims=1),
        make("Add", ["channels", "rows"], ["beyond"]),
        make("Sub", ["beyond", "one"], ["rounded"]),
        make("Div", ["rounded", "rows"], ["blocks"]),
        make("Mul", ["blocks", "places"], ["all_places"]),
        make("Concat", ["all_places", "rows"], ["flat_shape"], axis=0),
        make("ConstantOfShape", ["flat_shape"], ["zeros"]),
        make("Cast", ["indices"], ["targets_flat"], to=onnx.TensorProto.INT64),
        make("Unsqueeze", ["targets_flat", "last"], ["targets"]),
        make("ScatterND", ["zeros", "targets", "values"], ["scattered"]),
        make("Concat", ["blocks", "places", "rows"], ["grouped_shape"], axis=0),
        make("Reshape", ["scattered", "grouped_shape"], ["grouped"]),
        make("Transpose", ["grouped"], ["by_channel"], perm=[0, 2, 1]),
        make("Concat", ["last", "place"], ["padded_shape"], axis=0),
        make("Reshape", ["by_channel", "padded_shape"], ["padded"]),
        make("Slice", ["padded", "zero", "channels", "zero"], ["weight"]),
    ]


def _convolution(x: str, *, grouped: bool) -> onnx.NodeProto:
    node = helper.make_node("Conv", [x, "weight", "bias"], ["linear"])
    node.attribute.extend(reference(name, name) for name in _WINDOW)
    if grouped:
        node.attribute.append(reference("group", "group", onnx.AttributeProto.INT))
    return node


def _mask_of_positions() -> list[onnx.NodeProto]:
    """Return nodes for `mask` (1, 1, height, width), true where `positions` has a pixel's run."""
    make = helper.make_node
    false = helper.make_tensor("false", onnx.TensorProto.BOOL, [1], [0])
    true = helper.make_tensor("true", onnx.TensorProto.BOOL, [1], [1])
    return [
        constant("run", RUN_PIXELS),
        constant("run_less_one", RUN_PIXELS - 1),
        constant("by_channel_shape", 1, -1, 1, 1),
        make("Shape", ["whole"], ["plane_shape"], start=2, end=4),
        make("ReduceProd", ["plane_shape"], ["pixels"], keepdims=1),
        make("Add", ["pixels", "run_less_one"], ["pixels_beyond"]),
        make("Div", ["pixels_beyond", "run"], ["runs"]),
        make("ConstantOfShape", ["runs"], ["none"], value=false),
        make("Shape", ["positions"], ["listed"]),
        make("ConstantOfShape", ["listed"], ["all"], value=true),
        make("Cast", ["positions"], ["positions_wide"], to=onnx.TensorProto.INT64),
        make("Unsqueeze", ["positions_wide", "last"], ["positions_column"]),
        make("ScatterND", ["none", "positions_column", "all"], ["computed"]),
        make("Unsqueeze", ["computed", "last"], ["computed_column"]),
        make("Concat", ["runs", "run"], ["runs_shape"], axis=0),
        make("Expand", ["computed_column", "runs_shape"], ["by_run"]),
        make("Reshape", ["by_run", "last"], ["by_pixel"]),
        make("Slice", ["by_pixel", "zero", "pixels"], ["in_plane"]),
        make("Concat", ["one", "one", "plane_shape"], ["mask_shape"], axis=0),
        make("Reshape", ["in_plane", "mask_shape"], ["mask"]),
    ]
