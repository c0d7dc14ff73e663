"""Pruning of the final network: by magnitude, by scores that are trained, or at random as a control.

How much each layer keeps is allocated over all of them by one density, or is the layer's own.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from search.data.batches import seeded_generator
from search.engine.schedule import annealed_density
from search.finalize.norms import normed_convs
from search.layers.allocation import allocate
from search.layers.biased_conv import BiasedConv2d
from search.layers.patterns import expand_groups, group_sizes
from search.layers.sparse import (
    LayerMode,
    SparseLayer,
    freeze_masks,
    reset_scores,
    set_mode,
    sparse_layers,
)
from search.space.sparsity import Allocation, Sparsity


def prune(network: nn.Module, density: float, allocation: Allocation = Allocation.GLOBAL) -> None:
    """Mask the weakest groups of weights by magnitude."""
    rank_weights(network, density, allocation)
    fix_masks(network)


def rank_weights(network: nn.Module, density: float, allocation: Allocation) -> None:
    """Set the density of every layer by the magnitudes of all weights, and mask nothing."""
    reset_scores(network)
    allocate(sparse_layers(network), density, allocation)


def prune_by_plan(network: nn.Module, layers: Mapping[str, Sparsity], progress: float) -> None:
    """Mask the weakest groups of weights by magnitude, in each layer as many as `approach` says."""
    reset_scores(network)
    approach(network, layers, progress)
    fix_masks(network)


def fix_masks(network: nn.Module) -> None:
    """Mask what the scores choose now, and train the weights that are left."""
    freeze_masks(network)
    set_mode(network, LayerMode.MASKED)


def approach(network: nn.Module, layers: Mapping[str, Sparsity], progress: float) -> None:
    """Give every layer its own pattern, and the density that it has on the way to its own.

    Args:
        network: whose layers are set.
        layers: that they end as, by path; densities are fractions of the groups.
        progress: from 0 to 1, as for `annealed_density`.

    Raises:
        ValueError: a layer has no density.
    """
    for path, layer in sparse_layers(network).items():
        if path not in layers:
            raise ValueError(f"prune: no pattern and no density for layer {path!r}")
        layer.pattern = layers[path].pattern
        layer.density = annealed_density(layers[path].density, progress)


@torch.no_grad()
def prune_at_random(
    network: nn.Module, layers: Mapping[str, Sparsity], progress: float, seed: int
) -> None:
    """Mask groups of weights in an order that is drawn, whatever their weights are.

    The order depends on seed and layer only, so what is masked once stays masked.

    Args:
        network: whose layers are masked.
        layers: that they end as, and how far they are: as for `approach`.
        progress: from 0 to 1.
        seed: of the orders.

    Raises:
        ValueError: a layer has no density.
    """
    approach(network, layers, progress)
    for path, layer in sparse_layers(network).items():
        layer.score.copy_(_drawn_order(layer, seed, path))
    fix_masks(network)


def _drawn_order(layer: SparseLayer, seed: int, path: str) -> Tensor:
    """Return the rank of its group for every weight of a layer, 1 and more, in a drawn order."""
    groups = group_sizes(layer.weight.shape, layer.pattern).shape
    generator = seeded_generator(seed, "random mask", path)
    ranks = 1 + torch.randperm(groups.numel(), generator=generator)
    # Whole numbers: exact as floats, and so is their mean over the members of a group.
    return expand_groups(ranks.float().view(groups), layer.weight.shape, layer.pattern)


@torch.no_grad()
def silence_dead_channels(network: nn.Module) -> None:
    """Force the output of every channel without weights to exactly zero.

    It is what its batch norm shifts, or its own bias. Otherwise such a channel is a constant, and
    removing it would change the network.
    """
    for normed in normed_convs(network):
        alive = torch.cat([_alive_rows(conv.mask) for conv in normed.convs])
        normed.norm.weight.mul_(alive)
        normed.norm.bias.mul_(alive)
    for module in network.modules():
        if isinstance(module, BiasedConv2d):
            module.bias.mul_(_alive_rows(module.mask))


def _alive_rows(mask: torch.Tensor) -> torch.Tensor:
    return mask.flatten(1).any(dim=1)


@torch.no_grad()
def apply_masks(network: nn.Module) -> None:
    """Set masked weights to zero for good, so that the stored weights are the sparse ones."""
    for layer in sparse_layers(network).values():
        layer.weight.mul_(layer.mask)
