"""A sparse convolution with a bias of its own, for networks whose batch norms are folded."""

from torch import Tensor, nn
from torch.nn import functional as F

from search.layers.sparse import SparseConv2d


class BiasedConv2d(SparseConv2d):
    """Convolution with bias, any window and any padding, whose weights can be pruned.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_shape: height and width.
        pads: zeros at the top, left, bottom and right.
        stride: in both directions.
        dilation: likewise.
        groups: into which the channels are divided.
    """

    bias: nn.Parameter

    # What SparseConv2d fixes is open here, so its own is not called.
    def __init__(  # noqa: PLR0913  (as many as a convolution has)
        self,
        in_channels: int,
        out_channels: int,
        kernel_shape: tuple[int, int],
        *,
        pads: tuple[int, int, int, int],
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
    ) -> None:
        top, left, bottom, right = pads
        even = top == bottom and left == right
        nn.Conv2d.__init__(
            self,
            in_channels,
            out_channels,
            kernel_shape,
            stride=stride,
            padding=(top, left) if even else 0,
            dilation=dilation,
            groups=groups,
        )
        self._uneven = None if even else (left, right, top, bottom)
        self._init_sparsity()

    def forward(self, input: Tensor) -> Tensor:
        """Return the convolution; input (batch, in, height, width)."""
        if self._uneven is not None:
            input = F.pad(input, self._uneven)
        output: Tensor = self._conv_forward(input, self.effective_weight(), self.bias)
        return output
