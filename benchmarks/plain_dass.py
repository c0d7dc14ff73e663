"""A straightforward DASS supernet, as the rival of ours: the same function, written as it is told.

DARTS (Liu et al., arXiv 1806.09055): every edge of a cell has a mixed operation of its own, and
every operation its own modules. DASS: every convolution and linear layer has a score per weight; in
the stages that mask, each forward pass sorts all scores of each layer anew (HYDRA, Sehwag et al.,
arXiv 2002.10509). Kindly to it, nothing is sorted while the network is dense.

Module names within an operation are those of `search.layers.operations`; `plain_copy` needs them.
Shape suffixes: E edges of a cell (14), O operations (8).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.engine.schedule import Stage
from search.space.genotype import NODES
from search.space.primitives import OPERATIONS
from search.space.task import TaskShape
from search.supernet.supernet import CELL_WIDTH, STEM_WIDTH, reduction_indices


class _TopK(torch.autograd.Function):
    """Mask of the `kept` largest magnitudes; the gradient passes as if it were the identity."""

    @staticmethod
    def forward(_context: Any, magnitude: Tensor, kept: int) -> Tensor:
        order = magnitude.flatten().argsort()
        mask = torch.ones(order.numel())
        mask[order[: order.numel() - kept]] = 0.0
        return mask.view(magnitude.shape)

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


class PlainConv(nn.Conv2d):
    """Convolution without bias that keeps its `kept` weights with the largest |score|."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        padding = dilation * (kernel - 1) // 2
        super().__init__(
            in_channels, out_channels, kernel, stride, padding, dilation, groups, bias=False
        )
        self.stage = Stage.DENSE
        self.score = nn.Parameter(torch.empty_like(self.weight), requires_grad=False)
        self.kept = self.weight.numel()

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution; input (batch, in, height, width)."""
        output: Tensor = self._conv_forward(input, _applied(self), None)
        return output


class PlainLinear(nn.Linear):
    """Linear layer that keeps its `kept` weights with the largest |score|."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        self.stage = Stage.DENSE
        self.score = nn.Parameter(torch.empty_like(self.weight), requires_grad=False)
        self.kept = self.weight.numel()

    def forward(self, input: Tensor) -> Tensor:
        """Return the product; input (batch, in)."""
        return F.linear(input, _applied(self), self.bias)


def _applied(layer: PlainConv | PlainLinear) -> Tensor:
    if layer.stage is Stage.DENSE:
        return layer.weight
    mask: Tensor = _TopK.apply(layer.score.abs(), layer.kept)  # type: ignore[no-untyped-call]
    return layer.weight * mask


def enter_stage(network: nn.Module, stage: Stage) -> None:
    """Switch every layer; scores are trained in their stage only, weights in the others."""
    for layer in plain_layers(network):
        layer.stage = stage
        layer.weight.requires_grad_(stage is not Stage.SCORES)
        layer.score.requires_grad_(stage is Stage.SCORES)


def plain_layers(network: nn.Module) -> Iterator[PlainConv | PlainLinear]:
    """Yield every layer that has scores."""
    for module in network.modules():
        if isinstance(module, PlainConv | PlainLinear):
            yield module


class _Zero(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :, :: self.stride, :: self.stride] * 0.0


