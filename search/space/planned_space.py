"""PlannedSpace: the networks that a job can find, and what a target has to know about them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from latency.estimate.lookup_table import TableEstimator
from latency.operator import SparsityPattern
from latency.plan import SpaceUsage
from latency.table import LatencyTable
from latency.target import Target
from search.space.dass_cells import build_graph
from search.space.sampling import planning_graphs, random_genotype
from search.space.sparsity import PlannedEstimator, Sparsity
from search.space.task import TaskShape
from search.space.usage import space_usage


@dataclass(frozen=True, kw_only=True)
class PlannedSpace:
    """The space of DASS at one size, for one task, with the sparsity that is planned."""

    channels: int
    cells: int
    task: TaskShape
    sparsity: Sparsity

    def usage(self, target: Target) -> SpaceUsage:
        """Return how often its networks execute which operators on a target."""
        return _usage(
            self.channels,
            self.cells,
            self.task,
            self.sparsity.pattern,
            with_library=target.has_library,
        )

    def estimator(self, table: LatencyTable) -> PlannedEstimator:
        """Return what prices the networks of the space, sparse as planned, from a table.

        Raises:
            ValueError: the table has no rows.
        """
        genotype = random_genotype(np.random.default_rng(0), self.channels, self.cells)
        probe = build_graph(genotype.with_layers(()), self.task)
        return PlannedEstimator(TableEstimator(table), self.sparsity, probe)


@lru_cache(maxsize=32)
def _usage(
    channels: int, cells: int, task: TaskShape, pattern: SparsityPattern, *, with_library: bool
) -> SpaceUsage:
    """Without the cache a deep space costs seconds each time."""
    return space_usage(planning_graphs(channels, cells, task), pattern, with_library=with_library)
