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
from torch import Tensor, nn

from latency.estimate.estimator import Prediction
from latency.table import LatencyTable
from search.engine.recipes import LatencyKind, SearchRecipe
from search.requests import SearchRequest
from search.space.moves import G, Moves
from search.space.search_space import SearchSpace
from search.space.sparsity import PlannedEstimator
from search.supernet.architecture import ArchitectureParameters

AlphaTables = Mapping[str, NDArray[np.float64]]  # (choices, options) by name of the table
Path = tuple[NDArray[np.float64], ...]  # mixtures of ones and zeros, one per table of alphas


class LatencyTerm(Protocol):
    """Latency of the network to be exported, as a function of the alphas."""

    def __call__(self, alphas: Sequence[Tensor], temperature: float) -> Tensor:
        """Return the expected latency in milliseconds, a differentiable scalar of float64."""
        ...

    def derived_ms(self, alphas: Sequence[Tensor]) -> float:
        """Return the latency of the network that the alphas derive now, in milliseconds."""
        ...


@dataclass(frozen=True, kw_only=True)
class Fitted(Generic[G]):
    """A network within a budget."""

    genotype: G
    prediction: Prediction  # sparse as planned; `high_ms` is within the budget
    repaired: bool  # the alphas alone would have given another one
    facts: dict[str, float]  # what fitting cost, by name


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

    def fit(self, alphas: AlphaTables, estimator: PlannedEstimator, budget_ms: float) -> Fitted[G]:
        """Return the network nearest to the alphas whose predicted interval is within the budget.

        Raises:
            BudgetInfeasibleError: no network of the space is.
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
