"""Prices of the space on one target: per operation for the search, and its two ends."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from latency.estimate.estimator import LatencyEstimator, Prediction
from latency.operator import OperatorKind, OperatorSpec
from latency.units import NS_PER_MS
from search.space.dass_cells import (
    DILATED,
    POOLS,
    SEPARABLE,
    CellPlan,
    build_graph,
    dilated_specs,
    plain_spec,
    plan_cells,
    pool_spec,
    reduce_spec,
    separable_specs,
)
from search.space.genotype import NODES, Edge, Genotype
from search.space.primitives import OPERATIONS
from search.space.sampling import CHOICES, WEIGHTED, random_genotype
from search.space.task import TaskShape

Matrix = NDArray[np.float64]

MIXED_EDGES = tuple((node, source) for node in range(NODES) for source in range(node + 2))

# Operations share the ReLU of their source. With two of the n inputs of a node drawn at random,
# the eight edges of a cell read four different sources on average, so each pays half a ReLU.
RELU_SHARE = 0.5

# Runtimes merge the sum of a node into a convolution that ends in it; only two edges without a
# convolution leave a sum of their own, so each of those pays half of it.
ADD_SHARE = 0.5

_FIT_NETWORKS = 24  # random networks to fit the line from summed prices to predicted latency


@dataclass(frozen=True, kw_only=True)
class OperationPrices:
    """What the choices of the search cost in the network to be exported.

    `normal` and `reduce` are (14, 8): rows in the order of MIXED_EDGES, columns in the order of
    OPERATIONS, nanoseconds summed over all cells of that kind; `none` costs nothing. The latency
    of a network is about intercept_ns + slope * (fixed_ns + its chosen entries).
    """

    normal: Matrix
    reduce: Matrix
    fixed_ns: float  # stem, preprocessing, concatenations, head
    slope: float
    intercept_ns: float
    relative_error: float  # standard deviation of the line against the estimator, as a fraction

    def total_ns(self, genotype: Genotype) -> float:
        """Return fixed_ns plus the entries that `genotype` chooses, full middle widths."""
        return self.fixed_ns + sum(
            float(getattr(self, kind)[mixed_edge(index, source), OPERATIONS.index(operation)])
            for kind in ("normal", "reduce")
            for index, (operation, source) in enumerate(getattr(genotype, kind))
        )

    def latency_ns(self, genotype: Genotype) -> float:
        """Return the latency that the line gives for `genotype`, nanoseconds."""
        return self.intercept_ns + self.slope * self.total_ns(genotype)


def mixed_edge(index: int, source: int) -> int:
    """Return the row of OperationPrices for edge `index` (0 to 7) of a genotype."""
    return MIXED_EDGES.index((index // 2, source))


def operation_prices(
    estimator: LatencyEstimator, channels: int, cells: int, task: TaskShape
) -> OperationPrices:
    """Return the prices of every operation on every edge, at full middle width."""
    matrices = {
        kind: np.zeros((len(MIXED_EDGES), len(OPERATIONS))) for kind in ("normal", "reduce")
    }
    for plan in plan_cells(channels, cells, task):
        for row, (_, source) in enumerate(MIXED_EDGES):
            for column, operation in enumerate(OPERATIONS):
                specs = edge_operators(operation, plan, source)
                matrices[plan.kind][row, column] += _sum_ns(estimator, specs)
                matrices[plan.kind][row, column] += _shared_ns(estimator, operation, plan, source)
    fixed_ns = _sum_ns(estimator, _fixed_operators(channels, cells, task))
    draft = OperationPrices(
        **matrices, fixed_ns=fixed_ns, slope=1.0, intercept_ns=0.0, relative_error=0.0
    )
    return _fit_line(draft, estimator, channels, cells, task)


def edge_operators(operation: str, plan: CellPlan, source: int) -> tuple[OperatorSpec, ...]:
    """Return what one operation adds to the network on an edge from `source`, ReLU apart."""
    stride, size = plan.stride(source), _source_size(plan, source)
    if operation in POOLS:
        return (pool_spec(operation, plan.channels, size, stride),)
    if operation == "skip_connect" and stride == 2:
        return (reduce_spec(plan.channels, plan.channels, size),)
    if operation in DILATED:
        return tuple(dilated_specs(operation, plan.channels, size, stride).values())
    if operation in SEPARABLE:
        specs = separable_specs(operation, plan.channels, size, stride, plan.channels)
        return tuple(specs.values())
    return ()


def smallest_genotype(
    estimator: LatencyEstimator, channels: int, cells: int, task: TaskShape
) -> tuple[Genotype, Prediction]:
    """Return the cheapest network of the space and its prediction.

    Skips cost nothing at stride 1, so only the operation on the edges that halve the image and
    how many there are is open: at least three, since each node reads two different inputs.
    """
    normal = _cell("skip_connect", "skip_connect")
    return min(
        (
            _predicted(estimator, normal, _cell(halving, "skip_connect"), channels, cells, task)
            for halving in CHOICES
        ),
        key=lambda found: found[1].latency_ms,
    )


def largest_genotype(
    estimator: LatencyEstimator, channels: int, cells: int, task: TaskShape
) -> tuple[Genotype, Prediction]:
    """Return the most expensive network among those that repeat one operation in each cell."""
    return max(
        (
            _predicted(estimator, _cell(first, first), _cell(second, second), channels, cells, task)
            for first, second in product(WEIGHTED, repeat=2)
        ),
        key=lambda found: found[1].latency_ms,
    )


def _cell(from_inputs: str, from_nodes: str) -> tuple[Edge, ...]:
    """Return a cell with as few edges from the cell inputs as two different inputs allow."""
    sources = ((0, 1), (1, 2), (2, 3), (3, 4))
    return tuple(
        (from_inputs if source < 2 else from_nodes, source) for pair in sources for source in pair
    )


def _predicted(
    estimator: LatencyEstimator,
    normal: tuple[Edge, ...],
    reduce: tuple[Edge, ...],
    channels: int,
    cells: int,
    task: TaskShape,
) -> tuple[Genotype, Prediction]:
    genotype = Genotype(normal=normal, reduce=reduce, channels=channels, cells=cells)
    return genotype, estimator.predict(build_graph(genotype, task))


def _source_size(plan: CellPlan, source: int) -> int:
    return plan.size if source < 2 else plan.out_size


def _sum_ns(estimator: LatencyEstimator, specs: Iterable[OperatorSpec]) -> float:
    return float(sum(max(0.0, estimator.price(spec).ns) for spec in specs))


def _shared_ns(estimator: LatencyEstimator, operation: str, plan: CellPlan, source: int) -> float:
    """Return the part of an edge in the ReLU of its source and in the sum of its node."""
    halving_skip = operation == "skip_connect" and plan.stride(source) == 2
    if operation in WEIGHTED or halving_skip:
        relu = plain_spec(OperatorKind.RELU, plan.channels, _source_size(plan, source))
        return RELU_SHARE * _sum_ns(estimator, [relu])
    if operation == "none":
        return 0.0
    add = plain_spec(OperatorKind.ADD, plan.channels, plan.out_size, inputs=2)
    return ADD_SHARE * _sum_ns(estimator, [add])


def _fixed_operators(channels: int, cells: int, task: TaskShape) -> list[OperatorSpec]:
    """Return what every network has: in a network of pools, all but the edges and their sums."""
    pools = tuple(("max_pool_3x3", source) for _ in range(NODES) for source in (0, 1))
    graph = build_graph(Genotype(normal=pools, reduce=pools, channels=channels, cells=cells), task)
    return [
        node.spec
        for node in graph.nodes
        if ".edges." not in node.name and node.spec.kind is not OperatorKind.ADD
    ]


def _fit_line(
    draft: OperationPrices,
    estimator: LatencyEstimator,
    channels: int,
    cells: int,
    task: TaskShape,
) -> OperationPrices:
    """Return `draft` with the line from its sums to what the estimator predicts."""
    rng = np.random.default_rng(0)
    genotypes = [
        random_genotype(rng, channels, cells, weighted=share).with_layers(())
        for share in np.linspace(0.0, 1.0, _FIT_NETWORKS)
    ]
    sums = np.array([draft.total_ns(genotype) for genotype in genotypes])
    wanted = np.array(
        [
            estimator.predict(build_graph(genotype, task)).latency_ms * NS_PER_MS
            for genotype in genotypes
        ]
    )
    slope, intercept = np.polyfit(sums, wanted, 1)
    residual = (intercept + slope * sums) / wanted - 1.0
    return replace(
        draft,
        slope=float(slope),
        intercept_ns=float(intercept),
        relative_error=float(np.std(residual)),
    )
