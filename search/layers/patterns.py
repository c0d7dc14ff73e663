"""Masks over weights: which groups a sparsity pattern has, and keeping the best of them.

A group is what becomes zero together: one weight (unstructured), BLOCK_ROWS adjacent output
channels at one input index (block), or a whole output channel (channel). Weights are
(out, in / groups, kernel, kernel) for convolutions and (out, in) for linear layers.
"""

import torch
from torch import Tensor

from latency.operator import BLOCK_ROWS, SparsityPattern


def rows_per_group(pattern: SparsityPattern) -> int:
    """Return how many adjacent output channels share a mask entry."""
    return BLOCK_ROWS if pattern is SparsityPattern.BLOCK else 1


def group_scores(scores: Tensor, pattern: SparsityPattern) -> Tensor:
    """Return one score per group: the mean |score| of its members; differentiable.

    Shape: (ceil(out / BLOCK_ROWS), in, ...) for block, (out, 1, ...) for channel, else that of
    `scores`. A last block with fewer rows is averaged over the rows that it has.
    """
    magnitude = scores.abs()
    if pattern is SparsityPattern.CHANNEL:
        return magnitude.mean(dim=tuple(range(1, scores.dim())), keepdim=True)
    rows = rows_per_group(pattern)
    if rows == 1:
        return magnitude
    full = len(magnitude) // rows
    blocks = magnitude[: full * rows].view(full, rows, *scores.shape[1:]).mean(dim=1)
    if full * rows == len(magnitude):
        return blocks
    return torch.cat([blocks, magnitude[full * rows :].mean(dim=0, keepdim=True)])


def expand_groups(groups: Tensor, shape: torch.Size, pattern: SparsityPattern) -> Tensor:
    """Return the value of its group for each weight: the inverse of `group_scores` in shape."""
    if pattern is SparsityPattern.CHANNEL:
        return groups.expand(shape)
    rows = rows_per_group(pattern)
    if rows == 1:
        return groups
    return groups.unsqueeze(1).expand(-1, rows, *groups.shape[1:]).flatten(0, 1)[: shape[0]]


def group_sizes(shape: torch.Size, pattern: SparsityPattern) -> Tensor:
    """Return how many weights each group has, int64, in the shape of `group_scores`."""
    if pattern is SparsityPattern.CHANNEL:
        return torch.full((shape[0], *[1] * (len(shape) - 1)), shape[1:].numel())
    rows = rows_per_group(pattern)
    sizes = torch.full((-(-shape[0] // rows), *shape[1:]), rows)
    sizes[-1] -= len(sizes) * rows - shape[0]
    return sizes


def kept_groups(count: int, density: float) -> int:
    """Return how many of `count` groups a density keeps: rounded, at least one."""
    return max(1, min(count, round(density * count)))


def top_k_groups(groups: Tensor, density: float) -> Tensor:
    """Return the bool mask of the best groups, exactly `kept_groups` of them."""
    flat = groups.detach().flatten()
    best = torch.topk(flat, kept_groups(flat.numel(), density), sorted=False).indices
    mask = torch.zeros(flat.numel(), dtype=torch.bool, device=flat.device)
    return mask.index_fill_(0, best, True).view(groups.shape)


def top_k_mask(scores: Tensor, pattern: SparsityPattern, density: float) -> Tensor:
    """Return the bool mask, shaped as `scores`, that keeps the groups of the largest |score|.

    Raises:
        ValueError: the density is not above 0 and at most 1.
    """
    if not 0.0 < density <= 1.0:
        raise ValueError(f"mask: density must be above 0 and at most 1, got {density}")
    if pattern is SparsityPattern.DENSE:
        return torch.ones_like(scores, dtype=torch.bool)
    groups = top_k_groups(group_scores(scores.detach(), pattern), density)
    return expand_groups(groups, scores.shape, pattern).contiguous()
