import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.finalize.derive import Alphas, derive_genotype
from search.finalize.repair import FILLED, BudgetInfeasibleError, RepairPath
from search.space.dass_cells import build_graph
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.planned_space import PlannedSpace
from search.space.primitives import OPERATIONS
from search.space.sparsity import Sparsity
from tests.search.space.tables import SMALL, formula_table, latency_ms

PLANNED = Sparsity(pattern=SparsityPattern.BLOCK, density=0.2)
SPACE = PlannedSpace(channels=4, cells=3, task=SMALL, sparsity=PLANNED)
ESTIMATOR = SPACE.estimator(formula_table(4, 3, SMALL))
SMALLEST_MS = smallest_genotype(ESTIMATOR, 4, 3, SMALL)[1].high_ms
LARGEST_MS = largest_genotype(ESTIMATOR, 4, 3, SMALL)[1].high_ms


def random_alphas(seed: int) -> dict[str, Alphas]:
    rng = np.random.default_rng(seed)
    return {kind: rng.normal(size=(14, 8)) for kind in ("normal", "reduce")}


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000), share=st.floats(0.0, 1.0))
def test_every_reachable_budget_is_met(seed: int, share: float) -> None:
    alphas = random_alphas(seed)
    derived = derive_genotype(**alphas, channels=4, cells=3)
    budget = SMALLEST_MS + share * (LARGEST_MS - SMALLEST_MS)
    fitted, repaired = RepairPath(derived, alphas, SMALL, ESTIMATOR).fit(budget)
    assert fitted.prediction.high_ms <= budget
    assert fitted.prediction.latency_ms == latency_ms(ESTIMATOR, fitted.genotype, SMALL)
    cells = (fitted.genotype.normal, fitted.genotype.reduce)
    assert (cells != (derived.normal, derived.reduce)) or not repaired


def test_rich_budget_changes_nothing() -> None:
    alphas = random_alphas(1)
    derived = derive_genotype(**alphas, channels=4, cells=3)
    fitted, repaired = RepairPath(derived, alphas, SMALL, ESTIMATOR).fit(2 * LARGEST_MS)
    assert fitted.genotype == derived
    assert not repaired


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 100_000), share=st.floats(0.1, 0.8))
def test_a_budget_that_networks_can_use_is_used(seed: int, share: float) -> None:
    alphas = random_alphas(seed)
    derived = derive_genotype(**alphas, channels=4, cells=3)
    budget = SMALLEST_MS + share * (LARGEST_MS - SMALLEST_MS)
    fitted, repaired = RepairPath(derived, alphas, SMALL, ESTIMATOR).fit(budget)
    assert fitted.prediction.high_ms >= FILLED * budget
    derived_ms = ESTIMATOR.predict(build_graph(derived, SMALL)).high_ms
    assert not repaired or not FILLED * budget <= derived_ms <= budget


def test_a_cheap_network_is_made_dearer_by_what_the_alphas_prefer() -> None:
    table = np.full((14, 8), -6.0)
    table[:, OPERATIONS.index("skip_connect")] = 3.0
    table[:, OPERATIONS.index("sep_conv_3x3")] = 2.0
    alphas = {"normal": table, "reduce": table}
    derived = derive_genotype(**alphas, channels=4, cells=3)
    budget = SMALLEST_MS + 0.5 * (LARGEST_MS - SMALLEST_MS)
    fitted, repaired = RepairPath(derived, alphas, SMALL, ESTIMATOR).fit(budget)
    assert repaired
    assert FILLED * budget <= fitted.prediction.high_ms <= budget
    found = {name for name, _ in fitted.genotype.normal + fitted.genotype.reduce}
    assert found == {"skip_connect", "sep_conv_3x3"}


def test_swaps_follow_the_alphas() -> None:
    """Where only one cheap operation is wanted by the alphas, repair puts that one in."""
    table = np.full((14, 8), -6.0)
    table[:, OPERATIONS.index("sep_conv_5x5")] = 3.0
    table[:, OPERATIONS.index("avg_pool_3x3")] = 2.9
    alphas = {"normal": table, "reduce": table}
    derived = derive_genotype(**alphas, channels=4, cells=3)
    budget = SMALLEST_MS + 0.35 * (LARGEST_MS - SMALLEST_MS)
    fitted, repaired = RepairPath(derived, alphas, SMALL, ESTIMATOR).fit(budget)
    assert repaired
    found = {name for name, _ in fitted.genotype.normal + fitted.genotype.reduce}
    assert found == {"sep_conv_5x5", "avg_pool_3x3"}


def test_impossible_budget_names_the_smallest() -> None:
    alphas = random_alphas(2)
    derived = derive_genotype(**alphas, channels=4, cells=3)
    with pytest.raises(BudgetInfeasibleError) as caught:
        RepairPath(derived, alphas, SMALL, ESTIMATOR).fit(SMALLEST_MS * 0.99)
    assert caught.value.code == "budget-infeasible"
    assert caught.value.smallest_feasible_ms == SMALLEST_MS
    assert f"{SMALLEST_MS:.4g} ms" in str(caught.value)
