"""What a network that is for several devices is worth on each, and what each could have alone."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from search.engine.problem import AlphaTables, Fitted, PricedDevice, SearchProblem
from search.space.networks import network_graph
from search.strategies.regret import Regret, predicted_network, regret_text, regrets

ALL_DEVICES = "all devices"
_METHOD = (
    "each device's own network is what the same architecture parameters give for its budget alone; "
    "milliseconds are the upper ends of predicted 90 % intervals, which budgets are held to; only "
    "the network for all devices is trained"
)


def common_result(
    problem: SearchProblem[Any],
    alphas: AlphaTables,
    devices: Sequence[PricedDevice],
    common: Fitted[Any],
) -> dict[str, Any]:
    """Return what derive.json says of the devices beside the first, and of the regret.

    `also` has the devices but the first in order: budget, prediction, and the network in the form
    in which it is fastest there. `regret` compares the network with what each device alone could
    have, and those with each other.

    Args:
        problem: whose network it is.
        alphas: that it was derived from.
        devices: of the request, with prices, in order.
        common: the network that is within every budget.
    """
    graph = network_graph(common.genotype, problem.space.task)
    budgets = problem.request.budgets[1:]
    also = [
        {
            "device": budget.device,
            "budget_ms": budget.budget_ms,
            "tighten": budget.tighten,
            "prediction": asdict(prediction),
            "graph": device.estimator.fastest_form(graph).to_dict(),
        }
        for budget, device, prediction in zip(budgets, devices[1:], common.others, strict=True)
    ]
    found = _regrets(problem, alphas, devices, common)
    regret = {
        "method": _METHOD,
        "rows": [asdict(one) for one in found],
        "text": regret_text(found),
    }
    return {"also": also, "regret": regret}


def _regrets(
    problem: SearchProblem[Any],
    alphas: AlphaTables,
    devices: Sequence[PricedDevice],
    common: Fitted[Any],
) -> list[Regret]:
    task = problem.space.task
    own = {
        one.device: problem.fit(alphas, one.estimator, one.budget_ms).genotype for one in devices
    }
    networks = [
        predicted_network(name, network_graph(genotype, task), devices)
        for name, genotype in own.items()
    ]
    of_all = predicted_network(ALL_DEVICES, network_graph(common.genotype, task), devices)
    return regrets(networks, {one.device: one.budget_ms for one in devices}, of_all)
