"""ADMM: what weights are drawn to, and that they arrive."""

from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.operator import SparsityPattern
from search.layers.admm import RHO, AlternatingDirections
from search.layers.mask_rules import apply_mask_rule
from search.layers.patterns import expand_groups, group_sizes
from search.layers.sparse import SparseLinear
from search.space.sparsity import MaskRule

PATTERNS = st.sampled_from([SparsityPattern.UNSTRUCTURED, SparsityPattern.BLOCK])


def layer_of(seed: int, pattern: SparsityPattern, density: float) -> SparseLinear:
    layer = SparseLinear(3, 8)
    layer.pattern, layer.density = pattern, density
    with torch.no_grad():
        layer.weight.copy_(torch.randn(8, 3, generator=torch.Generator().manual_seed(seed)))
    return layer


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), pattern=PATTERNS, density=st.sampled_from([0.2, 0.34, 0.5]))
def test_the_target_is_the_nearest_of_all_that_have_the_structure(
    seed: int, pattern: SparsityPattern, density: float
) -> None:
    layer, admm = layer_of(seed, pattern, density), AlternatingDirections()
    admm.project({"x": layer})
    target, weight = admm.state_dict()["targets"]["x"], layer.weight.detach()
    groups = group_sizes(weight.shape, pattern)
    kept = round(density * groups.numel())
    if (
        groups.numel() > 6
    ):  # all choices of single weights would be too many: as many as are dropped
        dropped = weight[target == 0.0].abs()
        assert float(dropped.max()) <= float(target[target != 0.0].abs().min())
        assert int((target != 0.0).sum()) == kept
        return
    distances = []
    for chosen in combinations(range(groups.numel()), kept):
        mask = torch.zeros(groups.numel())
        mask[list(chosen)] = 1.0
        candidate = weight * expand_groups(mask.view(groups.shape), weight.shape, pattern)
        distances.append(float((candidate - weight).square().sum()))
    assert float((target - weight).square().sum()) == pytest.approx(min(distances), rel=1e-5)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), pattern=PATTERNS)
def test_dual_gathers_what_the_structure_lacks(seed: int, pattern: SparsityPattern) -> None:
    """U after each projection is U + W - Z, as in Boyd et al., section 3.1.1."""
    layer, admm = layer_of(seed, pattern, 0.34), AlternatingDirections()
    dual = torch.zeros_like(layer.weight)
    for _ in range(3):
        admm.project({"x": layer})
        state = admm.state_dict()
        dual = dual + layer.weight.detach() - state["targets"]["x"]
        assert torch.allclose(state["duals"]["x"], dual, atol=1e-6)
        admm.pull({"x": layer}, 0.2)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 10_000), pattern=PATTERNS)
def test_without_a_loss_weights_arrive_at_the_structure(
    seed: int, pattern: SparsityPattern
) -> None:
    layer, admm = layer_of(seed, pattern, 0.34), AlternatingDirections()
    before = layer.weight.detach().clone()
    for _ in range(400):
        admm.project({"x": layer})
        admm.pull({"x": layer}, 0.3)
    target = admm.state_dict()["targets"]["x"]
    gap = float((layer.weight - target).detach().norm())
    assert gap <= 0.05 * float(before.norm())


def test_a_step_is_the_gradient_of_the_added_term() -> None:
    layer, admm = layer_of(0, SparsityPattern.UNSTRUCTURED, 0.34), AlternatingDirections()
    admm.project({"x": layer})
    state = admm.state_dict()
    penalty = layer.weight - state["targets"]["x"] + state["duals"]["x"]
    (gradient,) = torch.autograd.grad(RHO / 2 * penalty.square().sum(), layer.weight)
    expected = (layer.weight - 0.1 * gradient).detach()
    admm.pull({"x": layer}, 0.1)
    assert torch.allclose(layer.weight, expected, atol=1e-6)


def test_dense_layers_are_left_alone() -> None:
    layer, admm = layer_of(0, SparsityPattern.DENSE, 1.0), AlternatingDirections()
    before = layer.weight.detach().clone()
    admm.project({"x": layer})
    admm.pull({"x": layer}, 0.5)
    assert torch.equal(layer.weight, before)


def test_a_rule_that_remembers_nothing_refuses_admm() -> None:
    with pytest.raises(ValueError, match="final training only"):
        apply_mask_rule([layer_of(0, SparsityPattern.BLOCK, 0.5)], MaskRule.ADMM, 0.1)
