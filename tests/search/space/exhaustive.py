"""Every dense operator of the space of cells, by brute force: what plans are held against."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from latency.graph import NetworkGraph
from latency.operator import OperatorSpec
from search.space.dass_cells import WIDTH_STEPS, build_graph
from search.space.genotype import NODES, Edge, Genotype
from search.space.sampling import CHOICES, separable_edges, with_widths
from search.space.task import TaskShape


@lru_cache(maxsize=16)
def space_operators(channels: int, cells: int, task: TaskShape) -> tuple[OperatorSpec, ...]:
    """Return every dense operator that a network of the space can contain, without repeats.

    Networks of one operation meet every shape; networks of two operations on the same inputs
    meet the ReLU that stands alone because its source is also read without it.
    """
    found: dict[OperatorSpec, None] = {}
    for graph in _typical_graphs(channels, cells, task):
        found.update(dict.fromkeys(graph.operators))
    return tuple(found)


def _typical_graphs(channels: int, cells: int, task: TaskShape) -> Iterator[NetworkGraph]:
    """Yield networks of one operation and of two on the same inputs, in every width, and others."""
    for first, second in product(CHOICES, repeat=2):
        cell = _alternating_cell(first, second)
        genotype = Genotype(normal=cell, reduce=cell, channels=channels, cells=cells)
        for width in WIDTH_STEPS if first == second else (1.0,):
            widths = dict.fromkeys(separable_edges(genotype), width)
            yield build_graph(with_widths(genotype, widths), task)


def _alternating_cell(first: str, second: str) -> tuple[Edge, ...]:
    """Return a cell whose first input is read by both operations."""
    edges: list[Edge] = []
    for node in range(NODES):
        pair = (first, second) if node % 2 == 0 else (second, first)
        edges += [(pair[0], 0), (pair[1], node + 1)]
    return tuple(edges)
