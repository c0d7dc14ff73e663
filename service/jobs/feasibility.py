"""Can a budget be met at all? Answered from the table, before any training."""

from latency.estimate.lookup_table import TableEstimator
from latency.plan import missing_operators
from latency.table import LatencyTable
from search.space.prices import smallest_genotype
from search.space.sampling import space_operators
from search.space.task import TaskShape
from service.errors import BudgetInfeasibleError


def covers_space(table: LatencyTable, channels: int, cells: int, task: TaskShape) -> bool:
    """Return whether the table has a row for every operator of the space."""
    known = {row.spec.key for row in table.rows}
    return not missing_operators(space_operators(channels, cells, task), known)


def smallest_budget_ms(table: LatencyTable, channels: int, cells: int, task: TaskShape) -> float:
    """Return the smallest latency that the table lets us promise for the space, milliseconds."""
    _, prediction = smallest_genotype(TableEstimator(table), channels, cells, task)
    return prediction.high_ms


def check_budget(
    table: LatencyTable,
    channels: int,
    cells: int,
    task: TaskShape,
    budget_ms: float,
    *,
    device: str,
) -> None:
    """Refuse a budget that no network of the space can meet.

    Raises:
        BudgetInfeasibleError: with the nearest budget that can be met.
    """
    smallest = smallest_budget_ms(table, channels, cells, task)
    if budget_ms < smallest:
        raise BudgetInfeasibleError(
            budget_ms=budget_ms, smallest_feasible_ms=smallest, device=device
        )
