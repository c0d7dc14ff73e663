"""Batch norm folded into the convolution before it: weight and bias of every graph node."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from latency.graph import GraphNode, NetworkGraph
from search.finalize.norms import NormedConv, normed_convs
from search.layers.biased_conv import BiasedConv2d
from search.layers.operations import FactorizedReduce
from search.layers.sparse import SparseConv2d, SparseLinear

Arrays = dict[str, npt.NDArray[np.float32]]  # "weight" and "bias" of one node
NetworkWeights = dict[str, Arrays]  # by node name; only nodes with weights


@torch.no_grad()
def fold_weights(network: nn.Module, graph: NetworkGraph) -> NetworkWeights:
    """Return weight and bias of each node of `graph`, float32, batch norm folded in.

    Folding is done in double precision. Masked weights come out as zeros.

    Raises:
        ValueError: a node names a module that the network does not have.
    """
    modules = dict(network.named_modules())
    norms = {normed.path: normed for normed in normed_convs(network)}
    folded: NetworkWeights = {}
    for node in graph.nodes:
        if not node.parameters:
            continue
        if node.parameters not in modules:
            raise ValueError(f"export: the network has no module {node.parameters!r}")
        weight, bias = _fold(modules[node.parameters], norms.get(node.parameters))
        folded[node.name] = {"weight": _float32(weight), "bias": _float32(bias)}
    return folded


def weight_source(weights: Mapping[str, Arrays]) -> Callable[[GraphNode], Arrays]:
    """Return the function that `build_model` asks for the weights of a node."""
    return lambda node: weights.get(node.name, {})


def _fold(module: nn.Module, normed: NormedConv | None) -> tuple[Tensor, Tensor]:
    if isinstance(module, SparseLinear):
        return module.effective_weight().double(), module.bias.double()
    if isinstance(module, FactorizedReduce):
        weight = _merge(module).double()
    elif isinstance(module, SparseConv2d):
        weight = module.effective_weight().double()
    else:
        raise ValueError(f"export: {type(module).__name__} is not a layer with weights")
    if isinstance(module, BiasedConv2d):
        return weight, module.bias.double()
    if normed is None:
        return weight, torch.zeros(weight.shape[0], dtype=torch.float64)
    norm = normed.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return weight * scale.view(-1, 1, 1, 1), bias


def _merge(module: FactorizedReduce) -> Tensor:
    """Return both 1x1 convolutions as one 2x2: the first reads pixel [0, 0], the second [1, 1]."""
    first, second = module.conv1.effective_weight(), module.conv2.effective_weight()
    half = first.shape[0]
    merged = first.new_zeros(2 * half, first.shape[1], 2, 2)
    merged[:half, :, 0, 0] = first[:, :, 0, 0]
    merged[half:, :, 1, 1] = second[:, :, 0, 0]
    return merged


def _float32(values: Tensor) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(values.float().cpu().numpy())
