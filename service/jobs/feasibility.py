"""Can a budget be met at all? Answered from the table, before any training."""

import numpy as np
from sqlalchemy.orm import Session

from latency.plan import MAX_ROWS, TOLERANCE, WORST_ERROR, known_points, network_errors
from latency.table import LatencyTable
from search.space.given_space import GivenSpace
from search.space.search_space import SearchSpace
from service.devices.use_cases import Device
from service.errors import BudgetInfeasibleError
from service.profiling.use_cases import latest_table, load_table

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
            what="form of this network"
            if isinstance(space, GivenSpace)
            else "network of this space",
        )


def refuse_impossible_budget(
    session: Session, device: Device, space: SearchSpace, budget_ms: float, rows: int
) -> None:
    """Refuse what `check_budget` does by the newest table of a device, if that covers the space.

    Without such a table nothing is known yet: the flow asks again after profiling.
    """
    row = latest_table(session, device.id)
    if row is None:
        return
    table = load_table(session, row.id)
    if covers_space(table, space, rows):
        check_budget(table, space, budget_ms, device=device.name)
