"""SearchSpace: what a table, a planner and a benchmark have to know about a set of networks."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from latency.estimate.estimator import Prediction
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.operator import SparsityPattern
from latency.plan import SpaceUsage
from latency.table import LatencyTable
from latency.target import Target
from search.space.sparsity import PlannedEstimator, Sparsity, sparse_spec
from search.space.task import TaskShape
from search.space.usage import POINT_DENSITIES

_DENSE_SHARE = 0.2  # of the networks with random sparsity are dense
_LAYER_SPREAD = 0.5  # of the logarithm of a layer's density around that of its network


class SearchSpace(Protocol):
    """A set of networks for one task.

    All networks are in the stock regime, with the sparsity in them that the operator library
    makes use of: densities lie between those of the rows and differ from layer to layer.
    """

    @property
    def name(self) -> str:
        """What a request calls the space."""
        ...

    @property
    def task(self) -> TaskShape:
        """Image and classes."""
        ...

    def usage(self, target: Target) -> SpaceUsage:
        """Return how often its networks execute which operators in each regime of the target."""
        ...

    def calibration_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return networks to calibrate a table on, from cheap to expensive.

        None of them is ever a held-out network, whatever seeds and counts are used.
        """
        ...

    def held_out_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return networks to measure the error of a table on, from cheap to expensive."""
        ...

    def estimator(self, table: LatencyTable) -> PlannedEstimator:
        """Return what prices networks that a search finds, sparse as planned, from a table.

        Raises:
            ValueError: the table has no rows.
        """
        ...

    def smallest(self, estimator: PlannedEstimator) -> Prediction:
        """Return the prediction whose upper end is the least budget that a search can meet."""
        ...


class _Written(Protocol):
    def to_json(self) -> str: ...


G = TypeVar("G", bound=_Written)


def spread_genotypes(
    draw: Callable[[np.random.Generator, float], G], seed: int, count: int, *, held_out: bool
) -> Iterator[G]:
    """Yield `count` different genotypes from one half of the space, from cheap to expensive.

    Args:
        draw: a random genotype; the second argument, from 0 to 1, says how expensive it is to be.
        seed: of the draws.
        count: how many.
        held_out: which half; a digest splits the space, so the two can never meet.
    """
    rng = np.random.default_rng([seed, int(held_out)])
    found: set[str] = set()
    while len(found) < count:
        genotype = draw(rng, (len(found) + 0.5) / count)
        text = genotype.to_json()
        is_held_out = hashlib.sha256(text.encode()).digest()[0] % 2 == 1
        if is_held_out == held_out and text not in found:
            found.add(text)
            yield genotype


def with_random_sparsity(
    graph: NetworkGraph, pattern: SparsityPattern, rng: np.random.Generator
) -> NetworkGraph:
    """Return the network with another density in each layer that `with_sparsity` makes sparse.

    One network in five stays dense.
    """
    if rng.random() < _DENSE_SHARE:
        return graph
    low, high = np.log(POINT_DENSITIES[0]), np.log(POINT_DENSITIES[-1])
    middle = rng.uniform(low, high)

    def sparse(node: GraphNode) -> GraphNode:
        drawn = np.clip(middle + _LAYER_SPREAD * rng.standard_normal(), low, high)
        planned = Sparsity(pattern=pattern, density=round(float(np.exp(drawn)), 4))
        return node if INPUT in node.inputs else node.with_spec(sparse_spec(node.spec, planned))

    return replace(graph, nodes=tuple(sparse(node) for node in graph.nodes))
