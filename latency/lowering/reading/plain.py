"""Node types without weights: activations, sums, concatenations, pools, and what only renames."""

import math

import numpy as np

from latency.lowering.reading.model_node import ModelNode
from latency.lowering.reading.network import FLAT, IMAGE, ReadingNetwork, Tensor
from latency.lowering.reading.weighted import add_channelwise, read_shift
from latency.lowering.reading.windows import check_rounding, read_window
from latency.operator import UNCUT, Activation, OperatorKind, OperatorSpec

_SIX = 6.0
_GATE_READERS = 2  # an input of x * sigmoid(x) is read by both
_HARD_SIGMOID = {"alpha": 1 / 6, "beta": 0.5}  # of HardSwish
_CLOSE = 1e-6


def read_relu(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a ReLU."""
    _activate(network, node, network.tensor(node), Activation.RELU)


def read_hardswish(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a HardSwish."""
    _activate(network, node, network.tensor(node), Activation.HARDSWISH)


def read_clip(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a clip to 0 and above, or to 0 up to 6."""
    bounds = [-math.inf, math.inf]
    for index, name in enumerate(("min", "max")):
        if node.has_input(index + 1):
            bounds[index] = float(network.constant(node, index + 1, name).reshape(()))
        else:
            bounds[index] = float(node.attributes.get(name, bounds[index]))
    known = {(0.0, _SIX): Activation.RELU6, (0.0, math.inf): Activation.RELU}
    if (bounds[0], bounds[1]) not in known:
        raise ValueError(f"it must clip to 0 and above or to 0 up to 6, got {bounds}")
    _activate(network, node, network.tensor(node), known[(bounds[0], bounds[1])])


def read_sigmoid(network: ReadingNetwork, node: ModelNode) -> None:
    """Read the half of a SiLU."""
    network.gate(node, network.tensor(node), Activation.SILU)


def read_hard_sigmoid(network: ReadingNetwork, node: ModelNode) -> None:
    """Read the half of a HardSwish."""
    got = (float(node.attributes.get("alpha", 0.2)), float(node.attributes.get("beta", 0.5)))
    if not np.allclose(got, tuple(_HARD_SIGMOID.values()), rtol=_CLOSE):
        raise ValueError(f"alpha and beta must be 1/6 and 1/2, got {got}")
    network.gate(node, network.tensor(node), Activation.HARDSWISH)


def read_mul(network: ReadingNetwork, node: ModelNode) -> None:
    """Read x * sigmoid(x), and the same with a hard sigmoid."""
    pair = [network.tensor_or_gate(node, index) for index in range(2)]
    gates = [tensor for tensor in pair if tensor.gate is not Activation.NONE]
    values = [tensor for tensor in pair if tensor.gate is Activation.NONE]
    if len(gates) != 1 or (gates[0].node, gates[0].rank) != (values[0].node, values[0].rank):
        raise ValueError("it must be x * Sigmoid(x) or x * HardSigmoid(x)")
    readers = _GATE_READERS if gates[0].readers == 1 else 0
    _activate(network, node, values[0], gates[0].gate, readers)


def read_add(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a sum of two, or of one and a constant."""
    constants = [index for index in range(2) if network.is_constant(node, index)]
    if len(constants) == 1:
        read_shift(network, node, constants[0])
        return
    read_sum(network, node)


def read_sum(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a sum of any number of tensors of one shape."""
    sources = [network.tensor(node, index) for index in range(len(node.inputs))]
    if len(sources) == 1:
        network.alias(node, sources[0])
        return
    _merge(network, node, sources, OperatorKind.ADD)


def read_concat(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a concatenation along the channels."""
    sources = [network.tensor(node, index) for index in range(len(node.inputs))]
    if int(node.attributes.get("axis", 0)) not in (1, 1 - sources[0].rank):
        raise ValueError("axis must be that of the channels, 1")
    if len(sources) == 1:
        network.alias(node, sources[0])
        return
    _merge(network, node, sources, OperatorKind.CONCAT)


def read_max_pool(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a max-pool."""
    _pool(network, node, OperatorKind.MAX_POOL)


def read_average_pool(network: ReadingNetwork, node: ModelNode) -> None:
    """Read an average pool in which padding does not count."""
    padded = any(node.attributes.get("pads", ())) or "SAME" in node.attributes.get("auto_pad", "")
    if node.attributes.get("count_include_pad", 0) and padded:
        raise ValueError("count_include_pad must be 0 where there is padding")
    _pool(network, node, OperatorKind.AVG_POOL)


def read_global_average(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a mean over all pixels."""
    _global_pool(network, node, network.image(node), rank=IMAGE)


def read_reduce_mean(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a mean over height and width."""
    source = network.image(node)
    axes = _axes(network, node)
    if sorted(axis % IMAGE for axis in axes) != [2, 3]:
        raise ValueError(f"axes must be those of height and width, 2 and 3, got {axes}")
    rank = IMAGE if node.attributes.get("keepdims", 1) else FLAT
    _global_pool(network, node, source, rank=rank)


def read_same(network: ReadingNetwork, node: ModelNode) -> None:
    """Read what gives its input: Identity, and Dropout after training."""
    if network.is_constant(node, 0):
        network.constants[node.output] = network.constants[node.inputs[0]]
        return
    if network.is_constant(node, 2) and network.constants[node.inputs[2]].any():
        raise ValueError("training_mode must be false")
    network.alias(node, network.tensor(node))


def read_flatten(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a flattening of everything but the batch."""
    source = network.tensor(node)
    if int(node.attributes.get("axis", 1)) not in (1, 1 - source.rank):
        raise ValueError("axis must be 1")
    network.alias(node, source, rank=FLAT)


def read_reshape(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a reshape to (N, C), or to the shape that the tensor has."""
    source = network.tensor(node)
    first, *rest = network.whole_numbers(node, 1, "the shape")
    size = math.prod(source.shape)
    known = size // max(1, math.prod(each for each in rest if each > 0))
    resolved = [known if each == -1 else each for each in rest]
    ranks = {(size,): FLAT, source.shape: IMAGE}
    batch = (-1, 1) if node.attributes.get("allowzero", 0) else (-1, 0, 1)
    if tuple(resolved) not in ranks or first not in batch:
        raise ValueError(f"it must make (N, {size}) of {source.shape}, got {[first, *rest]}")
    network.alias(node, source, rank=ranks[tuple(resolved)])


def read_squeeze(network: ReadingNetwork, node: ModelNode) -> None:
    """Read the removal of height and width of one pixel."""
    source = network.image(node)
    if sorted(axis % IMAGE for axis in _axes(network, node)) != [2, 3]:
        raise ValueError("axes must be those of height and width, 2 and 3")
    if source.shape[1:] != (1, 1):
        raise ValueError(f"height and width must be 1, got {source.shape[1:]}")
    network.alias(node, source, rank=FLAT)


def _activate(
    network: ReadingNetwork,
    node: ModelNode,
    source: Tensor,
    activation: Activation,
    readers: int = 1,
) -> None:
    """Fuse an activation into the operator before it, or give it a node of its own."""
    if network.can_change(source, readers):
        network.set_activation(node, source, activation)
    elif activation is Activation.RELU:
        network.add(node, _plain_spec(OperatorKind.RELU, source), [source])
    else:
        ones = np.ones(source.shape[0])
        add_channelwise(network, node, source, ones, 0.0 * ones, activation)


def _merge(
    network: ReadingNetwork, node: ModelNode, sources: list[Tensor], kind: OperatorKind
) -> None:
    shapes = [source.shape for source in sources]
    if len(set(shapes)) > 1:
        raise ValueError(f"its inputs must have one shape, got {shapes}")
    network.add(node, _plain_spec(kind, sources[0], inputs=len(sources)), sources)


def _pool(network: ReadingNetwork, node: ModelNode, kind: OperatorKind) -> None:
    source = network.image(node)
    if source.flat:
        raise ValueError("a pool cannot follow a global pooling")
    size = source.shape[1:]
    window = read_window(node, node.pair("kernel_shape"), size)
    if window.cut != UNCUT:
        raise ValueError("the window of a pool must be square and padded alike on all sides")
    check_rounding(node, window, size)
    spec = OperatorSpec(
        kind=kind,
        in_channels=source.shape[0],
        out_channels=source.shape[0],
        height=size[0],
        width=size[1],
        kernel=window.kernel,
        padding=window.padding,
        stride=window.stride,
        dilation=window.dilation,
    )
    network.add(node, spec, [source])


def _global_pool(network: ReadingNetwork, node: ModelNode, source: Tensor, *, rank: int) -> None:
    if source.flat:
        network.alias(node, source, rank=rank)
        return
    spec = _plain_spec(OperatorKind.GLOBAL_AVG_POOL, source)
    network.add(node, spec, [source], rank=rank)


def _axes(network: ReadingNetwork, node: ModelNode) -> list[int]:
    if node.has_input(1):
        return network.whole_numbers(node, 1, "axes")
    return [int(axis) for axis in node.attributes.get("axes", ())]


def _plain_spec(kind: OperatorKind, source: Tensor, inputs: int = 1) -> OperatorSpec:
    channels, height, width = source.shape
    return OperatorSpec(
        kind=kind,
        in_channels=channels,
        out_channels=channels * (inputs if kind is OperatorKind.CONCAT else 1),
        height=height,
        width=width,
        inputs=inputs,
    )
