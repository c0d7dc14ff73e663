"""The most probable network of stages within a budget, held against all networks there are."""

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.engine.problem import PricedDevice
from search.finalize.fit_stages import derive_stages, fit_stages
from search.finalize.repair import FILLED, BudgetInfeasibleError
from search.space.batch import BatchPrediction
from search.space.stage_genotype import StageGenotype
from search.space.stage_networks import build_stages
from search.space.stage_skeleton import DEPTHS, OPTIONS
from tests.search.space.stages import (
    SPACE,
    chosen_by,
    costs_of,
    estimator_of,
    random_alphas,
    table_of,
)

SKELETON = SPACE.skeleton
TABLE = "both"
ESTIMATOR = estimator_of(TABLE)


def one_device(budget_ms: float) -> list[PricedDevice]:
    return [PricedDevice(device="", estimator=ESTIMATOR, budget_ms=budget_ms)]


def two_devices(*budgets_ms: float) -> list[PricedDevice]:
    return [
        PricedDevice(device=name, estimator=estimator_of(name), budget_ms=budget_ms)
        for name, budget_ms in zip((TABLE, "stock"), budgets_ms, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Everything:
    """All networks of the skeleton: columns are options and depths of stages, widths, head."""

    columns: npt.NDArray[np.int64]
    predictions: BatchPrediction

    def log_probabilities(self, seed: int) -> npt.NDArray[np.float64]:
        """Return (N,) for the alphas of a seed."""
        rows = [row for table in random_alphas(seed).values() for row in table]
        scores = [row - np.log(np.exp(row).sum()) for row in rows]
        chosen = [row[column] for row, column in zip(scores, self.columns.T, strict=True)]
        total: npt.NDArray[np.float64] = np.sum(chosen, axis=0)
        return total


@cache
def everything(table: str = TABLE) -> Everything:
    """Predict every network once for each table."""
    count = len(SKELETON.stages)
    columns = [
        *[range(len(OPTIONS))] * count, *[range(len(DEPTHS))] * count, *[range(2)] * 3,
    ]  # fmt: skip
    stages = {
        place: SKELETON.stage(*place)
        for place in product(range(count), range(len(OPTIONS)), range(len(DEPTHS)), range(2))
    }
    level = [plan.level for plan in SKELETON.stages]
    found, genotypes = list(product(*columns)), []
    for chosen in found:
        options, depths, widths = chosen[:count], chosen[count : 2 * count], chosen[2 * count : -1]
        genotypes.append(
            StageGenotype(
                stem=SKELETON.width,
                stages=tuple(
                    stages[index, options[index], depths[index], widths[level[index]]]
                    for index in range(count)
                ),
                head=SKELETON.heads[chosen[-1]],
            )
        )
    predictor = SPACE.predictor(table_of(table), SPACE.sparsity)
    return Everything(columns=np.array(found), predictions=predictor.predict(genotypes))


@cache
def bounds_of(table: str = TABLE) -> npt.NDArray[np.float64]:
    """Return the sums of prices by which networks are ranked, in the order of `everything`."""
    count = len(SKELETON.stages)
    groups = [group.high_ms for group in costs_of(table).groups()]
    shape = (2,) * (SKELETON.levels + 1) + (len(OPTIONS), len(DEPTHS)) * count
    first = SKELETON.levels + 1
    options, depths = range(first, first + 2 * count, 2), range(first + 1, first + 2 * count, 2)
    axes = (*options, *depths, *range(first))
    return np.concatenate(groups).reshape(shape).transpose(axes).ravel()


def candidates(
    shares: list[npt.NDArray[np.float64]],
    bounds: list[npt.NDArray[np.float64]],
    scores: npt.NDArray[np.float64],
) -> npt.NDArray[np.bool_]:
    """Return which networks may be the answer: those that fill a budget, or else keep all of them."""
    share: npt.NDArray[np.float64] = np.max(shares, axis=0)
    filling = (share >= FILLED) & (np.max(bounds, axis=0) >= FILLED)
    filling[scores.argmax()] = share[scores.argmax()] >= FILLED
    filling &= share <= 1.0
    within: npt.NDArray[np.bool_] = filling if filling.any() else share <= 1.0
    return within


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100_000), share=st.floats(0.0, 1.0))
def test_no_network_within_the_budget_is_more_probable(seed: int, share: float) -> None:
    every = everything()
    highs = every.predictions.high_ms
    budget = float(np.quantile(highs, share)) * (1 + 1e-9)
    scores = every.log_probabilities(seed)
    fitted = fit_stages(random_alphas(seed), SKELETON, one_device(budget))
    assert fitted.prediction.high_ms <= budget
    lost = float(
        scores.max() - scores[candidates([highs / budget], [bounds_of() / budget], scores)].max()
    )
    assert fitted.facts["log_probability_lost"] == pytest.approx(lost, abs=1e-9)
    assert fitted.facts["budget_used"] == fitted.prediction.high_ms / budget
    assert fitted.repaired == (lost > 0)
    graph = build_stages(fitted.genotype, SPACE.task)
    assert fitted.prediction == ESTIMATOR.predict(graph)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100_000), shares=st.tuples(st.floats(0.0, 0.6), st.floats(0.0, 0.6)))
