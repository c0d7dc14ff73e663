"""Node types with weights: Conv, Gemm, MatMul, BatchNormalization, and sums with a constant."""

import numpy as np

from latency.lowering.reading.model_node import ModelNode
from latency.lowering.reading.network import FLAT, IMAGE, Array, ReadingNetwork, Tensor
from latency.lowering.reading.windows import read_window
from latency.operator import Activation, OperatorKind, OperatorSpec

_CONV_RANK = 4
_MATRIX_RANK = 2
_DEFAULT_EPSILON = 1e-5


def read_conv(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a convolution; one of kernel 1 behind a global pooling is a linear layer."""
    source = network.image(node)
    weight = network.constant(node, 1, "the weight")
    if weight.ndim != _CONV_RANK:
        raise ValueError(f"the weight must be (out, in, height, width), got {weight.shape}")
    bias = network.constant(node, 2, "the bias") if node.has_input(2) else np.zeros(len(weight))
    if bias.shape != (len(weight),):
        raise ValueError(f"the bias must have shape ({len(weight)},), got {bias.shape}")
    kernel = (weight.shape[2], weight.shape[3])
    if tuple(node.attributes.get("kernel_shape", kernel)) != kernel:
        raise ValueError(f"kernel_shape must be that of the weight, {list(kernel)}")
    window = read_window(node, kernel, source.shape[1:])
    groups = int(node.attributes.get("group", 1))
    if weight.shape[1] * groups != source.shape[0]:
        raise ValueError(f"{groups} groups of {weight.shape[1]} channels read {source.shape[0]}")
    if source.flat:
        if kernel != (1, 1) or window.padding or groups > 1:
            raise ValueError("behind a global pooling a kernel must be 1 without padding or groups")
        _add_linear(network, node, source, weight[:, :, 0, 0], bias, rank=IMAGE)
        return
    spec = OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=source.shape[0],
        out_channels=len(weight),
        height=source.shape[1],
        width=source.shape[2],
        kernel=window.kernel,
        padding=window.padding,
        cut=window.cut,
        stride=window.stride,
        dilation=window.dilation,
        groups=groups,
    )
    network.add(node, spec, [source], (weight, bias))


def read_gemm(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a linear layer: alpha * x * weight + beta * bias."""
    if node.attributes.get("transA", 0):
        raise ValueError("transA must be 0")
    weight = _matrix(network, node) * float(node.attributes.get("alpha", 1.0))
    weight = weight if node.attributes.get("transB", 0) else weight.T
    bias = np.zeros(len(weight))
    if node.has_input(2):
        bias = _per_channel(network.constant(node, 2, "the bias"), len(weight), FLAT)
    read_linear(network, node, weight, bias * float(node.attributes.get("beta", 1.0)))


def read_matmul(network: ReadingNetwork, node: ModelNode) -> None:
    """Read a linear layer without a bias; a sum with a constant adds one."""
    weight = _matrix(network, node).T
    read_linear(network, node, weight, np.zeros(len(weight)))


def read_linear(network: ReadingNetwork, node: ModelNode, weight: Array, bias: Array) -> None:
    """Add a linear layer; on an image of several pixels it is a convolution of the whole image."""
    source = network.tensor_or_gate(node, 0)
    channels, height, width = source.shape
    if source.rank != FLAT or source.gate is not Activation.NONE:
        raise ValueError("its input must be (N, C)")
    if weight.shape[1] != channels * height * width:
        raise ValueError(f"a weight of {weight.shape[1]} inputs reads {channels * height * width}")
    if (height, width) == (1, 1):
        _add_linear(network, node, source, weight, bias, rank=FLAT)
        return
    if height != width:
        raise ValueError(f"a flattened image must be square, got {height} x {width}")
    spec = OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=channels,
        out_channels=len(weight),
        height=height,
        width=width,
        kernel=height,
    )
    network.add(node, spec, [source], (weight.reshape(-1, channels, height, width), bias))


def read_batch_norm(network: ReadingNetwork, node: ModelNode) -> None:
    """Fold a batch norm into the operator before it, or make it a convolution of its own."""
    if node.attributes.get("training_mode", 0):
        raise ValueError("training_mode must be 0")
    source = network.tensor(node)
    names = ("the scale", "the bias", "the mean", "the variance")
    parts = [network.constant(node, index + 1, name) for index, name in enumerate(names)]
    for part, name in zip(parts, names, strict=True):
        if part.shape != (source.shape[0],):
            raise ValueError(f"{name} must have shape ({source.shape[0]},), got {part.shape}")
    scale, shift, mean, variance = parts
    spread = variance + float(node.attributes.get("epsilon", _DEFAULT_EPSILON))
    if not (spread > 0.0).all():
        raise ValueError("the variance must not be negative")
    scale = scale / np.sqrt(spread)
    shift = shift - mean * scale
    if not network.can_change(source):
        add_channelwise(network, node, source, scale, shift)
        return
    weight, bias = network.weights_of(source)
    by_filter = scale.reshape(-1, *[1] * (weight.ndim - 1))
    network.set_weights(node, source, weight * by_filter, bias * scale + shift)


def read_shift(network: ReadingNetwork, node: ModelNode, index: int) -> None:
    """Read a sum with the constant input `index`: a bias."""
    source = network.tensor(node, 1 - index)
    shift = _per_channel(
        network.constant(node, index, "what is added"), source.shape[0], source.rank
    )
    if not network.can_change(source):
        add_channelwise(network, node, source, np.ones(source.shape[0]), shift)
        return
    weight, bias = network.weights_of(source)
    network.set_weights(node, source, weight, bias + shift)


def add_channelwise(
    network: ReadingNetwork,
    node: ModelNode,
    source: Tensor,
    scale: Array,
    shift: Array,
    activation: Activation = Activation.NONE,
) -> None:
    """Add activation(scale * x + shift), per channel, as a depthwise convolution of one pixel.

    Raises:
        ValueError: the tensor has no height and width.
    """
    if source.flat:
        raise ValueError("on (N, C) it must follow the linear layer that it alone reads")
    channels, height, width = source.shape
    spec = OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=channels,
        out_channels=channels,
        height=height,
        width=width,
        groups=channels,
        activation=activation,
    )
    network.add(node, spec, [source], (scale.reshape(-1, 1, 1, 1), shift))


def _add_linear(
    network: ReadingNetwork,
    node: ModelNode,
    source: Tensor,
    weight: Array,
    bias: Array,
    *,
    rank: int,
) -> None:
    spec = OperatorSpec(
        kind=OperatorKind.LINEAR,
        in_channels=weight.shape[1],
        out_channels=len(weight),
        height=1,
        width=1,
    )
    network.add(node, spec, [source], (weight, bias), rank=rank)


def _matrix(network: ReadingNetwork, node: ModelNode) -> Array:
    weight = network.constant(node, 1, "the weight")
    if weight.ndim != _MATRIX_RANK:
        raise ValueError(f"the weight must be a matrix, got {weight.shape}")
    return weight


def _per_channel(values: Array, channels: int, rank: int) -> Array:
    """Return constants that are added to (N, C, ...) as one for each channel.

    Raises:
        ValueError: they differ within a channel or within the batch.
    """
    places = (1,) * (rank - FLAT)
    if values.size == 1:
        return np.full(channels, values.reshape(()))
    if values.shape not in ((channels, *places), (1, channels, *places)):
        wanted = (channels, *places)
        raise ValueError(f"a constant that is added must have shape {wanted}, got {values.shape}")
    return values.reshape(-1)
