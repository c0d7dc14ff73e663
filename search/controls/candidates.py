"""Which networks the controls are: all under the budget of the search, by the same table."""

from dataclasses import replace

import numpy as np

from latency.estimate.estimator import Prediction
from latency.estimate.lookup_table import TableEstimator
from latency.graph import GraphNode, NetworkGraph
from latency.operator import OperatorKind
from search.controls.space import ControlSpace, PricedNetwork
from search.space.networks import AnyGenotype

_DRAWS = 16
_NEAR = 0.95  # of the latency of the searched network: a random one above that is as slow
_INTEGER_KINDS = (OperatorKind.CONV, OperatorKind.LINEAR)


def random_network(space: ControlSpace, seed: int, searched_ms: float) -> PricedNetwork:
    """Return the first random network that is about as slow as the searched one, or the slowest.

    A network that leaves much of the budget unused would be too easy to beat.

    Args:
        space: draws networks within the budget.
        seed: of the draws.
        searched_ms: the upper end of the predicted interval of the searched network.

    Raises:
        BudgetInfeasibleError: no network of the space is within the budget.
    """
    rng = np.random.default_rng(seed)
    drawn: list[PricedNetwork] = []
    while len(drawn) < _DRAWS:
        drawn.append(space.random(rng))
        if _high_ms(drawn[-1]) >= _NEAR * searched_ms:
            return drawn[-1]
    return max(drawn, key=_high_ms)


def dense_network(space: ControlSpace, searched: AnyGenotype) -> PricedNetwork | None:
    """Return the widest form of the searched network that is within the budget when it is dense.

    It is priced in the regime in which it is fastest. None: the narrowest is over the budget too.
    """
    for genotype in space.widths(searched):
        prediction = space.estimator.predict(space.graph(genotype))
        if prediction.high_ms <= space.budget_ms:
            return PricedNetwork(genotype=genotype, prediction=prediction)
    return None


def int8_network(
    space: ControlSpace, searched: AnyGenotype, dense: PricedNetwork | None
) -> PricedNetwork | None:
    """Return the widest form of the searched network that is within the budget in int8.

    It is not narrower than the dense control: few operators are measured in int8, and what the
    table does not know well must not make this rival weaker. Where the table has no row in int8,
    it is the network at its full width, and nothing is predicted. None: even the narrowest is over
    the budget.
    """
    for genotype in space.widths(searched):
        prediction = int8_prediction(space.estimator, space.graph(genotype))
        fits = prediction is None or prediction.high_ms <= space.budget_ms
        if fits or (dense is not None and genotype == dense.genotype):
            return PricedNetwork(genotype=genotype, prediction=prediction)
    return None


def int8_prediction(estimator: TableEstimator, graph: NetworkGraph) -> Prediction | None:
    """Return the latency of a dense stock network in int8, or None without any row in int8.

    The calibration is that of float networks: the table has no other.
    """
    if not any(row.spec.dtype == "int8" for row in estimator.table.rows):
        return None
    return estimator.predict_form(replace(graph, nodes=tuple(map(_in_int8, graph.nodes))))


def _in_int8(node: GraphNode) -> GraphNode:
    if node.spec.kind not in _INTEGER_KINDS:
        return node
    return replace(node, spec=replace(node.spec, dtype="int8"))


def _high_ms(network: PricedNetwork) -> float:
    assert network.prediction is not None  # a random network is always priced
    return network.prediction.high_ms
