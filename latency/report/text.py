"""Reports as aligned text for a terminal."""

from collections.abc import Iterator, Sequence

from latency.estimate.transfer import FamilyScale
from latency.report.values import (
    Coverage,
    JudgedNetwork,
    RegimeAccuracy,
    Remark,
    SparsityReport,
    TableDifference,
    TableReport,
)

WORST = 5  # networks that are named
_LISTED = 10  # gaps, remarks, changes
_HOST_MARGIN = 0.03  # the bar gives way where the host itself agrees less than 90 % + this


def report_lines(report: TableReport) -> Iterator[str]:
    """Yield the report of a table, line by line."""
    yield f"{report.target}, table version {report.version}, {report.rows} rows"
    if report.withdrawn_at is not None:
        yield f"WITHDRAWN at {report.withdrawn_at}: what it rests on cannot be trusted"
    if report.age is not None:
        yield (
            f"rows measured {report.age.oldest_at[:10]} to {report.age.newest_at[:10]}; "
            f"median age {report.age.median_days:.1f} days"
        )
    if report.imported:
        yield f"{report.imported} rows rest on imported files, not on an agent of this service"
    for found in report.accuracy:
        yield ""
        yield from _accuracy_lines(found)
    yield ""
    yield from _coverage_lines(report.coverage)
    yield from _remark_lines("unstable rows", report.unstable)
    yield from _remark_lines("quarantined, in no row", report.quarantined)
    yield ""
    yield from _sparsity_lines(report.sparsity)


def difference_lines(difference: TableDifference) -> Iterator[str]:
    """Yield what changed between two tables, line by line."""
    yield f"before: {difference.before}"
    yield f"after:  {difference.after}"
    yield from (f"WITHDRAWN: {what}" for what in difference.withdrawn)
    yield from (f"  {setting}" for setting in difference.settings)
    for change in difference.networks:
        yield (
            f"predicted latency of {change.networks} {change.regime.value} networks: "
            f"{change.ratio:.3f} times ({change.smallest:.3f} to {change.largest:.3f})"
        )
    yield from (f"not compared: {what}" for what in difference.networks_not_compared)
    yield ""
    yield f"{'family':24}{'operators':>10}{'after/before':>14}{'99 %':>18}{'slower':>8}{'faster':>8}"
    for family in difference.families:
        interval = f"{family.low:.3f} to {family.high:.3f}"
        yield (
            f"{family.family:24}{family.operators:>10}{family.ratio:>14.3f}{interval:>18}"
            f"{family.slower:>8}{family.faster:>8}"
        )
    if difference.unrest > 1.0:
        yield (
            f"operators of a family scatter {difference.unrest:.1f} times as much as their own "
            "samples tell; intervals are that much wider"
        )
    changed = [change for change in difference.changes if change.is_significant]
    yield ""
    yield f"{len(changed)} of {len(difference.changes)} operators changed significantly"
    for single in changed[:_LISTED]:
        yield (
            f"  {single.ratio:7.3f} ({single.low:.3f} to {single.high:.3f})  "
            f"{single.before_ns / 1000:.2f} -> {single.after_ns / 1000:.2f} us  {single.operator}"
        )
    yield from _more(len(changed))
    yield from _remark_lines("not compared", difference.not_compared)
    for title, labels in (("before", difference.only_before), ("after", difference.only_after)):
        if labels:
            yield f"only {title}: {len(labels)} operators"
            yield from (f"  {label}" for label in labels[:_LISTED])
            yield from _more(len(labels))


def drift_lines(scales: Sequence[FamilyScale]) -> Iterator[str]:
    """Yield by how much each family of operators is slower than a table says, line by line."""
    yield f"{'family':28}{'probes':>8}{'now/table':>11}{'90 %':>18}"
    for found in scales:
        interval = f"{found.low:.3f} to {found.high:.3f}"
        word = "  changed" if found.drifted else ""
        yield f"{found.family:28}{found.probes:>8}{found.scale:>11.3f}{interval:>18}{word}"
    changed = [found.family for found in scales if found.drifted]
    yield (
        f"changed: {', '.join(changed)}" if changed else "no family has surely changed by over 5 %"
    )


