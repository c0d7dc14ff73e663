"""PlannedSpace: the networks that a job can find, and what a target has to know about them."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from latency.estimate.estimator import Prediction
from latency.estimate.lookup_table import TableEstimator
from latency.estimate.price_book import PriceBook
from latency.graph import NetworkGraph
from latency.operator import SparsityPattern
from latency.plan import SpaceUsage
from latency.table import LatencyTable
from latency.target import Target
from search.space.batch import BatchPredictor
from search.space.cell_batch import CellEncoder
from search.space.cell_variants import CellSize
from search.space.dass_cells import build_graph
from search.space.extremes import smallest_genotype
from search.space.genotype import Genotype
from search.space.sampling import (
    calibration_genotypes,
    held_out_genotypes,
    planning_graphs,
    random_genotype,
)
from search.space.search_space import with_random_sparsity
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

    @property
    def name(self) -> str:
        """What a request calls the space."""
        return "dass-cells"

    def usage(self, target: Target) -> SpaceUsage:
        """Return how often its networks execute which operators on a target."""
        return _usage(
            self.channels,
            self.cells,
            self.task,
            self.sparsity.pattern,
            with_library=target.has_library,
        )

    def calibration_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return networks to calibrate a table on; never one that may be held out."""
        return self._sparse(calibration_genotypes(self.channels, self.cells, seed, count), seed)

    def held_out_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return networks to measure the error of a table on."""
        return self._sparse(held_out_genotypes(self.channels, self.cells, seed, count), seed)

    def estimator(self, table: LatencyTable) -> PlannedEstimator:
        """Return what prices the networks of the space, sparse as planned, from a table.

        Raises:
            ValueError: the table has no rows.
        """
        genotype = random_genotype(np.random.default_rng(0), self.channels, self.cells)
        probe = build_graph(genotype.with_layers(()), self.task)
        return PlannedEstimator(TableEstimator(table), self.sparsity, probe)

    def smallest(self, estimator: PlannedEstimator) -> Prediction:
        """Return the prediction whose upper end is the least budget that a search can meet."""
        return smallest_genotype(estimator, self.channels, self.cells, self.task)[1]

    def predictor(self, table: LatencyTable) -> BatchPredictor[Genotype]:
        """Return what predicts many genotypes, each sparse as planned, from a table."""
        estimator = TableEstimator(table)
        size = CellSize(channels=self.channels, cells=self.cells, task=self.task)
        encoder = CellEncoder(PriceBook(estimator), size, self.sparsity)
        return BatchPredictor(estimator, encoder)

    def _sparse(self, genotypes: tuple[Genotype, ...], seed: int) -> tuple[NetworkGraph, ...]:
        rng = np.random.default_rng(seed)
        graphs = (build_graph(genotype, self.task) for genotype in genotypes)
        return tuple(with_random_sparsity(graph, self.sparsity.pattern, rng) for graph in graphs)


@lru_cache(maxsize=32)
def _usage(
    channels: int, cells: int, task: TaskShape, pattern: SparsityPattern, *, with_library: bool
) -> SpaceUsage:
    """Without the cache a deep space costs seconds each time."""
    return space_usage(planning_graphs(channels, cells, task), pattern, with_library=with_library)
