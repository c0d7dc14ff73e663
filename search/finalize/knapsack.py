"""Multiple-choice knapsack: one option per group, least distortion within a capacity.

Exact by dynamic programming over the Pareto front of (cost, distortion) as long as that front has
at most FRONT_LIMIT points; beyond, only the best of each step of cost is followed. A plan is never
over the capacity, and `lower_bound` says by how much it can miss the optimum at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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


@dataclass(frozen=True, slots=True)
class _Point:
    cost: float
    distortion: float
    option: int
    parent: "_Point | None"


def allocate(groups: Sequence[Sequence[Option]], capacity: float) -> Plan | None:
    """Return the plan of least distortion whose cost is at most `capacity`.

    None means that even the cheapest options together are over the capacity.

    Raises:
        ValueError: a group without options, or a negative cost or distortion.
    """
    _check(groups)
    if sum(min(option.cost for option in group) for group in groups) > capacity:
        return None
    point = _best(groups, capacity)
    chosen: list[int] = []
    while point.parent is not None:
        chosen.append(point.option)
        point = point.parent
    chosen.reverse()
    picked = [group[index] for group, index in zip(groups, chosen, strict=True)]
    return Plan(
        chosen=tuple(chosen),
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
    return max(
        sum(min(option.distortion + slope * option.cost for option in group) for group in groups)
        - slope * capacity
        for slope in slopes
    )


def _best(groups: Sequence[Sequence[Option]], capacity: float) -> _Point:
    front = [_Point(0.0, 0.0, -1, None)]
    # What the remaining groups cost at least: a partial plan that leaves less is dropped.
    rest = np.cumsum([min(option.cost for option in group) for group in reversed(groups)])[::-1]
    rest = np.append(rest, 0.0)
    for index, group in enumerate(groups):
        room = capacity - float(rest[index + 1])
        grown = [
            _Point(point.cost + option.cost, point.distortion + option.distortion, number, point)
            for point in front
            for number, option in enumerate(group)
        ]
        # The cheapest way always fits; without it rounding of sums could empty the front.
        cheapest = min(grown, key=lambda point: point.cost)
        front = _pareto([point for point in grown if point.cost <= room] or [cheapest])
        if len(front) > FRONT_LIMIT:
            front = _thin(front, room)
    return min(front, key=lambda point: point.distortion)


def _pareto(points: list[_Point]) -> list[_Point]:
    kept: list[_Point] = []
    for point in sorted(points, key=lambda point: (point.cost, point.distortion)):
        if not kept or point.distortion < kept[-1].distortion:
            kept.append(point)
    return kept


def _thin(front: list[_Point], room: float) -> list[_Point]:
    """Keep the least distortion in each of FRONT_LIMIT steps of cost, and the cheapest point."""
    step = max(room, 1e-300) / FRONT_LIMIT
    best: dict[int, _Point] = {}
    for point in front:
        best[int(point.cost / step)] = point  # the front is ordered: later points are better
    return _pareto([front[0], *best.values()])


def _check(groups: Sequence[Sequence[Option]]) -> None:
    for number, group in enumerate(groups):
        if not group:
            raise ValueError(f"knapsack: group {number} has no options")
        if any(option.cost < 0 or option.distortion < 0 for option in group):
            raise ValueError(f"knapsack: group {number} has a negative cost or distortion")
