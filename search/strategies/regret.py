"""What it costs to run a network on a device that it was not searched for alone.

For each pair of devices: how much slower or less accurate the network that was found for one is than
the other's own, on that other device; and the same of a network that was found for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from latency.graph import NetworkGraph
from search.engine.problem import PricedDevice


@dataclass(frozen=True, kw_only=True)
class FoundNetwork:
    """A network that was searched for one device, and how it does on all of them.

    `latency_ms` is measured or predicted, by the name of the device; in one table all of one kind.
    """

    device: str  # that it was searched for
    latency_ms: Mapping[str, float]
    accuracy: float | None = None  # None: not trained


@dataclass(frozen=True, kw_only=True)
class Regret:
    """The network of one device on another, against that device's own."""

    found_for: str
    on: str
    latency_ms: float
    slowdown: float  # latency over that of the device's own network, less 1; below 0: faster
    accuracy_loss: float | None  # accuracy of the device's own network less that of this one
    over_budget: bool  # on the device where it runs


def regrets(
    networks: Sequence[FoundNetwork],
    budgets_ms: Mapping[str, float],
    common: FoundNetwork | None = None,
) -> list[Regret]:
    """Return the regret of every network on every device that a network was searched for.

    Args:
        networks: one for each device.
        budgets_ms: by device.
        common: a network that was searched for all of them; its regret comes last.

    Raises:
        ValueError: a device has two networks, or a latency or budget is missing or not above 0.
    """
    own = {network.device: network for network in networks}
    if len(own) != len(networks):
        raise ValueError("regret: each device has one network of its own")
    every = [*networks, *([] if common is None else [common])]
    for name, values in [("budgets", budgets_ms), *((n.device, n.latency_ms) for n in every)]:
        if bad := [device for device in own if not values.get(device, 0.0) > 0.0]:
            raise ValueError(f"regret: {name}: {bad} must have milliseconds above 0")
    return [
        Regret(
            found_for=network.device,
            on=device,
            latency_ms=network.latency_ms[device],
            slowdown=network.latency_ms[device] / best.latency_ms[device] - 1.0,
            accuracy_loss=_difference(best.accuracy, network.accuracy),
            over_budget=network.latency_ms[device] > budgets_ms[device],
        )
        for network in every
        for device, best in own.items()
    ]


def predicted_network(
    device: str, graph: NetworkGraph, devices: Sequence[PricedDevice]
) -> FoundNetwork:
    """Return a network that is not trained yet, with the upper ends of its predicted intervals.

    Those are what budgets are held to.

    Args:
        device: that it was searched for.
        graph: the network, dense; it is priced as sparse as planned.
        devices: on which it may run.
    """
    return FoundNetwork(
        device=device,
        latency_ms={one.device: one.estimator.predict(graph).high_ms for one in devices},
    )


def regret_text(found: Sequence[Regret]) -> str:
    """Return a table for people: a line per network and device, `!` where it is over the budget."""
    lines = [f"{'found for':<16} {'on':<16} {'ms':>9} {'slower':>8} {'accuracy lost':>14}"]
    lines += [
        f"{one.found_for:<16} {one.on:<16} {one.latency_ms:>9.3f} {one.slowdown:>+8.1%} "
        f"{_lost(one.accuracy_loss):>14}{' !' if one.over_budget else ''}"
        for one in found
    ]
    return "\n".join(lines)


def _difference(own: float | None, other: float | None) -> float | None:
    return None if own is None or other is None else own - other


def _lost(accuracy_loss: float | None) -> str:
    return "not trained" if accuracy_loss is None else f"{accuracy_loss:+.3f}"
