"""From raw measurements to the rows of a table: statistics are computed here, never by a device."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from latency.measurement import ChainSamples, MarginalCost, marginal_cost
from latency.operator import OperatorSpec
from latency.table import TableRow

# Times the median distance of n devices' medians from their own median: 90 % of classes of devices
# have their centre within that. Simulated with 200,000 normal classes of each size; two or three
# devices tell little about a class when any one of them may be wrong.
_DEVIATIONS = {1: 0.0, 2: 6.3, 3: 9.0, 4: 3.1, 5: 2.8, 6: 1.9, 7: 1.8, 8: 1.5}
_MANY_DEVICES = 1.4


@dataclass(frozen=True, kw_only=True)
class RawMeasurement:
    """A good measurement of one operator by one device."""

    spec: OperatorSpec
    samples: ChainSamples
    measured_at: str
    unstable: str = ""


def table_rows(measurements: Iterable[RawMeasurement]) -> tuple[TableRow, ...]:
    """Return one row for each operator, in the order in which they were first measured.

    Several devices may be of one target. A row is the median of their medians, so that one
    dishonest or disturbed device of three or more can move neither it nor its spread far. It is
    unstable where the measurements of half of the devices are.
    """
    grouped: dict[str, list[RawMeasurement]] = defaultdict(list)
    for measurement in measurements:
        grouped[measurement.spec.key].append(measurement)
    return tuple(_row(found) for found in grouped.values())


def _row(measurements: Sequence[RawMeasurement]) -> TableRow:
    costs = [marginal_cost(measurement.samples) for measurement in measurements]
    reasons = [measurement.unstable for measurement in measurements if measurement.unstable]
    newest = measurements[-1]
    return TableRow(
        spec=newest.spec,
        median_ns=statistics.median(cost.median_ns for cost in costs),
        spread_ns=_spread_ns(costs),
        samples=sum(cost.samples for cost in costs),
        method=newest.samples.method,
        measured_at=newest.measured_at,
        unstable=reasons[-1] if 2 * len(reasons) >= len(measurements) else "",
    )


def _spread_ns(costs: Sequence[MarginalCost]) -> float:
    """Return the half width of the 90 % interval of the median of the devices' medians."""
    medians = [cost.median_ns for cost in costs]
    middle = statistics.median(medians)
    deviation = statistics.median(abs(median - middle) for median in medians)
    between = _DEVIATIONS.get(len(costs), _MANY_DEVICES) * deviation
    return max(between, statistics.median(cost.spread_ns for cost in costs))
