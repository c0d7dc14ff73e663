"""The expected latency of stages is differentiable and ends at the prediction of the table."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.engine.problem import AlphaTables
from search.objective.stage_latency import StageLatency
from search.space.stage_networks import build_stages
from tests.search.space.stages import (
    FACTORS,
    SPACE,
    chosen_by,
    costs_of,
    estimator_of,
    random_alphas,
)

NAMES = st.sampled_from(sorted(FACTORS))


def tensors(alphas: AlphaTables) -> list[torch.Tensor]:
    return [torch.from_numpy(table) for table in alphas.values()]


def predicted(name: str, alphas: AlphaTables) -> tuple[float, float]:
    """Return latency and upper end of the derived network, by the table."""
    graph = build_stages(SPACE.skeleton.genotype(chosen_by(alphas)), SPACE.task)
    found = estimator_of(name).predict(graph)
    return found.latency_ms, found.high_ms


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 100_000), name=NAMES)
def test_derived_latency_is_the_prediction_of_the_derived_network(seed: int, name: str) -> None:
    alphas = random_alphas(seed)
    latency = StageLatency(costs_of(name))
    latency_ms, high_ms = predicted(name, alphas)
    assert latency.derived_ms(tensors(alphas)) == pytest.approx(latency_ms, rel=1e-9)
    cold = latency(tensors(alphas), 1e-7)
    assert float(cold) == pytest.approx(latency_ms, rel=1e-9)
    upper = StageLatency(costs_of(name), upper=True).derived_ms(tensors(alphas))
    assert latency_ms < upper <= high_ms * (1 + 1e-12)
    assert upper == pytest.approx(high_ms, rel=2e-2), "but for operators that stages share"


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100_000), name=NAMES, temperature=st.floats(0.05, 2.0))
def test_one_hot_alphas_cost_the_prediction_at_any_temperature(
    seed: int, name: str, temperature: float
) -> None:
    alphas = {n: 1e4 * (t == t.max(axis=1, keepdims=True)) for n, t in random_alphas(seed).items()}
    found = float(StageLatency(costs_of(name))(tensors(alphas), temperature))
    assert found == pytest.approx(predicted(name, alphas)[0], rel=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 100_000),
    name=st.sampled_from(["stock", "library"]),
    scale=st.floats(0.0, 5.0),
    temperature=st.floats(0.1, 2.0),
)
def test_the_expectation_lies_between_the_cheapest_and_the_dearest_network(
    seed: int, name: str, scale: float, temperature: float
) -> None:
    low, high = ENDS[name]
    found = float(StageLatency(costs_of(name))(tensors(random_alphas(seed, scale)), temperature))
    assert low * (1 - 1e-9) <= found <= high * (1 + 1e-9)


def ends(name: str) -> tuple[float, float]:
    """Return the cheapest and the dearest latency of the skeleton, stage by stage."""
    least, most = [], []
    for costs in costs_of(name).regimes:
        calibration = costs.calibration
        found = []
        for narrow in range(2):
            for wide in range(2):
                parts = [
                    costs.stages[0][0, narrow, ..., 0],
                    costs.stages[1][narrow, wide, ..., 0],
                    costs.stages[2][wide, wide, ..., 0],
                    costs.ends[wide, :, 0],
                ]
                found += [sum(part.min() for part in parts), sum(part.max() for part in parts)]
        scale = [calibration.intercept_ns + calibration.slope * total for total in found]
        least.append(min(scale) / 1e6)
        most.append(max(scale) / 1e6)
    return min(least), min(most)


ENDS = {name: ends(name) for name in ("stock", "library")}


@pytest.mark.parametrize("name", sorted(FACTORS))
@pytest.mark.parametrize("upper", [False, True])
def test_gradient_agrees_with_differences(name: str, *, upper: bool) -> None:
    latency = StageLatency(costs_of(name), upper=upper)
    alphas = [a.requires_grad_() for a in tensors(random_alphas(1, 0.3))]
    gradients = torch.autograd.grad(latency(alphas, 0.7), alphas)
    directions = tensors(random_alphas(2))
    step, pairs = 1e-6, list(zip(alphas, directions, strict=True))
    with torch.no_grad():
        moved = [float(latency([a + sign * step * d for a, d in pairs], 0.7)) for sign in (1, -1)]
    along = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    assert along == pytest.approx((moved[0] - moved[1]) / (2 * step), rel=1e-5)


def test_descending_the_expectation_makes_the_network_cheaper() -> None:
    latency = StageLatency(costs_of("library"))
    alphas = [a.requires_grad_() for a in tensors(random_alphas(5, 0.1))]
    optimizer = torch.optim.Adam(alphas, lr=0.05)
    before = latency.derived_ms(alphas)
    for _ in range(60):
        gradients = torch.autograd.grad(latency(alphas, 0.5), alphas)
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        optimizer.step()
    assert latency.derived_ms(alphas) < 0.8 * before
