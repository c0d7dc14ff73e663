"""Candidates of one search from which a person chooses: better ones are slower.

The supernet judges operations, not middle widths. So what a candidate loses by its widths is an
objective of its own beside fitness and latency, and no candidate is called worse than a narrower one
whose operations are as good.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from latency.estimate.estimator import Prediction
from search.space.genotype import Genotype
from search.strategies.pareto import ranks


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One network that a search offers."""

    genotype: Genotype
    prediction: Prediction
    fitness: float  # accuracy of its operations with the weights of the supernet
    width_distortion: float  # of its middle widths; 0 is full width everywhere
    source: str  # which strategy found it
    rank: int = 0  # 0: no other candidate dominates it; 1: only those of rank 0 do; and so on

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return asdict(self) | {
            "genotype": self.genotype.to_dict(),
            "prediction": asdict(self.prediction),
        }


def ranked(candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return each network once, with its rank, by rank and then the fastest first."""
    once = list({candidate.genotype: candidate for candidate in candidates}.values())
    if not once:
        return []
    points = np.array([[-c.fitness, c.prediction.high_ms, c.width_distortion] for c in once])
    found = [
        replace(candidate, rank=int(rank))
        for candidate, rank in zip(once, ranks(points), strict=True)
    ]
    return sorted(found, key=lambda candidate: (candidate.rank, candidate.prediction.high_ms))


def chosen_candidates(candidates: Iterable[Candidate], wanted: int) -> list[Candidate]:
    """Return the front, the fastest first; where it has fewer than `wanted`, the next ranks too."""
    found = ranked(candidates)
    front = sum(candidate.rank == 0 for candidate in found)
    kept = found[: max(wanted, front)]
    return sorted(kept, key=lambda candidate: candidate.prediction.high_ms)


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
