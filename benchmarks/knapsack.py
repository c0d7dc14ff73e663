"""The bars of the knapsack: is it near the optimum, and how long does a plan take?

Near: on drawn spaces that are small enough to look at every plan, the distortion of the plan against the
least one within the capacity. Long: a network of 60 layers with 40 options each, one plan for one capacity,
and with every capacity that `roomiest_plan` tries until a budget is filled.
"""

import argparse
import time
from itertools import product

import numpy as np

from search.finalize.knapsack import Option, Plan, allocate
from search.finalize.roomiest import roomiest_plan

LAYERS, OPTIONS = 60, 40
_SMALL_LAYERS, _SMALL_OPTIONS = 6, 5
MOST_GAP, MOST_SECONDS = 0.02, 1.0


def drawn_groups(rng: np.random.Generator, layers: int, options: int) -> list[list[Option]]:
    """Return layers of different size; what costs less distorts more, and no option is idle."""
    found = []
    for _ in range(layers):
        size = rng.lognormal(0.0, 1.0)
        costs = np.sort(rng.uniform(0.05, 1.0, options))[::-1] * size * 1e5
        losses = np.concatenate([[0.0], np.cumsum(rng.lognormal(-2.0, 1.0, options - 1))])
        found.append(
            [
                Option(cost=float(round(cost)), distortion=float(loss))
                for cost, loss in zip(costs, losses, strict=True)
            ]
        )
    return found


def gap(groups: list[list[Option]], share: float) -> tuple[float, float]:
    """Return by what part a plan distorts more than the best one, and than its lower bound."""
    low, high = (sum(end(o.cost for o in group) for group in groups) for end in (min, max))
    capacity = low + share * (high - low)
    plan = allocate(groups, capacity)
    assert plan is not None
    best = min(
        sum(option.distortion for option in picked)
        for picked in product(*groups)
        if sum(option.cost for option in picked) <= capacity
    )
    scale = max(best, 1e-12)
    return plan.distortion / scale - 1.0, plan.distortion / max(plan.lower_bound, 1e-12) - 1.0


def seconds(groups: list[list[Option]]) -> tuple[float, float, Plan]:
    """Return how long one plan takes, and how long the roomiest one of half the latency."""
    high = sum(max(o.cost for o in group) for group in groups)
    started = time.perf_counter()
    plan = allocate(groups, high / 2)
    one = time.perf_counter() - started
    assert plan is not None
    started = time.perf_counter()
    roomiest_plan(groups, lambda found: found if found.cost <= high / 2 else None)
    return one, time.perf_counter() - started, plan


def main() -> None:
    """Print both bars."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spaces", type=int, default=20)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    gaps = [
        gap(drawn_groups(rng, _SMALL_LAYERS, _SMALL_OPTIONS), rng.uniform(0.05, 0.8))
        for _ in range(options.spaces)
    ]
    worst = max(found for found, _ in gaps)
    print(
        f"{len(gaps)} spaces of {_SMALL_OPTIONS}^{_SMALL_LAYERS} plans: at most {worst:.3%} above the "
        f"optimum (bar {MOST_GAP:.0%})"
    )
    one, roomiest, plan = seconds(drawn_groups(rng, LAYERS, OPTIONS))
    print(
        f"{LAYERS} layers of {OPTIONS} options: a plan takes {one:.2f} s, the roomiest one in a "
        f"budget {roomiest:.2f} s (bar {MOST_SECONDS:g} s); at most "
        f"{plan.distortion / plan.lower_bound - 1.0:.3%} above its lower bound"
    )


if __name__ == "__main__":
    main()
