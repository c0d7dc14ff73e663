"""MixedEdges: all edges that leave one state of a cell, each the weighted sum of all operations.

Edges that leave the same state read the same tensor. So operations with weights are computed for
all of them at once, side by side in groups of channels, and operations without weights only once:
the same function as one mixed operation per edge, in a third of the calls.

Shape suffixes: E edges that leave the state, O operations (8).
"""

import torch
from torch import Tensor, nn

from search.layers.operations import make_operation
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

    def forward(self, state: Tensor, weight_EO: Tensor) -> tuple[Tensor, ...]:
        """Return one tensor per edge: the operations on `state`, weighted by `weight_EO`."""
        channels = state.shape[1]
        weights = dict(zip(OPERATIONS, weight_EO.unbind(dim=1), strict=True))
        copies = torch.cat([state] * self.num_edges, dim=1)
        parts = [
            operation(copies) * _per_channel(weights[name], channels)
            for name, operation in self.grouped.items()
        ]
        for name, pool in self.pools.items():
            pooled = torch.cat([pool(state)] * self.num_edges, dim=1)
            parts.append(pooled * _per_channel(weights[name], channels))
        skips = [skip(state) for skip in self.skips]
        skipped = torch.cat(skips * (self.num_edges // len(skips)), dim=1)
        parts.append(skipped * _per_channel(weights[SKIP], channels))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total.split(channels, dim=1)


def _per_channel(weight_E: Tensor, channels: int) -> Tensor:
    """Return (1, E * channels, 1, 1): the weight of its edge for each channel."""
    return weight_E.repeat_interleave(channels).view(1, -1, 1, 1)
