"""The roomiest plan that is accepted: a knapsack sums prices, but an estimator sees more than a sum.

So the capacity of the knapsack is bisected until whoever predicts the planned network agrees.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from search.finalize.knapsack import Option, Plan, allocate, least_cost

_BISECTIONS = 10  # the capacity is found to a thousandth of its range

T = TypeVar("T")


def roomiest_plan(
    groups: Sequence[Sequence[Option]], accept: Callable[[Plan], T | None]
) -> T | None:
    """Return what `accept` makes of the plan of the largest capacity at which it makes something.

    Which capacities are tried depends on the groups and on earlier answers only, so whoever accepts
    all that another accepts gets a plan of at least the same capacity.

    Args:
        groups: the options of each layer.
        accept: of a plan makes a result, or None where the plan is over the budget.

    Returns:
        None where not even the cheapest plan is accepted.
    """
    low = least_cost(groups)
    high = sum(max(option.cost for option in group) for group in groups)

    def accepted(capacity: float) -> T | None:
        plan = allocate(groups, capacity)
        return None if plan is None else accept(plan)

    best = accepted(high)
    if best is not None:
        return best
    best = accepted(low)
    if best is None:
        return None
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        found = accepted(middle)
        if found is None:
            high = middle
        else:
            best, low = found, middle
    return best
