"""Rules that shrink weights: against the hard mask, and against the definition of the envelope."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from latency.operator import SparsityPattern
from search.layers.mask_rules import (
    SHRINK,
    apply_mask_rule,
    envelope_shares,
    envelope_step,
    shrink_weights,
)
from search.layers.patterns import group_scores, top_k_mask
from search.layers.sparse import SparseConv2d
from search.space.sparsity import MaskRule

PATTERNS = (SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK)


def conv(
    inputs: int, outputs: int, kernel: int, pattern: SparsityPattern, density: float, seed: int
) -> SparseConv2d:
    layer = SparseConv2d(inputs, outputs, kernel)
    layer.pattern, layer.density = pattern, density
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    return layer


layers = st.builds(
    conv,
    st.integers(1, 4),
    st.integers(1, 9),
    st.sampled_from([1, 3]),
    st.sampled_from(PATTERNS),
    st.floats(0.05, 0.95),
    st.integers(0, 10_000),
)


@given(layers)
@settings(max_examples=60, deadline=None)
def test_soft_rule_with_factor_zero_is_the_hard_one(layer: SparseConv2d) -> None:
    before = layer.weight.detach().clone()
    mask = top_k_mask(before, layer.pattern, layer.density)
    shrink_weights(layer, 0.0)
    assert torch.equal(layer.weight, before * mask)


@given(layers)
@settings(max_examples=60, deadline=None)
def test_soft_rule_shrinks_what_a_mask_would_remove_and_nothing_else(layer: SparseConv2d) -> None:
    before = layer.weight.detach().clone()
    mask = top_k_mask(before, layer.pattern, layer.density)
    apply_mask_rule([layer], MaskRule.SOFT, rate=0.5)
    assert torch.equal(layer.weight[mask], before[mask])
    assert torch.allclose(layer.weight[~mask], SHRINK * before[~mask])


@given(layers, st.floats(0.001, 3.0))
@settings(max_examples=60, deadline=None)
def test_envelope_counts_whole_groups_up_to_the_density(layer: SparseConv2d, step: float) -> None:
    before = group_scores(layer.weight.detach().square(), layer.pattern)
    envelope_step(layer, step)
    after = group_scores(layer.weight.detach().square(), layer.pattern)
    left = int((layer.weight != 0).sum())
    assert left >= layer.density * layer.weight.numel() - 1e-3, "at least the level"
    factors = (after / before).sqrt()
    order = before.flatten().argsort()
    assert (factors.flatten()[order].diff() >= -1e-5).all(), "the weaker a group, the more it loses"
    assert float(factors.max()) <= 1.0 / (1.0 + step) + 1e-5


def test_a_long_step_of_the_envelope_keeps_what_a_mask_keeps() -> None:
    layer = conv(4, 8, 3, SparsityPattern.UNSTRUCTURED, 0.25, seed=1)
    mask = top_k_mask(layer.weight.detach(), layer.pattern, 0.25)
    envelope_step(layer, 1e4)
    assert torch.equal(layer.weight != 0, mask)


def envelope(norms: Tensor, costs: Tensor, level: float) -> float:
    """The envelope by its definition: the best u is min(1, |w| m / sqrt(c)), m by bisection."""
    if float(costs[norms > 0].sum()) <= level:
        return 0.5 * float(norms.square().sum())
    low, high = 0.0, 1e12
    for _ in range(100):
        middle = (low * high) ** 0.5 if low > 0 else high / 2
        used = float((costs * (middle * norms / costs.sqrt()).clamp_max(1.0)).sum())
        low, high = (middle, high) if used < level else (low, middle)
    alive = norms > 0
    u = (low * norms / costs.sqrt()).clamp_max(1.0)[alive]
    return 0.5 * float((norms[alive].square() / u).sum())


@given(
    st.lists(st.tuples(st.floats(0.1, 3.0), st.floats(0.5, 4.0)), min_size=2, max_size=5),
    st.floats(0.1, 0.9),
    st.floats(0.05, 2.0),
    st.integers(0, 10_000),
)
@settings(max_examples=25, deadline=None)
def test_proximal_step_is_a_minimum(
    groups: list[tuple[float, float]], share: float, step: float, seed: int
) -> None:
    """The objective is convex, so what no small move improves nothing improves."""
    norms, costs = torch.tensor(groups, dtype=torch.float64).T
    level = share * float(costs.sum())
    shares = envelope_shares(norms / costs.sqrt(), costs, level, step)
    assert float((costs * shares).sum()) == pytest.approx(level)
    found = norms * shares / (shares + step)

    def objective(w: Tensor) -> float:
        near = 0.5 * float((w - norms).square().sum())
        return near + step * envelope(w, costs, level)

    best = objective(found)
    generator = torch.Generator().manual_seed(seed)
    for scale in (1e-3, 1e-2, 1e-1):
        for _ in range(5):
            move = scale * torch.randn(len(norms), generator=generator, dtype=torch.float64)
            assert objective((found + move).clamp_min(0.0)) >= best - 1e-9


def test_groups_that_fit_count_whole_and_zeros_stay() -> None:
    strengths = torch.tensor([0.0, 1.0, 2.0])
    shares = envelope_shares(strengths, torch.ones(3), 2.0, 0.5)
    assert shares.tolist() == [0.0, 1.0, 1.0]


@pytest.mark.parametrize(("level", "step"), [(0.0, 1.0), (1.0, 0.0)])
def test_level_and_step_must_be_above_zero(level: float, step: float) -> None:
    with pytest.raises(ValueError, match="envelope: level and step must be above 0"):
        envelope_shares(torch.ones(2), torch.ones(2), level, step)
