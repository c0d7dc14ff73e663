"""The latency constraint keeps a budget and uses it; beta calms the largest alphas."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from search.objective.beta import beta_regulariser
from search.objective.constraint import DualAscent, relative_violation


def solve(budget: float, pull: float = 0.0, steps: int = 4000) -> tuple[float, DualAscent]:
    """Minimise (x - 3)^2 where x is latency and `budget` is to be kept, by gradient descent."""
    x = torch.tensor(0.0, requires_grad=True)
    dual = DualAscent(penalty=1.0, rate=0.5, pull=pull)
    for _ in range(steps):
        violation = relative_violation(x, budget)
        loss = (x - 3.0).square() + dual.term(violation)
        (gradient,) = torch.autograd.grad(loss, x)
        with torch.no_grad():
            x -= 0.01 * gradient
        dual.ascend(float(violation.detach()))
    return float(x.detach()), dual


def test_binding_constraint_is_met_with_its_multiplier() -> None:
    x, dual = solve(budget=2.0)
    assert x == pytest.approx(2.0, rel=0.01)
    slope_of_loss, slope_of_violation = 2 * (2.0 - 3.0), 1 / 2.0
    assert dual.multiplier == pytest.approx(-slope_of_loss / slope_of_violation, rel=0.05)


def test_without_a_pull_a_slack_constraint_costs_nothing() -> None:
    x, dual = solve(budget=5.0)
    assert x == pytest.approx(3.0, rel=0.01)
    assert dual.multiplier == 0.0
    assert float(dual.term(torch.tensor(-0.4))) == 0.0


def test_a_pull_fills_the_budget_as_far_as_it_reaches() -> None:
    x, dual = solve(budget=5.0, pull=1.0)
    assert x == pytest.approx(3.0 + 1.0 / 5.0 / 2.0, rel=0.01)  # (x - 3)^2 rises by 2 (x - 3)
    assert dual.multiplier == -1.0
    x, dual = solve(budget=5.0, pull=30.0)
    assert x == pytest.approx(5.0, rel=0.01)
    assert dual.multiplier == pytest.approx(-20.0, rel=0.05)


@given(multiplier=st.floats(-2.0, 5.0), violation=st.floats(-1.0, 20.0), pull=st.floats(0.0, 2.0))
def test_gradient_of_the_term_is_the_pressure(
    multiplier: float, violation: float, pull: float
) -> None:
    dual = DualAscent(penalty=0.5, rate=0.1, pull=pull, multiplier=multiplier)
    leaf = torch.tensor(violation, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(dual.term(leaf), leaf)
    assert float(gradient) == dual.pressure(violation) >= -pull
    dual.ascend(violation)
    assert -pull <= dual.multiplier <= max(multiplier, -pull) + 0.05


def test_beta_regulariser_is_the_mean_log_sum_exp() -> None:
    tables = [torch.zeros(14, 8), torch.ones(14, 8)]
    expected = torch.tensor(8.0).log() + 0.5
    assert float(beta_regulariser(tables)) == pytest.approx(float(expected))


def test_beta_regulariser_lowers_the_largest_alpha_most() -> None:
    alpha = torch.randn(14, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (gradient,) = torch.autograd.grad(beta_regulariser([alpha]), alpha)
    assert torch.equal(gradient.argmax(dim=1), alpha.argmax(dim=1))
    assert (gradient > 0).all()
