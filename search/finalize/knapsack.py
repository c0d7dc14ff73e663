"""Multiple-choice knapsack: one option per group, least distortion within a capacity.

Groups may depend on their neighbours: an option is for one state, and leads to one, and the
options of a plan follow one another. (What an int8 layer costs depends on the dtype of what it
reads.) Where nothing is said there is a single state, and groups are independent.

Exact by dynamic programming over the Pareto front of (cost, distortion) of each state as long as
such a front has at most FRONT_LIMIT points; beyond, only the best of each step of cost is
followed. A plan is never over the capacity, and `lower_bound` says by how much it can miss the
optimum at most.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FRONT_LIMIT = 1_000
_EQUAL = 1e-12  # relative: of sums of the same numbers in another order


@dataclass(frozen=True, kw_only=True)
class Option:
    """One way to build a layer."""

    cost: float  # nanoseconds
    distortion: float  # what the accuracy is expected to lose; any unit, zero or more
    before: int = 0  # the state that it is for; that of the first group is 0
    after: int = 0  # the state that the next group is in


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One option per group."""

    chosen: tuple[int, ...]
    cost: float
    distortion: float
    lower_bound: float  # no plan within the capacity has less distortion


@dataclass(frozen=True, kw_only=True, eq=False)
class _Group:
    """The options of a group as arrays."""

    cost: Floats
    distortion: Floats
    before: Ints
    after: Ints


@dataclass(frozen=True, kw_only=True)
class _Path:
    """What a plan costs and distorts."""

    cost: float
    distortion: float


def allocate(groups: Sequence[Sequence[Option]], capacity: float) -> Plan | None:
    """Return the plan of least distortion whose cost is at most `capacity`.

    None means that even the cheapest options together are over the capacity.

    Raises:
        ValueError: a group without options, a negative cost, distortion or state, or options that
            do not follow one another.
    """
    if least_cost(groups) > capacity:
        return None
    chosen = _best([_arrays(group) for group in groups], capacity)
    picked = [group[index] for group, index in zip(groups, chosen, strict=True)]
    return Plan(
        chosen=chosen,
        cost=sum(option.cost for option in picked),
        distortion=sum(option.distortion for option in picked),
        lower_bound=lower_bound(groups, capacity),
    )


def least_cost(groups: Sequence[Sequence[Option]]) -> float:
    """Return what the cheapest plan costs.

    Raises:
        ValueError: as `allocate`.
    """
    _check(groups)
    cost = float(_rest([_arrays(group) for group in groups])[0][0])
    if not np.isfinite(cost):
        raise ValueError("knapsack: no options of all groups follow one another")
    return cost


def lower_bound(groups: Sequence[Sequence[Option]], capacity: float) -> float:
    """Return the largest Lagrangian bound: of no plan within the capacity is the distortion below.

    For a slope, distortion + slope * (cost - capacity) of the plan where that is least is a bound.
    As a function of the slope the bound is the lower envelope of one line a plan; its top is found
    by following the lines that cross there.

    Args:
        groups: as for `allocate`.
        capacity: at least `least_cost`.
    """
    arrays = [_arrays(group) for group in groups]
    rich, cheap = _best_path(arrays, 1.0, 0.0), _best_path(arrays, 0.0, 1.0)
    if rich.cost <= capacity:
        return rich.distortion
    while True:
        slope = (cheap.distortion - rich.distortion) / (rich.cost - cheap.cost)
        found = _best_path(arrays, 1.0, slope)
        known = rich.distortion + slope * rich.cost
        reached = found.distortion + slope * found.cost
        if reached >= known - _EQUAL * abs(known):
            return min(reached, known) - slope * capacity
        if found.cost > capacity:
            rich = found
        else:
            cheap = found


