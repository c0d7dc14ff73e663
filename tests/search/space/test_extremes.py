"""The smallest and the largest network bound all others."""

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.finalize.derive import derive_genotype
from search.finalize.repair import BudgetInfeasibleError, RepairPath
from search.space.cell_costs import CellCosts
from search.space.cell_encoding import encode_edges
from search.space.cell_variants import CellSize
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.sparsity import PlannedEstimator
from tests.search.space.tables import (
    SMALL,
    formula_table,
    planned_space,
    some_genotype,
    sparse_table,
)
from tests.search.space.test_cell_batch import light_cell

SPACE = planned_space()
SIZE = (SPACE.channels, SPACE.cells, SMALL)
TABLES = {
    "stock": lambda: formula_table(*SIZE),
    "library": lambda: sparse_table(SPACE, 0.8),
    "both": lambda: sparse_table(SPACE, 1.2),
}


@lru_cache
def estimator_of(name: str) -> PlannedEstimator:
    return SPACE.estimator(TABLES[name]())


@lru_cache
def costs_of(name: str) -> CellCosts:
    size = CellSize(channels=SPACE.channels, cells=SPACE.cells, task=SMALL)
    return CellCosts(estimator_of(name), size)


@pytest.mark.parametrize("name", TABLES)
def test_the_smallest_has_its_prediction(name: str) -> None:
    smallest, prediction = smallest_genotype(estimator_of(name), *SIZE)
    assert prediction == estimator_of(name).predict(build_graph(smallest, SMALL))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1_000_000), name=st.sampled_from(sorted(TABLES)))
def test_no_network_ends_lower_than_the_smallest(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    genotypes = [some_genotype(seed + index).with_layers(()) for index in range(20)]
    genotypes += [
        replace(genotypes[0], normal=light_cell(rng), reduce=light_cell(rng)) for _ in range(100)
    ]
    _, prediction = smallest_genotype(estimator_of(name), *SIZE)
    upper = costs_of(name).latency_ms(encode_edges(genotypes), upper=True)
    low = estimator_of(name).predict(build_graph(genotypes[int(upper.argmin())], SMALL)).high_ms
    assert prediction.high_ms <= low * (1 + 1e-9)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100_000), name=st.sampled_from(sorted(TABLES)))
def test_no_repair_gets_below_the_smallest(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    alphas = {kind: rng.normal(size=(14, 8)) for kind in ("normal", "reduce")}
    derived = derive_genotype(**alphas, channels=SIZE[0], cells=SIZE[1])
    least_ms = smallest_genotype(estimator_of(name), *SIZE)[1].high_ms
    path = RepairPath(derived, alphas, SMALL, estimator_of(name))
    fitted, _ = path.fit(least_ms)
    assert fitted.prediction.high_ms <= least_ms
    with pytest.raises(BudgetInfeasibleError) as refused:
        path.fit(0.999 * least_ms)
    assert refused.value.smallest_feasible_ms == least_ms


def test_largest_is_above_random_networks() -> None:
    estimator = estimator_of("stock")
    _, prediction = largest_genotype(estimator, *SIZE)
    graphs = [build_graph(some_genotype(seed), SMALL) for seed in range(150)]
    assert prediction.latency_ms > max(estimator.predict(graph).latency_ms for graph in graphs)
