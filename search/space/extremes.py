"""The two ends of a space on one target: its cheapest and its most expensive network."""

from collections.abc import Iterator
from functools import lru_cache
from itertools import product

from latency.estimate.estimator import LatencyEstimator, Prediction
from search.space.cell_costs import CellCosts, RegimeCosts
from search.space.cell_variants import CellSize
from search.space.cheapest_cells import cheapest_cells
from search.space.dass_cells import build_graph
from search.space.genotype import NODES, Edge, Genotype
from search.space.sampling import WEIGHTED
from search.space.sparsity import PlannedEstimator
from search.space.task import TaskShape

_CLOSEST = 8  # networks of a regime between which the spread of their rows may decide


def smallest_genotype(
    estimator: PlannedEstimator, channels: int, cells: int, task: TaskShape
) -> tuple[Genotype, Prediction]:
    """Return the network of full width whose predicted interval ends lowest, and its prediction.

    In a regime the costs of normal cells and reductions add up, so the cheapest network is made of
    the cheapest cells of both kinds (`cheapest_cells`). The spread of the rows, which the formula
    leaves out, decides between the few that are cheapest.
    """
    return _closest(estimator, CellSize(channels=channels, cells=cells, task=task))[0]


def cheapest_genotypes(
    estimator: PlannedEstimator, channels: int, cells: int, task: TaskShape
) -> list[Genotype]:
    """Return the networks of full width that are cheapest on a target, the cheapest first."""
    size = CellSize(channels=channels, cells=cells, task=task)
    return [genotype for genotype, _ in _closest(estimator, size)]


@lru_cache(maxsize=8)  # repairs of one search ask for the same again and again
def _closest(
    estimator: PlannedEstimator, size: CellSize
) -> tuple[tuple[Genotype, Prediction], ...]:
    genotypes = (
        genotype
        for regime in CellCosts(estimator, size).regimes
        for genotype in _cheapest(regime, size)
    )
    predicted = (
        (genotype, estimator.predict(build_graph(genotype, size.task)))
        for genotype in dict.fromkeys(genotypes)
    )
    return tuple(sorted(predicted, key=lambda found: found[1].high_ms))


def _cheapest(costs: RegimeCosts, size: CellSize) -> Iterator[Genotype]:
    """Yield the networks that cost least in a regime, the cheapest first."""
    normal, reduce = (
        cheapest_cells(of_kind, _CLOSEST, reduction=bool(kind))
        for kind, of_kind in enumerate(costs.kinds)
    )
    pairs = sorted(product(normal, reduce), key=lambda pair: pair[0].total_ns + pair[1].total_ns)
    for first, second in pairs[:_CLOSEST]:
        yield Genotype(
            normal=first.edges, reduce=second.edges, channels=size.channels, cells=size.cells
        )


def largest_genotype(
    estimator: LatencyEstimator, channels: int, cells: int, task: TaskShape
) -> tuple[Genotype, Prediction]:
    """Return the most expensive network among those that repeat one operation in each cell."""
    return max(
        (
            (genotype, estimator.predict(build_graph(genotype, task)))
            for genotype in (
                Genotype(
                    normal=_chain(first), reduce=_chain(second), channels=channels, cells=cells
                )
                for first, second in product(WEIGHTED, repeat=2)
            )
        ),
        key=lambda found: found[1].latency_ms,
    )


def _chain(operation: str) -> tuple[Edge, ...]:
    """Return a cell of one operation whose nodes read the latest states that there are."""
    return tuple((operation, source) for node in range(NODES) for source in (node, node + 1))
