"""What changed between two tables, op by op: what did the new ONNX Runtime cost?"""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from latency.estimate.families import family_of
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.operator import OperatorSpec, Regime
from latency.report.intervals import Z_90, Z_99, Cost, geometric_mean, mean_ratio, ratio_around
from latency.report.values import (
    Change,
    FamilyChange,
    NetworkChange,
    Remark,
    TableDifference,
)
from latency.table import LatencyTable, TableRow
from latency.target import Target

_LEAST_SCORES = 10


def difference(
    before: LatencyTable, after: LatencyTable, networks: Sequence[NetworkGraph] = ()
) -> TableDifference:
    """Return what is different in `after`; the two may be of one target or of two.

    Intervals are of 99 %, since a table has hundreds of rows: of 300 that did not change about
    three are outside of theirs. Operators within the noise in either table are not compared, and
    are named.

    Args:
        before: the older table, or that of another device.
        after: the newer one.
        networks: graphs whose predictions are compared; those of a regime that only one of the
            tables is calibrated for are not.
    """
    old = {row.spec: row for row in before.rows}
    new = {row.spec: row for row in after.rows}
    pairs = _pairs(old, new)
    unrest = _unrest(pairs)
    changes = list(_changes(pairs, unrest))
    return TableDifference(
        before=f"{before.target.label()}, version {before.version}",
        after=f"{after.target.label()}, version {after.version}",
        settings=tuple(_settings(before.target, after.target)),
        unrest=unrest,
        families=tuple(_families(pairs, changes, unrest)),
        changes=tuple(sorted(changes, key=lambda change: -abs(math.log(change.ratio)))),
        only_before=tuple(spec.label() for spec in old if spec not in new),
        only_after=tuple(spec.label() for spec in new if spec not in old),
        not_compared=tuple(_not_compared(old, new)),
        networks=tuple(_networks(before, after, networks)),
        networks_not_compared=tuple(_networks_not_compared(before, after, networks)),
    )


def withdrawn_tables(before_at: str | None, after_at: str | None) -> tuple[str, ...]:
    """Return in words which of two tables was withdrawn, and when."""
    times = (("before", before_at), ("after", after_at))
    return tuple(f"the table {name} was withdrawn at {at}" for name, at in times if at is not None)


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """One operator in both tables."""

    spec: OperatorSpec
    before: Cost
    after: Cost

    @property
    def family(self) -> str:
        return family_of(self.spec)

    @property
    def log(self) -> float:
        return math.log(self.after.ns / self.before.ns)

    @property
    def deviation(self) -> float:
        """Relative standard deviation of the ratio, as far as the two rows can tell."""
        return math.hypot(self.after.deviation, self.before.deviation)


Rows = dict[OperatorSpec, TableRow]


def _pairs(old: Rows, new: Rows) -> list[_Pair]:
    """Return the operators in both that stand out of the noise, by family."""
    found = [
        _Pair(spec=spec, before=_cost(row), after=_cost(new[spec]))
        for spec, row in old.items()
        if spec in new and _cost(row).is_measurable and _cost(new[spec]).is_measurable
    ]
    return sorted(found, key=lambda pair: pair.family)


def _not_compared(old: Rows, new: Rows) -> Iterator[Remark]:
    """Yield the operators in both that `_pairs` leaves out, and in which table they are noise."""
    for spec, row in old.items():
        if spec not in new:
            continue
        costs = (("before", _cost(row)), ("after", _cost(new[spec])))
        noise = [f"{when} {_noise(cost)}" for when, cost in costs if not cost.is_measurable]
        if noise:
            yield Remark(operator=spec.label(), reason=f"within the noise: {', '.join(noise)}")


def _noise(cost: Cost) -> str:
    return f"{cost.ns:.0f} +- {cost.spread_ns:.0f} ns, and more than {cost.floor_ns:.0f} are needed"


def _cost(row: TableRow) -> Cost:
    return Cost(ns=row.median_ns, spread_ns=row.spread_ns)


