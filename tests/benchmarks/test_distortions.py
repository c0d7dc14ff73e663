"""Ranks, drawn plans, and what a benchmark of estimates says of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.distortions import Judged, correlations
from benchmarks.drawn_plans import drawn_plan
from benchmarks.network_table import layer_forms
from benchmarks.ranks import kendall, spearman
from latency.estimate.execution import executed_nodes
from latency.library_form import row_spec
from latency.operator import Regime
from search.compress.request import Mapping
from search.finalize.densities import SPARSE_OPTIONS, prunable_layers, sparse_operator
from search.finalize.network_energies import network_energies
from tests.search.compress.small_parent import GRAPH, estimator, planner, stages

NUMBERS = st.lists(st.integers(-5, 5).map(float), min_size=3, max_size=12, unique=True)


@given(numbers=NUMBERS)
def test_ranks_see_order_alone(numbers: list[float]) -> None:
    bent = [value**3 + 7.0 for value in numbers]
    for coefficient in (spearman, kendall):
        assert coefficient(numbers, bent) == pytest.approx(1.0)
        assert coefficient(numbers, [-value for value in bent]) == pytest.approx(-1.0)
        assert coefficient(numbers, [1.0] * len(numbers)) == 0.0


def test_ranks_of_a_known_case() -> None:
    one, other = [1.0, 2.0, 2.0, 3.0], [1.0, 3.0, 2.0, 4.0]
    assert spearman(one, other) == pytest.approx(0.9486833)
    assert kendall(one, other) == pytest.approx(5 / np.sqrt(30))


@settings(max_examples=3, deadline=None)
@given(seed=st.integers(0, 1000))
def test_drawn_plans_fill_the_budget_and_differ(seed: int) -> None:
    one, energies = planner(0.7, Mapping.SEARCH), network_energies(stages())
    rng = np.random.default_rng(seed)
    plans = [drawn_plan(one, energies, rng) for _ in range(3)]
    for plan in plans:
        assert 0.85 * one.budget_ms <= plan.prediction.high_ms <= one.budget_ms
    assert len({tuple(plan.chosen.items()) for plan in plans}) == 3


def test_correlations_are_taken_within_each_budget() -> None:
    """Over both budgets together `a` would look right, because less budget loses more."""
    judged = [
        Judged(share=share, label="drawn", predicted_ms=1.0, sums={"a": a, "b": b}, loss=b, error=0)
        for share, a, b in [(0.6, 2.0, 1.0), (0.6, 1.0, 2.0), (0.4, 9.0, 8.0), (0.4, 8.0, 9.0)]
    ]
    found = correlations(judged, "loss")
    assert found["a"] == pytest.approx((-1.0, -1.0))
    assert found["b"] == pytest.approx((1.0, 1.0))


def test_a_network_table_has_every_option_of_every_layer() -> None:
    forms = list(layer_forms(GRAPH, estimator().table.target))
    library = {spec for spec in forms if spec.regime is Regime.LIBRARY}
    for spec in prunable_layers(GRAPH, Regime.LIBRARY).values():
        options = {row_spec(sparse_operator(spec, option)) for option in SPARSE_OPTIONS}
        assert len(options) == len(SPARSE_OPTIONS)
        assert options | {row_spec(spec)} <= library
    stock = {spec for spec in forms if spec.regime is Regime.STOCK}
    assert {node.spec for node in executed_nodes(GRAPH)} < stock
    assert any(spec.dtype == "int8" for spec in stock)
