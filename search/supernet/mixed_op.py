"""MixedEdges: all edges that leave one state of a cell, each the weighted sum of all operations.

Edges that leave the same state read the same tensor. So operations with weights are computed for
all of them at once, side by side in groups of channels, and operations without weights only once:
the same function as one mixed operation per edge, in a third of the calls.

Shape suffixes: B batch, E edges that leave the state, C channels, O operations (8).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from search.layers.operations import DilConv, SepConv, make_operation
from search.space.primitives import OPERATIONS

GROUPED = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
POOLS = ("max_pool_3x3", "avg_pool_3x3")
SKIP = "skip_connect"


class MixedEdges(nn.Module):
    """Every operation but `none` (which contributes zero), behind non-affine batch norm.

    Args:
        channels: of the state and of each edge's output.
        stride: of every edge.
        edges: how many leave the state.
    """

    def __init__(self, channels: int, stride: int, edges: int) -> None:
        super().__init__()
        self.num_edges = edges
        self.grouped = nn.ModuleDict(
            {
                name: make_operation(name, channels * edges, stride, affine=False, groups=edges)
                for name in GROUPED
            }
        )
        self.pools = nn.ModuleDict(
            {name: make_operation(name, channels, stride, affine=False) for name in POOLS}
        )
        # At stride 1 a skip has no weights, so one serves all edges.
        self.skips = nn.ModuleList(
            make_operation(SKIP, channels, stride, affine=False)
            for _ in range(edges if stride > 1 else 1)
        )

    def forward(self, state_BCHW: Tensor, weight_EO: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor per edge: the operations on the state, weighted by `weight_EO`.

        Operations that no edge uses are not computed, but where the weights want gradients: for a
        single network that is most of them.
        """
        weights = dict(zip(OPERATIONS, weight_EO.unbind(dim=1), strict=True))
        rectified = torch.cat([F.relu(state_BCHW)] * self.num_edges, dim=1)
        total_BECHW: Tensor | None = None
        for name, operation in self.grouped.items():
            if _is_idle(weights[name]):
                continue
            assert isinstance(operation, SepConv | DilConv)
            output = self._by_edge(operation.transform(rectified))
            total_BECHW = _accumulate(total_BECHW, output, weights[name])
        for name, pool in self.pools.items():
            if _is_idle(weights[name]):
                continue
            total_BECHW = _accumulate(total_BECHW, pool(state_BCHW).unsqueeze(1), weights[name])
        skips = torch.stack([skip(state_BCHW) for skip in self.skips], dim=1)
        return _accumulate(total_BECHW, skips, weights[SKIP]).unbind(dim=1)

    def _by_edge(self, x: Tensor) -> Tensor:
        """Return (batch, edges, channels, height, width); a view."""
        batch, channels, height, width = x.shape
        return x.view(batch, self.num_edges, channels // self.num_edges, height, width)


def _is_idle(weight_E: Tensor) -> bool:
    """Return whether no edge uses an operation, and none asks what using it would change.

    A step that is recorded on a GPU (`engine.gradients`) may not depend on values.
    """
    recorded = weight_E.is_cuda and torch.is_grad_enabled()
    return not recorded and not weight_E.requires_grad and not bool(weight_E.any())


def _accumulate(total_BECHW: Tensor | None, output: Tensor, weight_E: Tensor) -> Tensor:
    """Return the total plus the weighted output, which may be one for all edges."""
    weight = weight_E.view(1, -1, 1, 1, 1)
    if total_BECHW is None:
        return output * weight
    return torch.addcmul(total_BECHW, output, weight)
