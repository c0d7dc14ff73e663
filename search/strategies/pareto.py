"""Several objectives at once: dominance, ranks and crowding of NSGA-II. All are minimised.

Deb et al., A fast and elitist multiobjective genetic algorithm: NSGA-II, IEEE Transactions on
Evolutionary Computation 6 (2002), sections III-A and III-B. Sets here are of some hundred points, so
everything is compared with everything.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


def dominance(points: Floats) -> Flags:
    """Return (N, N): whether the first is nowhere worse than the second and somewhere better.

    Args:
        points: (N, objectives), finite.
    """
    no_worse = (points[:, None] <= points[None]).all(axis=2)
    better = (points[:, None] < points[None]).any(axis=2)
    found: Flags = np.logical_and(no_worse, better)
    return found


def ranks(points: Floats) -> Ints:
    """Return (N,): 0 for what nothing dominates, 1 for what only those of rank 0 do, and so on."""
    dominated = dominance(points)
    found = np.full(len(points), -1)
    left = np.ones(len(points), dtype=bool)
    rank = 0
    while left.any():
        front = left & ~dominated[left].any(axis=0)
        found[front] = rank
        left &= ~front
        rank += 1
    return found


def crowding(points: Floats) -> Floats:
    """Return (N,): how far the neighbours of each point of one front are, along all objectives.

    The ends of the front are infinitely far from others. Distances are relative to the extent.
    """
    count = len(points)
    found = np.zeros(count)
    for values in points.T:
        order = np.argsort(values, kind="stable")
        extent = values[order[-1]] - values[order[0]]
        found[order[[0, -1]]] = np.inf
        if extent > 0.0 and count > 2:
            found[order[1:-1]] += (values[order[2:]] - values[order[:-2]]) / extent
    return found


def crowding_by_rank(points: Floats, of_ranks: Ints) -> Floats:
    """Return (N,): the crowding of each point within its own rank."""
    found = np.zeros(len(points))
    for rank in np.unique(of_ranks):
        members = of_ranks == rank
        found[members] = crowding(points[members])
    return found
