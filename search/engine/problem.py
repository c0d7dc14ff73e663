"""SearchProblem: what the search and the stages behind it have to know of a space.

The engine trains whatever supernet a problem gives it, mixed by whatever tables of alphas; the
stages behind it derive networks and fit them to a budget. Each space has one implementation
(`search.problems`).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from latency.estimate.estimator import Prediction
from search.engine.recipes import LatencyKind, SearchRecipe
from search.requests import SearchRequest
from search.space.search_space import SearchSpace
from search.space.sparsity import PlannedEstimator
from search.supernet.architecture import ArchitectureParameters

G = TypeVar("G")

AlphaTables = Mapping[str, NDArray[np.float64]]  # (choices, options) by name of the table


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
