"""What controls need of a search space: `ControlSpace`, and any searched space as one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from latency.estimate.estimator import Prediction
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from search.engine.problem import SearchProblem
from search.space.networks import AnyGenotype, narrower_forms, network_graph
from search.space.sparsity import PlannedEstimator


@dataclass(frozen=True, kw_only=True)
class PricedNetwork:
    """A network that is still to be trained."""

    genotype: AnyGenotype
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

    def graph(self, genotype: AnyGenotype) -> NetworkGraph:
        """Return the network for stock operators, every weight kept."""
        ...

    def widths(self, genotype: AnyGenotype) -> Iterator[AnyGenotype]:
        """Yield the network itself, then the same with fewer and fewer channels."""
        ...

    def random(self, rng: np.random.Generator) -> PricedNetwork:
        """Return a network drawn at random, within the budget at the density of the request."""
        ...


class SearchedSpace:
    """The space of a search.

    Args:
        problem: size, density and budget.
        planned: prices of its networks, sparse as planned.
    """

    def __init__(self, problem: SearchProblem[Any], planned: PlannedEstimator) -> None:
        self._problem = problem
        self._planned = planned

    @property
    def estimator(self) -> TableEstimator:
        """Prices networks as they are."""
        return self._planned.plain

    @property
    def budget_ms(self) -> float:
        """What the upper end of a predicted interval may be."""
        return self._problem.request.tightened_ms

    def graph(self, genotype: AnyGenotype) -> NetworkGraph:
        """Return the network for stock operators, every weight kept."""
        return network_graph(genotype, self._problem.space.task)

    def widths(self, genotype: AnyGenotype) -> Iterator[AnyGenotype]:
        """Yield the network itself, then the same with fewer and fewer channels."""
        return narrower_forms(genotype)

    def random(self, rng: np.random.Generator) -> PricedNetwork:
        """Return what the search would have given for architecture parameters that are noise.

        It is fitted to the budget as a searched network is.

        Raises:
            BudgetInfeasibleError: no network of the space is within the budget.
        """
        tables = self._problem.alphas(torch.Generator()).tables
        noise = {name: rng.standard_normal(tuple(table.shape)) for name, table in tables.items()}
        fitted = self._problem.fit(noise, self._planned, self.budget_ms)
        return PricedNetwork(genotype=fitted.genotype, prediction=fitted.prediction)
