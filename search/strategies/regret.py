"""What it costs to run a network on a device that it was not searched for.

For each pair of devices: how much slower or less accurate the network that was found for one is than
the other's own, on that other device.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from search.space.batch import BatchPredictor

G = TypeVar("G")


@dataclass(frozen=True, kw_only=True)
class FoundNetwork:
    """A network that was searched for one device, and how it does on all of them.

    `latency_ms` is measured or predicted, by the name of the device; in one table all of one kind.
    """

    device: str  # that it was searched for
    latency_ms: Mapping[str, float]
    accuracy: float


@dataclass(frozen=True, kw_only=True)
class Regret:
    """The network of one device on another, against that device's own."""

    found_for: str
    on: str
    latency_ms: float
    slowdown: float  # latency over that of the device's own network, less 1; below 0: faster
    accuracy_loss: float  # accuracy of the device's own network less that of this one
    over_budget: bool  # on the device where it runs


def regrets(networks: Sequence[FoundNetwork], budgets_ms: Mapping[str, float]) -> list[Regret]:
    """Return the regret of every network on every device that a network was searched for.

    Args:
        networks: one for each device.
        budgets_ms: by device.

    Raises:
        ValueError: a device has two networks, or a latency or budget is missing or not above 0.
    """
    own = {network.device: network for network in networks}
    if len(own) != len(networks):
        raise ValueError("regret: each device has one network of its own")
    for name, values in [("budgets", budgets_ms), *((n.device, n.latency_ms) for n in networks)]:
        if bad := [device for device in own if not values.get(device, 0.0) > 0.0]:
            raise ValueError(f"regret: {name}: {bad} must have milliseconds above 0")
    return [
        Regret(
            found_for=network.device,
            on=device,
            latency_ms=network.latency_ms[device],
            slowdown=network.latency_ms[device] / best.latency_ms[device] - 1.0,
            accuracy_loss=best.accuracy - network.accuracy,
            over_budget=network.latency_ms[device] > budgets_ms[device],
        )
        for network in networks
        for device, best in own.items()
    ]


def predicted_networks(
    genotypes: Mapping[str, G],
    accuracies: Mapping[str, float],
    predictors: Mapping[str, BatchPredictor[G]],
) -> list[FoundNetwork]:
    """Return the networks with their predicted latencies; all mappings are by device.

    Args:
        genotypes: found for each device.
        accuracies: of those networks.
        predictors: from the table of each device.
    """
    order = list(genotypes)
    latency_ms = {
        device: dict(
            zip(order, predictor.predict(list(genotypes.values())).latency_ms.tolist(), strict=True)
        )
        for device, predictor in predictors.items()
    }
    return [
        FoundNetwork(
            device=found_for,
            latency_ms={device: latency_ms[device][found_for] for device in predictors},
            accuracy=accuracies[found_for],
        )
        for found_for in order
    ]


def regret_text(found: Sequence[Regret]) -> str:
    """Return a table for people: a line per network and device, `!` where it is over the budget."""
    lines = [f"{'found for':<16} {'on':<16} {'ms':>9} {'slower':>8} {'accuracy lost':>14}"]
    lines += [
        f"{one.found_for:<16} {one.on:<16} {one.latency_ms:>9.3f} {one.slowdown:>+8.1%} "
        f"{one.accuracy_loss:>+14.3f}{' !' if one.over_budget else ''}"
        for one in found
    ]
    return "\n".join(lines)
