"""From trained weights to a pattern and a density for every layer, under the budget."""

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from latency import codec
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.table import LatencyTable
from search.finalize.densities import (
    DENSE,
    AllocatedDensities,
    allocate_densities,
    measured_options,
)
from search.finalize.layer_plan import LayerPlan
from search.finalize.network_energies import network_energies
from search.layers.operator_layers import operator_layers
from search.requests import SearchRequest
from search.space.sparsity import Sparsity


def layer_planner(
    request: SearchRequest, graph: NetworkGraph, table: LatencyTable | None
) -> Callable[[nn.Module], LayerPlan] | None:
    """Return what plans the layers of a trained network; None where the request has planned them.

    Args:
        request: its budget, and what it planned.
        graph: the network, dense, in the stock regime.
        table: prices of the target.

    Raises:
        ValueError: a table is needed and there is none.
    """
    planning = request.planning_table(table)
    if planning is None:
        return None
    return partial(
        choose_layers,
        graph=graph,
        estimator=TableEstimator(planning),
        budget_ms=request.tightened_ms,
        options=measured_options(planning, request.sparsity),
    )


def choose_layers(
    network: nn.Module,
    *,
    graph: NetworkGraph,
    estimator: TableEstimator,
    budget_ms: float,
    options: Sequence[Sparsity],
) -> LayerPlan:
    """Return the least distorting plan whose predicted interval ends within the budget.

    Layers that no option is for stay dense: what reads the image, and depthwise convolutions.

    Args:
        network: trained, nothing pruned yet.
        graph: what it computes, dense, in the stock regime.
        estimator: of the target.
        budget_ms: what the upper end of the predicted interval may be.
        options: what a layer can be beside dense.

    Raises:
        BudgetInfeasibleError: at its cheapest options too the network is over the budget.
    """
    found = allocate_densities(graph, estimator, network_energies(network), budget_ms, options)
    return plan_of(network, found, budget_ms)


def plan_of(network: nn.Module, found: AllocatedDensities, budget_ms: float) -> LayerPlan:
    """Return what was allocated to the operators of a network as the plan of its sparse layers."""
    chosen = found.chosen
    return LayerPlan(
        layers={
            path: chosen.get(operator, DENSE)
            for operator, parts in operator_layers(network).items()
            for path in parts
        },
        facts=_facts(found, budget_ms),
    )


def _facts(found: AllocatedDensities, budget_ms: float) -> dict[str, object]:
    facts: dict[str, object] = codec.to_plain(
        {
            "budget_ms": budget_ms,
            "distortion": found.distortion,
            "lower_bound": found.lower_bound,
            "gap": found.distortion - found.lower_bound,
            "prediction": found.prediction,
            "layers": found.layers,
        }
    )
    return facts
