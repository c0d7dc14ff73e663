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


class Knapsack:
    """Groups of options whose plans can be asked for, for any capacity up to the given one.

    The front over all groups is made once: each capacity then costs a look.

    Args:
        groups: the options of each.
        capacity: the largest that will be asked for.

    Raises:
        ValueError: a group without options, or a negative cost or distortion.
    """

    def __init__(self, groups: Sequence[Sequence[Option]], capacity: float) -> None:
        _check(groups)
        self._groups = groups
        self._least = sum(min(option.cost for option in group) for group in groups)
        self._bounds = LowerBounds(groups)
        # What the remaining groups cost at least: a partial plan that leaves less is dropped.
        rest = np.cumsum([min(option.cost for option in group) for group in reversed(groups)])[::-1]
        rest = np.append(rest, 0.0)
        front_cost, front_distortion = np.zeros(1), np.zeros(1)
        # Of the points of each front: the earlier point, and the option.
        self._origins: list[tuple[Ints, Ints]] = []
        for index, group in enumerate(groups):
            room = capacity - float(rest[index + 1])
            cost, distortion = _arrays(group)
            costs = np.add.outer(front_cost, cost).ravel()
            distortions = np.add.outer(front_distortion, distortion).ravel()
            kept = _front(costs, distortions, room)
            if len(kept) > FRONT_LIMIT:
                kept = kept[_thin(costs[kept])]
            front_cost, front_distortion = costs[kept], distortions[kept]
            self._origins.append(np.divmod(kept, len(group)))
        self._costs = front_cost

    def plan(self, capacity: float) -> Plan | None:
        """Return the plan of least distortion whose cost is at most `capacity`.

        None means that even the cheapest options together are over the capacity.
        """
        if self._least > capacity:
            return None
        # Of a front, the last point that fits distorts least; rounding must not leave none.
        at = max(0, int(np.searchsorted(self._costs, capacity, side="right")) - 1)
        chosen: list[int] = []
        for points, options in reversed(self._origins):
            chosen.append(int(options[at]))
            at = int(points[at])
        chosen.reverse()
        picked = [group[index] for group, index in zip(self._groups, chosen, strict=True)]
        return Plan(
            chosen=tuple(chosen),
            cost=sum(option.cost for option in picked),
            distortion=sum(option.distortion for option in picked),
            lower_bound=self._bounds.at(capacity),
        )


def allocate(groups: Sequence[Sequence[Option]], capacity: float) -> Plan | None:
    """Return the plan of least distortion whose cost is at most `capacity`.

    None means that even the cheapest options together are over the capacity.

    Raises:
        ValueError: a group without options, or a negative cost or distortion.
    """
    return Knapsack(groups, capacity).plan(capacity)


class LowerBounds:
    """Lagrangian bounds: at a price per nanosecond, what the groups cost and distort at least.

    Less than that no plan within a capacity distorts, whatever the price; the best price is one of
    those at which a group changes its mind.

    Args:
        groups: the options of each.
    """

    def __init__(self, groups: Sequence[Sequence[Option]]) -> None:
        self._options = [_arrays(group) for group in groups]
        slopes = [np.zeros(1)]
        for cost, distortion in self._options:
            dearer = np.subtract.outer(cost, cost)
            better = np.subtract.outer(distortion, distortion).T
            pays = (dearer > 0) & (better > 0)
            slopes.append(better[pays] / dearer[pays])
        self._slopes = np.unique(np.concatenate(slopes))

    def at(self, capacity: float) -> float:
        """Return the largest of the bounds, for a capacity that some plan fits in."""
        low, high = 0, len(self._slopes) - 1
        while low < high:
            middle = (low + high) // 2
            # The bound is concave in the price, and rises where its plan is over the capacity.
            if self._relaxed(middle)[1] > capacity:
                low = middle + 1
            else:
                high = middle
        value, _ = self._relaxed(low)
        return value - float(self._slopes[low]) * capacity

    def _relaxed(self, index: int) -> tuple[float, float]:
        """Return cost at this price plus distortion of the groups, and the least such cost."""
        slope = self._slopes[index]
        value = cheapest = 0.0
        for cost, distortion in self._options:
            totals = distortion + cost * slope
            least = totals.min()
            value += float(least)
            # Equal but for rounding: the cheaper one.
            cheapest += float(cost[totals <= least * (1.0 + 1e-12)].min())
        return value, cheapest


def lower_bound(groups: Sequence[Sequence[Option]], capacity: float) -> float:
    """Return what no plan within the capacity, which some plan fits in, distorts less than."""
    return LowerBounds(groups).at(capacity)


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


def _thin(costs: Floats) -> Ints:
    """Return the last point in each of FRONT_LIMIT steps of cost, and the first point of all.

    Of a front, the cheapest first: later points distort less.
    """
    steps = ((costs - costs[0]) / ((costs[-1] - costs[0]) / FRONT_LIMIT)).astype(np.int64)
    last = np.flatnonzero(np.append(steps[1:] != steps[:-1], True))
    return np.union1d([0], last)


def _check(groups: Sequence[Sequence[Option]]) -> None:
    for number, group in enumerate(groups):
        if not group:
            raise ValueError(f"knapsack: group {number} has no options")
        if any(option.cost < 0 or option.distortion < 0 for option in group):
            raise ValueError(f"knapsack: group {number} has a negative cost or distortion")