class _ReLUConvBN(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = PlainConv(in_channels, out_channels, 1)
        self.norm = nn.BatchNorm2d(out_channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.conv(F.relu(x)))
        return normed


class _FactorizedReduce(nn.Module):
    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = PlainConv(in_channels, out_channels // 2, 1, stride=2)
        self.conv2 = PlainConv(in_channels, out_channels // 2, 1, stride=2)
        self.norm = nn.BatchNorm2d(out_channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(x)
        halves = torch.cat([self.conv1(x), self.conv2(x[:, :, 1:, 1:])], dim=1)
        normed: Tensor = self.norm(halves)
        return normed


class _SepConv(nn.Module):
    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.depthwise1 = PlainConv(channels, channels, kernel, stride=stride, groups=channels)
        self.pointwise1 = PlainConv(channels, channels, 1)
        self.norm1 = nn.BatchNorm2d(channels, affine=False)
        self.depthwise2 = PlainConv(channels, channels, kernel, groups=channels)
        self.pointwise2 = PlainConv(channels, channels, 1)
        self.norm2 = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm1(self.pointwise1(self.depthwise1(F.relu(x))))
        normed: Tensor = self.norm2(self.pointwise2(self.depthwise2(F.relu(x))))
        return normed


class _DilConv(nn.Module):
    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.depthwise = PlainConv(
            channels, channels, kernel, stride=stride, dilation=2, groups=channels
        )
        self.pointwise = PlainConv(channels, channels, 1)
        self.norm = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.pointwise(self.depthwise(F.relu(x))))
        return normed


class _Pool(nn.Module):
    def __init__(self, pool: nn.Module, channels: int) -> None:
        super().__init__()
        self.pool = pool
        self.norm = nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        normed: Tensor = self.norm(self.pool(x))
        return normed


def _operation(name: str, channels: int, stride: int) -> nn.Module:
    match name:
        case "none":
            return _Zero(stride)
        case "skip_connect":
            return nn.Identity() if stride == 1 else _FactorizedReduce(channels, channels)
        case "max_pool_3x3":
            return _Pool(nn.MaxPool2d(3, stride, padding=1), channels)
        case "avg_pool_3x3":
            return _Pool(nn.AvgPool2d(3, stride, padding=1, count_include_pad=False), channels)
    kind, _, size = name.rpartition("_")
    operation = {"sep_conv": _SepConv, "dil_conv": _DilConv}[kind]
    return operation(channels, int(size[0]), stride)


class PlainMixedOp(nn.Module):
    """One edge: the weighted sum of all eight operations."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.operations = nn.ModuleList(_operation(name, channels, stride) for name in OPERATIONS)

    def forward(self, x: Tensor, weight_O: Tensor) -> Tensor:
        """Return (batch, channels, height / stride, width / stride)."""
        parts = [w * operation(x) for w, operation in zip(weight_O, self.operations, strict=True)]
        return sum(parts[1:], parts[0])


class PlainCell(nn.Module):
    """Two inputs, four nodes, fourteen edges in the order of the alphas."""

    def __init__(
        self, inputs: tuple[int, int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__()
        self.reduction = reduction
        older = _FactorizedReduce if after_reduction else _ReLUConvBN
        self.preprocess0 = older(inputs[0], channels)
        self.preprocess1 = _ReLUConvBN(inputs[1], channels)
        self.edges = nn.ModuleList(
            PlainMixedOp(channels, 2 if reduction and source < 2 else 1)
            for node in range(NODES)
            for source in range(2 + node)
        )

    def forward(self, older: Tensor, newer: Tensor, weight_EO: Tensor) -> Tensor:
        """Return (batch, 4 channels, height, width)."""
        states = [self.preprocess0(older), self.preprocess1(newer)]
        first = 0
        for _ in range(NODES):
            parts = [
                self.edges[first + source](state, weight_EO[first + source])
                for source, state in enumerate(states)
            ]
            first += len(states)
            states.append(sum(parts[1:], parts[0]))
        return torch.cat(states[-NODES:], dim=1)


class PlainSupernet(nn.Module):
    """Stem, cells of mixed operations, global average pooling, classifier; as our `Supernet`."""

    def __init__(self, channels: int, cells: int, task: TaskShape) -> None:
        super().__init__()
        width = STEM_WIDTH * channels
        self.stem = PlainConv(task.image_channels, width, 3)
        self.stem_norm = nn.BatchNorm2d(width)
        self.cells = nn.ModuleList()
        inputs, after_reduction = (width, width), False
        for index in range(cells):
            reduction = index in reduction_indices(cells)
            channels = channels * 2 if reduction else channels
            self.cells.append(
                PlainCell(inputs, channels, reduction=reduction, after_reduction=after_reduction)
            )
            inputs, after_reduction = (inputs[1], CELL_WIDTH * channels), reduction
        self.classifier = PlainLinear(inputs[1], task.classes)

    def forward(self, images: Tensor, normal_EO: Tensor, reduce_EO: Tensor) -> Tensor:
        """Return logits (batch, classes) under the given weights of operations."""
        older = newer = self.stem_norm(self.stem(images))
        for cell in self.cells:
            weights = reduce_EO if cell.reduction else normal_EO
            older, newer = newer, cell(older, newer, weights)
        logits: Tensor = self.classifier(newer.mean(dim=(2, 3)))
        return logits
