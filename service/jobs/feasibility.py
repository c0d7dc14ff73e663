"""Can a budget be met at all? Answered from the table, before any training."""

from latency.plan import missing_operators
from latency.table import LatencyTable
from search.space.extremes import smallest_genotype
from search.space.planned_space import PlannedSpace
from search.space.search_space import SearchSpace
from service.errors import BudgetInfeasibleError


def covers_space(table: LatencyTable, space: SearchSpace) -> bool:
    """Return whether the table has a row for every operator of the space, in every regime."""
    if table.target.has_library and table.library is None:
        return False
    known = {row.spec.key for row in table.rows}
    return not missing_operators(space.operators(table.target), known)


def smallest_budget_ms(table: LatencyTable, space: PlannedSpace) -> float:
    """Return the smallest latency that the table lets us promise for the space, milliseconds."""
    estimator = space.estimator(table)
    _, prediction = smallest_genotype(estimator, space.channels, space.cells, space.task)
    return prediction.high_ms


def check_budget(
    table: LatencyTable, space: PlannedSpace, budget_ms: float, *, device: str
) -> None:
    """Refuse a budget that no network of the space can meet.

    Raises:
        BudgetInfeasibleError: with the nearest budget that can be met.
    """
    smallest = smallest_budget_ms(table, space)
    if budget_ms < smallest:
        raise BudgetInfeasibleError(
            budget_ms=budget_ms, smallest_feasible_ms=smallest, device=device
        )
