"""Layers in int8 by knapsack, held against every other choice on networks that are small enough."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.execution import executed_nodes, with_possible_int8
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.operator import OperatorKind
from latency.table import LatencyTable
from search.finalize.int8_layers import UnmeasuredError, allocate_int8, int8_operators
from search.finalize.repair import BudgetInfeasibleError
from search.space.stage_genotype import BlockKind, Stage, StageGenotype
from search.space.stage_networks import build_stages
from tests.search.space.tables import SMALL, exact_table

PLAIN = Stage(kind=BlockKind.PLAIN, width=8, depth=1)
BASIC = replace(PLAIN, kind=BlockKind.BASIC)
MOBILE = replace(PLAIN, kind=BlockKind.PROJECTED, expansion=2)
DOWN = replace(PLAIN, width=16, stride=2)


def network(*stages: Stage) -> NetworkGraph:
    return build_stages(StageGenotype(stem=8, stages=stages), SMALL)


# A block whose shortcut is what it reads, and one whose shortcut is a convolution of it.
GRAPH = network(BASIC, DOWN, PLAIN)
NETWORKS = {
    "residual": GRAPH,
    "shortcut": network(PLAIN, replace(DOWN, kind=BlockKind.BASIC), PLAIN),
    "mobile": network(MOBILE, DOWN, PLAIN),
}


def int8_table(graph: NetworkGraph, seed: int) -> LatencyTable:
    """Return exact prices of a network in float32 and int8; conversions are anything from nothing."""
    base = exact_table(graph)
    rng = np.random.default_rng(seed)
    dense = {row.spec: row.median_ns for row in base.rows}
    rows = []
    for spec in int8_operators(graph):
        same = replace(spec, dtype="float32")
        share = rng.uniform(0.2, 1.1) if spec.dtype == "int8" else rng.uniform(0.0, 0.6)
        price = share * dense.get(same, 1500.0)
        rows.append(replace(base.rows[0], spec=spec, median_ns=price))
    return replace(base, rows=(*base.rows, *rows), library=None)


def losses(graph: NetworkGraph, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {node.name: rng.uniform(0.01, 1.0) for node in graph.nodes if node.parameters}


def every_choice(
    graph: NetworkGraph, estimator: TableEstimator, lost: dict[str, float]
) -> list[tuple[float, float]]:
    """Return (upper end of the interval, distortion) of each choice of int8 operators.

    ReLUs follow the sum before them, because the runtime removes them with it or not at all.
    """
    free = [n.name for n in graph.nodes if n.spec.kind is not OperatorKind.RELU]
    relus = {n.inputs[0]: n.name for n in graph.nodes if n.spec.kind is OperatorKind.RELU}
    found = []
    for size in range(len(free) + 1):
        for names in combinations(free, size):
            both = [*names, *(relus[name] for name in names if name in relus)]
            chosen = with_possible_int8(graph, both)
            if set(chosen.int8_names) != set(both):
                continue
            high_ms = estimator.predict_form(chosen).high_ms
            found.append((high_ms, sum(lost.get(name, 0.0) for name in names)))
    return found


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=4, deadline=None)
@given(seed=st.integers(0, 1000), share=st.floats(0.0, 1.0))
def test_no_choice_within_the_budget_distorts_less(name: str, seed: int, share: float) -> None:
    graph = NETWORKS[name]
    estimator, lost = TableEstimator(int8_table(graph, seed)), losses(graph, seed)
    every = every_choice(graph, estimator, lost)
    least_ms, most_ms = min(every)[0], max(every)[0]
    budget_ms = least_ms + share * (most_ms - least_ms) + 2e-5
    found = allocate_int8(graph, estimator, lost, budget_ms)
    assert found.prediction.high_ms <= budget_ms
    assert found.prediction == estimator.predict(found.graph)
    assert found.distortion == pytest.approx(sum(lost.get(n, 0) for n in found.graph.int8_names))
    # A capacity is found to a thousandth of its range, and prices are whole nanoseconds.
    dearest = sum(estimator.price(node.spec).ns for node in executed_nodes(graph))
    slack_ms = 2e-3 * 2 * dearest * 1e-6 + 2e-5
    best = min((lost for high_ms, lost in every if high_ms <= budget_ms - slack_ms), default=np.inf)
    assert found.distortion <= best + 1e-9
    assert found.lower_bound <= best + 1e-9


def test_a_rich_budget_leaves_all_float32_and_too_small_a_one_names_what_can_be_met() -> None:
    estimator, lost = TableEstimator(int8_table(GRAPH, 3)), losses(GRAPH, 3)
    dense_ms = estimator.predict(GRAPH).high_ms
    rich = allocate_int8(GRAPH, estimator, lost, dense_ms)
    assert (rich.graph, rich.distortion) == (GRAPH, 0.0)
    with pytest.raises(BudgetInfeasibleError, match="no choice of int8 layers") as error:
        allocate_int8(GRAPH, estimator, lost, 0.01 * dense_ms)
    smallest_ms = error.value.smallest_feasible_ms
    found = allocate_int8(GRAPH, estimator, lost, smallest_ms)
    assert found.prediction.high_ms <= smallest_ms < dense_ms


def test_what_has_no_row_in_int8_stays_float32() -> None:
    table = int8_table(GRAPH, 0)
    rows = tuple(row for row in table.rows if row.spec.dtype == "float32" or row.spec.kernel == 3)
    estimator = TableEstimator(replace(table, rows=rows))
    lost = losses(GRAPH, 0)
    allowed = {n.name for n in GRAPH.nodes if n.spec.kernel == 3}
    dense_ms = estimator.predict(GRAPH).high_ms
    found = allocate_int8(GRAPH, estimator, lost, 0.9 * dense_ms)
    assert set(found.graph.int8_names) <= allowed
    assert found.graph.int8_names


def test_a_table_without_int8_says_what_to_measure() -> None:
    estimator = TableEstimator(replace(exact_table(GRAPH), library=None))
    with pytest.raises(UnmeasuredError, match="prices no layer of this network in int8") as error:
        allocate_int8(GRAPH, estimator, losses(GRAPH, 0), 1.0)
    for spec in int8_operators(GRAPH):
        assert spec.label() in str(error.value)


def test_a_layer_without_a_distortion_is_named() -> None:
    lost = losses(GRAPH, 0)
    del lost["stem"]
    with pytest.raises(ValueError, match=r"no distortion of \['stem'\]"):
        allocate_int8(GRAPH, TableEstimator(int8_table(GRAPH, 0)), lost, 1.0)
