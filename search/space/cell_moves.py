"""CellMoves: mutation, crossover and random draws of cells, and single paths through a supernet."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from latency.table import LatencyTable
from search.space.extremes import smallest_genotype
from search.space.genotype import EDGES, NODES, Edge, Genotype
from search.space.planned_space import PlannedSpace
from search.space.sampling import CHOICES, random_genotype

_KINDS = ("normal", "reduce")


class CellMoves:
    """The space of cells at full middle width, priced by the table of a target.

    Widths are left to `search.finalize.widths`: the weights of a supernet cannot judge them.
    """

    def __init__(self, space: PlannedSpace, table: LatencyTable) -> None:
        self._space = space
        self._predictor = space.predictor(table)
        self._smallest, _ = smallest_genotype(
            space.estimator(table), space.channels, space.cells, space.task
        )

    def smallest(self) -> Genotype:
        """Return the cheapest genotype."""
        return self._smallest

    def random(self, rng: np.random.Generator) -> Genotype:
        """Return a genotype drawn at random, with any share of operations that have weights."""
        size = self._space.channels, self._space.cells
        return random_genotype(rng, *size, weighted=float(rng.random())).with_layers(())

    def mutated(self, genotype: Genotype, rng: np.random.Generator) -> Genotype:
        """Return the genotype with one edge that has another operation or another input."""
        return mutated(genotype, rng)

    def crossed(self, one: Genotype, other: Genotype, rng: np.random.Generator) -> Genotype:
        """Return a genotype each node of which is from one of two."""
        return crossed(one, other, rng)

    def latency_ms(self, genotypes: Sequence[Genotype]) -> npt.NDArray[np.float64]:
        """Return (N,): the upper end of the predicted 90 % interval of each, milliseconds."""
        return self._predictor.predict(genotypes).high_ms

    def to_dict(self, genotype: Genotype) -> dict[str, Any]:
        """Return plain JSON values."""
        return genotype.to_dict()

    def from_dict(self, values: dict[str, Any]) -> Genotype:
        """Build from plain JSON values; ValueError says what is wrong."""
        return Genotype.from_dict(values)


def mutated(genotype: Genotype, rng: np.random.Generator) -> Genotype:
    """Return the genotype with another operation or, as often, another input of one edge.

    The two mutations of regularised evolution (Real et al., arXiv 1802.01548). A node
    keeps reading two different states; its first edge reads the earlier one.
    """
    cells = {kind: list(getattr(genotype, kind)) for kind in _KINDS}
    edges = cells[_KINDS[rng.integers(len(_KINDS))]]
    index = int(rng.integers(EDGES))
    operation, source = edges[index]
    unread = sorted(set(range(index // 2 + 2)) - {source, edges[index ^ 1][1]})
    if unread and rng.random() < 0.5:
        source = unread[rng.integers(len(unread))]
    else:
        others = [name for name in CHOICES if name != operation]
        operation = others[rng.integers(len(others))]
    edges[index] = (operation, source)
    return replace(
        genotype, normal=_in_order(cells["normal"]), reduce=_in_order(cells["reduce"]), layers=()
    )


def crossed(one: Genotype, other: Genotype, rng: np.random.Generator) -> Genotype:
    """Return a genotype of one's size each node of which, with both its edges, is from either."""
    parents = (one, other)
    cells: dict[str, list[Edge]] = {kind: [] for kind in _KINDS}
    for kind, edges in cells.items():
        for node in range(NODES):
            parent = parents[rng.integers(len(parents))]
            edges += getattr(parent, kind)[2 * node : 2 * node + 2]
    return replace(one, normal=tuple(cells["normal"]), reduce=tuple(cells["reduce"]), layers=())


def fair_cells(rng: np.random.Generator, channels: int, cells: int) -> list[Genotype]:
    """Return networks that together have every operation once in every place of a genotype.

    Strict fairness of FairNAS (Chu et al., arXiv 1907.01845, section 3.2). What the edges read is
    drawn anew for each network: two different inputs for every node.
    """
    order = rng.permuted(np.tile(np.arange(len(CHOICES)), (len(_KINDS), EDGES, 1)), axis=2)
    drawn = [random_genotype(rng, channels, cells) for _ in CHOICES]
    return [
        replace(
            genotype,
            normal=_with_operations(genotype.normal, order[0, :, turn]),
            reduce=_with_operations(genotype.reduce, order[1, :, turn]),
            layers=(),
        )
        for turn, genotype in enumerate(drawn)
    ]


def _with_operations(edges: Sequence[Edge], columns: npt.NDArray[np.int64]) -> tuple[Edge, ...]:
    """Return edges with the same inputs and these operations of CHOICES."""
    return tuple(
        (CHOICES[column], source)
        for column, (_, source) in zip(columns.tolist(), edges, strict=True)
    )


def _in_order(edges: Sequence[Edge]) -> tuple[Edge, ...]:
    """Return the edges with the two of each node in the order of what they read."""
    pairs = (edges[2 * node : 2 * node + 2] for node in range(NODES))
    return tuple(edge for pair in pairs for edge in sorted(pair, key=lambda edge: edge[1]))
