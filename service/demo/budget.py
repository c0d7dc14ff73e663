"""Which budget the demo asks for: a stated fraction between the ends of the space."""

import math
from dataclasses import dataclass

from latency import codec
from latency.table import LatencyTable, TableRow
from latency.target import Target
from search.space.extremes import largest_genotype, smallest_genotype
from search.space.planned_space import PlannedSpace
from service.profiling.schemas import TableDetailRead

FRACTION = 0.35
_DIGITS = 3  # significant ones of the budget


@dataclass(frozen=True, kw_only=True)
class BudgetChoice:
    """The two ends of the space and the budget between them, milliseconds."""

    smallest_ms: float  # the least upper end of the interval of any network
    largest_ms: float  # of the most expensive one
    budget_ms: float


def choose_budget(table: TableDetailRead, space: PlannedSpace) -> BudgetChoice:
    """Return the budget that lies FRACTION of the way from the smallest to the largest network."""
    estimator = space.estimator(_as_table(table))
    size = (space.channels, space.cells, space.task)
    smallest = smallest_genotype(estimator, *size)[1].high_ms
    largest = largest_genotype(estimator, *size)[1].latency_ms
    budget = smallest + FRACTION * (largest - smallest)
    return BudgetChoice(
        smallest_ms=smallest, largest_ms=largest, budget_ms=_round_up(budget, _DIGITS)
    )


def _as_table(read: TableDetailRead) -> LatencyTable:
    return LatencyTable(
        target=codec.from_plain(read.target, Target),
        version=read.version,
        rows=tuple(
            TableRow(
                spec=row.spec,
                median_ns=row.median_ns,
                spread_ns=row.spread_ns,
                samples=row.samples,
                method=row.method,
                measured_at=row.measured_at,
            )
            for row in read.rows
        ),
        calibration=read.calibration,
        error=read.error,
        library=read.library_calibration,
        library_error=read.library_error,
    )


def _round_up(value: float, digits: int) -> float:
    step = 10.0 ** (math.floor(math.log10(value)) - digits + 1)
    return round(math.ceil(value / step) * step, 12)
