"""Plans of several axes: a network is sparse, or in part int8, whichever loses less.

Both are never mixed in one file. Sparse layers gain where the operator library executes a network,
int8 layers where stock kernels do, and a network is executed in one regime.
"""

from collections.abc import Callable, Sequence

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

Planner = Callable[[AnyNetwork], LayerPlan]


def plan_int8(
    network: AnyNetwork,
    *,
    graph: NetworkGraph,
    estimator: TableEstimator,
    budget_ms: float,
    images: Tensor,
) -> LayerPlan:
    """Return the plan in which every layer is dense, and some are int8.

    Args:
        network: trained, nothing pruned yet.
        graph: what it computes, dense, in the stock regime.
        estimator: of the target.
        budget_ms: what the upper end of the predicted interval may be.
        images: (N, C, H, W), training images that int8 is judged on.

    Raises:
        BudgetInfeasibleError: no choice of layers is within the budget.
        UnmeasuredError: the table prices no layer in int8.
    """
    distortions = int8_distortions(network, graph, images)
    found = allocate_int8(graph, estimator, distortions, budget_ms)
    facts: dict[str, object] = codec.to_plain(
        {
            "budget_ms": budget_ms,
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


def least_distorting(network: AnyNetwork, *, planners: Sequence[Planner]) -> LayerPlan:
    """Return the plan of the least distortion, of equal ones the fastest.

    Args:
        network: trained, nothing pruned yet.
        planners: of one budget; what they call distortion is on one scale.

    Raises:
        BudgetInfeasibleError: none of them is within the budget; with the least of their budgets.
    """
    plans: list[LayerPlan] = []
    refusals: list[BudgetInfeasibleError] = []
    for plan in planners:
        try:
            plans.append(plan(network))
        except BudgetInfeasibleError as error:
            refusals.append(error)
    if not plans:
        raise min(refusals, key=lambda error: error.smallest_feasible_ms)
    return min(plans, key=_loss)


def _loss(plan: LayerPlan) -> tuple[float, float]:
    return plan.facts["distortion"], plan.facts["prediction"]["latency_ms"]
