"""Branch and bound finds the cheapest cells, held against all cells of a part of the space."""

from functools import lru_cache
from itertools import combinations, product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.space.cell_costs import KindCosts
from search.space.cell_interactions import (
    INPUTS,
    MIXED_EDGES,
    SOURCES,
    CellInteractions,
    cell_interactions,
)
from search.space.cheapest_cells import cheapest_cells
from search.space.genotype import NODES, Edge
from search.space.primitives import OPERATIONS
from search.space.sampling import CHOICES

Floats = npt.NDArray[np.float64]

SOURCE_PAIRS = list(product(*(combinations(range(node + 2), 2) for node in range(NODES))))


def random_costs(seed: int) -> KindCosts:
    """Return costs of any sort: forms of one operator may cost more or less than each other."""
    rng = np.random.default_rng(seed)
    weight = rng.choice([0.0, 0.3, 1.0, 3.0])  # of what depends on the form
    edges = rng.exponential(3.0, size=(len(MIXED_EDGES), len(OPERATIONS), 1, 1))
    edges = edges + weight * rng.uniform(size=(*edges.shape[:2], 2, 2))
    edges[:, [OPERATIONS.index(name) for name in ("max_pool_3x3", "avg_pool_3x3")]] = 0.0
    later = [row for row, (_, source) in enumerate(MIXED_EDGES) if source >= INPUTS]
    edges[later, OPERATIONS.index("skip_connect")] = 0.0
    return KindCosts(
        edges=edges,
        inputs=5.0 + weight * rng.uniform(size=(INPUTS, 2, 2)),
        sum_ns=float(rng.exponential(1.0)),
        relus=rng.exponential(0.5, size=SOURCES),
        pools=rng.exponential(2.0, size=(SOURCES, 2)),
    )


@lru_cache(maxsize=4)
def all_cells(first: str, second: str) -> Floats:
    """Return every cell of two operations, encoded: (180 * 256, 14, 8)."""
    columns = [OPERATIONS.index(first), OPERATIONS.index(second)]
    chosen = np.array(list(product(columns, repeat=2 * NODES)))
    found = np.zeros((len(SOURCE_PAIRS), len(chosen), len(MIXED_EDGES), len(OPERATIONS)))
    cell = np.arange(len(chosen))
    for index, pairs in enumerate(SOURCE_PAIRS):
        ends = [(node, source) for node, pair in enumerate(pairs) for source in pair]
        for edge, end in enumerate(ends):
            found[index, cell, MIXED_EDGES.index(end), chosen[:, edge]] = 1.0
    return found.reshape(-1, *found.shape[2:])


@lru_cache(maxsize=4)
def all_interactions(first: str, second: str, *, reduction: bool) -> CellInteractions:
    """Return what is executed in each of `all_cells`."""
    return cell_interactions(all_cells(first, second), reduction=reduction)


def totals_of(costs: KindCosts, cells: list[list[Edge]], *, reduction: bool) -> Floats:
    x = np.zeros((len(cells), len(MIXED_EDGES), len(OPERATIONS)))
    for cell, edges in enumerate(cells):
        for index, (operation, source) in enumerate(edges):
            x[cell, MIXED_EDGES.index((index // 2, source)), OPERATIONS.index(operation)] = 1.0
    totals: Floats = costs.total(x, cell_interactions(x, reduction=reduction))
    return totals


def only(costs: KindCosts, names: tuple[str, ...]) -> KindCosts:
    """Return the costs with every other operation far too expensive."""
    edges = costs.edges.copy()
    for column, name in enumerate(OPERATIONS):
        if name not in names:
            edges[:, column] = 1e6
    return KindCosts(
        edges=edges,
        inputs=costs.inputs,
        sum_ns=costs.sum_ns,
        relus=costs.relus,
        pools=costs.pools,
    )


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize(
    "names", [("skip_connect", "max_pool_3x3"), ("skip_connect", "dil_conv_3x3")]
)
@pytest.mark.parametrize("seed", range(2))
def test_no_cell_of_two_operations_is_cheaper(
    names: tuple[str, str], seed: int, *, reduction: bool
) -> None:
    costs = only(random_costs(seed), names)
    totals = costs.total(all_cells(*names), all_interactions(*names, reduction=reduction))
    found = cheapest_cells(costs, 5, reduction=reduction)
    assert [cell.total_ns for cell in found] == pytest.approx(np.sort(totals)[:5].tolist())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 100_000), reduction=st.booleans())
def test_no_change_of_two_edges_makes_the_cheapest_cheaper(seed: int, *, reduction: bool) -> None:
    costs = random_costs(seed)
    (best,) = cheapest_cells(costs, 1, reduction=reduction)
    rng = np.random.default_rng(seed)
    cells = [list(best.edges) for _ in range(200)]
    for edges in cells[1:]:
        for node in rng.choice(NODES, size=2, replace=False).tolist():
            pair = sorted(rng.choice(node + 2, size=2, replace=False).tolist())
            edges[2 * node : 2 * node + 2] = [(str(rng.choice(CHOICES)), end) for end in pair]
    totals = totals_of(costs, cells, reduction=reduction)
    assert best.total_ns == pytest.approx(float(totals[0]))
    assert totals.min() >= best.total_ns - 1e-9


def test_cells_that_cost_nothing_are_found_as_well() -> None:
    """As many partial cells are open as there can be: only some of them are followed."""
    free = KindCosts(
        edges=np.zeros((len(MIXED_EDGES), len(OPERATIONS), 2, 2)),
        inputs=np.zeros((INPUTS, 2, 2)),
        sum_ns=0.0,
        relus=np.zeros(SOURCES),
        pools=np.zeros((SOURCES, 2)),
    )
    found = cheapest_cells(free, 3, reduction=True)
    assert [cell.total_ns for cell in found] == [0.0, 0.0, 0.0]
    assert len({cell.edges for cell in found}) == 3
