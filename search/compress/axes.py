"""Plans of several axes: a network is sparse, or in part int8, whichever loses less.

Both are never mixed in one file. Sparse layers gain where the operator library executes a network,
int8 layers where stock kernels do, and a network is executed in one regime.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from torch import Tensor

from latency import codec
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from search.compress.int8_distortions import int8_distortions
from search.finalize.densities import DENSE
from search.finalize.int8_layers import allocate_int8
from search.finalize.layer_plan import LayerPlan
from search.finalize.repair import BudgetInfeasibleError
from search.finalize.train import AnyNetwork
from search.layers.sparse import sparse_layers

T = TypeVar("T")


class LayerPlanner(Protocol):
    """Plans the layers of one network under one budget."""

    def __call__(self, network: AnyNetwork) -> LayerPlan:
        """Return the plan of a trained network, nothing pruned yet.

        Raises:
            BudgetInfeasibleError: no plan of this kind is within the budget.
        """
        ...

    def has_made(self, plan: dict[str, Any]) -> bool:
        """Whether a plan, as plain JSON values, is one that this would make again."""
        ...

    def check(self, network: AnyNetwork) -> None:
        """Refuse a budget that no plan meets, whatever the weights are; errors as of a call."""
        ...


@dataclass(frozen=True, kw_only=True)
class Int8Planner:
    """Every layer stays dense, and some are int8."""

    graph: NetworkGraph  # dense, in the stock regime
    estimator: TableEstimator
    budget_ms: float  # what the upper end of the predicted interval may be
    images: Tensor  # (N, C, H, W), training images that int8 is judged on

    def __call__(self, network: AnyNetwork) -> LayerPlan:
        """Return the plan of a trained network, nothing pruned yet.

        Raises:
            BudgetInfeasibleError: no choice of layers is within the budget.
            UnmeasuredError: the table prices no layer in int8.
        """
        distortions = int8_distortions(network, self.graph, self.images)
        found = allocate_int8(self.graph, self.estimator, distortions, self.budget_ms)
        facts: dict[str, object] = codec.to_plain(
            {
                **self._facts,
                "distortion": found.distortion,
                "lower_bound": found.lower_bound,
                "gap": found.distortion - found.lower_bound,
                "prediction": found.prediction,
                "layers": [],
                "int8": {name: distortions.get(name, 0.0) for name in found.graph.int8_names},
            }
        )
        layers = dict.fromkeys(sparse_layers(network), DENSE)
        return LayerPlan(layers=layers, facts=facts, int8=found.graph.int8_names)

    def has_made(self, plan: dict[str, Any]) -> bool:
        """Whether a plan, as plain JSON values, is one that this would make again."""
        return all(plan["facts"].get(name) == value for name, value in self._facts.items())

    def check(self, network: AnyNetwork) -> None:
        """Refuse a budget that no plan meets, and a table without int8; errors as of a call."""
        self(network)

    @property
    def _facts(self) -> dict[str, Any]:
        return {
            "budget_ms": self.budget_ms,
            "table_version": self.estimator.table.version,
            "distorted_by": "int8 error",
        }


@dataclass(frozen=True, kw_only=True)
class LeastDistorting:
    """The plan of the least distortion, of equal ones the fastest.

    Args:
        planners: of one budget; what they call distortion is on one scale.
    """

    planners: Sequence[LayerPlanner]

    def __call__(self, network: AnyNetwork) -> LayerPlan:
        """Return the best plan of all planners.

        Raises:
            BudgetInfeasibleError: none of them is within the budget; with the least of their
                budgets.
        """
        plan = min(self._within(lambda planner: planner(network)), key=_loss)
        return replace(plan, facts={**plan.facts, "planners": len(self.planners)})

    def has_made(self, plan: dict[str, Any]) -> bool:
        """Whether a plan, as plain JSON values, is one that this would make again."""
        is_ours = plan["facts"].get("planners") == len(self.planners)
        return is_ours and any(planner.has_made(plan) for planner in self.planners)

    def check(self, network: AnyNetwork) -> None:
        """Refuse a budget that no planner meets; errors as of a call."""
        self._within(lambda planner: planner.check(network))

    def _within(self, ask: Callable[[LayerPlanner], T]) -> list[T]:
        """Return the answers of the planners that are within the budget."""
        answers: list[T] = []
        refusals: list[BudgetInfeasibleError] = []
        for planner in self.planners:
            try:
                answers.append(ask(planner))
            except BudgetInfeasibleError as error:
                refusals.append(error)
        if not answers:
            raise min(refusals, key=lambda error: error.smallest_feasible_ms)
        return answers


def _loss(plan: LayerPlan) -> tuple[float, float]:
    return plan.facts["distortion"], plan.facts["prediction"]["latency_ms"]
