import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.objective.latency_term import ExpectedLatency
from search.objective.several_devices import DeviceTerm, SeveralDevices
from search.space.cell_costs import CellCosts
from search.space.cell_variants import CellSize
from search.space.primitives import OPERATIONS
from search.supernet.architecture import EDGES
from tests.search.space.tables import SMALL, formula_table, other_table, planned_space

SPACE = planned_space()
SIZE = CellSize(channels=4, cells=3, task=SMALL)
TABLES = (formula_table(4, 3, SMALL), other_table(4, 3, SMALL))
LATENCIES = [ExpectedLatency(CellCosts(SPACE.estimator(table), SIZE)) for table in TABLES]
SEEDS = st.integers(0, 10_000)


def random_alphas(seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn((EDGES, len(OPERATIONS)), generator=generator) for _ in range(2)]


def terms(*budgets_ms: float) -> list[DeviceTerm]:
    return [
        DeviceTerm(latency=latency, budget_ms=budget_ms)
        for latency, budget_ms in zip(LATENCIES, budgets_ms, strict=False)
    ]


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS, temperature=st.floats(0.1, 1.0), budget_ms=st.floats(0.01, 10.0))
def test_of_one_device_it_is_the_term_of_that_device(
    seed: int, temperature: float, budget_ms: float
) -> None:
    combined = SeveralDevices(terms(budget_ms)[:1])
    alphas = [alpha.requires_grad_() for alpha in random_alphas(seed)]
    found, wanted = combined(alphas, temperature), LATENCIES[0](alphas, temperature)
    assert float(found.detach()) == pytest.approx(float(wanted.detach()), rel=1e-9)
    assert combined.derived_ms(alphas) == pytest.approx(LATENCIES[0].derived_ms(alphas), rel=1e-9)
    for own, other in zip(
        torch.autograd.grad(found, alphas), torch.autograd.grad(wanted, alphas), strict=True
    ):
        assert torch.allclose(own, other, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, budgets=st.tuples(st.floats(0.01, 0.1), st.floats(0.01, 0.1)))
def test_the_worst_device_decides(seed: int, budgets: tuple[float, float]) -> None:
    alphas = random_alphas(seed)
    combined = SeveralDevices(terms(*budgets))
    shares = [
        latency.derived_ms(alphas) / budget
        for latency, budget in zip(LATENCIES, budgets, strict=True)
    ]
    assert combined.derived_ms(alphas) == pytest.approx(budgets[0] * max(shares), rel=1e-9)
    over = combined.derived_ms(alphas) > combined.budget_ms * (1 + 1e-9)
    assert over == any(share > 1 + 1e-9 for share in shares)
    soft_shares = [
        float(latency(alphas, 0.5)) / budget
        for latency, budget in zip(LATENCIES, budgets, strict=True)
    ]
    soft = float(combined(alphas, 0.5)) / budgets[0]
    assert max(soft_shares) - 1e-9 <= soft <= max(soft_shares) + 0.05 * math.log(2) + 1e-9


def test_the_gradient_follows_the_device_that_is_furthest_over() -> None:
    alphas = [alpha.requires_grad_() for alpha in random_alphas(3)]
    tight, loose = 0.1 * LATENCIES[1].derived_ms(alphas), 100.0
    combined = SeveralDevices(terms(loose, tight))(alphas, 0.5)
    alone = LATENCIES[1](alphas, 0.5) * loose / tight
    for own, other in zip(
        torch.autograd.grad(combined, alphas), torch.autograd.grad(alone, alphas), strict=True
    ):
        assert torch.allclose(own, other, rtol=1e-5)


def test_devices_need_budgets() -> None:
    with pytest.raises(ValueError, match="at least one is needed"):
        SeveralDevices([])
    with pytest.raises(ValueError, match="a budget must be above 0 ms"):
        DeviceTerm(latency=LATENCIES[0], budget_ms=0.0)
