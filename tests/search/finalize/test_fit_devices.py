from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import OperatorKind
from latency.table import LatencyTable
from search.engine.problem import PricedDevice
from search.finalize.derive import Alphas, derive_genotype
from search.finalize.fit_devices import fit_to_budgets
from search.finalize.repair import BudgetInfeasibleError, RepairPath
from search.space.dass_cells import MERGED_KERNEL, build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.genotype import Genotype
from tests.search.space.tables import SMALL, formula_table, other_table, planned_space

SPACE = planned_space()
TABLES = (formula_table(4, 3, SMALL), other_table(4, 3, SMALL))
ESTIMATORS = tuple(SPACE.estimator(table) for table in TABLES)
SMALLEST = smallest_genotype(ESTIMATORS[0], 4, 3, SMALL)[0]


def high_ms(genotype: Genotype) -> list[float]:
    graph = build_graph(genotype, SMALL)
    return [estimator.predict(graph).high_ms for estimator in ESTIMATORS]


LOW, HIGH = high_ms(SMALLEST), high_ms(largest_genotype(ESTIMATORS[0], 4, 3, SMALL)[0])


def devices(*shares: float) -> list[PricedDevice]:
    ends = zip(("pi", "box"), ESTIMATORS, LOW, HIGH, shares, strict=False)
    return [
        PricedDevice(device=name, estimator=estimator, budget_ms=low + share * (high - low))
        for name, estimator, low, high, share in ends
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
    assert [one.high_ms for one in found.predictions] == high_ms(found.network.genotype)
    for prediction, target in zip(found.predictions, targets, strict=True):
        assert prediction.high_ms <= target.budget_ms


@pytest.mark.parametrize("share", [0.1, 0.5, 1.5])
def test_of_one_device_it_is_the_fit_to_that_device(share: float) -> None:
    derived, alphas = some_alphas(1)
    (target,) = devices(share)[:1]
    found = fit_to_budgets(derived, alphas, SMALL, [target])
    path = RepairPath(derived, alphas, SMALL, target.estimator)
    assert (found.network, found.repaired) == path.fit(target.budget_ms)
    assert found.predictions == (found.network.prediction,)


def test_a_budget_that_one_device_cannot_keep_is_named() -> None:
    derived, alphas = some_alphas(2)
    cheapest_ms = smallest_genotype(ESTIMATORS[1], 4, 3, SMALL)[1].high_ms
    second = PricedDevice(device="box", estimator=ESTIMATORS[1], budget_ms=0.9 * cheapest_ms)
    targets = [*devices(1.0), second]
    with pytest.raises(BudgetInfeasibleError, match="ms on box; the smallest budget") as caught:
        fit_to_budgets(derived, alphas, SMALL, targets)
    assert caught.value.budget_ms == targets[1].budget_ms
    assert caught.value.smallest_feasible_ms == cheapest_ms


def with_dear_pools(table: LatencyTable, kind: OperatorKind) -> LatencyTable:
    """Return the table with one kind of pooling so slow that any other halves the image faster."""
    rows = tuple(
        replace(row, median_ns=50.0 * row.median_ns)
        if row.spec.kind is kind or row.spec.kernel == MERGED_KERNEL
        else row
        for row in table.rows
    )
    return replace(table, rows=rows)


def test_budgets_that_can_be_met_one_by_one_only_are_refused_together() -> None:
    """Each device is cheapest with another operation where the image is halved."""
    kinds = (OperatorKind.MAX_POOL, OperatorKind.AVG_POOL)
    estimators = [SPACE.estimator(with_dear_pools(TABLES[0], kind)) for kind in kinds]
    targets = [
        PricedDevice(
            device=name,
            estimator=estimator,
            budget_ms=smallest_genotype(estimator, 4, 3, SMALL)[1].high_ms,
        )
        for name, estimator in zip(("pi", "box"), estimators, strict=True)
    ]
    derived, alphas = some_alphas(3)
    for target in targets:
        assert fit_to_budgets(derived, alphas, SMALL, [target]).predictions[0].high_ms <= (
            target.budget_ms
        )
    with pytest.raises(BudgetInfeasibleError, match="together with the budgets of the other"):
        fit_to_budgets(derived, alphas, SMALL, targets)
