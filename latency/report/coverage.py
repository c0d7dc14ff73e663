"""What a table covers: rows by kind, operators that are needed without one, age of the rows."""

import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from latency.estimate.estimator import PriceSource
from latency.estimate.families import family_of
from latency.estimate.lookup_table import TableEstimator
from latency.operator import UNCUT, OperatorSpec, SparsityPattern
from latency.report.values import Coverage, Gap, RowAge, RowCount
from latency.table import TableRow

_SECONDS_PER_DAY = 86_400.0


def coverage(estimator: TableEstimator, needed: Iterable[OperatorSpec]) -> Coverage:
    """Return which rows the table has, and which of the operators that are needed it lacks."""
    distinct = tuple(dict.fromkeys(needed))
    gaps = [gap for gap in (_gap(estimator, spec) for spec in distinct) if gap is not None]
    counts = Counter(
        (family_of(row.spec), row.spec.regime, pattern_of(row.spec), density_of(row.spec))
        for row in estimator.table.rows
    )
    return Coverage(
        rows=tuple(
            RowCount(family=family, regime=regime, pattern=pattern, density=density, rows=rows)
            for (family, regime, pattern, density), rows in sorted(counts.items())
        ),
        needed=len(distinct),
        measured=len(distinct) - len(gaps),
        gaps=tuple(sorted(gaps, key=lambda gap: -(gap.spread_ns or float("inf")))),
    )


def pattern_of(spec: OperatorSpec) -> str:
    """Return the name of the sparsity pattern; a kernel that is cut has one too."""
    if spec.pattern is SparsityPattern.BALANCED_BLOCK:
        return f"{spec.pattern.value} {spec.block_filters}"
    if spec.pattern is SparsityPattern.DENSE and spec.cut != UNCUT:
        return "kernel shape"
    return spec.pattern.value


def density_of(spec: OperatorSpec) -> float:
    """Return which part of the weights of the uncut, dense operator is kept."""
    height, width = spec.kernel_shape
    return round(spec.density * height * width / spec.kernel**2, 4)


def row_age(rows: Sequence[TableRow], now: datetime) -> RowAge | None:
    """Return when the rows were measured; None without any that say so."""
    times = sorted(filter(None, (_time(row.measured_at) for row in rows)))
    if not times:
        return None
    days = [(now - time).total_seconds() / _SECONDS_PER_DAY for time in times]
    return RowAge(
        oldest_at=times[0].isoformat(),
        newest_at=times[-1].isoformat(),
        median_days=statistics.median(days),
        oldest_days=days[0],
    )


def _gap(estimator: TableEstimator, spec: OperatorSpec) -> Gap | None:
    try:
        price = estimator.price(spec)
    except ValueError:  # the table has no rows that could say anything
        return Gap(operator=spec.label(), source="missing", ns=None, spread_ns=None)
    if price.source is PriceSource.MEASURED:
        return None
    return Gap(
        operator=spec.label(), source=price.source.value, ns=price.ns, spread_ns=price.spread_ns
    )


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None
