"""The candidate operations of a cell edge, used by the supernet and by the final network.

Shapes and order are those of DARTS (Liu et al., arXiv 1806.09055, appendix A.1.1); every
convolution is parametrically sparse as in DASS. All operations keep the number of channels; with
stride 2 they halve height and width. `affine` is False in the supernet, where batch norm must not
rescale an operation against its architecture parameter.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.layers.sparse import SparseConv2d
from search.space.primitives import OPERATIONS


class ReLUConvBN(nn.Module):
    """ReLU, 1x1 convolution, batch norm: brings a cell input to the channels of the cell."""

    def __init__(self, in_channels: int, out_channels: int, *, affine: bool) -> None:
        super().__init__()
        self.conv = SparseConv2d(in_channels, out_channels, 1)
        self.norm = nn.BatchNorm2d(out_channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out, height, width)."""
        normed: Tensor = self.norm(self.conv(F.relu(x)))
        return normed


class FactorizedReduce(nn.Module):
    """ReLU, two 1x1 convolutions of stride 2 on images shifted by (1, 1), joined; batch norm.

    Raises:
        ValueError: the number of output channels is odd.
    """

    def __init__(self, in_channels: int, out_channels: int, *, affine: bool) -> None:
        super().__init__()
        if out_channels % 2:
            raise ValueError(f"factorized reduce: output channels must be even: {out_channels}")
        self.conv1 = SparseConv2d(in_channels, out_channels // 2, 1)
        self.conv2 = SparseConv2d(in_channels, out_channels // 2, 1)
        self.norm = nn.BatchNorm2d(out_channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, out, height / 2, width / 2); height and width are even."""
        x = F.relu(x)
        # Pixels are picked here and not by a stride: the backward pass of a 1x1 convolution with a
        # stride writes beyond its buffers on AVX2 (torch 2.13.0, channels last, few channels).
        even, odd = x[:, :, ::2, ::2], x[:, :, 1::2, 1::2]
        normed: Tensor = self.norm(torch.cat([self.conv1(even), self.conv2(odd)], dim=1))
        return normed


@dataclass(frozen=True, kw_only=True)
class WeightedShape:
    """Shape of an operation with weights.

    With `groups` above 1 the channels are that many independent copies of the operation side by
    side: the edges that leave one state of a supernet cell, computed together.
    """

    channels: int  # of input and output, all groups together
    stride: int
    affine: bool
    groups: int = 1
    middle_channels: int | None = None  # width inside a separable convolution; None: `channels`

    def depthwise(self, kernel: int, *, dilation: int = 1) -> SparseConv2d:
        """Return the depthwise convolution that reads the input."""
        return SparseConv2d(
            self.channels,
            self.channels,
            kernel,
            stride=self.stride,
            dilation=dilation,
            groups=self.channels,
        )


class SepConv(nn.Module):
    """Twice: ReLU, depthwise, pointwise, batch norm. `middle_channels` is the width between."""

    def __init__(self, kernel: int, shape: WeightedShape) -> None:
        super().__init__()
        channels, groups, affine = shape.channels, shape.groups, shape.affine
        middle = channels if shape.middle_channels is None else shape.middle_channels
        self.middle_channels = middle
        self.depthwise1 = shape.depthwise(kernel)
        self.pointwise1 = SparseConv2d(channels, middle, 1, groups=groups)
        self.norm1 = nn.BatchNorm2d(middle, affine=affine)
        self.depthwise2 = SparseConv2d(middle, middle, kernel, groups=middle)
        self.pointwise2 = SparseConv2d(middle, channels, 1, groups=groups)
        self.norm2 = nn.BatchNorm2d(channels, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, height / stride, width / stride)."""
        return self.transform(F.relu(x))

    def transform(self, x: Tensor) -> Tensor:
        """Return what `forward` does behind its first ReLU."""
        x = F.relu(self.norm1(self.pointwise1(self.depthwise1(x))))
        normed: Tensor = self.norm2(self.pointwise2(self.depthwise2(x)))
        return normed


class DilConv(nn.Module):
    """ReLU, depthwise with dilation 2, pointwise, batch norm."""

    def __init__(self, kernel: int, shape: WeightedShape) -> None:
        super().__init__()
        self.depthwise = shape.depthwise(kernel, dilation=2)
        self.pointwise = SparseConv2d(shape.channels, shape.channels, 1, groups=shape.groups)
        self.norm = nn.BatchNorm2d(shape.channels, affine=shape.affine)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, height / stride, width / stride)."""
        return self.transform(F.relu(x))

    def transform(self, x: Tensor) -> Tensor:
        """Return what `forward` does behind its first ReLU."""
        normed: Tensor = self.norm(self.pointwise(self.depthwise(x)))
        return normed


class Pool(nn.Module):
    """3x3 pooling; batch norm behind it in the supernet only, so that operations compare."""

    norm: nn.BatchNorm2d | None

    def __init__(self, pool: nn.Module, channels: int, *, affine: bool) -> None:
        super().__init__()
        self.pool = pool
        self.norm = None if affine else nn.BatchNorm2d(channels, affine=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return (batch, channels, height / stride, width / stride)."""
        pooled: Tensor = self.pool(x)
        return pooled if self.norm is None else self.norm(pooled)


class Identity(nn.Module):
    """The skip connection at stride 1."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the input itself."""
        return x


def make_operation(
    name: str,
    channels: int,
    stride: int,
    *,
    affine: bool,
    middle_channels: int | None = None,
    groups: int = 1,
) -> nn.Module:
    """Return the operation of that name.

    Args:
        name: one of OPERATIONS except `none`, which computes nothing and has no module.
        channels: of input and output.
        stride: 1 or 2.
        affine: whether batch norm has trained scale and shift; False in the supernet.
        middle_channels: width inside a separable convolution; None means `channels`.
        groups: independent copies side by side, see WeightedShape.

    Raises:
        ValueError: unknown name or stride, or a middle width where the operation has none.
    """
    if name not in OPERATIONS or name == "none":
        allowed = [known for known in OPERATIONS if known != "none"]
        raise ValueError(f"operation: unknown {name!r}; allowed: {allowed}")
    if stride not in (1, 2):
        raise ValueError(f"operation: stride must be 1 or 2, got {stride}")
    kind, _, size = name.rpartition("_")
    if middle_channels is not None and kind != "sep_conv":
        raise ValueError(f"operation: {name} has no middle width")
    if kind not in _WEIGHTED:
        return _make_weightless(name, channels, stride, affine=affine)
    shape = WeightedShape(
        channels=channels,
        stride=stride,
        affine=affine,
        groups=groups,
        middle_channels=middle_channels,
    )
    return _WEIGHTED[kind](_KERNELS[size], shape)


_KERNELS = {"3x3": 3, "5x5": 5}
_WEIGHTED: dict[str, type[SepConv | DilConv]] = {"sep_conv": SepConv, "dil_conv": DilConv}


def _make_weightless(name: str, channels: int, stride: int, *, affine: bool) -> nn.Module:
    if name == "skip_connect":
        if stride == 1:
            return Identity()
        return FactorizedReduce(channels, channels, affine=affine)
    if name == "max_pool_3x3":
        return Pool(nn.MaxPool2d(3, stride=stride, padding=1), channels, affine=affine)
    pool = nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)
    return Pool(pool, channels, affine=affine)
