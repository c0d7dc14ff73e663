"""What each layer of a trained network loses in int8, on the scale on which pruning is judged.

A pruned layer that keeps a share s of the energy of its weights is distorted by -log(s)
(`search.finalize.energies`). For inputs that are independent and of equal energy s is also the share
of the energy of its output that is not error. Of int8 that share is measured: input, weights and
output are rounded as ONNX Runtime's quantizer does it, with ranges from the same images.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from latency.graph import NetworkGraph
from latency.host_lock import training_step
from latency.operator import OperatorSpec
from search.export.fold import fold_weights
from search.finalize.graph_network import GraphNetwork, activated, graph_genotype
from search.finalize.train import AnyNetwork
from search.layers.sparse import SparseLayer

_LEVELS = 255  # of activations, unsigned
_WEIGHT_PEAK = 127  # of weights, signed, each output channel with its own scale
_LEAST_SHARE = 1e-6  # of a layer whose output is lost altogether


@torch.no_grad()
def int8_distortions(network: AnyNetwork, graph: NetworkGraph, images: Tensor) -> dict[str, float]:
    """Return -log of the share of its output's energy that each layer keeps, by name of its node.

    Layers are judged one by one: what a layer reads is what float32 gives.

    Args:
        network: trained, batch norms as in evaluation.
        graph: what it computes, dense, in the stock regime.
        images: (N, C, H, W), training images.

    Raises:
        ValueError: the graph has an operator that GraphNetwork has not.
    """
    plain = GraphNetwork(graph_genotype(graph), network.task)
    plain.take_weights(fold_weights(network, graph))
    plain.to(images.device).eval()
    found: dict[str, float] = {}
    for node in plain.genotype.graph.nodes:
        if node.parameters:
            layer = plain.get_submodule(node.parameters)
            layer.register_forward_hook(_judging(node.name, node.spec, found))
    with training_step():
        plain(images)
    return found


def _judging(
    name: str, spec: OperatorSpec, found: dict[str, float]
) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def judge(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(layer, SparseLayer)
        exact = activated(spec, output)
        noisy = rounded(activated(spec, _in_int8(layer, inputs[0])), exact)
        found[name] = distortion(exact, noisy)

    return judge


def distortion(exact: Tensor, noisy: Tensor) -> float:
    """Return -log of the share of the energy of a tensor that is not error; 0 for zeros."""
    energy = float(exact.double().square().sum())
    if energy == 0.0:
        return 0.0
    error = float((exact - noisy).double().square().sum())
    return -math.log(max(1.0 - error / energy, _LEAST_SHARE))


def rounded(values: Tensor, seen: Tensor) -> Tensor:
    """Return values on the 256 levels of the range of `seen`, which includes zero."""
    low, high = min(0.0, float(seen.min())), max(0.0, float(seen.max()))
    if low == high:
        return torch.zeros_like(values)
    scale = (high - low) / _LEVELS
    zero = round(-low / scale)
    return ((values / scale).round().add(zero).clamp(0, _LEVELS) - zero) * scale


def rounded_weight(weight: Tensor) -> Tensor:
    """Return a weight (out, ...) on 255 levels around zero, those of each output by its largest."""
    peaks = weight.flatten(1).abs().amax(dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
    scale = (peaks / _WEIGHT_PEAK).view(-1, *[1] * (weight.dim() - 1))
    return (weight / scale).round() * scale


def _in_int8(layer: SparseLayer, x: Tensor) -> Tensor:
    """Return the output of a layer whose weight and input are rounded."""
    weight = layer.weight.clone()
    layer.weight.copy_(rounded_weight(weight))
    output: Tensor = layer.forward(rounded(x, x))  # and not a call, which would be judged again
    layer.weight.copy_(weight)
    return output
