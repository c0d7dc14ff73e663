"""An ONNX model to a network of ours: the inverse of `build_model`, and more.

What is read, in any opset, with float32 weights that are constants (initialisers, sparse ones,
Constant nodes):

- Conv, with any groups, one stride and one dilation; a rectangular kernel or uneven padding where
  it is a part of a square kernel; Gemm and MatMul, also on a flattened square image;
- BatchNormalization and sums with a constant, folded in double precision into the operator before
  them; where they cannot be, they become a depthwise convolution of one pixel;
- Relu, Clip to 0 and above or to 0 up to 6, x * Sigmoid(x), HardSwish and x * HardSigmoid(x);
- Add and Sum of tensors of one shape, Concat of such along the channels;
- MaxPool, AveragePool without padding in its mean, GlobalAveragePool, ReduceMean over all pixels;
- Flatten, Reshape and Squeeze to (N, C), Identity, Dropout, Constant.

Anything else is refused, and the message names the node; of unknown types, every node.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import onnx

from latency.graph import NetworkGraph
from latency.lowering.reading import plain, weighted
from latency.lowering.reading.model_node import (
    Constants,
    ModelNode,
    constant_of_node,
    live_nodes,
    stored_constants,
)
from latency.lowering.reading.network import ReadingNetwork
from latency.lowering.weights import Weights, WeightSource

NetworkWeights = dict[str, Weights]  # "weight" and "bias" by name of the node; only with weights

_IMAGE_RANK = 4


@dataclass(frozen=True, kw_only=True)
class ReadNetwork:
    """A network and its weights."""

    graph: NetworkGraph
    weights: NetworkWeights

    @property
    def source(self) -> WeightSource:
        """What `build_model` asks for the weights of a node."""
        return lambda node: self.weights.get(node.name, {})


def load_model(path: Path) -> onnx.ModelProto:
    """Return the ONNX model of a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no ONNX model.
    """
    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:  # that of protobuf, which has no types of its own here
        raise ValueError(f"{path} is not an ONNX model: {error}") from error


def parse_model(data: bytes) -> onnx.ModelProto:
    """Return the ONNX model that bytes are, which must be the whole of it.

    Raises:
        ValueError: they are no ONNX model, or tensors are in other files, which would be any files
            of this machine.
    """
    try:
        model = onnx.load_model_from_string(data)
    except Exception as error:  # that of protobuf, which has no types of its own here
        raise ValueError(f"this is not an ONNX model: {error}") from error
    outside = [
        tensor.name
        for tensor in _tensors(model.graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
    ]
    if outside:
        raise ValueError(f"model: its tensors must be in the file itself, {outside} are not")
    return model


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    yield from (attribute.t for attribute in attributes)
    for sparse in (*graph.sparse_initializer, *(found.sparse_tensor for found in attributes)):
        yield from (sparse.values, sparse.indices)


def read_model(model: onnx.ModelProto) -> ReadNetwork:
    """Return the stock network that an ONNX model describes, for one image.

    Args:
        model: one float32 image (N, C, H, W) to one tensor; N is 1 or open, the rest is fixed.

    Raises:
        ValueError: the model is not valid ONNX, or has a node, attribute or shape that is not
            among those above; the message names the node, its type and what is allowed.
    """
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        raise ValueError(f"model: this is not valid ONNX: {error}") from error
    graph = model.graph
    constants = stored_constants(graph)
    if len(graph.output) != 1:
        raise ValueError(f"model: it must have one output, got {len(graph.output)}")
    output = graph.output[0].name
    image, shape = _image(graph, constants)
    live = live_nodes(graph, [output])
    readers = Counter(name for node in live for name in node.input) + Counter([output])
    network = ReadingNetwork(shape, image, constants, readers)
    _refuse_unknown([ModelNode.of(proto) for proto in live])
    for proto in live:
        _read_node(network, ModelNode.of(proto), [readers[name] for name in proto.output[1:]])
    read, weights = network.finish(output)
    return ReadNetwork(graph=read, weights=dict(weights))


def _image(graph: onnx.GraphProto, constants: Constants) -> tuple[str, tuple[int, int, int]]:
    """Return name and shape without the batch of the one input."""
    inputs = [value for value in graph.input if value.name not in constants]
    if len(inputs) != 1:
        raise ValueError(f"model: it must have one input, got {[value.name for value in inputs]}")
    (value,) = inputs
    tensor = value.type.tensor_type
    dims = list(tensor.shape.dim)
    if tensor.elem_type != onnx.TensorProto.FLOAT or len(dims) != _IMAGE_RANK:
        raise ValueError(f"model: the input {value.name!r} must be a float32 image (N, C, H, W)")
    batch, channels, height, width = (dim.dim_value for dim in dims)
    if batch > 1 or min(channels, height, width) < 1:
        raise ValueError(
            f"model: the input {value.name!r} must have a batch of 1 or an open one, and fixed "
            f"channels, height and width; got {[d.dim_param or d.dim_value for d in dims]}"
        )
    return value.name, (channels, height, width)


def _refuse_unknown(nodes: list[ModelNode]) -> None:
    """Refuse node types that are not known, all of them at once."""
    unknown = [node for node in nodes if node.op_type not in (*_HANDLERS, "Constant")]
    if unknown:
        listed = ", ".join(f"node {node.name!r} ({node.op_type})" for node in unknown)
        allowed = ", ".join(sorted([*_HANDLERS, "Constant"]))
        raise ValueError(f"model: {listed}: allowed are {allowed}")


def _read_node(network: ReadingNetwork, node: ModelNode, other_readers: list[int]) -> None:
    try:
        _handle(network, node, other_readers)
    except ValueError as error:
        raise ValueError(f"model: node {node.name!r} ({node.op_type}): {error}") from error


def _handle(network: ReadingNetwork, node: ModelNode, other_readers: list[int]) -> None:
    if any(other_readers):
        raise ValueError("only its first output may be read")
    if node.op_type == "Constant":
        network.constants[node.output] = constant_of_node(node)
        return
    _HANDLERS[node.op_type](network, node)


_HANDLERS: dict[str, Callable[[ReadingNetwork, ModelNode], None]] = {
    "Conv": weighted.read_conv,
    "Gemm": weighted.read_gemm,
    "MatMul": weighted.read_matmul,
    "BatchNormalization": weighted.read_batch_norm,
    "Relu": plain.read_relu,
    "HardSwish": plain.read_hardswish,
    "Clip": plain.read_clip,
    "Sigmoid": plain.read_sigmoid,
    "HardSigmoid": plain.read_hard_sigmoid,
    "Mul": plain.read_mul,
    "Add": plain.read_add,
    "Sum": plain.read_sum,
    "Concat": plain.read_concat,
    "MaxPool": plain.read_max_pool,
    "AveragePool": plain.read_average_pool,
    "GlobalAveragePool": plain.read_global_average,
    "ReduceMean": plain.read_reduce_mean,
    "Identity": plain.read_same,
    "Dropout": plain.read_same,
    "Flatten": plain.read_flatten,
    "Reshape": plain.read_reshape,
    "Squeeze": plain.read_squeeze,
}
