"""The report of a table, put together."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from latency.estimate.execution import executed_nodes
from latency.estimate.lookup_table import TableEstimator
from latency.library_form import row_spec
from latency.measurement import NetworkMeasurement
from latency.operator import OperatorSpec
from latency.report.accuracy import accuracy
from latency.report.coverage import coverage, row_age
from latency.report.sparsity import sparsity_report
from latency.report.values import Remark, TableReport
from latency.table import LatencyTable


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What is known beside a table; everything may be missing."""

    held_out: Sequence[NetworkMeasurement] = ()
    again: Sequence[NetworkMeasurement] = ()  # measured another time
    needed: Sequence[OperatorSpec] = ()  # by a space; empty: what the held-out networks execute
    quarantined: Mapping[OperatorSpec, str] = field(default_factory=dict)  # why, by operator
    imported: int = 0  # rows that rest on imported files
    withdrawn_at: str | None = None  # since when the table is not to be trusted


def table_report(table: LatencyTable, evidence: Evidence, *, now: datetime) -> TableReport:
    """Return the report of a table.

    Args:
        table: with at least one row.
        evidence: held-out networks and what else is known.
        now: the time of the report, with its zone.

    Raises:
        ValueError: the table has no rows.
    """
    if not table.rows:
        raise ValueError("latency table: it has no rows, so there is nothing to report")
    estimator = TableEstimator(table)
    return TableReport(
        target=table.target.label(),
        target_fingerprint=table.target.fingerprint,
        version=table.version,
        made_at=now.isoformat(),
        rows=len(table.rows),
        accuracy=accuracy(estimator, evidence.held_out, evidence.again),
        coverage=coverage(estimator, evidence.needed or _executed(evidence.held_out)),
        age=row_age(table.rows, now),
        unstable=_remarks({row.spec: row.unstable for row in table.rows if row.unstable}),
        quarantined=_remarks(evidence.quarantined),
        imported=evidence.imported,
        sparsity=sparsity_report(estimator),
        withdrawn_at=evidence.withdrawn_at,
    )


def _executed(networks: Iterable[NetworkMeasurement]) -> list[OperatorSpec]:
    """Return the operators that networks execute, as their rows are named."""
    graphs = [measured.graph for measured in networks if measured.graph is not None]
    distinct = dict.fromkeys(node.spec for graph in graphs for node in executed_nodes(graph))
    return [row_spec(spec) for spec in distinct]


def _remarks(reasons: Mapping[OperatorSpec, str]) -> tuple[Remark, ...]:
    return tuple(Remark(operator=spec.label(), reason=reason) for spec, reason in reasons.items())
