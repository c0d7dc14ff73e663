"""How a density for the whole network becomes a density per layer.

`allocate_per_layer` is what DASS and HYDRA do. `allocate_global` uses one threshold for all layers
over LAMP scores (Lee et al., arXiv 2010.07611: a squared magnitude over the sum of the squared
magnitudes that are not smaller), above a floor per layer: without floors a depthwise layer at high
sparsity loses whole channels, and with it the operation that it belongs to.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from search.layers.patterns import group_scores, group_sizes
from search.layers.sparse import SparseLayer
from search.space.sparsity import Allocation


@dataclass(frozen=True, kw_only=True)
class _Ranked:
    """Groups of one layer, best first."""

    lamp: Tensor  # (groups,) scores, descending
    sizes: Tensor  # (groups,) weights in each
    floor: int  # groups that are kept in any case


def allocate(layers: Mapping[str, SparseLayer], density: float, allocation: Allocation) -> None:
    """Set the density of each layer so that all together keep `density` of their weights.

    Raises:
        ValueError: the density is not above 0 and at most 1.
    """
    if allocation is Allocation.PER_LAYER:
        allocate_per_layer(layers, density)
    else:
        allocate_global(layers, density)


def default_floors(layers: Mapping[str, SparseLayer]) -> dict[str, int]:
    """Return the weights that each layer keeps at least: one per output channel."""
    return {
        path: min(layer.weight.shape[0], layer.weight.numel()) for path, layer in layers.items()
    }


def allocate_per_layer(layers: Mapping[str, SparseLayer], density: float) -> None:
    """Give every layer the same density.

    Raises:
        ValueError: the density is not above 0 and at most 1.
    """
    _check_density(density)
    for layer in layers.values():
        layer.density = density


@torch.no_grad()
def allocate_global(
    layers: Mapping[str, SparseLayer], density: float, floors: Mapping[str, int] | None = None
) -> None:
    """Set the density of each layer so that all together keep `density` of their weights.

    Args:
        layers: by path; their scores rank the weights.
        density: fraction kept over all layers, above 0 and at most 1.
        floors: weights that a layer keeps at least; `default_floors` where not given. Where the
            floors alone exceed the density, they shrink in proportion, to one group at least.

    Raises:
        ValueError: the density is out of range.
    """
    _check_density(density)
    if not layers:
        return
    total = sum(layer.weight.numel() for layer in layers.values())
    target = round(density * total)
    floors = default_floors(layers) if floors is None else floors
    shrink = min(1.0, target / max(1, sum(floors.get(path, 0) for path in layers)))
    ranked = [_rank(layer, floors.get(path, 0) * shrink) for path, layer in layers.items()]
    for layer, groups, kept in zip(layers.values(), ranked, _fill(ranked, target), strict=True):
        layer.density = kept / groups.sizes.numel()


def _rank(layer: SparseLayer, floor_weights: float) -> _Ranked:
    scores = group_scores(layer.score, layer.pattern).flatten()
    order = scores.argsort(descending=True, stable=True)
    squared = scores[order].double().square()
    # Best first, so the sum up to a group is over those that are not smaller.
    lamp = squared / squared.cumsum(0).clamp_min(1e-300)
    sizes = group_sizes(layer.weight.shape, layer.pattern).flatten()[order.cpu()]
    reached = int((sizes.cumsum(0) < floor_weights).sum()) + 1
    return _Ranked(lamp=lamp.cpu(), sizes=sizes, floor=min(reached, sizes.numel()))


def _fill(ranked: list[_Ranked], target: int) -> list[int]:
    """Return how many groups each layer keeps: its floor, then the best of what all have left."""
    kept = [groups.floor for groups in ranked]
    room = target - sum(int(groups.sizes[: groups.floor].sum()) for groups in ranked)
    owners = torch.cat(
        [torch.full((g.sizes.numel() - g.floor,), index) for index, g in enumerate(ranked)]
    )
    lamp = torch.cat([groups.lamp[groups.floor :] for groups in ranked])
    sizes = torch.cat([groups.sizes[groups.floor :] for groups in ranked])
    order = lamp.argsort(descending=True, stable=True)
    taken = order[sizes[order].cumsum(0) <= room]
    for index, count in enumerate(torch.bincount(owners[taken], minlength=len(ranked)).tolist()):
        kept[index] += count
    return kept


def _check_density(density: float) -> None:
    if not 0.0 < density <= 1.0:
        raise ValueError(f"allocation: density must be above 0 and at most 1, got {density}")
