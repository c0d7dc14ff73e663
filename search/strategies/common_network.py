"""What a network that is for several devices is worth on each, and what each could have alone."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from latency.graph import NetworkGraph
from search.engine.problem import AlphaTables, PricedDevice, SearchProblem
from search.requests import SearchRequest
from search.space.networks import AnyGenotype, network_graph
from search.strategies.regret import Regret, predicted_network, regret_text, regrets

ALL_DEVICES = "all devices"
_METHOD = (
    "each device's own network is what the same architecture parameters give for its budget alone; "
    "milliseconds are the upper ends of predicted 90 % intervals, which budgets are held to; only "
    "the network for all devices is trained"
)


def on_other_devices(
    request: SearchRequest, devices: Sequence[PricedDevice], graph: NetworkGraph
) -> list[dict[str, Any]]:
    """Return what results say of a network in `also`: the devices beside the first, in order.

    Of each its budget, the prediction, and the network in the form in which it is fastest there.

    Args:
        request: names the devices.
        devices: the same, with prices.
        graph: the network for stock operators, every weight kept.
    """
    return [
        {
            "device": budget.device,
            "budget_ms": budget.budget_ms,
            "tighten": budget.tighten,
            "prediction": asdict(device.estimator.predict(graph)),
            "graph": device.estimator.fastest_form(graph).to_dict(),
        }
        for budget, device in zip(request.budgets[1:], devices[1:], strict=True)
    ]


def regret_result(
    problem: SearchProblem[Any],
    alphas: AlphaTables,
    devices: Sequence[PricedDevice],
    common: AnyGenotype,
) -> dict[str, Any]:
    """Return the regret of a network that is for all devices, as derive.json states it.

    It is compared with what each device alone could have, and those with each other.

    Args:
        problem: whose network it is.
        alphas: that it was derived from.
        devices: of the request, with prices, in order.
        common: the network that is within every budget.
    """
    found = _regrets(problem, alphas, devices, common)
    return {
        "method": _METHOD,
        "table_versions": {one.device: one.estimator.table.version for one in devices},
        "rows": [asdict(one) for one in found],
        "text": regret_text(found),
    }


def _regrets(
    problem: SearchProblem[Any],
    alphas: AlphaTables,
    devices: Sequence[PricedDevice],
    common: AnyGenotype,
) -> list[Regret]:
    task = problem.space.task
    own = {
        one.device: problem.fit(alphas, one.estimator, one.budget_ms).genotype for one in devices
    }
    networks = [
        predicted_network(name, network_graph(genotype, task), devices)
        for name, genotype in own.items()
    ]
    of_all = predicted_network(ALL_DEVICES, network_graph(common, task), devices)
    return regrets(networks, {one.device: one.budget_ms for one in devices}, of_all)