def _unrest(pairs: Sequence[_Pair]) -> float:
    """Return how much more operators of one family differ among themselves than rows can tell.

    A row knows the spread within its session. Where a machine was disturbed between two sessions,
    costs scatter by more than that, and without this factor the scatter would pass for change. It
    is read off nine of ten operators, so fewer that did change leave it alone; what moves a whole
    family is no scatter.
    """
    scores = []
    for _, members in groupby(pairs, key=lambda pair: pair.family):
        family = list(members)
        middle = statistics.median(pair.log for pair in family)
        scores += [abs(pair.log - middle) / pair.deviation for pair in family if len(family) > 2]
    if len(scores) < _LEAST_SCORES:
        return 1.0
    return max(1.0, statistics.quantiles(scores, n=10)[-1] / Z_90)


def _changes(pairs: Sequence[_Pair], unrest: float) -> Iterator[Change]:
    for pair in pairs:
        ratio = ratio_around(pair.log, Z_99 * unrest * pair.deviation)
        yield Change(
            operator=pair.spec.label(),
            family=pair.family,
            before_ns=pair.before.ns,
            after_ns=pair.after.ns,
            ratio=ratio.value,
            low=ratio.low,
            high=ratio.high,
        )


def _families(
    pairs: Sequence[_Pair], changes: Sequence[Change], unrest: float
) -> Iterator[FamilyChange]:
    for family, members in groupby(pairs, key=lambda pair: pair.family):
        of_family = list(members)
        mean = mean_ratio(
            [pair.log for pair in of_family],
            [unrest * pair.deviation for pair in of_family],
            Z_99,
        )
        own = [change for change in changes if change.family == family and change.is_significant]
        yield FamilyChange(
            family=family,
            operators=len(of_family),
            ratio=mean.value,
            low=mean.low,
            high=mean.high,
            slower=sum(change.ratio > 1.0 for change in own),
            faster=sum(change.ratio < 1.0 for change in own),
        )


def _networks(
    before: LatencyTable, after: LatencyTable, graphs: Sequence[NetworkGraph]
) -> Iterator[NetworkChange]:
    old, new = TableEstimator(before), TableEstimator(after)
    for regime in Regime:
        if _uncalibrated(before, after, regime):
            continue
        ratios = [
            new.predict_form(graph).latency_ms / old.predict_form(graph).latency_ms
            for graph in graphs
            if graph.regime is regime
        ]
        if ratios:
            yield NetworkChange(
                regime=regime,
                networks=len(ratios),
                ratio=geometric_mean(ratios),
                smallest=min(ratios),
                largest=max(ratios),
            )


def _networks_not_compared(
    before: LatencyTable, after: LatencyTable, graphs: Sequence[NetworkGraph]
) -> Iterator[str]:
    for regime in Regime:
        missing = _uncalibrated(before, after, regime)
        count = sum(graph.regime is regime for graph in graphs)
        if missing and count:
            yield (
                f"{count} {regime.value} networks: the table {' and the one '.join(missing)} "
                "was not calibrated for that regime"
            )


def _uncalibrated(before: LatencyTable, after: LatencyTable, regime: Regime) -> list[str]:
    """Return which of the tables has no calibration of a regime."""
    if regime is Regime.STOCK:
        return []
    tables = (("before", before), ("after", after))
    return [name for name, table in tables if table.library is None]


def _settings(before: Target, after: Target) -> Iterator[str]:
    """Yield what differs between two targets, such as `runtime_version: 1.31.0 -> 1.32.0`."""
    old, new = _flat(before), _flat(after)
    for name, value in old.items():
        if new[name] != value:
            yield f"{name}: {_shown(value)} -> {_shown(new[name])}"


def _flat(target: Target) -> dict[str, Any]:
    values = asdict(target)
    facts: dict[str, Any] = values.pop("facts")
    return facts | values


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value) or "unknown"
