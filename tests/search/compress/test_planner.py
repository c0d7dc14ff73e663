"""Plans of every kind keep the budget, and are what their rule says."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.compress import evolution
from search.compress.pattern_rule import pattern_rule
from search.compress.request import Distortion, Mapping
from search.finalize.densities import SPARSE_OPTIONS, AllocatedLayer, prunable_layers
from search.finalize.repair import BudgetInfeasibleError
from search.layers.operator_layers import operator_layers
from search.layers.patterns import group_sizes
from search.layers.sparse import sparse_layers
from tests.search.compress.small_parent import GRAPH, calibration, planner, stages

SPECS = prunable_layers(GRAPH)
SHARES = st.floats(0.7, 1.05)  # of the dense latency; at 0.57 nothing can be met


def groups_of(layer: AllocatedLayer) -> int:
    parts = operator_layers(stages())[layer.layer].values()
    return sum(group_sizes(part.weight.shape, layer.pattern).numel() for part in parts)


def ends_of(layer: AllocatedLayer, groups: int) -> tuple[float, float]:
    """Return between which densities a layer keeps just as many groups as it does."""
    kept = round(layer.density * groups)
    low = 0.0 if kept == 1 else (kept - 0.5) / groups
    return low - 1e-3, (kept + 0.5) / groups + 1e-3


@pytest.mark.parametrize(
    ("mapping", "distortion"),
    [(Mapping.SEARCH, distortion) for distortion in Distortion]
    + [
        (Mapping.RULE, Distortion.SECOND_ORDER),
        (Mapping.UNIFORM, Distortion.ONE_SHOT),
        (Mapping.EVOLUTION, Distortion.FIRST_ORDER),
    ],
)
def test_every_plan_keeps_the_budget_and_has_every_layer(
    mapping: Mapping, distortion: Distortion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evolution, "TRIALS", 10)
    network = stages()
    one = planner(0.7, mapping, distortion)
    plan = one(network)
    assert plan.facts["prediction"]["high_ms"] <= one.budget_ms
    assert plan.facts["mapping"] == mapping.value
    assert plan.layers.keys() == sparse_layers(network).keys()
    assert {line["layer"] for line in plan.facts["layers"]} == SPECS.keys()
    assert plan.facts["lower_bound"] <= plan.facts["distortion"] + 1e-9
    assert any(layer.density < 1.0 for layer in plan.layers.values())


@settings(max_examples=6, deadline=None)
@given(share=SHARES)
def test_a_uniform_plan_has_one_density_that_fills_the_budget(share: float) -> None:
    one = planner(share, Mapping.UNIFORM)
    found = one.allocate(calibration(stages()))
    assert found.prediction.high_ms <= one.budget_ms
    assert len({layer.pattern for layer in found.layers}) == 1
    if found.layers[0].pattern is SparsityPattern.DENSE:
        assert share >= 1.0
    else:
        # Each layer has the one density as nearly as its number of groups allows.
        ends = [ends_of(layer, groups_of(layer)) for layer in found.layers]
        assert max(low for low, _ in ends) <= min(high for _, high in ends)
        assert found.prediction.high_ms >= 0.9 * min(1.0, share) * one.budget_ms / share


@settings(max_examples=6, deadline=None)
@given(share=SHARES)
def test_the_knapsack_distorts_no_more_than_what_is_by_rule(share: float) -> None:
    """A uniform plan can distort less: its one density need not be one that rows are of."""
    judged = calibration(stages())
    best = planner(share, Mapping.SEARCH).allocate(judged)
    assert best.distortion <= planner(share, Mapping.RULE).allocate(judged).distortion * 1.02


def test_the_rule_gives_patterns_by_kernel() -> None:
    found = planner(0.7, Mapping.RULE).allocate(calibration(stages()))
    kernels = set()
    for layer in found.layers:
        windowed = max(SPECS[layer.layer].kernel_shape) > 1
        wanted = SparsityPattern.UNSTRUCTURED if windowed else SparsityPattern.BLOCK
        assert layer.pattern in (wanted, SparsityPattern.DENSE)
        kernels.add(windowed)
    assert kernels == {True, False}


def test_the_rule_takes_what_there_is() -> None:
    blocks = [one for one in SPARSE_OPTIONS if one.pattern is SparsityPattern.BLOCK]
    windowed = next(spec for spec in SPECS.values() if max(spec.kernel_shape) > 1)
    assert all(pattern_rule(blocks)(windowed, option) for option in blocks)
    assert not any(pattern_rule(SPARSE_OPTIONS)(windowed, option) for option in blocks)


def test_evolution_loses_no_more_than_where_it_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evolution, "TRIALS", 40)
    judged = calibration(stages())
    start = planner(0.65, Mapping.SEARCH).allocate(judged)
    evolving = planner(0.65, Mapping.EVOLUTION)
    found = evolving.allocate(judged)
    assert found.prediction.high_ms <= evolving.budget_ms
    assert judged.loss(found.chosen) < judged.loss(start.chosen), "noise leaves room for luck"
    assert found.chosen == evolving.allocate(judged).chosen


@pytest.mark.parametrize("mapping", [Mapping.SEARCH, Mapping.RULE, Mapping.UNIFORM])
def test_a_budget_that_cannot_be_met_is_refused_with_one_that_can(mapping: Mapping) -> None:
    network = stages()
    with pytest.raises(BudgetInfeasibleError) as caught:
        planner(0.01, mapping).check(network)
    smallest_ms = caught.value.smallest_feasible_ms
    met = replace(planner(0.01, mapping), budget_ms=1.0001 * smallest_ms)
    met.check(network)
    assert met(network).facts["prediction"]["high_ms"] <= met.budget_ms
