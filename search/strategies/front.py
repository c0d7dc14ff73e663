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
    prediction: Prediction
    shared_weight_accuracy: float  # with the weights of the supernet: a hint for an order, no more
    width_distortion: float  # of middle widths of cells; 0 is full width everywhere
    source: str  # which strategy found it
    derived: bool = False  # what the stage `derive` makes of the alphas for the whole budget
    rank: int = 0  # 0: no other candidate dominates it; 1: only those of rank 0 do; and so on

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {
            "genotype": self.genotype.to_dict(),
            "prediction": asdict(self.prediction),
        }


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return each network once, with its rank, by rank and then the fastest first."""
    once: dict[AnyGenotype, Candidate] = {}
    for candidate in candidates:
        if candidate.derived or candidate.genotype not in once:
            once[candidate.genotype] = candidate
    if not once:
        return []
    points = np.array(
        [
            [-c.shared_weight_accuracy, c.prediction.high_ms, c.width_distortion]
            for c in once.values()
        ]
    )
    found = [
        replace(candidate, rank=int(rank))
        for candidate, rank in zip(once.values(), ranks(points), strict=True)
    ]
    return sorted(found, key=lambda candidate: (candidate.rank, candidate.prediction.high_ms))


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
    return sorted(kept, key=lambda candidate: candidate.prediction.high_ms)


def _distance(candidate: Candidate, others: Sequence[Candidate]) -> float:
    """Return how far the latency is from the nearest of others, as a logarithm of their ratio."""
    own = math.log(candidate.prediction.high_ms)
    return min(
        (abs(own - math.log(other.prediction.high_ms)) for other in others), default=math.inf
    )


def budget_grid(lowest_ms: float, highest_ms: float, count: int) -> list[float]:
    """Return `count` budgets from the lowest to the highest, each in the same ratio to the next.

    There is one only where the lowest is the highest.
    """
    if lowest_ms == highest_ms:
        return [lowest_ms]
    between = np.geomspace(lowest_ms, highest_ms, count)[1:-1].tolist()
    return [lowest_ms, *between, highest_ms]


def finer_grid(budgets: Sequence[float]) -> list[float]:
    """Return the budgets halfway between those of a grid, as ratios."""
    return [math.sqrt(low * high) for low, high in pairwise(budgets)]
