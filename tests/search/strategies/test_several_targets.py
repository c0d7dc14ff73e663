import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.finalize.derive import Alphas, derive_genotype
from search.finalize.repair import BudgetInfeasibleError, fit_to_budget
from search.space.cell_moves import CellMoves
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.genotype import Genotype
from search.strategies.evaluations import EvaluatedSearch, Evolution
from search.strategies.several_targets import DeviceBudget, WorstCaseMoves, fit_to_budgets
from tests.search.space.tables import (
    SMALL,
    formula_table,
    other_table,
    planned_space,
    some_genotype,
)

SPACE = planned_space()
TABLES = (formula_table(4, 3, SMALL), other_table(4, 3, SMALL))
ESTIMATORS = tuple(SPACE.estimator(table) for table in TABLES)
MOVES = tuple(CellMoves(SPACE, table) for table in TABLES)
SMALLEST = smallest_genotype(ESTIMATORS[0], 4, 3, SMALL)[0]


def high_ms(genotype: Genotype) -> list[float]:
    graph = build_graph(genotype, SMALL)
    return [estimator.predict(graph).high_ms for estimator in ESTIMATORS]


LOW, HIGH = high_ms(SMALLEST), high_ms(largest_genotype(ESTIMATORS[0], 4, 3, SMALL)[0])


def devices(*shares: float) -> list[DeviceBudget]:
    return [
        DeviceBudget(estimator=estimator, budget_ms=low + share * (high - low))
        for estimator, low, high, share in zip(ESTIMATORS, LOW, HIGH, shares, strict=False)
    ]


def some_alphas(seed: int) -> tuple[Genotype, dict[str, Alphas]]:
    rng = np.random.default_rng(seed)
    alphas = {kind: rng.normal(size=(14, 8)) for kind in ("normal", "reduce")}
    return derive_genotype(**alphas, channels=4, cells=3), alphas


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10_000), shares=st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0)))
def test_every_budget_is_kept(seed: int, shares: tuple[float, float]) -> None:
    derived, alphas = some_alphas(seed)
    targets = devices(*shares)
    found = fit_to_budgets(derived, alphas, SMALL, targets)
    assert [one.high_ms for one in found.predictions] == high_ms(found.genotype)
    for prediction, target in zip(found.predictions, targets, strict=True):
        assert prediction.high_ms <= target.budget_ms


@pytest.mark.parametrize("share", [0.1, 0.5, 1.5])
def test_of_one_device_it_is_the_fit_to_that_device(share: float) -> None:
    derived, alphas = some_alphas(1)
    (target,) = devices(share)[:1]
    found = fit_to_budgets(derived, alphas, SMALL, [target])
    alone, _ = fit_to_budget(derived, alphas, SMALL, target.estimator, target.budget_ms)
    assert found.genotype == alone.genotype
    assert found.predictions == (alone.prediction,)


def test_a_budget_that_one_device_cannot_keep_is_named() -> None:
    derived, alphas = some_alphas(2)
    cheapest_ms = smallest_genotype(ESTIMATORS[1], 4, 3, SMALL)[1].high_ms
    second = DeviceBudget(estimator=ESTIMATORS[1], budget_ms=0.9 * cheapest_ms)
    targets = [*devices(1.0), second]
    with pytest.raises(BudgetInfeasibleError) as caught:
        fit_to_budgets(derived, alphas, SMALL, targets)
    assert caught.value.budget_ms == targets[1].budget_ms
    assert caught.value.smallest_feasible_ms > targets[1].budget_ms


def test_latency_is_that_of_the_worst_device() -> None:
    budgets = [0.06, 0.02]
    genotypes = [some_genotype(seed).with_layers(()) for seed in range(8)]
    found = WorstCaseMoves(MOVES, budgets).latency_ms(genotypes)
    for genotype, latency_ms in zip(genotypes, found, strict=True):
        shares = [ms / budget for ms, budget in zip(high_ms(genotype), budgets, strict=True)]
        assert latency_ms == pytest.approx(budgets[0] * max(shares), rel=1e-9)
    alone = WorstCaseMoves(MOVES[:1], budgets[:1]).latency_ms(genotypes)
    assert alone == pytest.approx(MOVES[0].latency_ms(genotypes))


def test_evolution_for_two_devices_keeps_both_budgets() -> None:
    targets = devices(0.3, 0.2)
    budgets = [target.budget_ms for target in targets]
    moves = WorstCaseMoves(MOVES, budgets)

    def fitness(genotype: Genotype) -> float:
        return float(sum("conv" in name for name, _ in genotype.normal + genotype.reduce))

    search = EvaluatedSearch(moves, Evolution(moves), fitness, budget_ms=budgets[0], seed=0)
    search.run(30)
    assert len(search.judged) == 30
    for one in search.judged:
        for found, budget in zip(high_ms(one.genotype), budgets, strict=True):
            assert found <= budget * (1 + 1e-9)


def test_every_device_needs_a_budget() -> None:
    with pytest.raises(ValueError, match="2 need as many budgets above 0 ms"):
        WorstCaseMoves(MOVES, [1.0])
    with pytest.raises(ValueError, match="0 need as many budgets"):
        WorstCaseMoves([], [])