def _accuracy_lines(found: RegimeAccuracy) -> Iterator[str]:
    fitted = found.calibration
    yield f"regime {found.regime.value}: calibrated on {fitted.networks} networks"
    if found.error is None:
        yield "  not judged: no held-out network was measured"
        return
    error = found.error
    yield (
        f"  {error.networks} held-out networks: mean error {error.mape:.1%}, "
        f"median {found.median_error:.1%}, bias {found.bias:+.1%}, worst {error.worst:.1%}"
    )
    yield (
        f"  within 5 %: {error.within_5:.0%}, within 10 %: {error.within_10:.0%}, "
        f"rank correlation {error.spearman:.3f}, inside the 90 % interval: "
        f"{found.inside_interval:.0%}"
    )
    if found.undisturbed is not None:
        calm = found.undisturbed
        yield (
            f"  {calm.networks} of them on an undisturbed machine: mean {calm.mape:.1%}, worst "
            f"{calm.worst:.1%}, within 5 %: {calm.within_5:.0%}, within 10 %: {calm.within_10:.0%}"
        )
    if found.host is None:
        yield "  the host against itself: no network was measured twice"
    else:
        host = found.host
        yield (
            f"  the host against itself, {host.networks} networks measured twice: mean "
            f"{host.mape:.1%}, within 5 %: {host.within_5:.0%} (less {_HOST_MARGIN:.0%}: "
            f"{max(0.0, host.within_5 - _HOST_MARGIN):.0%}), within 10 %: {host.within_10:.0%}"
        )
    yield f"  processes of one network are {found.processes_apart:.1%} apart (median)"
    if found.disturbed:
        yield f"  {found.disturbed} more were measured on a disturbed machine, and are left out"
    yield from (_network_line(network) for network in found.networks[:WORST])


def _network_line(network: JudgedNetwork) -> str:
    outside = "" if network.is_inside else ", outside of the interval"
    again = "" if network.again_ms is None else f", another time {network.again_ms:.4f}"
    return (
        f"  {network.error:+7.1%}  {network.name:28} predicted {network.predicted_ms:.4f} ms "
        f"({network.low_ms:.4f} to {network.high_ms:.4f}), measured "
        f"{network.measured_ms:.4f}{again}{outside}"
    )


def _coverage_lines(coverage: Coverage) -> Iterator[str]:
    yield f"{'rows':24}{'regime':>9}{'pattern':>19}{'density':>9}{'rows':>7}"
    for count in coverage.rows:
        yield (
            f"{count.family:24}{count.regime.value:>9}{count.pattern:>19}"
            f"{count.density:>9.1%}{count.rows:>7}"
        )
    yield (f"operators needed: {coverage.needed}, with a row of their own: {coverage.measured}")
    for gap in coverage.gaps[:_LISTED]:
        price = "no price" if gap.ns is None else _price(gap.ns, gap.spread_ns or 0.0)
        yield f"  {gap.source:13}{price:>24}  {gap.operator}"
    yield from _more(len(coverage.gaps))


def _price(ns: float, spread_ns: float) -> str:
    return f"{ns / 1000:.2f} +- {spread_ns / 1000:.2f} us"


def _remark_lines(title: str, remarks: Sequence[Remark]) -> Iterator[str]:
    if not remarks:
        return
    yield ""
    yield f"{title}: {len(remarks)}"
    yield from (f"  {remark.operator}: {remark.reason}" for remark in remarks[:_LISTED])
    yield from _more(len(remarks))


def _sparsity_lines(sparsity: SparsityReport) -> Iterator[str]:
    yield f"Does sparsity pay on this board? {sparsity.verdict}"
    if not sparsity.summaries:
        return
    yield "times as fast: as the dense stock operators (geometric mean, and all of them together), as"
    yield "dense ones with as many weights in fewer channels, as the dense ones in int8 (geometric means)"
    yield (
        f"{'pattern':19}{'regime':>9}{'family':>20}{'density':>9}{'operators':>11}"
        f"{'dense':>8}{'together':>10}{'compacted':>11}{'int8':>7}{'faster':>8}"
    )
    for found in sparsity.summaries:
        compact = "" if found.compact_gain is None else f"{found.compact_gain:.2f}"
        int8 = "" if found.int8_gain is None else f"{found.int8_gain:.2f}"
        yield (
            f"{found.pattern:19}{found.regime.value:>9}{found.family:>20}{found.density:>9.1%}"
            f"{found.operators:>11}{found.gain:>8.2f}{found.together:>10.2f}{compact:>11}"
            f"{int8:>7}{found.faster:>8.0%}"
        )


def _more(count: int) -> Iterator[str]:
    if count > _LISTED:
        yield f"  and {count - _LISTED} more; all of them are in the JSON form"
