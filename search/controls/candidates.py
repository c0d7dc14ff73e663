"""Which networks the controls are: all under the budgets of the search, by the same tables.

As for the searched network, every budget is kept, and the device that needs most of its own decides.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from latency.estimate.estimator import Prediction
from latency.estimate.execution import executed_nodes
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.operator import OperatorKind, OperatorSpec, Regime
from search.controls.space import ControlSpace, PricedNetwork, WidthSpace
from search.engine.problem import PricedDevice
from search.finalize.fit_devices import all_within, largest_share
from search.space.networks import AnyGenotype

_DRAWS = 16
_NEAR = 0.95  # of the share that the searched network needs: a random one above it is as slow
_INTEGER_KINDS = (OperatorKind.CONV, OperatorKind.LINEAR)


def random_network(space: ControlSpace, seed: int, searched_share: float) -> PricedNetwork:
    """Return the first random network that is about as slow as the searched one, or the slowest.

    A network that leaves much of the budget unused would be too easy to beat.

    Args:
        space: draws networks within every budget.
        seed: of the draws.
        searched_share: what the searched network needs of a budget, see `largest_share`.

    Raises:
        BudgetInfeasibleError: no network of the space is within every budget.
    """
    rng = np.random.default_rng(seed)
    drawn: list[PricedNetwork] = []
    while len(drawn) < _DRAWS:
        drawn.append(space.random(rng))
        if _share(drawn[-1], space.devices) >= _NEAR * searched_share:
            return drawn[-1]
    return max(drawn, key=lambda network: _share(network, space.devices))


def dense_network(space: WidthSpace, searched: AnyGenotype) -> PricedNetwork | None:
    """Return the widest form of the searched network that is within every budget when it is dense.

    It is priced in the regime in which it is fastest, on each device by itself. None: the narrowest
    is over a budget too.
    """
    for genotype in space.widths(searched):
        graph = space.graph(genotype)
        predictions = tuple(one.estimator.plain.predict(graph) for one in space.devices)
        if all_within(predictions, space.devices):
            return PricedNetwork(genotype=genotype, predictions=predictions)
    return None


def int8_network(
    space: WidthSpace, searched: AnyGenotype, dense: PricedNetwork | None
) -> PricedNetwork | None:
    """Return the widest form of the searched network that is within every budget in int8.

    It is not narrower than the dense control: few operators are measured in int8, and what a
    table does not know well must not make this rival weaker. A device whose table has no row in
    int8 has no say, and nothing is predicted there: where that is so of all, it is the network at
    its full width. None: even the narrowest is over a budget.
    """
    for genotype in space.widths(searched):
        graph = space.graph(genotype)
        predictions = tuple(int8_prediction(one.estimator.plain, graph) for one in space.devices)
        fits = all(
            prediction is None or prediction.high_ms <= one.budget_ms
            for prediction, one in zip(predictions, space.devices, strict=True)
        )
        if fits or (dense is not None and genotype == dense.genotype):
            return PricedNetwork(genotype=genotype, predictions=predictions)
    return None


def int8_prediction(estimator: TableEstimator, graph: NetworkGraph) -> Prediction | None:
    """Return the latency of a dense stock network in int8, or None without any row in int8.

    All of it is int8, so nothing is converted inside; what has no weights is priced as in float32. The
    calibration is that of float networks: the table has no other.
    """
    if not any(row.spec.dtype == "int8" for row in estimator.table.rows):
        return None
    operators = [_in_int8(node.spec) for node in executed_nodes(graph)]
    return estimator.predict_operators(operators, Regime.STOCK)


def _in_int8(spec: OperatorSpec) -> OperatorSpec:
    return replace(spec, dtype="int8") if spec.kind in _INTEGER_KINDS else spec


def _share(network: PricedNetwork, devices: Sequence[PricedDevice]) -> float:
    predictions = [found for found in network.predictions if found is not None]
    return largest_share(predictions, devices)  # a random network is priced on all of them
