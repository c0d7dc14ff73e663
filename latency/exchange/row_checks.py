"""Rows of a table file against the samples beside them, and against what the target can do.

A row has to follow from its samples: its cost is one that they show, whatever statistics the
program had that made it. A file may be edited, and then everything that reads it would believe it.
"""

from collections.abc import Iterable, Iterator, Sequence

from latency.bounds import NOISE_NS, TimeBounds, time_bounds
from latency.exchange.profile_file import ProfileFile, plausible
from latency.measurement import ChainSamples
from latency.operator import OperatorSpec
from latency.table import TRANSFERRED, LatencyTable, TableRow

_ROUNDING = 1e-9  # relative

Range = tuple[float, float]


def row_problems(table: LatencyTable, evidence: Sequence[ProfileFile]) -> Iterator[str]:
    """Yield each row that its own samples contradict, or that the target cannot be so fast or slow for.

    A file may have no samples at all, and rows that were transferred have none. All times must be
    times.
    """
    for index, profile in enumerate(evidence):
        if profile.target != table.target:
            yield (
                f"$.evidence[{index}] was measured on {profile.target.label()}, and the table is of "
                f"{table.target.label()}"
            )
            return
    shown, doubts = _shown(evidence)
    bounds = time_bounds(table.target)
    for index, row in enumerate(table.rows):
        place = f"$.rows[{index}].median_ns of {row.spec.label()}"
        if row.spec in shown:
            problem = _not_shown(row, shown[row.spec])
        elif row.method == TRANSFERRED or not (shown or doubts):
            problem = _out_of_bounds(row, bounds)
        elif row.spec in doubts:
            problem = f"cannot be used, because of its samples: {doubts[row.spec]}"
        else:
            problem = "is of no samples: the file has some of other rows only"
        if problem:
            yield f"{place} {problem}"


def _shown(
    evidence: Iterable[ProfileFile],
) -> tuple[dict[OperatorSpec, Range], dict[OperatorSpec, str]]:
    """Return the least and largest cost of each operator in its samples, and why others are none."""
    shown: dict[OperatorSpec, Range] = {}
    doubts: dict[OperatorSpec, str] = {}
    for profile in map(plausible, evidence):
        for measured in profile.operators:
            if measured.samples is None:
                doubts[measured.spec] = measured.error
                continue
            low, high = _costs(measured.samples)
            known_low, known_high = shown.get(measured.spec, (low, high))
            shown[measured.spec] = min(low, known_low), max(high, known_high)
    return shown, doubts


def _costs(samples: ChainSamples) -> Range:
    pairs = zip(samples.short_ns, samples.long_ns, strict=True)
    costs = [(long - short) / samples.copies - samples.baseline_ns for short, long in pairs]
    return min(costs), max(costs)


def _not_shown(row: TableRow, shown: Range) -> str:
    low, high = shown
    slack = _ROUNDING * max(abs(low), abs(high))
    if low - slack <= row.median_ns <= high + slack:
        return ""
    return f"must be from {low:.6g} to {high:.6g}, as its samples say, got {row.median_ns:.6g}"


def _out_of_bounds(row: TableRow, bounds: TimeBounds) -> str:
    low = bounds.least_ns(row.spec) - max(NOISE_NS, row.spread_ns)
    high = bounds.most_ns(row.spec) + row.spread_ns
    if low <= row.median_ns <= high:
        return ""
    return f"must be from {low:.6g} to {high:.6g} on this target, got {row.median_ns:.6g}"
