"""The formula is the prediction at 0 and 1, and a mixture of networks between them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.space.cell_costs import CellCosts
from search.space.cell_encoding import encode_edges
from search.space.cell_interactions import MIXED_EDGES, mixed_edge
from search.space.cell_variants import CellSize
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.planned_space import PlannedSpace
from search.space.primitives import OPERATIONS
from search.space.sampling import random_genotype
from search.space.sparsity import Sparsity
from tests.search.space.tables import SMALL, sparse_table
from tests.search.space.test_cell_batch import CELLS, CHANNELS, light_cell

SPACE = PlannedSpace(
    channels=CHANNELS,
    cells=CELLS,
    task=SMALL,
    sparsity=Sparsity(pattern=SparsityPattern.BLOCK, density=0.2),
)
ESTIMATORS = {factor: SPACE.estimator(sparse_table(SPACE, factor)) for factor in (0.8, 1.2, 5.0)}
COSTS = {
    factor: CellCosts(estimator, CellSize(channels=CHANNELS, cells=CELLS, task=SMALL))
    for factor, estimator in ESTIMATORS.items()
}


def drawn(seed: int) -> Genotype:
    rng = np.random.default_rng(seed)
    if rng.random() < 0.5:
        normal, reduce = light_cell(rng), light_cell(rng)
        return Genotype(normal=normal, reduce=reduce, channels=CHANNELS, cells=CELLS)
    return random_genotype(rng, CHANNELS, CELLS).with_layers(())


def test_rows_are_in_the_order_of_edges() -> None:
    assert MIXED_EDGES[:5] == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    assert [mixed_edge(index, 1) for index in range(8)] == [1, 1, 3, 3, 6, 6, 10, 10]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 1_000_000), factor=st.sampled_from(sorted(COSTS)))
def test_encoded_genotypes_cost_what_is_predicted(seed: int, factor: float) -> None:
    genotypes = [drawn(seed), drawn(seed + 1)]
    edges = encode_edges(genotypes)
    found = COSTS[factor].latency_ms(edges)
    for latency_ms, genotype in zip(found, genotypes, strict=True):
        wanted = ESTIMATORS[factor].predict(build_graph(genotype, SMALL)).latency_ms
        assert latency_ms == pytest.approx(wanted, rel=1e-9)


def test_the_upper_end_is_that_of_the_calibration() -> None:
    edges = encode_edges([drawn(3)])
    costs = COSTS[0.8]
    upper = costs.latency_ms(edges, upper=True)
    wanted = ESTIMATORS[0.8].predict(build_graph(drawn(3), SMALL))
    assert upper == pytest.approx(wanted.latency_ms * (1 + 2.015 * 0.02), rel=1e-9)
    assert upper <= wanted.high_ms


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1_000_000), share=st.floats(0.0, 1.0))
def test_one_edge_between_two_operations_mixes_two_networks(seed: int, share: float) -> None:
    """The formula is linear in each edge, while no two nodes can be equal."""
    rng = np.random.default_rng(seed)
    first = random_genotype(rng, CHANNELS, CELLS, weighted=1.0).with_layers(())
    place, other = int(rng.integers(8)), list(first.normal)
    light = ("max_pool_3x3", "skip_connect")[rng.integers(2)]
    other[place] = (light, other[place][1])
    second = Genotype(normal=tuple(other), reduce=first.reduce, channels=CHANNELS, cells=CELLS)
    edges = encode_edges([first, second])
    costs = COSTS[5.0]
    ends = costs.latency_ms(edges)
    mixed = (1 - share) * edges[0] + share * edges[1]
    found = costs.latency_ms(mixed)
    assert found == pytest.approx((1 - share) * ends[0] + share * ends[1], rel=1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1_000_000), factor=st.sampled_from(sorted(COSTS)))
def test_gradient_agrees_with_differences(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    edges = rng.uniform(0.0, 0.4, size=(2, len(MIXED_EDGES), len(OPERATIONS)))
    direction, step = rng.normal(size=edges.shape), 1e-5
    ends = COSTS[factor].latency_ms(np.array([edges + step * direction, edges - step * direction]))
    latency_ms, gradient = COSTS[factor].gradient(edges)
    assert latency_ms == pytest.approx(COSTS[factor].latency_ms(edges), rel=1e-12)
    along = (gradient * direction).sum()
    assert along == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_equal_nodes_are_rare_but_met() -> None:
    """Else nothing above would notice when their sums were counted twice."""
    genotypes = [drawn(seed) for seed in range(200)]
    equal = [
        any(
            genotype.normal[2 * one : 2 * one + 2] == genotype.normal[2 * two : 2 * two + 2]
            for one, two in product(range(4), repeat=2)
            if one < two
        )
        for genotype in genotypes
    ]
    assert 5 < sum(equal) < 100
