"""CellProblem: the space of DASS, cells of the DARTS form."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from latency.table import LatencyTable
from search.engine.problem import AlphaTables, Fitted, Path, PricedDevice
from search.engine.recipes import LatencyKind, SearchRecipe
from search.finalize.derive import derive_genotype
from search.finalize.fit_devices import fit_to_budgets
from search.objective.latency_term import ExpectedLatency
from search.objective.learnt_latency import LearntLatency
from search.requests import SearchRequest
from search.space.cell_costs import CellCosts
from search.space.cell_encoding import encode_edges
from search.space.cell_moves import CellMoves, fair_cells
from search.space.cell_variants import CellSize
from search.space.genotype import Genotype
from search.space.planned_space import PlannedSpace
from search.space.primitives import OPERATIONS
from search.space.sparsity import PlannedEstimator
from search.supernet.architecture import CELL_TABLES, NODE_EDGES, ArchitectureParameters
from search.supernet.supernet import Supernet


@dataclass(frozen=True, kw_only=True)
class CellProblem:
    """Cells of one size for one task."""

    request: SearchRequest
    space: PlannedSpace  # of the request, for the task

    def supernet(self, recipe: SearchRecipe) -> Supernet:
        """Return the DARTS network of mixed cells."""
        return Supernet(recipe.supernet_channels, recipe.supernet_cells, self.space.task)

    def alphas(self, generator: torch.Generator) -> ArchitectureParameters:
        """Return a table for normal cells and one for reductions."""
        return ArchitectureParameters(CELL_TABLES, generator)

    def latency(
        self, estimator: PlannedEstimator, kind: LatencyKind = LatencyKind.TABLE
    ) -> ExpectedLatency | LearntLatency:
        """Return the latency term of cells of full middle width."""
        space = self.space
        size = CellSize(channels=space.channels, cells=space.cells, task=space.task)
        exact = ExpectedLatency(CellCosts(estimator, size), upper=True)
        if kind is LatencyKind.TABLE:
            return exact
        return LearntLatency(exact, size)

    def legend(self, recipe: SearchRecipe) -> dict[str, Any]:
        """Return the operations (columns) and the edges (rows), and the size of the supernet."""
        return {
            "operations": list(OPERATIONS),
            "edges": [
                [node, source] for node, count in enumerate(NODE_EDGES) for source in range(count)
            ],
            "supernet": {"channels": recipe.supernet_channels, "cells": recipe.supernet_cells},
        }

    def derive(self, alphas: AlphaTables) -> Genotype:
        """Return the cells by the rule of DARTS, dense and at full width."""
        if set(alphas) != set(CELL_TABLES):
            raise ValueError(f"derive: alphas must be {list(CELL_TABLES)}, got {sorted(alphas)}")
        return derive_genotype(**alphas, channels=self.space.channels, cells=self.space.cells)

    def fit(
        self,
        alphas: AlphaTables,
        estimator: PlannedEstimator,
        budget_ms: float,
        others: Sequence[PricedDevice] = (),
    ) -> Fitted[Genotype]:
        """Return the network with narrowed widths, and other operations where that is not enough."""
        first = PricedDevice(device=self.request.device, estimator=estimator, budget_ms=budget_ms)
        found = fit_to_budgets(self.derive(alphas), dict(alphas), self.space.task, [first, *others])
        return Fitted(
            genotype=found.network.genotype,
            prediction=found.predictions[0],
            repaired=found.repaired,
            facts={
                "width_distortion": found.network.distortion,
                "width_distortion_bound": found.network.lower_bound,
            },
            others=found.predictions[1:],
        )

    def moves(self, table: LatencyTable) -> CellMoves:
        """Return moves of cells at full middle width."""
        return CellMoves(self.space, table)

    def path(self, genotype: Genotype) -> Path:
        """Return the weights of operations, (14, 8) for normal cells and for reductions."""
        normal, reduction = encode_edges([genotype])[0]
        return normal, reduction

    def fair_networks(self, rng: np.random.Generator) -> list[Genotype]:
        """Return networks that have every operation once in every place."""
        return fair_cells(rng, self.space.channels, self.space.cells)
