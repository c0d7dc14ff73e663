"""Candidate operations: shapes, parts, and independence of groups."""

import pytest
import torch
from torch import nn

from search.layers.operations import (
    DilConv,
    FactorizedReduce,
    Pool,
    ReLUConvBN,
    SepConv,
    make_operation,
)
from search.layers.sparse import sparse_layers
from search.space.primitives import OPERATIONS

NAMES = [name for name in OPERATIONS if name != "none"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stride", [1, 2])
def test_output_has_the_channels_and_the_stride(name: str, stride: int) -> None:
    operation = make_operation(name, 6, stride, affine=True)
    assert operation(torch.randn(2, 6, 8, 8)).shape == (2, 6, 8 // stride, 8 // stride)


def test_separable_convolution_has_the_asked_middle_width() -> None:
    operation = make_operation("sep_conv_5x5", 8, 1, affine=True, middle_channels=4)
    assert isinstance(operation, SepConv)
    assert operation.middle_channels == 4
    assert {
        path: tuple(layer.weight.shape) for path, layer in sparse_layers(operation).items()
    } == {
        "depthwise1": (8, 1, 5, 5),
        "pointwise1": (4, 8, 1, 1),
        "depthwise2": (4, 1, 5, 5),
        "pointwise2": (8, 4, 1, 1),
    }


@pytest.mark.parametrize("name", ["sep_conv_3x3", "dil_conv_5x5"])
@pytest.mark.parametrize("stride", [1, 2])
def test_groups_are_independent_copies(name: str, stride: int) -> None:
    """Two groups give what two operations with these weights give."""
    torch.manual_seed(0)
    wide = make_operation(name, 8, stride, affine=False, groups=2)
    x = torch.randn(2, 8, 8, 8)
    outputs = []
    for group in range(2):
        narrow = make_operation(name, 4, stride, affine=False)
        for path, layer in sparse_layers(narrow).items():
            source = sparse_layers(wide)[path].weight
            with torch.no_grad():
                layer.weight.copy_(source[4 * group : 4 * group + 4])
        outputs.append(narrow(x[:, 4 * group : 4 * group + 4]))
    assert torch.allclose(wide(x), torch.cat(outputs, dim=1), atol=1e-5)


def test_first_relu_can_be_done_outside() -> None:
    for name in ("sep_conv_3x3", "dil_conv_3x3"):
        operation = make_operation(name, 4, 1, affine=True).eval()
        assert isinstance(operation, SepConv | DilConv)
        x = torch.randn(1, 4, 6, 6)
        assert torch.equal(operation(x), operation.transform(torch.relu(x)))


def test_factorized_reduce_reads_shifted_images() -> None:
    operation = FactorizedReduce(1, 2, affine=True).eval()
    with torch.no_grad():
        for layer in sparse_layers(operation).values():
            layer.weight.fill_(1.0)
    x = torch.arange(16.0).view(1, 1, 4, 4)
    y = operation(x) * (1 + operation.norm.eps) ** 0.5
    assert torch.allclose(y[0, 0], x[0, 0, ::2, ::2])
    assert torch.allclose(y[0, 1], x[0, 0, 1::2, 1::2])


def test_average_pool_does_not_count_padding() -> None:
    operation = make_operation("avg_pool_3x3", 1, 1, affine=True)
    assert torch.allclose(operation(torch.ones(1, 1, 4, 4)), torch.ones(1, 1, 4, 4))


def test_pools_are_normalised_in_the_supernet_only() -> None:
    supernet = make_operation("max_pool_3x3", 4, 1, affine=False)
    final = make_operation("max_pool_3x3", 4, 1, affine=True)
    assert isinstance(supernet, Pool)
    assert isinstance(supernet.norm, nn.BatchNorm2d)
    assert isinstance(final, Pool)
    assert final.norm is None


def test_preprocessing_changes_the_channels() -> None:
    assert ReLUConvBN(3, 8, affine=True)(torch.randn(2, 3, 4, 4)).shape == (2, 8, 4, 4)


def test_mistakes_are_named() -> None:
    with pytest.raises(ValueError, match="unknown 'conv_7x7'; allowed"):
        make_operation("conv_7x7", 4, 1, affine=True)
    with pytest.raises(ValueError, match="unknown 'none'"):
        make_operation("none", 4, 1, affine=True)
    with pytest.raises(ValueError, match="stride must be 1 or 2, got 3"):
        make_operation("sep_conv_3x3", 4, 3, affine=True)
    with pytest.raises(ValueError, match="max_pool_3x3 has no middle width"):
        make_operation("max_pool_3x3", 4, 1, affine=True, middle_channels=2)
    with pytest.raises(ValueError, match="must be even: 5"):
        FactorizedReduce(4, 5, affine=True)
