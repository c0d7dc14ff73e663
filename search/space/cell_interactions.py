"""How the edges of a cell act on each other's cost, as a formula over which edges exist.

In a cell of the DARTS form nothing else interacts (`_fuse_relu` of dass_cells, `library_form`,
`executed_nodes`):

- all convolutions that read a state share one ReLU, which moves into the convolution that makes
  the state where nothing reads the state without it;
- the sum of a node moves into the last of its two edges that ends in a convolution of its own;
- pools, ReLUs and sums that compute the same are executed once.

The formula is a polynomial in the encoded edges: with 0 and 1 it counts what is executed, exactly;
with probabilities it is the expectation for independent edges, apart from nodes that may be equal,
which are rare in a mixture. Complex numbers go through it too, which is how `CellCosts` takes its
gradient.

Encoding: x is (..., 14, 8), 1 where an edge exists with an operation; rows as MIXED_EDGES, columns
as OPERATIONS, two edges per node from different sources, of which the later reads the later state.
"""

from dataclasses import dataclass
from itertools import combinations
from math import prod
from typing import Any

import numpy as np

from search.space.genotype import NODES
from search.space.primitives import OPERATIONS

MIXED_EDGES = tuple((node, source) for node in range(NODES) for source in range(node + 2))
SOURCES = NODES + 1  # states that an edge can read: two cell inputs, all nodes but the last
INPUTS = 2  # the first states are the cell's own inputs, each made by a convolution

_SKIP = OPERATIONS.index("skip_connect")
POOL_COLUMNS = (OPERATIONS.index("max_pool_3x3"), OPERATIONS.index("avg_pool_3x3"))
_CONVS = slice(OPERATIONS.index("sep_conv_3x3"), len(OPERATIONS))
_KEPT = slice(1, len(OPERATIONS))

Array = Any  # numpy's, of real or complex numbers, or just the number 0 or 1


@dataclass(frozen=True, kw_only=True)
class CellInteractions:
    """What is executed, in a cell; the leading axes are those of the encoding."""

    read_plain: Array  # (..., 2): a cell input is read by something other than its ReLU
    rectifies: Array  # (..., 14): what the edge reads is not rectified where it is made
    relus: Array  # (..., 5): the ReLU of a state is executed alone, in the stock regime
    pools: Array  # (..., 5, 2): a max, an average pool of a state is executed
    sums: Array  # (..., 4): the sum of a node is executed alone
    free: Array  # (..., 14): no later edge of the node takes its sum, so this one does if it can
    input_takes: Array  # (..., 2): the convolution of a cell input takes the only sum that reads it


def cell_interactions(x: Array, *, reduction: bool) -> CellInteractions:
    """Return the interactions of encoded cells.

    Args:
        x: (..., 14, 8), see above.
        reduction: whether edges from the cell inputs halve the image.
    """
    cell = _Cell(x, reduction=reduction)
    return CellInteractions(
        read_plain=np.stack([cell.read_plain(source) for source in range(INPUTS)], -1),
        rectifies=np.stack([cell.rectifies(node, source) for node, source in MIXED_EDGES], -1),
        relus=np.stack([cell.relu(source) for source in range(SOURCES)], -1),
        pools=np.stack(
            [
                np.stack([cell.pool(source, p) for p in POOL_COLUMNS], -1)
                for source in range(SOURCES)
            ],
            -2,
        ),
        sums=np.stack([cell.sum_alone(node) for node in range(NODES)], -1),
        free=np.stack([cell.free(node, source) for node, source in MIXED_EDGES], -1),
        input_takes=np.stack([cell.input_takes(source) for source in range(INPUTS)], -1),
    )


