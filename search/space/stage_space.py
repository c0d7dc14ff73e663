"""StageSpace: which networks of stages are searched, and which rows price them.

Every halving of the image starts a new level. Level l has two widths, `width * 2^l` and twice as
much, which is also the lower width of the next level; widths never fall. So few pairs of channels
occur, and all of them can have rows.
"""

from dataclasses import dataclass, replace
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
from search.space.search_space import spread_genotypes, with_random_sparsity
from search.space.sparsity import PlannedEstimator, Sparsity
from search.space.stage_batch import StageEncoder
from search.space.stage_extremes import smallest_stages
from search.space.stage_genotype import (
    KERNELS,
    MIN_STAGES,
    BlockKind,
    Stage,
    StageGenotype,
)
from search.space.stage_networks import build_stages
from search.space.stage_skeleton import (
    DEPTHS,
    EXPANSIONS,
    HEAD_FACTOR,
    StageSkeleton,
    count_halvings,
    level_widths,
)
from search.space.task import TaskShape
from search.space.usage import space_usage

KINDS = (BlockKind.BASIC, BlockKind.INVERTED, BlockKind.PLAIN)
MOST_STAGES = 5
_DEEPER = len(DEPTHS) - 1
_PLANNING_NETWORKS = 60  # that a table of the space is planned for


@dataclass(frozen=True, kw_only=True)
class StageSpace:
    """Networks of three to five stages for one task.

    Raises:
        ValueError: the width or the density is out of range.
    """

    width: int  # channels of the stem, and the lower width of the first level
    task: TaskShape
    pattern: SparsityPattern = SparsityPattern.BLOCK  # of sparse layers
    density: float = 1.0  # that a search plans for them

    def __post_init__(self) -> None:
        if not 4 <= self.width <= 1024:
            raise ValueError(f"stages: width must be from 4 to 1024, got {self.width}")
        if not 0.0 < self.density <= 1.0:
            raise ValueError(f"stages: density must be above 0 and at most 1, got {self.density}")

    @property
    def name(self) -> str:
        """What a request calls the space."""
        return "stages"

    @property
    def halvings(self) -> int:
        """How often the image can be halved."""
        return count_halvings(self.task)

    @property
    def sparsity(self) -> Sparsity:
        """What a search plans for every sparse layer."""
        return Sparsity(pattern=self.pattern, density=self.density)

    @property
    def skeleton(self) -> StageSkeleton:
        """The networks of the space that a gradient search can find."""
        return StageSkeleton(width=self.width, task=self.task)

    def widths(self, level: int) -> tuple[int, int]:
        """Return the widths of stages whose output is halved `level` times."""
        return level_widths(self.width, level)

    def usage(self, target: Target) -> SpaceUsage:
        """Return how often its networks execute which operators in each regime of the target."""
        return _usage(replace(self, density=1.0), with_library=target.has_library)

    def estimator(self, table: LatencyTable) -> PlannedEstimator:
        """Return what prices networks that a search finds, sparse as planned, from a table."""
        genotype = self.random_genotype(np.random.default_rng(0), large=0.5)
        probe = build_stages(genotype, self.task)
        return PlannedEstimator(TableEstimator(table), self.sparsity, probe)

    def smallest(self, estimator: PlannedEstimator) -> Prediction:
        """Return the prediction whose upper end is the least budget that a search can meet."""
        return smallest_stages(estimator, self.skeleton)[1]

    def predictor(
        self, table: LatencyTable, sparsity: Sparsity | None = None
    ) -> BatchPredictor[StageGenotype]:
        """Return what predicts many genotypes from a table.

        `sparsity` is that of layers without a choice of their own; None leaves them dense.
        """
        estimator = TableEstimator(table)
        return BatchPredictor(estimator, StageEncoder(PriceBook(estimator), self.task, sparsity))

    def random_genotype(
        self, rng: np.random.Generator, large: float | None = None
    ) -> StageGenotype:
        """Return a dense genotype drawn at random.

        Args:
            rng: source of randomness.
            large: from 0 to 1, how deep, wide and late in halving it is; None draws that too.
        """
        large = float(rng.random()) if large is None else large
        count = int(rng.integers(MIN_STAGES, MOST_STAGES + 1))
        halvings = int(rng.integers(1, min(self.halvings, count) + 1))
        halving = set(rng.choice(count, size=halvings, replace=False).tolist())
        stages: list[Stage] = []
        width, level = self.width, 0
        for index in range(count):
            level += index in halving
            options = [option for option in self.widths(level) if option >= width]
            width = options[-1] if rng.random() < large else options[0]
            stride = 2 if index in halving else 1
            stages.append(_random_stage(rng, width, stride, large))
        head = HEAD_FACTOR * self.width if rng.random() < large else 0
        return StageGenotype(stem=self.width, stages=tuple(stages), head=head)

    def calibration_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return networks to calibrate a table on; never one that may be held out."""
        return self._spread(seed, count, held_out=False)

    def held_out_networks(self, seed: int, count: int) -> tuple[NetworkGraph, ...]:
        """Return networks to measure the error of a table on."""
        return self._spread(seed, count, held_out=True)

    def _spread(self, seed: int, count: int, *, held_out: bool) -> tuple[NetworkGraph, ...]:
        rng = np.random.default_rng(seed)
        genotypes = spread_genotypes(self.random_genotype, seed, count, held_out=held_out)
        graphs = (build_stages(genotype, self.task) for genotype in genotypes)
        return tuple(with_random_sparsity(graph, self.pattern, rng) for graph in graphs)


def _random_stage(rng: np.random.Generator, width: int, stride: int, large: float) -> Stage:
    kind = KINDS[rng.integers(len(KINDS))]
    inverted = kind is BlockKind.INVERTED
    return Stage(
        kind=kind,
        width=width,
        depth=DEPTHS[rng.binomial(_DEEPER, large)],
        stride=stride,
        kernel=KERNELS[kind][rng.integers(len(KERNELS[kind]))],
        expansion=EXPANSIONS[rng.integers(len(EXPANSIONS))] if inverted else 1,
    )


@lru_cache(maxsize=16)
def _usage(space: StageSpace, *, with_library: bool) -> SpaceUsage:
    """Sampled once: a space costs seconds."""
    rng = np.random.default_rng(0)
    graphs = [
        build_stages(space.random_genotype(rng, float(large)), space.task)
        for large in np.linspace(0.0, 1.0, _PLANNING_NETWORKS)
    ]
    return space_usage(graphs, space.pattern, with_library=with_library)
