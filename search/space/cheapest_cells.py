"""The cheapest cells of one kind in one regime: branch and bound over the nodes of a cell.

A partial cell costs at least what its edges cost in the cheapest form that each can be executed in,
every pool that it needs once, and the cheapest form of the convolutions that make its inputs. What
the formula of `cell_costs` adds to that is never negative, so a partial cell above the limit leads to
no cell below it. The answer is exact as long as at most _MOST_OPEN partial cells of a length are below
the limit, and _WHOLE times as many whole ones, which on measured tables they were; beyond, only those
of the lowest bounds are followed.
"""

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
import numpy.typing as npt

from search.space.cell_costs import KindCosts
from search.space.cell_interactions import INPUTS, MIXED_EDGES, POOL_COLUMNS, cell_interactions
from search.space.genotype import NODES, Edge
from search.space.primitives import OPERATIONS

_BEAM = 256  # partial cells that are followed to find a first limit
_MOST_OPEN = 2_000
_WHOLE = 10  # times as many whole cells are priced as partial ones are followed
_ROUNDING = 1e-9  # relative: sums in another order
_PLACES = INPUTS + 1  # where a pool reads: either input, or any node, of which some may be equal
_KEPT = range(1, len(OPERATIONS))  # all but `none`

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class PricedCell:
    """A cell, and what all cells of its kind cost together in a network."""

    edges: tuple[Edge, ...]
    total_ns: float


@dataclass(frozen=True, kw_only=True)
class _NodeChoices:
    """Every way to make one node: P pairs of edges."""

    ends: Ints  # (P, 2, 2): row of MIXED_EDGES and column of OPERATIONS of both edges
    least_ns: Floats  # (P,): of both edges, at least
    pools: Ints  # (P,): bits of the pools that they need


@dataclass(frozen=True, kw_only=True)
class _Open:
    """N partial cells of equally many nodes."""

    chosen: Ints  # (N, nodes): positions in the choices of each node
    least_ns: Floats  # (N,): without pools
    pools: Ints  # (N,): bits of the pools that they need


def cheapest_cells(costs: KindCosts, count: int, *, reduction: bool) -> list[PricedCell]:
    """Return the `count` cells that cost least, the cheapest first.

    Args:
        costs: of the kind, in one regime.
        count: how many.
        reduction: whether edges from the cell inputs halve the image.
    """
    choices = [_node_choices(costs, node) for node in range(NODES)]
    first = _completed(costs, choices, limit_ns=np.inf, most=_BEAM)
    totals = np.sort(_totals(costs, choices, first, reduction=reduction))
    limit_ns = float(totals[min(count, len(totals)) - 1]) * (1.0 + _ROUNDING)
    found = _completed(costs, choices, limit_ns=limit_ns, most=_MOST_OPEN)
    totals = _totals(costs, choices, found, reduction=reduction)
    return [
        PricedCell(edges=_edges(choices, found.chosen[index]), total_ns=float(totals[index]))
        for index in np.argsort(totals, kind="stable")[:count]
    ]


def _node_choices(costs: KindCosts, node: int) -> _NodeChoices:
    least_ns = costs.edges.min(axis=(-2, -1))
    pairs = [
        ((MIXED_EDGES.index((node, one)), a), (MIXED_EDGES.index((node, other)), b))
        for one, other in combinations(range(node + 2), 2)
        for a, b in product(_KEPT, repeat=2)
    ]
    ends = np.array(pairs)
    rows, columns = ends[..., 0], ends[..., 1]
    bits = _pool_bits()[rows, columns]
    return _NodeChoices(
        ends=ends, least_ns=least_ns[rows, columns].sum(axis=1), pools=bits[:, 0] | bits[:, 1]
    )


def _pool_bits() -> Ints:
    """Return (14, 8): the bit of the pool that an edge with an operation needs, or 0."""
    bits = np.zeros((len(MIXED_EDGES), len(OPERATIONS)), dtype=np.int64)
    for row, (_, source) in enumerate(MIXED_EDGES):
        for index, column in enumerate(POOL_COLUMNS):
            bits[row, column] = 1 << (min(source, INPUTS) * len(POOL_COLUMNS) + index)
    return bits


def _pool_prices(costs: KindCosts) -> Floats:
    """Return (64,): what the pools of each set of bits cost at least."""
    places = np.concatenate([costs.pools[:INPUTS], costs.pools[INPUTS:].min(axis=0)[None]])
    bits = np.arange(1 << (_PLACES * len(POOL_COLUMNS)))
    needed = bits[:, None] >> np.arange(_PLACES * len(POOL_COLUMNS)) & 1
    prices: Floats = needed @ places.ravel()
    return prices


def _completed(
    costs: KindCosts, choices: list[_NodeChoices], *, limit_ns: float, most: int
) -> _Open:
    """Return whole cells: all whose bound is within the limit, where there are not too many.

    At most `most` partial cells are followed, and _WHOLE times as many whole ones returned.
    """
    pool_prices = _pool_prices(costs)
    plain, rectified = costs.inputs[:, 0], costs.inputs[:, 1, :1]  # nothing is rectified and takes
    inputs_ns = np.concatenate([plain, rectified], axis=1).min(axis=1).sum()
    found = _Open(
        chosen=np.zeros((1, 0), dtype=np.int64),
        least_ns=np.array([inputs_ns]),
        pools=np.zeros(1, dtype=np.int64),
    )
    for node, of_node in enumerate(choices, start=1):
        least_ns = np.add.outer(found.least_ns, of_node.least_ns).ravel()
        pools = np.bitwise_or.outer(found.pools, of_node.pools).ravel()
        bounds = least_ns + pool_prices[pools]
        kept = np.flatnonzero(bounds <= limit_ns)
        room = _WHOLE * most if node == len(choices) else most
        if len(kept) > room:
            kept = kept[np.argpartition(bounds[kept], room)[:room]]
        before, choice = np.divmod(kept, len(of_node.pools))
        found = _Open(
            chosen=np.column_stack([found.chosen[before], choice]),
            least_ns=least_ns[kept],
            pools=pools[kept],
        )
    return found


def _totals(
    costs: KindCosts, choices: list[_NodeChoices], cells: _Open, *, reduction: bool
) -> Floats:
    """Return (N,): what whole cells cost."""
    x = np.zeros((len(cells.chosen), len(MIXED_EDGES), len(OPERATIONS)))
    cell = np.arange(len(x))[:, None]
    for node, of_node in enumerate(choices):
        ends = of_node.ends[cells.chosen[:, node]]
        x[cell, ends[..., 0], ends[..., 1]] = 1.0
    totals: Floats = costs.total(x, cell_interactions(x, reduction=reduction))
    return totals


def _edges(choices: list[_NodeChoices], chosen: Ints) -> tuple[Edge, ...]:
    return tuple(
        (OPERATIONS[column], MIXED_EDGES[row][1])
        for of_node, choice in zip(choices, chosen.tolist(), strict=True)
        for row, column in of_node.ends[choice].tolist()
    )
