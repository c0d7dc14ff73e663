"""The dense rival of a cell network, in the form that stock ONNX Runtime runs fastest.

Our graphs merge the two 1x1 convolutions of a factorized reduce into one of 2x2 with zeros in half
of its places, which a sparse kernel skips and a dense one multiplies. The rival gets the two back.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper

from search.space.dass_cells import MERGED_KERNEL

_END = np.iinfo(np.int64).max


def split_reduces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the model with every 2x2 convolution of stride 2 as two of 1x1.

    The first half of the channels reads the even pixels with the weights at [0, 0], the second
    half the odd ones with those at [1, 1].
    """
    arrays = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "Conv" and arrays[node.input[1]].dims[-1] == MERGED_KERNEL:
            weight, bias = (numpy_helper.to_array(arrays.pop(name)) for name in node.input[1:])
            made, new = _split(node, weight, bias)
            nodes += made
            arrays |= {tensor.name: tensor for tensor in new}
        else:
            nodes.append(node)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    del result.graph.node[:], result.graph.initializer[:]
    result.graph.node.extend(nodes)
    result.graph.initializer.extend(arrays.values())
    return result


def _split(
    node: onnx.NodeProto, weight: np.ndarray, bias: np.ndarray
) -> tuple[list[onnx.NodeProto], list[onnx.TensorProto]]:
    source, name, half = node.input[0], node.name, len(bias) // 2
    constants = {
        f"{name}.even.weight": weight[:half, :, :1, :1],
        f"{name}.even.bias": bias[:half],
        f"{name}.odd.weight": weight[half:, :, 1:, 1:],
        f"{name}.odd.bias": bias[half:],
        f"{name}.starts": np.array([1, 1], dtype=np.int64),
        f"{name}.ends": np.array([_END, _END], dtype=np.int64),
        f"{name}.axes": np.array([2, 3], dtype=np.int64),
    }
    window = [f"{name}.{part}" for part in ("starts", "ends", "axes")]
    nodes = [
        helper.make_node("Slice", [source, *window], [f"{name}.moved"], name=f"{name}.moved"),
        _pointwise(f"{name}.even", source),
        _pointwise(f"{name}.odd", f"{name}.moved"),
        helper.make_node(
            "Concat", [f"{name}.even", f"{name}.odd"], list(node.output), name=name, axis=1
        ),
    ]
    tensors = [
        numpy_helper.from_array(np.ascontiguousarray(array), key)
        for key, array in constants.items()
    ]
    return nodes, tensors


def _pointwise(name: str, source: str) -> onnx.NodeProto:
    return helper.make_node(
        "Conv",
        [source, f"{name}.weight", f"{name}.bias"],
        [name],
        name=name,
        kernel_shape=[1, 1],
        strides=[2, 2],
    )
