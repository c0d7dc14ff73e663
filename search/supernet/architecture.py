"""ArchitectureParameters: the alphas, kept apart from every module that has weights.

In the released DASS code they were module parameters, and so the weight optimiser moved them on
the training loss. Here they are not part of any module, so that cannot happen.

Shape suffixes: E edges of a cell (14), O operations (8).
"""

import torch
from torch import Tensor, nn

from search.space.genotype import NODES
from search.space.primitives import OPERATIONS

# Node n of a cell sees the two cell inputs and all earlier nodes.
NODE_EDGES = tuple(range(2, 2 + NODES))
EDGES = sum(NODE_EDGES)
NONE = OPERATIONS.index("none")


def edge_slices() -> list[slice]:
    """Return which of the 14 edges end in each node, in order."""
    starts = [sum(NODE_EDGES[:node]) for node in range(NODES)]
    return [slice(start, start + count) for start, count in zip(starts, NODE_EDGES, strict=True)]


def edge_index(node: int, source: int) -> int:
    """Return the row of the alphas for the edge from `source` to `node`."""
    return sum(NODE_EDGES[:node]) + source


class ArchitectureParameters:
    """Two tables of (14, 8) alphas: one for normal cells, one for reductions."""

    def __init__(self, generator: torch.Generator) -> None:
        shape = (EDGES, len(OPERATIONS))
        self.normal_EO = nn.Parameter(1e-3 * torch.randn(shape, generator=generator))
        self.reduce_EO = nn.Parameter(1e-3 * torch.randn(shape, generator=generator))

    def parameters(self) -> list[nn.Parameter]:
        """Return both tables, for the optimiser of the alphas."""
        return [self.normal_EO, self.reduce_EO]

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of both tables."""
        return {
            "normal": self.normal_EO.detach().clone(),
            "reduce": self.reduce_EO.detach().clone(),
        }

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore `state_dict`; the tables stay the same objects for their optimiser."""
        self.normal_EO.copy_(state["normal"])
        self.reduce_EO.copy_(state["reduce"])
