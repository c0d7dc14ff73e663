"""What controls need of a search space, and the cells of DASS as such a space."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from latency.estimate.estimator import Prediction
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from search.finalize.derive import derive_genotype
from search.finalize.repair import fit_to_budget
from search.requests import MIN_CHANNELS, SearchRequest
from search.space.cell_interactions import MIXED_EDGES
from search.space.dass_cells import build_graph
from search.space.genotype import Genotype
from search.space.primitives import OPERATIONS
from search.space.sparsity import PlannedEstimator
from search.space.task import TaskShape


@dataclass(frozen=True, kw_only=True)
class PricedNetwork:
    """A network that is still to be trained."""

    genotype: Genotype
    prediction: Prediction | None  # None: the table says nothing of such networks


class ControlSpace(Protocol):
    """A search space for one task, with the table of the target and the budget."""

    @property
    def estimator(self) -> TableEstimator:
        """Prices networks as they are."""
        ...

    @property
    def budget_ms(self) -> float:
        """What the upper end of a predicted interval may be."""
        ...

    def graph(self, genotype: Genotype) -> NetworkGraph:
        """Return the network for stock operators, every weight kept."""
        ...

    def widths(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield the network itself, then the same with fewer and fewer channels."""
        ...

    def random(self, rng: np.random.Generator) -> PricedNetwork:
        """Return a network drawn at random, within the budget at the density of the request."""
        ...


class CellControls:
    """The space of DASS.

    Args:
        request: size, density and budget.
        task: image and classes.
        planned: prices of the networks of the request, sparse as planned.
    """

    def __init__(self, request: SearchRequest, task: TaskShape, planned: PlannedEstimator) -> None:
        self._request = request
        self._task = task
        self._planned = planned

    @property
    def estimator(self) -> TableEstimator:
        """Prices networks as they are."""
        return self._planned.plain

    @property
    def budget_ms(self) -> float:
        """What the upper end of a predicted interval may be."""
        return self._request.budget_ms * self._request.tighten

    def graph(self, genotype: Genotype) -> NetworkGraph:
        """Return the network for stock operators, every weight kept."""
        return build_graph(genotype, self._task)

    def widths(self, genotype: Genotype) -> Iterator[Genotype]:
        """Yield the network itself, then the same with fewer and fewer channels."""
        for channels in range(genotype.channels, MIN_CHANNELS - 1, -1):
            yield replace(genotype, channels=channels)

    def random(self, rng: np.random.Generator) -> PricedNetwork:
        """Return what the search would have given for architecture parameters that are noise.

        Widths are chosen, and operations exchanged where that is not enough, as for a search.

        Raises:
            BudgetInfeasibleError: no network of the space is within the budget.
        """
        alphas = {
            kind: rng.standard_normal((len(MIXED_EDGES), len(OPERATIONS)))
            for kind in ("normal", "reduce")
        }
        size = {"channels": self._request.channels, "cells": self._request.cells}
        derived = derive_genotype(alphas["normal"], alphas["reduce"], **size)
        fitted, _ = fit_to_budget(derived, alphas, self._task, self._planned, self.budget_ms)
        return PricedNetwork(genotype=fitted.genotype, prediction=fitted.prediction)
