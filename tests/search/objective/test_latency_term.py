"""The expected latency is differentiable and ends at the price of the derived network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.finalize.derive import derive_genotype
from search.objective.latency_term import (
    ExpectedLatency,
    edge_membership,
    operation_probabilities,
)
from search.space.prices import OperationPrices
from search.space.primitives import OPERATIONS
from search.supernet.architecture import EDGES, NONE, edge_slices

SHAPE = (EDGES, len(OPERATIONS))


def random_prices(seed: int) -> OperationPrices:
    rng = np.random.default_rng(seed)
    tables = {kind: rng.uniform(100, 50_000, SHAPE) for kind in ("normal", "reduce")}
    for table in tables.values():
        table[:, NONE] = 0.0
    return OperationPrices(
        **tables, fixed_ns=90_000.0, slope=1.2, intercept_ns=5_000.0, relative_error=0.0
    )


def random_alphas(seed: int, scale: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(SHAPE, generator=generator) for _ in range(2)]


def derived_ms(latency: ExpectedLatency, alphas: list[torch.Tensor]) -> float:
    with torch.no_grad():
        return float(latency(alphas[0], alphas[1], 1e-5))


@given(st.integers(0, 10_000))
@settings(max_examples=60, deadline=None)
def test_cold_expectation_is_the_price_of_the_derived_network(seed: int) -> None:
    prices = random_prices(seed)
    alphas = random_alphas(seed, 1.0)
    genotype = derive_genotype(*(a.double().numpy() for a in alphas), channels=4, cells=3)
    expected = ExpectedLatency(prices)(alphas[0], alphas[1], 1e-7)
    assert float(expected) == pytest.approx(prices.latency_ns(genotype) / 1e6, rel=1e-4)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_one_hot_alphas_cost_the_discrete_price_at_any_temperature(seed: int) -> None:
    """Two edges of each node have one sure operation, the others are surely `none`."""
    prices = random_prices(seed)
    rng = np.random.default_rng(seed)
    alphas, total = [], prices.fixed_ns
    for table in (prices.normal, prices.reduce):
        alpha = torch.full(SHAPE, -200.0)
        for edges in edge_slices():
            rows = list(range(edges.start, edges.stop))
            kept = rng.choice(rows, 2, replace=False)
            for row in rows:
                column = int(rng.integers(1, len(OPERATIONS))) if row in kept else NONE
                alpha[row, column] = 200.0
                total += table[row, column] if row in kept else 0.0
        alphas.append(alpha)
    expected = ExpectedLatency(prices)(alphas[0], alphas[1], 1.0)
    wanted = (prices.intercept_ns + prices.slope * total) / 1e6
    assert float(expected) == pytest.approx(wanted, rel=1e-4)


@given(st.integers(0, 10_000), st.floats(0.01, 2.0))
@settings(max_examples=40, deadline=None)
def test_every_node_keeps_two_edges_and_every_edge_one_operation(
    seed: int, temperature: float
) -> None:
    alpha = random_alphas(seed, 0.5)[0]
    membership = edge_membership(alpha, temperature)
    for edges in edge_slices():
        assert float(membership[edges].sum()) == pytest.approx(2.0, rel=1e-4)
    assert torch.equal(membership[edge_slices()[0]], torch.ones(2)), "both edges of node 0 stay"
    probabilities = operation_probabilities(alpha, temperature)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(EDGES), atol=1e-5)
    assert not probabilities[:, NONE].any()


def test_equal_alphas_share_a_node_equally() -> None:
    membership = edge_membership(torch.zeros(SHAPE), 1.0)
    for edges in edge_slices():
        assert torch.allclose(membership[edges], torch.tensor(2.0 / (edges.stop - edges.start)))


@pytest.mark.parametrize("temperature", [1.0, 0.3, 0.1])
def test_gradient_agrees_with_differences(temperature: float) -> None:
    latency = ExpectedLatency(random_prices(1))
    alphas = [a.requires_grad_() for a in random_alphas(1, 0.3)]
    gradient = torch.autograd.grad(latency(alphas[0], alphas[1], temperature), alphas[0])[0]
    direction = random_alphas(2, 1.0)[0]
    step = 1e-3
    with torch.no_grad():
        high = latency(alphas[0] + step * direction, alphas[1], temperature).double()
        low = latency(alphas[0] - step * direction, alphas[1], temperature).double()
    slope = float((high - low) / (2 * step))
    assert float((gradient * direction).sum()) == pytest.approx(slope, rel=0.05, abs=1e-4)


def test_descending_the_expectation_makes_the_network_cheaper() -> None:
    prices = random_prices(5)
    latency = ExpectedLatency(prices)
    alphas = [a.requires_grad_() for a in random_alphas(5, 0.1)]
    optimizer = torch.optim.Adam(alphas, lr=0.05)
    before = derived_ms(latency, alphas)
    for _ in range(60):
        gradients = torch.autograd.grad(latency(alphas[0], alphas[1], 0.5), alphas)
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        optimizer.step()
    assert derived_ms(latency, alphas) < 0.7 * before


def test_margin_scales_the_prediction() -> None:
    alphas = random_alphas(3, 1.0)
    plain = ExpectedLatency(random_prices(3))(alphas[0], alphas[1], 1.0)
    upper = ExpectedLatency(random_prices(3), margin=1.05)(alphas[0], alphas[1], 1.0)
    assert float(upper / plain) == pytest.approx(1.05, rel=1e-5)
    with pytest.raises(ValueError, match="margin must be at least 1"):
        ExpectedLatency(random_prices(3), margin=0.9)