def _best(groups: Sequence[_Group], capacity: float) -> tuple[int, ...]:
    """Return the options chosen; the cheapest ones together are within the capacity."""
    # What the remaining groups cost at least: a partial plan that leaves less is dropped.
    rest = _rest(groups)
    cost, distortion, state = np.zeros(1), np.zeros(1), np.zeros(1, dtype=np.int64)
    origins: list[tuple[Ints, Ints]] = []  # of the points kept: earlier point, option
    for group, left in zip(groups, rest[1:], strict=True):
        points, options = np.nonzero(state[:, None] == group.before[None, :])
        costs = cost[points] + group.cost[options]
        distortions = distortion[points] + group.distortion[options]
        after = group.after[options]
        kept = _fronts(costs, distortions, after, capacity - left)
        cost, distortion, state = costs[kept], distortions[kept], after[kept]
        origins.append((points[kept], options[kept]))
    at = int(distortion.argmin())
    chosen: list[int] = []
    for points, options in reversed(origins):
        chosen.append(int(options[at]))
        at = int(points[at])
    return tuple(reversed(chosen))


def _rest(groups: Sequence[_Group]) -> list[Floats]:
    """Return for each group, and for the end, by state the least cost from there on."""
    *sizes, last = _states(groups)
    rest = [np.zeros(last)]
    for group, size in zip(reversed(groups), reversed(sizes), strict=True):
        least = _unreached(size)
        np.minimum.at(least, group.before, group.cost + rest[-1][group.after])
        rest.append(least)
    return rest[::-1]


def _states(groups: Sequence[_Group]) -> list[int]:
    """Return how many states there are before each group, and at the end."""
    before = [0, *(1 + int(group.after.max()) for group in groups)]
    after = [*(1 + int(group.before.max()) for group in groups), 1]
    return [max(pair) for pair in zip(before, after, strict=True)]


def _unreached(size: int) -> Floats:
    return np.full(size, np.inf)


def _best_path(groups: Sequence[_Group], distortion_weight: float, cost_weight: float) -> _Path:
    """Return the plan of the least weighted sum of distortion and cost."""
    sizes = _states(groups)
    value, cost, distortion = (_unreached(sizes[0]) for _ in range(3))
    value[0] = cost[0] = distortion[0] = 0.0
    for group, size in zip(groups, sizes[1:], strict=True):
        values = value[group.before] + cost_weight * group.cost
        values = values + distortion_weight * group.distortion
        order = np.argsort(values, kind="stable")
        states, first = np.unique(group.after[order], return_index=True)
        best = order[first]
        costs = cost[group.before[best]] + group.cost[best]
        distortions = distortion[group.before[best]] + group.distortion[best]
        value, cost, distortion = (_unreached(size) for _ in range(3))
        value[states], cost[states], distortion[states] = values[best], costs, distortions
    at = int(value.argmin())
    return _Path(cost=float(cost[at]), distortion=float(distortion[at]))


def _arrays(group: Sequence[Option]) -> _Group:
    return _Group(
        cost=np.array([option.cost for option in group]),
        distortion=np.array([option.distortion for option in group]),
        before=np.array([option.before for option in group]),
        after=np.array([option.after for option in group]),
    )


def _fronts(costs: Floats, distortions: Floats, states: Ints, rooms: Floats) -> Ints:
    """Return the points of the front of each state, by its room."""
    kept = [
        own[_front(costs[own], distortions[own], float(rooms[state]))]
        for state in np.unique(states)
        if len(own := np.flatnonzero((states == state) & (costs <= rooms[state])))
    ]
    if not kept:
        # The cheapest way always fits; rounding of sums must not empty the front.
        return np.array([int((costs - rooms[states]).argmin())])
    return np.concatenate(kept)


def _front(costs: Floats, distortions: Floats, room: float) -> Ints:
    """Return which points are not worse than another, the cheapest first; thinned if too many."""
    order = np.lexsort((distortions, costs))
    least = np.minimum.accumulate(distortions[order])
    front: Ints = order[np.append(True, least[1:] < least[:-1])]
    return front if len(front) <= FRONT_LIMIT else front[_thin(costs[front], room)]


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
        if any(option.before < 0 or option.after < 0 for option in group):
            raise ValueError(f"knapsack: group {number} has a negative state")