def mixed_edge(index: int, source: int) -> int:
    """Return the row of MIXED_EDGES for edge `index` (0 to 7) of a genotype."""
    return MIXED_EDGES.index((index // 2, source))


class _Cell:
    """The indicators of one cell; each is an array with the leading axes of the encoding."""

    def __init__(self, x: Array, *, reduction: bool) -> None:
        self.edges = {edge: x[..., row, :] for row, edge in enumerate(MIXED_EDGES)}
        self.halving = INPUTS if reduction else 0  # sources below have a skip with weights
        skip = {edge: row[..., _SKIP] for edge, row in self.edges.items()}
        conv = {edge: row[..., _CONVS].sum(-1) for edge, row in self.edges.items()}
        self.conv = {e: conv[e] + skip[e] if e[1] < self.halving else conv[e] for e in conv}
        self.skip = {e: skip[e] for e in skip if e[1] >= self.halving}
        self.kept = {edge: row[..., _KEPT].sum(-1) for edge, row in self.edges.items()}
        self.twins: dict[tuple[int, int], Array] = {}
        for later in range(1, NODES):
            for earlier in range(later):
                self.twins[earlier, later] = self._twin(earlier, later)
        self.ends_in_conv = {e: self.conv[e] + self._alone(*e) for e in MIXED_EDGES}

    def read_plain(self, source: int) -> Array:
        """A skip or a pool reads the source."""
        return 1 - prod(1 - self._plain(node, source) for node in _readers(source))

    def rectifies(self, node: int, source: int) -> Array:
        """Something else than the edge itself reads its source as it is."""
        if source >= INPUTS:  # nodes are read by the concatenation too
            return 1 + 0 * self.kept[node, source]
        others = (other for other in _readers(source) if other != node)
        return 1 - prod(1 - self._plain(other, source) for other in others)

    def relu(self, source: int) -> Array:
        """The ReLU of a source is executed; that of a cell input only if it cannot be fused."""
        if source >= INPUTS:
            return self._once(source, {s: self._read_rectified(s) for s in _twins(source)})
        unread = prod(1 - self.kept[node, source] for node in _readers(source))
        return self._read_rectified(source) + self.read_plain(source) + unread - 1

    def pool(self, source: int, column: int) -> Array:
        """A pool of the source is executed, whoever reads it."""
        wanted = {
            s: 1 - prod(1 - self.edges[node, s][..., column] for node in _readers(s))
            for s in _twins(source)
        }
        return self._once(source, wanted)

    def sum_alone(self, node: int) -> Array:
        """No convolution takes the sum of a node, and no earlier node has the same sum."""
        sources = range(node + 2)
        return self._first(node) * prod(1 - self.ends_in_conv[node, s] for s in sources)

    def free(self, node: int, source: int) -> Array:
        """No edge of the node from a later source can take the sum."""
        later = (self.ends_in_conv[node, s] for s in range(source + 1, node + 2))
        return prod(1 - end for end in later) + 0 * self.kept[node, source]

    def input_takes(self, source: int) -> Array:
        """The convolution of a cell input takes the sum of some node."""
        return sum(self._alone(node, source) * self.free(node, source) for node in range(NODES))

    def _plain(self, node: int, source: int) -> Array:
        return self.kept[node, source] - self.conv[node, source]

    def _read_rectified(self, source: int) -> Array:
        return 1 - prod(1 - self.conv[node, source] for node in _readers(source))

    def _alone(self, node: int, source: int) -> Array:
        """The node adds a cell input as it is, and nothing else reads that input."""
        if source >= INPUTS or (node, source) not in self.skip:
            return 0.0
        others = (
            1 - self.kept[other, source] * (1 - self.twins[min(node, other), max(node, other)])
            for other in range(NODES)
            if other != node
        )
        return self.skip[node, source] * self._first(node) * prod(others)

    def _once(self, source: int, wanted: dict[int, Array]) -> Array:
        """Wanted for the source or a twin of it, and the source is the first of its twins."""
        if source < INPUTS:
            return wanted[source]
        by_none = prod(1 - self._same(source, s) * found for s, found in wanted.items())
        return self._first(source - INPUTS) * (1 - by_none)

    def _first(self, node: int) -> Array:
        """No earlier node computes the same."""
        return prod(1 - self.twins[earlier, node] for earlier in range(node))

    def _same(self, first: int, second: int) -> Array:
        """Two states are one tensor."""
        if first == second:
            return 1.0
        if min(first, second) < INPUTS:
            return 0.0
        return self.twins[min(first, second) - INPUTS, max(first, second) - INPUTS]

    def _twin(self, earlier: int, later: int) -> Array:
        """Both edges of two nodes are the same operation without weights on the same tensors."""
        equal = {
            (s, t): self._same(s, t) * self._equal_ends((earlier, s), (later, t))
            for s in range(earlier + 2)
            for t in range(later + 2)
            if s == t or min(s, t) >= INPUTS
        }
        return sum(
            equal[s, t] * equal[u, v]
            for s, u in combinations(range(earlier + 2), 2)
            for t, v in combinations(range(later + 2), 2)
            if (s, t) in equal and (u, v) in equal
        )

    def _equal_ends(self, first: tuple[int, int], second: tuple[int, int]) -> Array:
        one, other = self.edges[first], self.edges[second]
        pools = sum(one[..., column] * other[..., column] for column in POOL_COLUMNS)
        if first not in self.skip:
            return pools
        return pools + self.skip[first] * self.skip[second]


def _twins(source: int) -> range:
    """Return the states from `source` on that can be the same tensor."""
    return range(source, source + 1 if source < INPUTS else SOURCES)


def _readers(source: int) -> range:
    """Return the nodes that can read a state."""
    return range(max(0, source - 1), NODES)
