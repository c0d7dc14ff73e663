"""Cell of the supernet: two inputs, four nodes, fourteen mixed edges, the nodes joined."""

import torch
from torch import Tensor, nn

from search.layers.operations import FactorizedReduce, ReLUConvBN
from search.space.genotype import NODES
from search.supernet.architecture import edge_index
from search.supernet.mixed_op import MixedEdges


class SupernetCell(nn.Module):
    """One cell; a reduction halves the image at the edges that leave the two cell inputs.

    Args:
        inputs: channels of the outputs of the two previous cells, the older first.
        channels: of every node; the cell gives four times as many.
        reduction: whether this cell halves the image.
        after_reduction: whether the previous cell did, so that the older input is twice as large.
    """

    def __init__(
        self, inputs: tuple[int, int], channels: int, *, reduction: bool, after_reduction: bool
    ) -> None:
        super().__init__()
        self.reduction = reduction
        older: type[FactorizedReduce | ReLUConvBN]
        older = FactorizedReduce if after_reduction else ReLUConvBN
        self.preprocess0 = older(inputs[0], channels, affine=False)
        self.preprocess1 = ReLUConvBN(inputs[1], channels, affine=False)
        self.sources = nn.ModuleList(
            MixedEdges(channels, 2 if reduction and source < 2 else 1, len(_targets(source)))
            for source in range(NODES + 1)
        )

    def forward(self, older: Tensor, newer: Tensor, weight_EO: Tensor) -> Tensor:
        """Return (batch, 4 channels, height, width); `weight_EO` mixes the operations."""
        states = [self.preprocess0(older), self.preprocess1(newer)]
        incoming: list[list[Tensor]] = [[] for _ in range(NODES)]
        for source, edges in enumerate(self.sources):
            targets = _targets(source)
            weights = torch.stack([weight_EO[edge_index(node, source)] for node in targets])
            for node, part in zip(targets, edges(states[source], weights), strict=True):
                incoming[node].append(part)
            if source > 0:  # node `source - 1` has now all its edges
                states.append(_total(incoming[source - 1]))
        return torch.cat(states[-NODES:], dim=1)


def _targets(source: int) -> range:
    """Return the nodes that read a state: all for the cell inputs, else the later ones."""
    return range(max(0, source - 1), NODES)


def _total(parts: list[Tensor]) -> Tensor:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total
