"""Other ways to make one edge of a cell, ranked by what they lose per millisecond."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from search.finalize.derive import NONE, Alphas
from search.space.cell_costs import CellCosts
from search.space.cell_encoding import encode_edges
from search.space.cell_interactions import mixed_edge
from search.space.genotype import EDGES, Edge, Genotype
from search.space.primitives import OPERATIONS

_LEAST_CHANGE = 1e-9  # of the latency: less is rounding
_LEAST_LOSS = 1e-6  # a swap that the alphas prefer counts as almost free


@dataclass(frozen=True, kw_only=True)
class Swap:
    """One edge made in another way."""

    kind: str  # of the cell
    index: int  # of the edge
    edge: Edge
    loss: float  # of log-probability


def cheaper_swap(genotype: Genotype, scores: dict[str, Alphas], costs: CellCosts) -> Swap | None:
    """Return the swap that loses least per millisecond, of those that make the network faster."""
    swaps = _all_swaps(genotype, scores)
    latency_ms, moved_ms = _latencies(genotype, swaps, costs)
    ranked = (
        (_loss_per_ms(swap, latency_ms - ms), swap)
        for swap, ms in zip(swaps, moved_ms, strict=True)
        if latency_ms - ms > _LEAST_CHANGE * latency_ms
    )
    return min(ranked, key=lambda found: found[0], default=(0.0, None))[1]


def dearer_swaps(
    genotype: Genotype, scores: dict[str, Alphas], costs: CellCosts, budget_ms: float
) -> list[Swap]:
    """Return the swaps that make the network slower and may keep the budget, as `cheaper_swap` ranks."""
    swaps = _all_swaps(genotype, scores)
    latency_ms, moved_ms = _latencies(genotype, swaps, costs, upper=True)
    ranked = [
        (_loss_per_ms(swap, ms - latency_ms), swap)
        for swap, ms in zip(swaps, moved_ms, strict=True)
        if _LEAST_CHANGE * latency_ms < ms - latency_ms and ms <= budget_ms
    ]
    return [swap for _, swap in sorted(ranked, key=lambda found: found[0])]


def _loss_per_ms(swap: Swap, ms: float) -> float:
    return max(_LEAST_LOSS, swap.loss) / ms


def _latencies(
    genotype: Genotype, swaps: Sequence[Swap], costs: CellCosts, *, upper: bool = False
) -> tuple[float, list[float]]:
    """Return the latency of the network, and those of the networks that the swaps make of it."""
    edges = encode_edges([genotype, *(apply_swap(genotype, swap) for swap in swaps)])
    first, *others = costs.latency_ms(edges, upper=upper).tolist()
    return first, others


def _all_swaps(genotype: Genotype, scores: dict[str, Alphas]) -> list[Swap]:
    return [
        swap
        for kind in ("normal", "reduce")
        for index in range(EDGES)
        for swap in _swaps(genotype, kind, index, scores[kind])
    ]


def _swaps(genotype: Genotype, kind: str, index: int, scores: Alphas) -> list[Swap]:
    """Return every other way to make one edge; a node reads two different inputs."""
    edges: tuple[Edge, ...] = getattr(genotype, kind)
    operation, source = edges[index]
    taken = edges[index ^ 1][1]
    now = scores[mixed_edge(index, source), OPERATIONS.index(operation)]
    return [
        Swap(
            kind=kind,
            index=index,
            edge=(name, other),
            loss=float(now - scores[mixed_edge(index, other), column]),
        )
        for other in sorted(set(range(index // 2 + 2)) - {taken})
        for column, name in enumerate(OPERATIONS)
        if column != NONE and (name, other) != (operation, source)
    ]


def apply_swap(genotype: Genotype, swap: Swap) -> Genotype:
    """Return the network with one edge changed, at the widths that it has."""
    edges: tuple[Edge, ...] = getattr(genotype, swap.kind)
    changed = (*edges[: swap.index], swap.edge, *edges[swap.index + 1 :])
    if swap.kind == "normal":
        return replace(genotype, normal=changed)
    return replace(genotype, reduce=changed)
