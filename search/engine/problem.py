"""SearchProblem: what the search and the stages behind it have to know of a space.

The engine trains whatever supernet a problem gives it, mixed by whatever tables of alphas; the
stages behind it derive networks and fit them to a budget. Each space has one implementation
(`search.problems`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from latency.estimate.estimator import Prediction
from latency.table import LatencyTable
from search.engine.recipes import LatencyKind, SearchRecipe
from search.objective.term import LatencyTerm
from search.requests import SearchRequest
from search.space.moves import G, Moves
from search.space.search_space import SearchSpace
from search.space.sparsity import PlannedEstimator
from search.supernet.architecture import ArchitectureParameters

AlphaTables = Mapping[str, NDArray[np.float64]]  # (choices, options) by name of the table
Path = tuple[NDArray[np.float64], ...]  # mixtures of ones and zeros, one per table of alphas


@dataclass(frozen=True, kw_only=True)
class PricedDevice:
    """Prices of a device, and what the upper end of the interval may be there."""

    device: str  # name, for messages; may be empty where there is only one
    estimator: PlannedEstimator
    budget_ms: float


@dataclass(frozen=True, kw_only=True)
class Fitted(Generic[G]):
    """A network within a budget, or within those of several devices."""

    genotype: G
    prediction: Prediction  # sparse as planned; `high_ms` is within the budget
    repaired: bool  # the alphas alone would have given another one
    facts: dict[str, float]  # what fitting cost, by name
    others: tuple[Prediction, ...] = ()  # on the other devices, in order


class SearchProblem(Protocol[G]):
    """One space at one size for one task, as a search sees it; G is the type of its genotypes."""

    @property
    def request(self) -> SearchRequest:
        """What is searched."""
        ...

    @property
    def space(self) -> SearchSpace:
        """The networks that can be found, with the sparsity that is planned."""
        ...

    def supernet(self, recipe: SearchRecipe) -> nn.Module:
        """Return the relaxed network, untrained: maps images and one mixture per table to logits.

        A mixture has the shape of its table of alphas; its rows are probabilities.
        """
        ...

    def alphas(self, generator: torch.Generator) -> ArchitectureParameters:
        """Return the tables of architecture parameters at their beginning."""
        ...

    def latency(
        self, estimator: PlannedEstimator, kind: LatencyKind = LatencyKind.TABLE
    ) -> LatencyTerm:
        """Return the latency term: the upper end of the predicted interval.

        Raises:
            ValueError: the space has no term of that kind.
        """
        ...

    def legend(self, recipe: SearchRecipe) -> dict[str, Any]:
        """Return what the rows and columns of the alphas are, and `supernet`: its size."""
        ...

    def derive(self, alphas: AlphaTables) -> G:
        """Return the discrete network of the alphas, with no regard to any budget.

        Raises:
            ValueError: a table is missing, is not finite or has another shape.
        """
        ...

    def fit(
        self,
        alphas: AlphaTables,
        estimator: PlannedEstimator,
        budget_ms: float,
        others: Sequence[PricedDevice] = (),
    ) -> Fitted[G]:
        """Return the network nearest to the alphas whose predicted interval is within the budget.

        Args:
            alphas: the tables of the space.
            estimator: of the first device of the request, often the only one.
            budget_ms: what the upper end of the interval may be there.
            others: further devices, whose budgets it has to keep as well.

        Raises:
            BudgetInfeasibleError: no network of the space is; it names the device that is
                furthest from it.
        """
        ...

    def moves(self, table: LatencyTable) -> Moves[G]:
        """Return how strategies get from network to network, and what those cost on a target."""
        ...

    def path(self, genotype: G) -> Path:
        """Return the mixture that is this network alone, in the order of the supernet's inputs.

        Sparsity and middle widths make no difference: a supernet has one of each.

        Raises:
            ValueError: the network is none that the alphas can stand for.
        """
        ...

    def fair_networks(self, rng: np.random.Generator) -> list[G]:
        """Return networks drawn at random that together use all options of a choice equally often.

        Trained one after the other, their paths treat the options of the supernet alike (Chu et
        al., FairNAS, arXiv 1907.01845, section 3.2).
        """
        ...


def priced_devices(
    problem: SearchProblem[Any], tables: Sequence[LatencyTable]
) -> tuple[PricedDevice, ...]:
    """Return the devices of the request of a problem, with the prices of their tables, in order.

    Raises:
        ValueError: there is not one table for each device, or one has no rows.
    """
    budgets = problem.request.budgets
    if len(tables) != len(budgets):
        raise ValueError(
            f"devices: the request names {len(budgets)}, each needs a latency table, "
            f"got {len(tables)}"
        )
    return tuple(
        PricedDevice(
            device=budget.device,
            estimator=problem.space.estimator(table),
            budget_ms=budget.tightened_ms,
        )
        for budget, table in zip(budgets, tables, strict=True)
    )
