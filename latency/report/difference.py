"""What changed between two tables, op by op: what did the new ONNX Runtime cost?"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any

from latency.estimate.gaps import family_of
from latency.estimate.lookup_table import TableEstimator
from latency.graph import NetworkGraph
from latency.operator import OperatorSpec, Regime
from latency.report.intervals import Z_99, Cost, geometric_mean, mean_ratio, ratio_of
from latency.report.values import Change, FamilyChange, NetworkChange, TableDifference
from latency.table import LatencyTable, TableRow
from latency.target import Target


def difference(
    before: LatencyTable, after: LatencyTable, networks: Sequence[NetworkGraph] = ()
) -> TableDifference:
    """Return what is different in `after`; the two may be of one target or of two.

    Intervals are of 99 %, since a table has hundreds of rows: of 300 that did not change about
    three are outside of theirs. Operators within the noise in either table are not compared.

    Args:
        before: the older table, or that of another device.
        after: the newer one.
        networks: graphs whose predictions are compared; those that a table cannot price are not.
    """
    old = {row.spec: row for row in before.rows}
    new = {row.spec: row for row in after.rows}
    changes = list(_changes(old, new))
    return TableDifference(
        before=f"{before.target.label()}, version {before.version}",
        after=f"{after.target.label()}, version {after.version}",
        settings=tuple(_settings(before.target, after.target)),
        families=tuple(_families(old, new)),
        changes=tuple(sorted(changes, key=lambda change: -abs(math.log(change.ratio)))),
        only_before=tuple(spec.label() for spec in old if spec not in new),
        only_after=tuple(spec.label() for spec in new if spec not in old),
        networks=tuple(_networks(before, after, networks)),
    )


Rows = dict[OperatorSpec, TableRow]


def _pairs(old: Rows, new: Rows) -> list[tuple[OperatorSpec, Cost, Cost]]:
    """Return the costs of the operators in both that stand out of the noise, by family."""
    found = [
        (spec, _cost(row), _cost(new[spec]))
        for spec, row in old.items()
        if spec in new and _cost(row).is_measurable and _cost(new[spec]).is_measurable
    ]
    return sorted(found, key=lambda pair: family_of(pair[0]))


def _cost(row: TableRow) -> Cost:
    return Cost(ns=row.median_ns, spread_ns=row.spread_ns)


def _changes(old: Rows, new: Rows) -> Iterator[Change]:
    for spec, before, after in _pairs(old, new):
        ratio = ratio_of(after, before, Z_99)
        yield Change(
            operator=spec.label(),
            family=family_of(spec),
            before_ns=before.ns,
            after_ns=after.ns,
            ratio=ratio.value,
            low=ratio.low,
            high=ratio.high,
        )


def _families(old: Rows, new: Rows) -> Iterator[FamilyChange]:
    for family, members in groupby(_pairs(old, new), key=lambda pair: family_of(pair[0])):
        pairs = [(before, after) for _, before, after in members]
        mean = mean_ratio(
            [math.log(after.ns / before.ns) for before, after in pairs],
            [math.hypot(after.deviation, before.deviation) for before, after in pairs],
            Z_99,
        )
        ratios = [ratio_of(after, before, Z_99) for before, after in pairs]
        yield FamilyChange(
            family=family,
            operators=len(pairs),
            ratio=mean.value,
            low=mean.low,
            high=mean.high,
            slower=sum(ratio.low > 1.0 for ratio in ratios),
            faster=sum(ratio.high < 1.0 for ratio in ratios),
        )


def _networks(
    before: LatencyTable, after: LatencyTable, graphs: Sequence[NetworkGraph]
) -> Iterator[NetworkChange]:
    old, new = TableEstimator(before), TableEstimator(after)
    for regime in Regime:
        if regime is Regime.LIBRARY and (before.library is None or after.library is None):
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
