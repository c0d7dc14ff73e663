"""ArchitectureParameters: the alphas, kept apart from every module that has weights.

In the released DASS code they were module parameters, and so the weight optimiser moved them on
the training loss. Here they are not part of any module, so that cannot happen.

A row of a table is one choice, its columns are the options; a softmax along the row mixes them.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from search.space.genotype import NODES
from search.space.primitives import OPERATIONS

# Node n of a cell sees the two cell inputs and all earlier nodes.
NODE_EDGES = tuple(range(2, 2 + NODES))
EDGES = sum(NODE_EDGES)
NONE = OPERATIONS.index("none")
LEFT_OUT = -1e4  # alpha of an option that is left out: finite, and its exponential is zero
CELL_TABLES = dict.fromkeys(("normal", "reduce"), (EDGES, len(OPERATIONS)))  # by kind of cell


def edge_slices() -> list[slice]:
    """Return which of the 14 edges end in each node, in order."""
    starts = [sum(NODE_EDGES[:node]) for node in range(NODES)]
    return [slice(start, start + count) for start, count in zip(starts, NODE_EDGES, strict=True)]


def edge_index(node: int, source: int) -> int:
    """Return the row of the alphas for the edge from `source` to `node`."""
    return sum(NODE_EDGES[:node]) + source


class ArchitectureParameters:
    """The tables of alphas of one search.

    Args:
        shapes: (choices, options) of each table by its name, in the order of the supernet's inputs.
        generator: of the first values, which are near zero.
    """

    def __init__(self, shapes: Mapping[str, tuple[int, int]], generator: torch.Generator) -> None:
        self.tables = {
            name: nn.Parameter(1e-3 * torch.randn(shape, generator=generator))
            for name, shape in shapes.items()
        }

    def parameters(self) -> list[nn.Parameter]:
        """Return all tables, for the optimiser of the alphas."""
        return list(self.tables.values())

    @torch.no_grad()
    def leave_out(self, columns: Sequence[int]) -> None:
        """Give options nothing of the softmax in any row of any table, for good.

        Their gradient is zero, and so they stay where they are but for what the decay of the
        alphas moves them, which is next to nothing.

        Args:
            columns: of the options.
        """
        for table in self.tables.values():
            table[:, list(columns)] = LEFT_OUT

    def state_dict(self) -> dict[str, Tensor]:
        """Return copies of all tables by name."""
        return {name: table.detach().clone() for name, table in self.tables.items()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore `state_dict`; the tables stay the same objects for their optimiser."""
        for name, table in self.tables.items():
            table.copy_(state[name])
