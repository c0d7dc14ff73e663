"""StageProblem: networks of residual, inverted residual and plain blocks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from latency.table import LatencyTable
from search.engine.problem import AlphaTables, Fitted, Path, PricedDevice
from search.engine.recipes import LatencyKind, SearchRecipe
from search.finalize.fit_stages import derive_stages, fit_stages
from search.objective.stage_latency import StageLatency
from search.requests import SearchRequest
from search.space.sparsity import PlannedEstimator
from search.space.stage_costs import StageCosts
from search.space.stage_genotype import StageGenotype
from search.space.stage_moves import StageMoves, fair_stages
from search.space.stage_skeleton import DEPTHS, OPTIONS, StageSkeleton
from search.space.stage_space import StageSpace
from search.supernet.architecture import ArchitectureParameters
from search.supernet.stage_supernet import StageSupernet


@dataclass(frozen=True, kw_only=True)
class StageProblem:
    """Networks of stages of one width for one task."""

    request: SearchRequest
    space: StageSpace  # of the request, for the task

    def supernet(self, recipe: SearchRecipe) -> StageSupernet:
        """Return the supernet, whose stem may be narrower than the exported network's."""
        return StageSupernet(StageSkeleton(width=recipe.supernet_channels, task=self.space.task))

    def alphas(self, generator: torch.Generator) -> ArchitectureParameters:
        """Return tables for block options, depths, widths and the head."""
        return ArchitectureParameters(self.space.skeleton.tables, generator)

    def latency(
        self, estimator: PlannedEstimator, kind: LatencyKind = LatencyKind.TABLE
    ) -> StageLatency:
        """Return the latency term, which is that of the table."""
        if kind is not LatencyKind.TABLE:
            raise ValueError(f"search: networks of stages have no latency term {kind.value!r}")
        return StageLatency(StageCosts(estimator, self.space.skeleton), upper=True)

    def legend(self, recipe: SearchRecipe) -> dict[str, Any]:
        """Return what the columns of each table are, and the size of the supernet."""
        skeleton = self.space.skeleton
        return {
            "options": [option.label for option in OPTIONS],
            "depths": list(DEPTHS),
            "widths": [list(self.space.widths(level)) for level in range(skeleton.levels)],
            "heads": list(skeleton.heads),
            "supernet": {"channels": recipe.supernet_channels},
        }

    def derive(self, alphas: AlphaTables) -> StageGenotype:
        """Return the most probable network."""
        return derive_stages(alphas, self.space.skeleton)

    def fit(
        self,
        alphas: AlphaTables,
        estimator: PlannedEstimator,
        budget_ms: float,
        others: Sequence[PricedDevice] = (),
    ) -> Fitted[StageGenotype]:
        """Return the most probable network within the budget."""
        first = PricedDevice(device=self.request.device, estimator=estimator, budget_ms=budget_ms)
        return fit_stages(alphas, self.space.skeleton, [first, *others])

    def moves(self, table: LatencyTable) -> StageMoves:
        """Return moves within the skeleton."""
        return StageMoves(self.space, table)

    def path(self, genotype: StageGenotype) -> Path:
        """Return rows of ones and zeros for options, depths, widths and the head."""
        skeleton = self.space.skeleton
        choice = skeleton.choice(genotype)
        return tuple(
            np.eye(count)[list(getattr(choice, name))]
            for name, (_, count) in skeleton.tables.items()
        )

    def fair_networks(self, rng: np.random.Generator) -> list[StageGenotype]:
        """Return networks that have every option of a row equally often."""
        return fair_stages(rng, self.space.skeleton)
