"""GivenSpace: one network that is given, dense and in all the forms that its layers can be pruned to.

So a table of it has rows for exactly the operators that a plan of its layers chooses from. There are
no other networks to calibrate that table on; its own beginnings are, which have the same operators.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import repeat

import numpy as np

from latency.estimate.estimator import Prediction
from latency.estimate.execution import executed_nodes
from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.library_form import library_form, row_spec
from latency.lowering.patterns import kept_groups, num_groups
from latency.operator import OperatorSpec, SparsityPattern
from latency.plan import SpaceUsage
from latency.table import LatencyTable
from latency.target import Target
from search.space.sparsity import PlannedEstimator, Sparsity, sparse_spec
from search.space.task import TaskShape
from search.space.usage import POINT_DENSITIES

PATTERNS = (SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED)  # that a layer can be pruned to
SPARSE = tuple(
    Sparsity(pattern=pattern, density=density)
    for pattern in PATTERNS
    for density in POINT_DENSITIES
    if density < 1.0
)
_DENSE = Sparsity(pattern=SparsityPattern.DENSE, density=1.0)
# Of the multiply-adds of the network: calibration is for networks that take about as long.
_LEAST_PART = 0.25


@dataclass(frozen=True, kw_only=True)
class GivenSpace:
    """One network with every sparsity of its layers."""

    graph: NetworkGraph  # dense, in the stock regime
    task: TaskShape

    @property
    def name(self) -> str:
        """What notes call the space."""
        return "given"

    def usage(self, target: Target) -> SpaceUsage:
        """Return how often its forms execute which operators in each regime of the target."""
        return _usage(self.graph, with_library=target.has_library)

    def calibration_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return beginnings of the network, the whole of it among them, sparse at random.

        None of them ends where a held-out one does, if two layers or more have weights.
        """
        return self._parts(seed, count, held_out=False)

    def held_out_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return beginnings of the network to measure the error of a table on."""
        return self._parts(seed, count, held_out=True)

    def estimator(self, table: LatencyTable) -> PlannedEstimator:
        """Return what prices the network as it is; ValueError where the table has no rows."""
        return PlannedEstimator(TableEstimator(table), _DENSE, self.graph)

    def smallest(self, estimator: PlannedEstimator) -> Prediction:
        """Return the prediction whose upper end is the least budget that a plan can meet.

        That is the network with the cheapest form of each layer, or the dense one.
        """
        plain = estimator.plain
        dense = plain.predict(self.graph)
        if plain.table.library is None:
            return dense  # zeros are worth nothing
        measured = {row.spec.pattern for row in plain.table.rows}
        options = [option for option in SPARSE if option.pattern in measured]
        executed = {node.name: node.spec for node in library_form(self.graph).nodes}

        def cheapest(node: GraphNode) -> GraphNode:
            if INPUT in node.inputs or node.spec.weight_shape is None:
                return node
            spec = executed[node.name]
            best = min((_DENSE, *options), key=lambda option: plain.price(_sparse(spec, option)).ns)
            return replace(node, spec=_sparse(node.spec, best))

        sparse = replace(self.graph, nodes=tuple(cheapest(node) for node in self.graph.nodes))
        return min(dense, plain.predict(sparse), key=lambda prediction: prediction.high_ms)

    def _parts(self, seed: int, count: int, *, held_out: bool) -> tuple[NetworkGraph, ...]:
        ends = _ends(self.graph)
        # Every other one, from the last one back, which is the whole network.
        ends = ends[::-1][int(held_out) :: 2][::-1] or ends
        rng = np.random.default_rng([seed, int(held_out)])
        chosen = np.linspace(0, len(ends) - 1, count).round().astype(int)
        return tuple(_at_random(_part(self.graph, ends[at]), rng) for at in chosen)


def _sparse(spec: OperatorSpec, option: Sparsity) -> OperatorSpec:
    """Return an operator at the density that it can have, which is a whole number of groups."""
    shape = spec.weight_shape
    if shape is None or option.pattern is SparsityPattern.DENSE:
        return spec
    groups = num_groups(option.pattern, shape)
    reached = round(kept_groups(option.pattern, shape, option.density) / groups, 4)
    return sparse_spec(spec, replace(option, density=reached))


def _ends(graph: NetworkGraph) -> list[str]:
    """Return the nodes at which a part of the network may end, the last one is that of the network."""
    weighted = [node.name for node in graph.nodes if node.spec.weight_shape is not None]
    ends = [*weighted[:-1], graph.nodes[-1].name]
    least = _LEAST_PART * _macs(graph)
    return [end for end in ends if _macs(_part(graph, end)) >= least]


def _part(graph: NetworkGraph, end: str) -> NetworkGraph:
    """Return what is computed up to a node: that node and all that it needs."""
    needed = {end}
    kept = []
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
            kept.append(node)
    return replace(graph, nodes=tuple(reversed(kept)))


def _macs(graph: NetworkGraph) -> int:
    return sum(spec.macs for spec in graph.operators)


@lru_cache(maxsize=8)
def _usage(graph: NetworkGraph, *, with_library: bool) -> SpaceUsage:
    """Plans choose from the densities of the rows, so nothing is asked of what lies between them."""
    forms = [graph]
    if with_library:
        form = library_form(graph)
        forms += [form, *(_with_options(form, repeat(option)) for option in SPARSE)]
    counts = [Counter(row_spec(node.spec) for node in executed_nodes(form)) for form in forms]
    operators = tuple(dict.fromkeys(spec for count in counts for spec in count))
    return SpaceUsage(
        operators=operators,
        counts=np.array([[float(count[spec]) for spec in operators] for count in counts]),
        points=operators,
        one_network=True,
    )


def _at_random(graph: NetworkGraph, rng: np.random.Generator) -> NetworkGraph:
    """Return the network with a sparsity of its own in each layer, or in most, or in few."""
    share = rng.random()
    drawn = [
        SPARSE[rng.integers(len(SPARSE))] if rng.random() < share else _DENSE for _ in graph.nodes
    ]
    return _with_options(graph, drawn)


def _with_options(graph: NetworkGraph, options: Iterable[Sparsity]) -> NetworkGraph:
    """Return the network with an option for each node; what reads the image stays dense."""
    nodes = (
        node if INPUT in node.inputs else replace(node, spec=_sparse(node.spec, option))
        for node, option in zip(graph.nodes, options, strict=False)
    )
    return replace(graph, nodes=tuple(nodes))