def test_of_two_devices_no_network_within_both_budgets_is_more_probable(
    seed: int, shares: tuple[float, float]
) -> None:
    highs = [every.predictions.high_ms for every in (everything(), everything("stock"))]
    budgets = [
        float(np.quantile(high, share)) * (1 + 1e-9)
        for high, share in zip(highs, shares, strict=True)
    ]
    found_shares = [high / budget for high, budget in zip(highs, budgets, strict=True)]
    devices = two_devices(*budgets)
    if not np.any(np.max(found_shares, axis=0) <= 1.0):
        with pytest.raises(BudgetInfeasibleError) as refused:
            fit_stages(random_alphas(seed), SKELETON, devices)
        assert refused.value.smallest_feasible_ms > refused.value.budget_ms
        assert refused.value.device in (TABLE, "stock")
        return
    fitted = fit_stages(random_alphas(seed), SKELETON, devices)
    found = (fitted.prediction, *fitted.others)
    assert [one.high_ms <= budget for one, budget in zip(found, budgets, strict=True)] == [
        True,
        True,
    ]
    scores = everything().log_probabilities(seed)
    bounds = [
        bounds_of(name) / budget for name, budget in zip((TABLE, "stock"), budgets, strict=True)
    ]
    lost = float(scores.max() - scores[candidates(found_shares, bounds, scores)].max())
    assert fitted.facts["log_probability_lost"] == pytest.approx(lost, abs=1e-9)


def test_a_device_that_cannot_keep_its_budget_is_named() -> None:
    least = SPACE.smallest(estimator_of("stock")).high_ms
    with pytest.raises(BudgetInfeasibleError, match="ms on stock; the smallest budget") as refused:
        fit_stages(random_alphas(0), SKELETON, two_devices(1e9, 0.9 * least))
    assert refused.value.smallest_feasible_ms == least


def test_the_table_runs_some_networks_by_the_library_and_some_not() -> None:
    library = everything().predictions.library
    assert 0.02 < library.mean() < 0.98, "or the choice of the regime is not tested here"


def test_the_least_budget_is_that_of_some_network() -> None:
    least = SPACE.smallest(ESTIMATOR).high_ms
    assert least == pytest.approx(float(everything().predictions.high_ms.min()), rel=1e-9)
    alphas = random_alphas(0)
    assert fit_stages(alphas, SKELETON, one_device(least)).prediction.high_ms == least
    with pytest.raises(BudgetInfeasibleError) as refused:
        fit_stages(alphas, SKELETON, one_device(least * 0.999))
    assert refused.value.smallest_feasible_ms == least
    assert refused.value.budget_ms == least * 0.999


def test_a_rich_budget_changes_nothing() -> None:
    alphas = random_alphas(4)
    fitted = fit_stages(alphas, SKELETON, one_device(1e9))
    assert (
        fitted.genotype == derive_stages(alphas, SKELETON) == SKELETON.genotype(chosen_by(alphas))
    )
    assert not fitted.repaired
    assert fitted.facts["log_probability_lost"] == 0.0
    assert fitted.facts["budget_used"] == fitted.prediction.high_ms / 1e9


def test_a_budget_that_networks_can_use_is_used() -> None:
    highs = everything().predictions.high_ms
    budget = float(np.quantile(highs, 0.9))
    alphas = {
        name: -3.0 * np.arange(shape[1]) * np.ones(shape) for name, shape in SKELETON.tables.items()
    }
    assert (
        ESTIMATOR.predict(build_stages(derive_stages(alphas, SKELETON), SPACE.task)).high_ms
        < FILLED * budget
    )
    fitted = fit_stages(alphas, SKELETON, one_device(budget))
    assert fitted.repaired
    assert FILLED <= fitted.facts["budget_used"] <= 1.0


def test_of_equal_options_the_first_is_taken() -> None:
    alphas = {name: np.zeros(shape) for name, shape in SKELETON.tables.items()}
    genotype = derive_stages(alphas, SKELETON)
    assert {(s.kind, s.depth) for s in genotype.stages} == {(OPTIONS[0].kind, DEPTHS[0])}
    assert [s.width for s in genotype.stages] == [4, 8, 8]
    assert genotype.head == 0


@pytest.mark.parametrize(
    ("name", "table"),
    [("options", np.zeros((2, 6))), ("heads", np.full((1, 2), np.nan)), ("depths", None)],
)
def test_alphas_of_another_form_are_refused(
    name: str, table: npt.NDArray[np.float64] | None
) -> None:
    alphas = dict(random_alphas(1))
    del alphas[name]
    if table is not None:
        alphas[name] = table
    with pytest.raises(ValueError, match=f"the alphas '{name}' must be finite and"):
        derive_stages(alphas, SKELETON)
