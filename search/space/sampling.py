"""Genotypes and operators of the space as sets: random ones, all operators, calibration sets."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from latency.graph import NetworkGraph
from latency.operator import SparsityPattern
from search.space.dass_cells import (
    SEPARABLE,
    WIDTH_STEPS,
    build_graph,
    plan_cells,
)
from search.space.genotype import EDGES, NODES, Edge, Genotype, LayerChoice
from search.space.primitives import OPERATIONS
from search.space.search_space import spread_genotypes
from search.space.task import TaskShape

_PLANNING_NETWORKS = 60  # that a table of the space is planned for
CHOICES = tuple(name for name in OPERATIONS if name != "none")
WEIGHTED = tuple(name for name in CHOICES if "conv" in name)
_LIGHT = tuple(name for name in CHOICES if name not in WEIGHTED)


def random_genotype(
    rng: np.random.Generator, channels: int, cells: int, *, weighted: float | None = None
) -> Genotype:
    """Return a genotype drawn at random: two different inputs per node, random middle widths.

    Args:
        rng: source of randomness.
        channels: of the first cell.
        cells: number of cells.
        weighted: probability of an operation with weights; None draws operations uniformly.
    """
    normal, reduce = (_random_cell(rng, weighted) for _ in range(2))
    genotype = Genotype(normal=normal, reduce=reduce, channels=channels, cells=cells)
    widths = rng.choice(WIDTH_STEPS, size=(cells, EDGES))
    return with_widths(genotype, {path: float(widths[key]) for key, path in _separable(genotype)})


def with_widths(genotype: Genotype, widths: dict[str, float]) -> Genotype:
    """Return `genotype` with these middle widths, as fractions by the path of the edge."""
    others = tuple(c for c in genotype.layers if c.pattern is not SparsityPattern.CHANNEL)
    narrow = tuple(
        LayerChoice(layer=path, pattern=SparsityPattern.CHANNEL, density=width)
        for path, width in widths.items()
        if width < 1.0
    )
    return genotype.with_layers(others + narrow)


def separable_edges(genotype: Genotype) -> tuple[str, ...]:
    """Return the paths of all edges of the network that are separable convolutions."""
    return tuple(path for _, path in _separable(genotype))


@lru_cache(maxsize=16)
def planning_graphs(channels: int, cells: int, task: TaskShape) -> tuple[NetworkGraph, ...]:
    """Return random networks from light to heavy, dense: what a table of the space is planned for."""
    rng = np.random.default_rng(0)
    return tuple(
        build_graph(random_genotype(rng, channels, cells, weighted=float(share)), task)
        for share in np.linspace(0.0, 1.0, _PLANNING_NETWORKS)
    )


def calibration_genotypes(channels: int, cells: int, seed: int, count: int) -> tuple[Genotype, ...]:
    """Return networks to calibrate a table on, from cheap to expensive.

    None of them is ever a held-out network, whatever seeds and counts are used.
    """
    draw = _drawn_with_weights(channels, cells)
    return tuple(spread_genotypes(draw, seed, count, held_out=False))


def held_out_genotypes(channels: int, cells: int, seed: int, count: int) -> tuple[Genotype, ...]:
    """Return networks to measure the error of a table on, from cheap to expensive."""
    draw = _drawn_with_weights(channels, cells)
    return tuple(spread_genotypes(draw, seed, count, held_out=True))


def _drawn_with_weights(
    channels: int, cells: int
) -> Callable[[np.random.Generator, float], Genotype]:
    return lambda rng, weighted: random_genotype(rng, channels, cells, weighted=weighted)


def _random_cell(rng: np.random.Generator, weighted: float | None) -> tuple[Edge, ...]:
    edges: list[Edge] = []
    for node in range(NODES):
        sources = rng.choice(node + 2, size=2, replace=False)
        edges += [(_random_operation(rng, weighted), int(source)) for source in sorted(sources)]
    return tuple(edges)


def _random_operation(rng: np.random.Generator, weighted: float | None) -> str:
    if weighted is None:
        return CHOICES[rng.integers(len(CHOICES))]
    names = WEIGHTED if rng.random() < weighted else _LIGHT
    return names[rng.integers(len(names))]


def _separable(genotype: Genotype) -> list[tuple[tuple[int, int], str]]:
    found: list[tuple[tuple[int, int], str]] = []
    smallest = TaskShape(image_channels=1, image_size=8, classes=2)
    for plan in plan_cells(genotype.channels, genotype.cells, smallest):
        edges: tuple[Edge, ...] = getattr(genotype, plan.kind)
        for index, (operation, _) in enumerate(edges):
            if operation in SEPARABLE:
                found.append(((plan.index, index), f"cells.{plan.index}.edges.{index}"))
    return found
