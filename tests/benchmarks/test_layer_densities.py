"""The comparison of densities by layer with one density: both fill the same budget."""

import pytest

from benchmarks.layer_densities import BUDGET, PLANNED, Outcome, make_contest, run_seed, summary
from search.data.datasets import load_dataset
from search.requests import DatasetRef, SearchRequest
from tests.search.space.tables import mixed_table

REQUEST = SearchRequest(
    dataset=DatasetRef(format="digits", image_size=8),
    space="stages",
    channels=4,
    density=0.25,
    budget_ms=1.0,
    recipe="tiny",
)


def test_both_rules_fill_the_same_budget() -> None:
    table = mixed_table(REQUEST, load_dataset(REQUEST.dataset).task, 0.8)
    contest = make_contest(table, REQUEST, 0.6, network=1)
    found = {outcome.rule: outcome for outcome in run_seed(contest, 0)}
    assert found.keys() == {BUDGET, PLANNED}
    budget_ms = contest.request.budget_ms
    assert found[BUDGET].high_ms <= budget_ms
    for outcome in found.values():
        assert outcome.high_ms == pytest.approx(budget_ms, rel=0.1)
        assert 0.0 < outcome.density < 1.0


def test_gains_are_taken_seed_by_seed() -> None:
    pairs = {0: (0.90, 0.91), 1: (0.80, 0.84)}
    outcomes = [
        Outcome(seed=seed, rule=rule, accuracy=accuracy, density=0.3, high_ms=1.0)
        for seed, both in pairs.items()
        for rule, accuracy in zip((PLANNED, BUDGET), both, strict=True)
    ]
    text = summary(outcomes)
    assert "planned 85.00%, budget 87.50%" in text
    assert "gained +2.50 points, deviation 2.12, by seed +1.00 +4.00" in text
