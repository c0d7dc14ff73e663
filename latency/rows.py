"""From raw measurements to the rows of a table: with a server or without, by the same rule."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latency.measurement import ChainSamples, marginal_cost
from latency.operator import OperatorSpec
from latency.table import TableRow


@dataclass(frozen=True, kw_only=True)
class RawMeasurement:
    """A good measurement of one operator by one device."""

    spec: OperatorSpec
    samples: ChainSamples
    measured_at: str


def table_rows(measurements: Iterable[RawMeasurement]) -> tuple[TableRow, ...]:
    """Return one row for each operator, in the order in which they were first measured.

    Several devices may be of one target. A row is the median of their medians, so that one
    dishonest or disturbed device of three or more cannot move it; its spread covers them all.
    """
    grouped: dict[str, list[RawMeasurement]] = defaultdict(list)
    for measurement in measurements:
        grouped[measurement.spec.key].append(measurement)
    return tuple(_row(found) for found in grouped.values())


def _row(measurements: Sequence[RawMeasurement]) -> TableRow:
    costs = [marginal_cost(measurement.samples) for measurement in measurements]
    medians = [cost.median_ns for cost in costs]
    between = (max(medians) - min(medians)) / 2
    newest = measurements[-1]
    return TableRow(
        spec=newest.spec,
        median_ns=statistics.median(medians),
        spread_ns=max(between, *(cost.spread_ns for cost in costs)),
        samples=sum(cost.samples for cost in costs),
        method=newest.samples.method,
        measured_at=newest.measured_at,
    )
