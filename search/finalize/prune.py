"""Pruning of the final network: by the magnitude of its weights, or by scores that are trained."""

import torch
from torch import nn

from search.finalize.norms import normed_convs
from search.layers.allocation import allocate
from search.layers.sparse import LayerMode, freeze_masks, reset_scores, set_mode, sparse_layers
from search.space.sparsity import Allocation


def cubic_density(progress: float, density: float) -> float:
    """Return the density at `progress` from 0 to 1, from dense down to `density`.

    Most weights go early, while many are superfluous (Zhu and Gupta, arXiv 1710.01878).
    """
    remaining = 1.0 - min(1.0, max(0.0, progress))
    return density + (1.0 - density) * remaining**3


def prune(network: nn.Module, density: float, allocation: Allocation = Allocation.GLOBAL) -> None:
    """Mask the weakest groups of weights by magnitude."""
    reset_scores(network)
    allocate(sparse_layers(network), density, allocation)
    fix_masks(network)


def fix_masks(network: nn.Module) -> None:
    """Mask what the scores choose now, and train the weights that are left."""
    freeze_masks(network)
    set_mode(network, LayerMode.MASKED)


@torch.no_grad()
def silence_dead_channels(network: nn.Module) -> None:
    """Force the batch norm output of every channel without weights to exactly zero.

    Otherwise such a channel is a constant, and removing it would change the network.
    """
    for normed in normed_convs(network):
        alive = torch.cat([_alive_rows(conv.mask) for conv in normed.convs])
        normed.norm.weight.mul_(alive)
        normed.norm.bias.mul_(alive)


def _alive_rows(mask: torch.Tensor) -> torch.Tensor:
    return mask.flatten(1).any(dim=1)


@torch.no_grad()
def apply_masks(network: nn.Module) -> None:
    """Set masked weights to zero for good, so that the stored weights are the sparse ones."""
    for layer in sparse_layers(network).values():
        layer.weight.mul_(layer.mask)
