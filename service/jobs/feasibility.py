"""Can a budget be met at all? Answered from the table, before any training."""

import numpy as np

from latency.plan import MAX_ROWS, TOLERANCE, WORST_ERROR, known_points, network_errors
from latency.table import LatencyTable
from search.space.search_space import SearchSpace
from service.errors import BudgetInfeasibleError

# On a noisy host new rows may raise what a table thinks of its own error: 0.6 to 1.8 % in a demo.
_SLACK = 4.0


def covers_space(table: LatencyTable, space: SearchSpace, most: int = MAX_ROWS) -> bool:
    """Return whether the table prices every network of the space well enough, in every regime.

    What is uncertain for want of rows may be _SLACK times what plans aim at, so that a table near
    the aim is not measured again for nothing. One with `most` rows of the space is as good as a plan
    that was told so makes it.
    """
    if table.target.has_library and table.library is None:
        return False
    usage = space.usage(table.target)
    if known_points(usage, table.rows) >= most:
        return True
    errors = network_errors(usage, table.rows, table.target.facts)
    typical = float(np.sqrt(np.square(errors).mean()))
    return typical <= _SLACK * TOLERANCE and float(errors.max()) <= _SLACK * WORST_ERROR


def smallest_budget_ms(table: LatencyTable, space: SearchSpace) -> float:
    """Return the smallest latency that the table lets us promise for the space, milliseconds."""
    return space.smallest(space.estimator(table)).high_ms


def check_budget(table: LatencyTable, space: SearchSpace, budget_ms: float, *, device: str) -> None:
    """Refuse a budget that no network of the space can meet.

    Raises:
        BudgetInfeasibleError: with the nearest budget that can be met, and the table version.
    """
    smallest = smallest_budget_ms(table, space)
    if budget_ms < smallest:
        raise BudgetInfeasibleError(
            budget_ms=budget_ms,
            smallest_feasible_ms=smallest,
            device=device,
            table_version=table.version,
        )
