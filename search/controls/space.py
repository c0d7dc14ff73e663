"""What controls need to choose networks from: `ControlSpace`, and any searched space as one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch

from latency.estimate.estimator import Prediction
from latency.graph import NetworkGraph
from search.engine.problem import PricedDevice, SearchProblem
from search.space.networks import AnyGenotype, narrower_forms, network_graph


@dataclass(frozen=True, kw_only=True)
class PricedNetwork:
    """A network that is still to be trained."""

    genotype: AnyGenotype
    predictions: tuple[Prediction | None, ...]  # by device; None: its table says nothing of such


class WidthSpace(Protocol):
    """Networks of several widths for one task, with the prices and the budget of each device."""

    @property
    def devices(self) -> Sequence[PricedDevice]:
        """At least one: every budget has to be kept."""
        ...

    def graph(self, genotype: AnyGenotype) -> NetworkGraph:
        """Return the network for stock operators, every weight kept."""
        ...

    def widths(self, genotype: AnyGenotype) -> Iterator[AnyGenotype]:
        """Yield the network itself, then the same with fewer and fewer channels."""
        ...


class ControlSpace(WidthSpace, Protocol):
    """A search space: networks of it can be drawn."""

    def random(self, rng: np.random.Generator) -> PricedNetwork:
        """Return a network drawn at random, within every budget at the density of the request."""
        ...


class SearchedSpace:
    """The space of a search.

    Args:
        problem: size and density.
        devices: prices of its networks, sparse as planned, and budgets; at least one.
    """

    def __init__(self, problem: SearchProblem[Any], devices: Sequence[PricedDevice]) -> None:
        self._problem = problem
        self._devices = tuple(devices)

    @property
    def devices(self) -> Sequence[PricedDevice]:
        """At least one: every budget has to be kept."""
        return self._devices

    def graph(self, genotype: AnyGenotype) -> NetworkGraph:
        """Return the network for stock operators, every weight kept."""
        return network_graph(genotype, self._problem.space.task)

    def widths(self, genotype: AnyGenotype) -> Iterator[AnyGenotype]:
        """Yield the network itself, then the same with fewer and fewer channels."""
        return narrower_forms(genotype)

    def random(self, rng: np.random.Generator) -> PricedNetwork:
        """Return what the search would have given for architecture parameters that are noise.

        It is fitted to the budgets as a searched network is.

        Raises:
            BudgetInfeasibleError: no network of the space is within every budget.
        """
        tables = self._problem.alphas(torch.Generator()).tables
        noise = {name: rng.standard_normal(tuple(table.shape)) for name, table in tables.items()}
        first, *others = self._devices
        fitted = self._problem.fit(noise, first.estimator, first.budget_ms, others)
        return PricedNetwork(
            genotype=fitted.genotype, predictions=(fitted.prediction, *fitted.others)
        )
