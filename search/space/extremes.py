"""The two ends of a space on one target: its cheapest and its most expensive network."""

from itertools import product

from latency.estimate.estimator import LatencyEstimator, Prediction
from search.space.dass_cells import build_graph
from search.space.genotype import Edge, Genotype
from search.space.sampling import CHOICES, WEIGHTED
from search.space.task import TaskShape


def smallest_genotype(
    estimator: LatencyEstimator, channels: int, cells: int, task: TaskShape
) -> tuple[Genotype, Prediction]:
    """Return the cheapest network of the space and its prediction."""
    return min(
        (_predicted(estimator, genotype, task) for genotype in cheapest_genotypes(channels, cells)),
        key=lambda found: found[1].latency_ms,
    )


def cheapest_genotypes(channels: int, cells: int) -> list[Genotype]:
    """Return the networks of the space one of which is the cheapest, on whatever target.

    Skips cost nothing at stride 1, so only the operation on the edges that halve the image and
    how many there are is open: at least three, since each node reads two different inputs.
    """
    normal = _cell("skip_connect", "skip_connect")
    return [
        Genotype(
            normal=normal, reduce=_cell(halving, "skip_connect"), channels=channels, cells=cells
        )
        for halving in CHOICES
    ]


def largest_genotype(
    estimator: LatencyEstimator, channels: int, cells: int, task: TaskShape
) -> tuple[Genotype, Prediction]:
    """Return the most expensive network among those that repeat one operation in each cell."""
    return max(
        (
            _predicted(
                estimator,
                Genotype(
                    normal=_cell(first, first),
                    reduce=_cell(second, second),
                    channels=channels,
                    cells=cells,
                ),
                task,
            )
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
    estimator: LatencyEstimator, genotype: Genotype, task: TaskShape
) -> tuple[Genotype, Prediction]:
    return genotype, estimator.predict(build_graph(genotype, task))
