"""The expected latency is differentiable and ends at the prediction of the derived network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from search.finalize.derive import derive_genotype
from search.objective.latency_term import (
    ExpectedLatency,
    derived_edges,
    edge_membership,
    operation_probabilities,
)
from search.space.cell_costs import CellCosts
from search.space.cell_encoding import encode_edges
from search.space.cell_variants import CellSize
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.primitives import OPERATIONS
from search.supernet.architecture import EDGES, NONE, edge_slices
from tests.search.space.tables import SMALL, planned_space, sparse_table

SHAPE = (EDGES, len(OPERATIONS))
SPACE = planned_space()
ESTIMATOR = SPACE.estimator(sparse_table(SPACE, 0.8))
COSTS = CellCosts(ESTIMATOR, CellSize(channels=4, cells=3, task=SMALL))
LATENCY = ExpectedLatency(COSTS)


def random_alphas(seed: int, scale: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(SHAPE, generator=generator) for _ in range(2)]


def derived(alphas: list[torch.Tensor]) -> Genotype:
    return derive_genotype(*(a.detach().double().numpy() for a in alphas), channels=4, cells=3)


def predicted_ms(genotype: Genotype) -> float:
    return ESTIMATOR.predict(build_graph(genotype, SMALL)).latency_ms


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_derived_latency_is_the_prediction_of_the_derived_network(seed: int) -> None:
    alphas = random_alphas(seed, 1.0)
    genotype = derived(alphas)
    edges = torch.stack([derived_edges(alpha) for alpha in alphas])
    assert np.array_equal(edges.numpy(), encode_edges([genotype])[0])
    wanted = pytest.approx(predicted_ms(genotype), rel=1e-9)
    assert float(LATENCY.derived_ms(alphas)) == wanted
    assert float(LATENCY(alphas, 1e-7)) == wanted


@given(st.integers(0, 10_000), st.floats(0.5, 1.0))
@settings(max_examples=20, deadline=None)
def test_one_hot_alphas_cost_the_prediction_at_any_temperature(
    seed: int, temperature: float
) -> None:
    """Two edges of each node have one sure operation, the others are surely `none`."""
    rng = np.random.default_rng(seed)
    alphas = []
    for _ in range(2):
        alpha = torch.full(SHAPE, -200.0)
        for edges in edge_slices():
            rows = list(range(edges.start, edges.stop))
            kept = rng.choice(rows, 2, replace=False)
            for row in rows:
                alpha[row, int(rng.integers(1, len(OPERATIONS))) if row in kept else NONE] = 200.0
        alphas.append(alpha)
    wanted = predicted_ms(derived(alphas))
    assert float(LATENCY(alphas, temperature)) == pytest.approx(wanted, rel=1e-9)


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
    alphas = [a.double().requires_grad_() for a in random_alphas(1, 0.3)]
    gradients = torch.autograd.grad(LATENCY(alphas, temperature), alphas)
    directions = [d.double() for d in random_alphas(2, 1.0)]
    step, pairs = 1e-6, list(zip(alphas, directions, strict=True))
    with torch.no_grad():
        ends = [
            float(LATENCY([a + sign * step * d for a, d in pairs], temperature)) for sign in (1, -1)
        ]
    along = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    assert along == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-6)


def test_descending_the_expectation_makes_the_network_cheaper() -> None:
    alphas = [a.requires_grad_() for a in random_alphas(5, 0.1)]
    optimizer = torch.optim.Adam(alphas, lr=0.05)
    before = predicted_ms(derived(alphas))
    for _ in range(60):
        gradients = torch.autograd.grad(LATENCY(alphas, 0.5), alphas)
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        optimizer.step()
    assert predicted_ms(derived(alphas)) < 0.7 * before


def test_the_upper_end_is_above_the_prediction() -> None:
    alphas = random_alphas(3, 1.0)
    upper = ExpectedLatency(COSTS, upper=True)(alphas, 1.0)
    # Student's t for six networks, times the calibration's sigma.
    assert float(upper / LATENCY(alphas, 1.0)) == pytest.approx(1 + 2.015 * 0.02, rel=1e-9)
