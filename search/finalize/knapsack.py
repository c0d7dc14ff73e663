"""Multiple-choice knapsack: one option per group, least distortion within a capacity.

Exact by dynamic programming over the Pareto front of (cost, distortion) as long as that front has
at most FRONT_LIMIT points; beyond, only the best of each step of cost is followed. A plan is never
over the capacity, and `lower_bound` says by how much it can miss the optimum at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FRONT_LIMIT = 1_000


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to build a layer."""

    cost: float  # nanoseconds
    distortion: float  # what the accuracy is expected to lose; any unit, zero or more


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One option per group."""

    chosen: tuple[int, ...]
    cost: float
    distortion: float
    lower_bound: float  # no plan within the capacity has less distortion


def allocate(groups: Sequence[Sequence[Option]], capacity: float) -> Plan | None:
    """Return the plan of least distortion whose cost is at most `capacity`.

    None means that even the cheapest options together are over the capacity.

    Raises:
        ValueError: a group without options, or a negative cost or distortion.
    """
    _check(groups)
    if sum(min(option.cost for option in group) for group in groups) > capacity:
        return None
    chosen = _best(groups, capacity)
    picked = [group[index] for group, index in zip(groups, chosen, strict=True)]
    return Plan(
        chosen=chosen,
        cost=sum(option.cost for option in picked),
        distortion=sum(option.distortion for option in picked),
        lower_bound=lower_bound(groups, capacity),
    )


def lower_bound(groups: Sequence[Sequence[Option]], capacity: float) -> float:
    """Return the largest Lagrangian bound over the slopes at which any group changes its mind."""
    slopes = {0.0}
    for group in groups:
        for one in group:
            slopes.update(
                (one.distortion - other.distortion) / (other.cost - one.cost)
                for other in group
                if other.cost > one.cost and one.distortion > other.distortion
            )
    slope = np.array(sorted(slopes))
    total = -slope * capacity
    for group in groups:
        cost, distortion = _arrays(group)
        total += (distortion[:, None] + cost[:, None] * slope).min(axis=0)
    return float(total.max())


def _best(groups: Sequence[Sequence[Option]], capacity: float) -> tuple[int, ...]:
    """Return the options chosen; the cheapest ones together are within the capacity."""
    # What the remaining groups cost at least: a partial plan that leaves less is dropped.
    rest = np.cumsum([min(option.cost for option in group) for group in reversed(groups)])[::-1]
    rest = np.append(rest, 0.0)
    front_cost, front_distortion = np.zeros(1), np.zeros(1)
    origins: list[tuple[Ints, Ints]] = []  # of the points of each front: earlier point, option
    for index, group in enumerate(groups):
        room = capacity - float(rest[index + 1])
        cost, distortion = _arrays(group)
        costs = np.add.outer(front_cost, cost).ravel()
        distortions = np.add.outer(front_distortion, distortion).ravel()
        kept = _front(costs, distortions, room)
        if len(kept) > FRONT_LIMIT:
            kept = kept[_thin(costs[kept], room)]
        front_cost, front_distortion = costs[kept], distortions[kept]
        origins.append(np.divmod(kept, len(group)))
    at = int(front_distortion.argmin())
    chosen: list[int] = []
    for points, options in reversed(origins):
        chosen.append(int(options[at]))
        at = int(points[at])
    return tuple(reversed(chosen))


def _arrays(group: Sequence[Option]) -> tuple[Floats, Floats]:
    """Return costs and distortions."""
    return (
        np.array([option.cost for option in group]),
        np.array([option.distortion for option in group]),
    )


def _front(costs: Floats, distortions: Floats, room: float) -> Ints:
    """Return which points are within the room and not worse than another, the cheapest first."""
    within = np.flatnonzero(costs <= room)
    if not len(within):
        # The cheapest way always fits; rounding of sums must not empty the front.
        within = np.array([int(costs.argmin())])
    order = within[np.lexsort((distortions[within], costs[within]))]
    least = np.minimum.accumulate(distortions[order])
    front: Ints = order[np.append(True, least[1:] < least[:-1])]
    return front


def _thin(costs: Floats, room: float) -> Ints:
    """Return the last point in each of FRONT_LIMIT steps of cost, and the first point of all.

    Of a front, the cheapest first: later points distort less.
    """
    steps = (costs / (max(room, 1e-300) / FRONT_LIMIT)).astype(np.int64)
    last = np.flatnonzero(np.append(steps[1:] != steps[:-1], True))
    return np.union1d([0], last)


def _check(groups: Sequence[Sequence[Option]]) -> None:
    for number, group in enumerate(groups):
        if not group:
            raise ValueError(f"knapsack: group {number} has no options")
        if any(option.cost < 0 or option.distortion < 0 for option in group):
            raise ValueError(f"knapsack: group {number} has a negative cost or distortion")
