"""Controls are under the same budget by the same table, and no easier to beat than need be."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.operator import Regime, SparsityPattern
from latency.table import LatencyTable, TableRow
from search.controls.candidates import (
    dense_network,
    int8_network,
    int8_prediction,
    random_network,
)
from search.controls.space import SearchedSpace
from search.engine.problem import PricedDevice
from search.finalize.repair import BudgetInfeasibleError
from search.problems.choice import problem_of
from search.requests import MIN_CHANNELS, DatasetRef, SearchRequest
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.genotype import Genotype
from search.space.sparsity import PlannedEstimator
from search.space.stage_genotype import StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_space import StageSpace
from tests.search.space.tables import SMALL, formula_table, some_genotype, sparse_table

CHANNELS, CELLS = 8, 3
REQUEST = SearchRequest(
    dataset=DatasetRef(format="digits", image_size=8),
    channels=CHANNELS,
    cells=CELLS,
    density=0.2,
    budget_ms=1.0,
    pattern=SparsityPattern.BLOCK,
)
STOCK = formula_table(CHANNELS, CELLS, SMALL)
BOTH = sparse_table(REQUEST.search_space(SMALL), 1.0)
STOCK_PRICES, BOTH_PRICES = (
    REQUEST.search_space(SMALL).estimator(table) for table in (STOCK, BOTH)
)
SMALLEST_MS, LARGEST_MS = (
    end(STOCK_PRICES, CHANNELS, CELLS, SMALL)[1].high_ms
    for end in (smallest_genotype, largest_genotype)
)


def space_with(budget_ms: float, prices: PlannedEstimator = STOCK_PRICES) -> SearchedSpace:
    device = PricedDevice(device="", estimator=prices, budget_ms=budget_ms)
    return SearchedSpace(problem_of(replace(REQUEST, budget_ms=budget_ms), SMALL), [device])


def space_at(share: float, prices: PlannedEstimator = STOCK_PRICES) -> SearchedSpace:
    """Return the space with a budget so far from the smallest network to the largest."""
    return space_with(SMALLEST_MS + share * (LARGEST_MS - SMALLEST_MS), prices)


def with_int8_rows(table: LatencyTable, factor: float) -> LatencyTable:
    """Return the table with a row in int8 for every dense operator with weights."""
    rows: list[TableRow] = []
    for row in table.rows:
        if row.spec.weight_shape is not None:
            spec = replace(row.spec, dtype="int8")
            rows.append(replace(row, spec=spec, median_ns=factor * row.median_ns))
    return replace(table, rows=table.rows + tuple(rows))


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 1.0))
def test_a_random_network_is_within_the_budget_and_about_as_slow(seed: int, share: float) -> None:
    space = space_at(share)
    goal_ms = SMALLEST_MS + 0.99 * share * (LARGEST_MS - SMALLEST_MS)
    found = random_network(space, seed, goal_ms / space.devices[0].budget_ms)
    assert found.predictions[0] is not None
    assert found.predictions[0].high_ms <= space.devices[0].budget_ms
    # In between there is a random network as slow as that; the largest ones are rare.
    assert found.predictions[0].high_ms >= (0.9 if share < 0.5 else 0.5) * goal_ms


def test_the_seed_decides_which_network_is_drawn() -> None:
    space = space_at(0.5)
    drawn = [random_network(space, seed, 1.0).genotype for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) == 3


def test_a_budget_that_no_network_meets_is_refused() -> None:
    with pytest.raises(BudgetInfeasibleError):
        random_network(space_at(-0.1), 0, 1.0)


def dense_high_ms(genotype: Genotype, prices: PlannedEstimator = STOCK_PRICES) -> float:
    return prices.plain.predict(build_graph(genotype, SMALL)).high_ms


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 1000),
    share=st.floats(-0.2, 1.2),
    regimes=st.sampled_from(["stock", "both"]),
)
def test_the_dense_control_is_the_widest_within_the_budget(
    seed: int, share: float, regimes: str
) -> None:
    prices = {"stock": STOCK_PRICES, "both": BOTH_PRICES}[regimes]
    space, searched = space_at(share, prices), some_genotype(seed, CHANNELS, CELLS)
    found = dense_network(space, searched)
    latencies = {
        width: dense_high_ms(replace(searched, channels=width), prices)
        for width in range(MIN_CHANNELS, CHANNELS + 1)
    }
    fitting = [
        width for width, high_ms in latencies.items() if high_ms <= space.devices[0].budget_ms
    ]
    if found is None:
        assert fitting == []
    else:
        assert found.genotype == replace(searched, channels=max(fitting))
        assert found.predictions[0] is not None
        assert found.predictions[0].high_ms == latencies[max(fitting)]


def test_without_rows_in_int8_the_full_width_is_taken_and_nothing_predicted() -> None:
    searched = some_genotype(1, CHANNELS, CELLS)
    found = int8_network(space_at(0.0), searched, None)
    assert found is not None
    assert (found.genotype, found.predictions) == (searched, (None,))


@pytest.mark.parametrize("factor", [0.1, 1.0, 10.0])
def test_int8_is_the_widest_in_budget_and_never_narrower_than_dense(factor: float) -> None:
    table = with_int8_rows(STOCK, factor)
    searched = some_genotype(8, CHANNELS, CELLS)
    full_ms = dense_high_ms(searched)
    smallest = replace(searched, channels=MIN_CHANNELS)
    budget_ms = (full_ms + dense_high_ms(smallest)) / 2
    prices = REQUEST.search_space(SMALL).estimator(table)
    space = space_with(budget_ms, prices)
    dense = dense_network(space, searched)
    assert dense is not None
    assert isinstance(dense.genotype, Genotype)
    assert MIN_CHANNELS <= dense.genotype.channels < CHANNELS
    found = int8_network(space, searched, dense)
    assert found is not None
    assert isinstance(found.genotype, Genotype)
    assert found.predictions[0] is not None
    if factor < 1.0:
        assert found.genotype.channels > dense.genotype.channels
        assert found.predictions[0].high_ms <= budget_ms
    if factor > 1.0:
        assert found.genotype == dense.genotype
        assert int8_network(space, searched, None) is None


def test_int8_is_priced_by_its_own_rows_in_the_stock_regime() -> None:
    graph = build_graph(some_genotype(8, CHANNELS, CELLS), SMALL)
    plain = TableEstimator(STOCK).predict(graph)
    assert int8_prediction(TableEstimator(STOCK), graph) is None
    half = int8_prediction(TableEstimator(with_int8_rows(STOCK, 0.5)), graph)
    assert half is not None
    assert 0.5 * plain.latency_ms < half.latency_ms < plain.latency_ms
    assert half.regime is Regime.STOCK
    assert half.measured == plain.measured


def test_networks_of_stages_have_controls_too() -> None:
    stages = StageSpace(width=CHANNELS, task=SMALL, density=REQUEST.density)
    prices = stages.estimator(sparse_table(stages, 1.0))
    request = replace(REQUEST, space="stages", budget_ms=1.5 * stages.smallest(prices).high_ms)
    device = PricedDevice(device="", estimator=prices, budget_ms=request.budget_ms)
    space = SearchedSpace(problem_of(request, SMALL), [device])
    drawn = [random_network(space, seed, 1.0) for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    for network in drawn:
        assert network.predictions[0] is not None
        assert network.predictions[0].high_ms <= request.budget_ms
    searched = drawn[0].genotype
    assert isinstance(searched, StageGenotype)
    widths = list(space.widths(searched))
    assert widths[0] == searched
    assert [w.stem for w in widths if isinstance(w, StageGenotype)] == [8, 7, 6, 5, 4]
    costs = [build_stages(w, SMALL) for w in widths if isinstance(w, StageGenotype)]
    macs = [sum(spec.macs for spec in graph.operators) for graph in costs]
    assert macs == sorted(macs, reverse=True)
    dense = dense_network(space, searched)
    assert dense is None or (
        dense.predictions[0] is not None and dense.predictions[0].high_ms <= request.budget_ms
    )
