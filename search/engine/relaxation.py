"""What the tables of alphas mean: how they mix operations, and which network they stand for.

A softmax makes probabilities of them, and they are logits to whoever prices or derives. Mixed paths
(`search.objective.proximal`) are coefficients themselves. A genotype has two edges a node and one
operation an edge, so they are read as logits like this: the probability of an operation is the size
of its coefficient over (a little more than) those of the strongest edge of its table together, and
`none` has what is left of an edge. Hence an edge keeps its largest coefficient, a node its two edges
with the largest ones, whatever their signs; where fewer than two survive, skips fill up.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from search.engine.recipes import Relaxation, SearchRecipe
from search.objective.proximal import shrink_paths
from search.space.primitives import OPERATIONS
from search.supernet.architecture import NONE

_SKIP = OPERATIONS.index("skip_connect")
# Probability of an operation whose coefficient is zero, so that logits are finite; a skip has twice
# as much.
_ZERO = 1e-6
_WHOLE = 1.001  # times the sizes of the strongest edge: what is left for its `none` is not zero


@runtime_checkable
class PricesPaths(Protocol):
    """A latency term that knows what each operation of each edge costs."""

    def prices_ms(self) -> Tensor:
        """Return what an operation adds, in milliseconds, (tables, 14, 8); at least 0."""
        ...


def mixture_of(tables: Sequence[Tensor], relaxation: Relaxation) -> list[Tensor]:
    """Return what the supernet weighs operations with, differentiable in the tables."""
    if relaxation is Relaxation.MIXED_PATH:
        return [table.clone() for table in tables]
    return [torch.softmax(table, dim=1) for table in tables]


def logits_of(tables: Sequence[Tensor], relaxation: Relaxation) -> list[Tensor]:
    """Return the alphas as pricing and derivation read them, differentiable in the tables."""
    if relaxation is Relaxation.MIXED_PATH:
        return [_path_logits(table) for table in tables]
    return list(tables)


class MixedPaths:
    """Start and proximal steps of coefficients.

    Args:
        recipe: says how far a step goes.
        tables: (14, 8) each; changed in place.
        latency: the dearer an operation is by it, the sooner its coefficient becomes zero; half of
            a step is alike for all, because a free operation would never leave. Without prices all
            of it is.
    """

    def __init__(self, recipe: SearchRecipe, tables: Sequence[Tensor], latency: object) -> None:
        self._tables = tables
        prices = torch.ones(len(tables), *tables[0].shape)
        if isinstance(latency, PricesPaths):
            prices = latency.prices_ms()
        weighed = prices.float() / prices[..., NONE + 1 :].mean()
        self._l1 = recipe.alpha_lr * recipe.path_l1 * 0.5 * (1.0 + weighed)
        self._l2 = recipe.alpha_lr * recipe.path_l2

    @torch.no_grad()
    def step(self) -> None:
        """Take the proximal step that follows a step of the optimiser."""
        for table, l1 in zip(self._tables, self._l1, strict=True):
            table.copy_(shrink_paths(table, l1, self._l2))


@torch.no_grad()
def start_paths(tables: Sequence[Tensor]) -> None:
    """Move tables near zero to where the softmax starts: equal coefficients that add up to one."""
    for table in tables:
        table.add_(1.0 / table.shape[1])
        table[:, NONE] = 0.0


def open_share(tables: Sequence[Tensor]) -> float:
    """Return the share of coefficients that are not zero."""
    return float(
        torch.cat([table[:, NONE + 1 :].detach() != 0.0 for table in tables]).float().mean()
    )


def _path_logits(table_EO: Tensor) -> Tensor:
    """Return log probabilities, see the head of this file; every row adds up to one."""
    size_EO = table_EO.abs()[:, NONE + 1 :]
    whole = _WHOLE * size_EO.sum(dim=1).detach().max().clamp_min(_ZERO)
    floor_O = torch.full_like(size_EO[0], _ZERO)
    floor_O[_SKIP - NONE - 1] *= 2.0
    share_EO = (size_EO / whole).clamp_min(floor_O)
    rest_E1 = 1.0 - share_EO.sum(dim=1, keepdim=True)
    return torch.cat([rest_E1, share_EO], dim=1).log()
