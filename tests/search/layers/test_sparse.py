"""Sparse layers: what each mode applies and trains."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from latency.operator import SparsityPattern
from search.layers.sparse import (
    LayerMode,
    SparseConv2d,
    SparseLinear,
    density_of,
    freeze_masks,
    set_mode,
    set_pattern,
    sparse_layers,
)


def conv(**options: int) -> SparseConv2d:
    torch.manual_seed(0)
    return SparseConv2d(4, 8, 3, **options)


def test_dense_mode_is_the_plain_convolution() -> None:
    layer, x = conv(), torch.randn(2, 4, 6, 6)
    assert torch.equal(layer(x), conv2d(x, layer.weight, padding=1))
    assert layer.kept_weights() == layer.weight.numel()


def test_scores_start_in_proportion_to_the_weights() -> None:
    layer = conv()
    expected = layer.weight / layer.weight.abs().max() * (6 / (4 * 9)) ** 0.5
    assert torch.allclose(layer.score, expected)


def test_scores_mode_applies_the_largest_weights_at_first() -> None:
    layer = conv()
    layer.density = 0.25
    layer.set_mode(LayerMode.SCORES)
    applied = layer.effective_weight()
    kept = applied != 0
    assert int(kept.sum()) == 72 == layer.kept_weights()
    assert layer.weight[kept].abs().min() >= layer.weight[~kept].abs().max()


def test_score_gradient_is_that_of_hydra() -> None:
    """dL/dscore = dL/d(masked weight) * weight * sign(score), for kept and dropped alike."""
    layer = conv()
    layer.density = 0.25
    layer.set_mode(LayerMode.SCORES)
    x = torch.randn(2, 4, 6, 6)
    probe = torch.randn(2, 8, 6, 6)
    (layer(x) * probe).sum().backward()
    masked = layer.effective_weight().detach().requires_grad_()
    loss = (conv2d(x, masked, padding=1) * probe).sum()
    (gradient,) = torch.autograd.grad(loss, masked)
    assert layer.score.grad is not None
    expected = gradient * layer.weight * layer.score.sign()
    assert torch.allclose(layer.score.grad, expected, atol=1e-5)
    assert layer.weight.grad is None
    assert (layer.score.grad[masked == 0] != 0).any(), "dropped weights can come back"


def test_block_gradient_goes_to_every_member_of_the_group() -> None:
    layer = conv()
    layer.pattern = SparsityPattern.BLOCK
    layer.density = 0.5
    layer.set_mode(LayerMode.SCORES)
    layer(torch.randn(2, 4, 6, 6)).square().sum().backward()
    assert layer.score.grad is not None
    per_member = layer.score.grad * layer.score.sign()
    assert torch.allclose(per_member[0], per_member[3], atol=1e-6)
    assert not torch.allclose(per_member[0], per_member[4], atol=1e-6)


def test_masked_mode_trains_surviving_weights_only() -> None:
    layer = conv()
    layer.density = 0.25
    layer.freeze_mask()
    layer.set_mode(LayerMode.MASKED)
    layer(torch.randn(2, 4, 6, 6)).square().sum().backward()
    assert layer.weight.grad is not None
    assert (layer.weight.grad[~layer.mask] == 0).all()
    assert (layer.weight.grad[layer.mask] != 0).any()
    assert layer.score.grad is None


def test_frozen_mask_ignores_later_scores() -> None:
    layer = conv()
    layer.density = 0.5
    layer.freeze_mask()
    layer.set_mode(LayerMode.MASKED)
    before = layer.effective_weight().clone()
    with torch.no_grad():
        layer.score.neg_().add_(1)
    assert torch.equal(layer.effective_weight(), before)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (4, 4), (2, 6)])
@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_dilated_convolution_by_phases_is_the_dilated_convolution(
    kernel: int, stride: int, size: tuple[int, int], memory: torch.memory_format
) -> None:
    torch.manual_seed(0)
    layer = SparseConv2d(4, 4, kernel, stride=stride, dilation=2, groups=4).double()
    x = torch.randn(2, 4, *size, dtype=torch.double).contiguous(memory_format=memory)
    x.requires_grad_()
    plain = conv2d(x, layer.weight, stride=stride, padding=layer.padding, dilation=2, groups=4)
    found = layer(x)
    assert torch.allclose(found, plain)
    inputs = (x, layer.weight)
    probe = torch.randn_like(plain)
    for one, other in zip(
        torch.autograd.grad(found, inputs, probe),
        torch.autograd.grad(plain, inputs, probe),
        strict=True,
    ):
        assert torch.allclose(one, other)


def test_linear_layer_masks_its_weights_and_keeps_its_bias() -> None:
    layer = SparseLinear(6, 3)
    layer.density = 0.5
    layer.freeze_mask()
    layer.set_mode(LayerMode.MASKED)
    x = torch.randn(2, 6)
    assert torch.allclose(layer(x), x @ (layer.weight * layer.mask).T + layer.bias)


def test_switches_reach_every_layer_and_a_state_dict_restores_them() -> None:
    network = nn.Sequential(conv(), nn.ReLU(), SparseConv2d(8, 4, 1))
    assert list(sparse_layers(network)) == ["0", "2"]
    set_pattern(network, SparsityPattern.BLOCK)
    for layer in sparse_layers(network).values():
        layer.density = 0.5
    freeze_masks(network)
    set_mode(network, LayerMode.MASKED)
    assert density_of(network) == pytest.approx(0.5)
    copy = nn.Sequential(conv(), nn.ReLU(), SparseConv2d(8, 4, 1))
    copy.load_state_dict(network.state_dict())
    x = torch.randn(1, 4, 5, 5)
    assert torch.equal(copy(x), network(x))
    layer = sparse_layers(copy)["2"]
    assert (layer.mode, layer.density, layer.pattern) == (
        LayerMode.MASKED,
        0.5,
        SparsityPattern.BLOCK,
    )


def test_layer_of_zeros_has_finite_scores() -> None:
    layer = SparseLinear(3, 2)
    with torch.no_grad():
        layer.weight.zero_()
    layer.reset_scores()
    found: Tensor = layer.score
    assert torch.isfinite(found).all()
