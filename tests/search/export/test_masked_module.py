"""Masked PyTorch modules, written without any of this product, become the fastest exact model."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from latency.operator import Activation, OperatorKind, SparsityPattern
from search.export.masked_module import fastest_module, trace_module


class MobileBlock(nn.Module):
    """An inverted residual."""

    def __init__(self, channels: int, activation: nn.Module) -> None:
        super().__init__()
        wide = 4 * channels
        self.layers = nn.Sequential(
            nn.Conv2d(channels, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            activation,
            nn.Conv2d(wide, wide, 3, padding=1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            activation,
            nn.Conv2d(wide, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, images: Tensor) -> Tensor:
        result: Tensor = images + self.layers(images)
        return result


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions at half the size beside a 1x1."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(2 * channels)
        self.second = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.short = nn.Conv2d(channels, 2 * channels, 1, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        inner = self.second(torch.relu(self.norm(self.first(images))))
        return torch.relu(inner + self.short(images))


def mobile(activation: nn.Module) -> nn.Sequential:
    return trained(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        activation,
        MobileBlock(16, activation),
        nn.Dropout(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 10),
    )


def residual() -> nn.Sequential:
    return trained(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(3, 2, 1),
        ResidualBlock(8),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 2 * 2, 12),
        nn.ReLU(),
        nn.Linear(12, 10),
    )


def trained(*layers: nn.Module) -> nn.Sequential:
    """The module after a step in training mode, so that its batch norms have seen something."""
    torch.manual_seed(0)
    module = nn.Sequential(*layers)
    module(torch.randn(16, 3, 16, 16))
    return module


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (nn.ReLU6(), Activation.RELU6),
        (nn.SiLU(), Activation.SILU),
        (nn.Hardswish(), Activation.HARDSWISH),
    ],
)
def test_a_pruned_mobile_network(activation: nn.Module, expected: Activation) -> None:
    module = mobile(activation)
    block = module[3]
    assert isinstance(block, MobileBlock)
    prune.l1_unstructured(block.layers[0], "weight", 0.9)  # type: ignore[no-untyped-call]
    form = fastest_module(module, torch.randn(3, 3, 16, 16))
    assert module.training
    (widened,) = (
        layer
        for layer in form.layers
        if layer.spec.in_channels == 16
        and layer.spec.height == 8
        and layer.spec.activation is expected
        and layer.spec.groups == 1
    )
    assert widened.spec.pattern is SparsityPattern.UNSTRUCTURED
    assert widened.density <= 0.2
    assert [layer.spec.residual for layer in form.layers].count(True) == 1


def test_a_pruned_residual_network() -> None:
    module = residual()
    block = module[3]
    assert isinstance(block, ResidualBlock)
    prune.ln_structured(block.first, "weight", 0.5, n=2, dim=0)  # type: ignore[no-untyped-call]
    form = fastest_module(module, torch.randn(3, 3, 16, 16))
    kinds = [node.spec.kind for node in form.network.graph.nodes]
    assert OperatorKind.ADD not in kinds
    assert OperatorKind.RELU not in kinds
    half = next(layer for layer in form.layers if layer.spec.kernel == 3 and layer.spec.stride == 2)
    assert half.spec.out_channels + form.removed_channels == 16


def test_a_module_in_evaluation_stays_in_it() -> None:
    module = residual().eval()
    fastest_module(module, torch.randn(1, 3, 16, 16))
    assert not module.training


def test_what_cannot_be_read_is_named() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.GELU())
    with pytest.raises(ValueError, match=r"model: node '.*' \(\w+\): "):
        fastest_module(module, torch.randn(1, 3, 8, 8))


def test_the_model_has_one_image_and_the_names_of_ours() -> None:
    model = trace_module(residual(), torch.randn(1, 3, 16, 16))
    (image,) = model.graph.input
    assert image.name == "input"
    assert [dim.dim_value for dim in image.type.tensor_type.shape.dim] == [1, 3, 16, 16]


def test_every_part_keeps_its_mode_even_where_the_module_is_refused() -> None:
    parts = [nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU(), nn.AdaptiveAvgPool2d(1)]
    module = nn.Sequential(*parts, nn.Flatten(1), nn.Linear(7, 3)).train()
    module[1].eval()
    modes = [part.training for part in module.modules()]
    fastest_module(module, torch.randn(2, 3, 9, 9))
    assert [part.training for part in module.modules()] == modes
    module.append(nn.Sigmoid())
    modes = [part.training for part in module.modules()]
    with pytest.raises(ValueError, match="'logits' must be given by an operator"):
        fastest_module(module, torch.randn(2, 3, 9, 9))
    assert [part.training for part in module.modules()] == modes


@pytest.mark.parametrize("images", [torch.zeros(0, 3, 9, 9), torch.full((1, 3, 9, 9), torch.nan)])
def test_images_that_cannot_be_compared_on_are_refused(images: Tensor) -> None:
    with pytest.raises(ValueError, match="there must be some, all finite"):
        fastest_module(nn.Conv2d(3, 4, 1), images)
