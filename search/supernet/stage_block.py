"""MixedBlock: all block options of a stage side by side, each weighted by its probability.

Options that differ in one number share their weights. Widths are masks on the channels of the
widest (Wan et al., FBNet-V2, arXiv 2004.05565, section 3.1), and so are expansions; a mask stands
behind a batch norm without scale, which would undo it. With probabilities of 0 and 1 the block is
exactly the discrete one, batch norm statistics included.

Shape suffixes: B batch, C channels, O block options, K kernels, E expansions, I widths of the input,
W widths of the block, M channels in the middle of an inverted residual.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.layers.sparse import SparseConv2d
from search.space.stage_genotype import KERNELS, BlockKind
from search.space.stage_skeleton import EXPANSIONS, OPTIONS

_KERNELS = KERNELS[BlockKind.INVERTED]
_KINDS = [option.kind for option in OPTIONS]
_BASIC, _PLAIN = _KINDS.index(BlockKind.BASIC), _KINDS.index(BlockKind.PLAIN)
_INVERTED = slice(_KINDS.index(BlockKind.INVERTED), None)  # the last ones: each kernel, expansion
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True)
class BlockShape:
    """Shape of a mixed block."""

    in_widths: tuple[int, ...]  # channels that its input can have
    widths: tuple[int, ...]  # that it can have
    stride: int
    keeps_width: bool  # it has always the width of its input


@dataclass(frozen=True, kw_only=True)
class BlockMixture:
    """Probabilities of the options of one block."""

    options: Tensor  # (O,)
    in_widths: Tensor  # (I,)
    widths: Tensor  # (W,)


class MixedBlock(nn.Module):
    """Basic, plain and inverted blocks on one input."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        before, channels, stride = max(shape.in_widths), max(shape.widths), shape.stride
        middle = max(EXPANSIONS) * before
        self.shape = shape
        self.conv1, self.norm1 = _conv(before, channels, 3, stride)
        self.conv2, self.norm2 = _conv(channels, channels, 3)
        self.changes_shape = stride > 1 or not shape.keeps_width
        if self.changes_shape:
            self.shortcut, self.shortcut_norm = _conv(before, channels, 1)
        self.plain, self.plain_norm = _conv(before, channels, 3, stride)
        self.expand, self.expand_norm = _conv(before, middle, 1)
        self.filters = nn.ModuleList(
            SparseConv2d(middle, middle, kernel, stride=stride, groups=middle)
            for kernel in _KERNELS
        )
        self.filter_norms = nn.ModuleList(_norm(middle) for _ in _KERNELS)
        self.project, self.project_norm = _conv(middle, channels, 1)
        masks_EIM = [
            [_prefix(expansion * width, middle) for width in shape.in_widths]
            for expansion in EXPANSIONS
        ]
        self.masks_WC: Tensor
        self.masks_EIM: Tensor
        own = torch.stack([_prefix(width, channels) for width in shape.widths])
        self.register_buffer("masks_WC", own, persistent=False)
        wide = torch.stack([torch.stack(row) for row in masks_EIM])
        self.register_buffer("masks_EIM", wide, persistent=False)

    def forward(self, x: Tensor, mixture: BlockMixture) -> Tensor:
        """Return (batch, widest, height / stride, width / stride)."""
        mask_C11 = (mixture.widths @ self.masks_WC)[:, None, None]
        options = mixture.options
        basic = self._basic(x, mixture, mask_C11)
        plain = F.relu(self.plain_norm(self.plain(x)) * mask_C11)
        inverted = self._inverted(x, mixture, mask_C11)
        total = options[_BASIC] * basic + options[_PLAIN] * plain
        return total + options[_INVERTED].sum() * inverted

    def _basic(self, x: Tensor, mixture: BlockMixture, mask_C11: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x))) * mask_C11
        y = self.norm2(self.conv2(y)) * mask_C11
        return F.relu(y + self._beside(x, mixture, mask_C11))

    def _beside(self, x: Tensor, mixture: BlockMixture, mask_C11: Tensor) -> Tensor:
        """Return the shortcut of a basic block: the input, or a convolution where shapes differ."""
        if not self.changes_shape:
            return x
        # Pixels are picked here and not by a stride, as in FactorizedReduce.
        picked = x[:, :, :: self.shape.stride, :: self.shape.stride]
        projected: Tensor = self.shortcut_norm(self.shortcut(picked)) * mask_C11
        if self.shape.stride > 1:
            return projected
        same = self._same_width(mixture)
        return same * self._padded(x) + (1.0 - same) * projected

    def _inverted(self, x: Tensor, mixture: BlockMixture, mask_C11: Tensor) -> Tensor:
        """Return the inverted residuals, mixed before their common projection."""
        chance = mixture.options[_INVERTED]
        share_KE = (chance / chance.sum().clamp_min(_TINY)).view(len(_KERNELS), len(EXPANSIONS))
        mask_KM = torch.einsum("ke,i,eim->km", share_KE, mixture.in_widths, self.masks_EIM)
        expanded = F.relu6(self.expand_norm(self.expand(x)))
        filtered = [
            F.relu6(norm(conv(expanded))) * mask_M[:, None, None]
            for conv, norm, mask_M in zip(self.filters, self.filter_norms, mask_KM, strict=True)
        ]
        y: Tensor = self.project_norm(self.project(sum(filtered))) * mask_C11
        if self.shape.stride > 1:
            return y
        if self.shape.keeps_width:
            return y + x
        return y + self._same_width(mixture) * self._padded(x)

    def _same_width(self, mixture: BlockMixture) -> Tensor:
        """Return the probability that the block has the width of its input."""
        equal = [
            mixture.in_widths[i] * mixture.widths[w]
            for i, before in enumerate(self.shape.in_widths)
            for w, width in enumerate(self.shape.widths)
            if before == width
        ]
        return torch.stack(equal).sum()

    def _padded(self, x: Tensor) -> Tensor:
        return F.pad(x, (0, 0, 0, 0, 0, max(self.shape.widths) - x.shape[1]))


def _conv(
    in_channels: int, out_channels: int, kernel: int, stride: int = 1
) -> tuple[SparseConv2d, nn.BatchNorm2d]:
    return SparseConv2d(in_channels, out_channels, kernel, stride=stride), _norm(out_channels)


def _norm(channels: int) -> nn.BatchNorm2d:
    """Without scale: it must not rescale an option against its architecture parameter."""
    return nn.BatchNorm2d(channels, affine=False)


def _prefix(count: int, length: int) -> Tensor:
    """Return (length,): 1 for the first `count`, else 0."""
    return (torch.arange(length) < count).float()
