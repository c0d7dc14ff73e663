"""The regressor learns what its base misses, from few networks, and has a gradient."""

import numpy as np
import pytest
import torch
from torch import Tensor

from search.objective.latency_regressor import MIN_NETWORKS, fit_regressor
from search.objective.latency_term import ExpectedLatency
from search.space.cell_encoding import encode_edges
from search.space.cell_interactions import MIXED_EDGES
from search.space.primitives import OPERATIONS
from search.space.sampling import random_genotype
from tests.search.objective.test_latency_term import COSTS, random_alphas


def networks(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return encoded random networks and what the table says of them."""
    rng = np.random.default_rng(seed)
    edges = encode_edges([random_genotype(rng, 4, 3) for _ in range(count)])
    return torch.from_numpy(edges), torch.from_numpy(COSTS.latency_ms(edges))


def error(predicted: Tensor, measured: Tensor) -> float:
    return float((predicted / measured - 1.0).abs().mean())


def disturbed(edges: Tensor, base_ms: Tensor) -> Tensor:
    """A device on which 5x5 kernels together are slower than the table says, by up to a third."""
    large = [OPERATIONS.index(name) for name in ("sep_conv_5x5", "dil_conv_5x5")]
    return base_ms * (1.0 + 0.02 * edges[..., large].sum(dim=(1, 2, 3)) ** 1.2)


def test_it_learns_what_the_table_misses_from_150_networks() -> None:
    edges, base_ms = networks(150, 0)
    regressor = fit_regressor(edges, base_ms, disturbed(edges, base_ms))
    new, new_base_ms = networks(100, 1)
    measured = disturbed(new, new_base_ms)
    assert error(new_base_ms, measured) > 0.05
    assert error(new_base_ms * regressor(new), measured) < 0.4 * error(new_base_ms, measured)


def test_where_nothing_can_be_learnt_the_base_stands() -> None:
    edges, base_ms = networks(30, 2)
    regressor = fit_regressor(edges, base_ms, base_ms)
    assert torch.equal(regressor(edges), torch.ones(30, dtype=torch.float64))


def test_gradient_of_the_residual_agrees_with_differences() -> None:
    edges, base_ms = networks(40, 3)
    regressor = fit_regressor(edges, base_ms, disturbed(edges, base_ms))
    latency = ExpectedLatency(COSTS, regressor=regressor)
    alphas = [a.double().requires_grad_() for a in random_alphas(1, 0.3)]
    gradients = torch.autograd.grad(latency(alphas, 0.5), alphas)
    directions = [d.double() for d in random_alphas(2, 1.0)]
    along = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    with torch.no_grad():
        ends = [
            float(latency([a + step * d for a, d in zip(alphas, directions, strict=True)], 0.5))
            for step in (1e-6, -1e-6)
        ]
        assert float(latency(alphas, 0.5)) != float(ExpectedLatency(COSTS)(alphas, 0.5))
    assert along == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5)


def test_bad_input_is_named() -> None:
    edges, base_ms = networks(MIN_NETWORKS, 4)
    with pytest.raises(ValueError, match=f"at least {MIN_NETWORKS} networks are needed, got 3"):
        fit_regressor(edges[:3], base_ms[:3], base_ms[:3])
    with pytest.raises(ValueError, match="every measured latency must be above 0"):
        fit_regressor(edges, base_ms, torch.zeros_like(base_ms))
    with pytest.raises(ValueError, match=rf"\(10, 2, {len(MIXED_EDGES)}, {len(OPERATIONS)}\)"):
        fit_regressor(edges[:, 0], base_ms, base_ms)
