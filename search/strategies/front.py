"""Candidates of one search from which a person chooses: better ones are slower.

The supernet judges no middle widths of cells. So what a candidate loses by its widths is an
objective of its own beside accuracy and latency, and no candidate is called worse than a narrower
one whose operations are as good.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from latency.estimate.estimator import Prediction
from search.space.networks import AnyGenotype
from search.strategies.pareto import ranks


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One network that a search offers."""

    genotype: AnyGenotype
    prediction: Prediction  # on the first device, often the only one
    budget_used: float  # by the upper end of its interval; of several devices the largest share
    shared_weight_accuracy: float  # with the weights of the supernet: a hint for an order, no more
    width_distortion: float  # of middle widths of cells; 0 is full width everywhere
    source: str  # which strategy found it
    derived: bool = False  # what the stage `derive` makes of the alphas for the whole budget
    rank: int = 0  # 0: no other candidate dominates it; 1: only those of rank 0 do; and so on

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, all but what it uses of its budgets."""
        values = asdict(self) | {"genotype": self.genotype.to_dict()}
        del values["budget_used"]
        return values


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return each network once, with its rank, by rank and then the fastest first."""
    once: dict[AnyGenotype, Candidate] = {}
    for candidate in candidates:
        if candidate.derived or candidate.genotype not in once:
            once[candidate.genotype] = candidate
    if not once:
        return []
    points = np.array(
        [[-c.shared_weight_accuracy, c.budget_used, c.width_distortion] for c in once.values()]
    )
    found = [
        replace(candidate, rank=int(rank))
        for candidate, rank in zip(once.values(), ranks(points), strict=True)
    ]
    return sorted(found, key=lambda candidate: (candidate.rank, candidate.budget_used))


def chosen_candidates(candidates: Iterable[Candidate], wanted: int) -> list[Candidate]:
    """Return what is offered, the fastest first: `wanted` networks where there are so many.

    The one that the alphas derive is always among them. Then come those that nothing dominates, and
    others where these are too few; each time the one that is furthest in latency from what is there:
    people choose along latency, and the supernet's judgement is no more than a hint.
    """
    found = ranked(candidates)
    kept = [candidate for candidate in found if candidate.derived][:wanted]
    for front in (True, False):
        left = [one for one in found if one not in kept and (one.rank == 0) == front]
        while left and len(kept) < wanted:
            # Of equally far ones the first, which has the lowest rank.
            furthest = max(left, key=lambda candidate: _distance(candidate, kept))
            kept.append(furthest)
            left.remove(furthest)
    return sorted(kept, key=lambda candidate: candidate.budget_used)


def _distance(candidate: Candidate, others: Sequence[Candidate]) -> float:
    """Return how far the latency is from the nearest of others, as a logarithm of their ratio."""
    own = math.log(candidate.budget_used)
    return min((abs(own - math.log(other.budget_used)) for other in others), default=math.inf)


def share_grid(lowest: float, count: int) -> list[float]:
    """Return `count` shares of budgets from the lowest to 1, each in the same ratio to the next.

    There is one only where the lowest is 1.
    """
    if lowest == 1.0:
        return [lowest]
    between = np.geomspace(lowest, 1.0, count)[1:-1].tolist()
    return [lowest, *between, 1.0]


def finer_grid(shares: Sequence[float]) -> list[float]:
    """Return the shares halfway between those of a grid, as ratios."""
    return [math.sqrt(low * high) for low, high in pairwise(shares)]
