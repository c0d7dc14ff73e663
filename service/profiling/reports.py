"""What a stored table is worth, what changed between two, and a table as a file.

Everything is read first and worked out afterwards: on SQLite a reader holds up every writer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby

from sqlalchemy.orm import Session

from latency import codec
from latency.exchange.profile_file import ProfileFile
from latency.exchange.table_file import TableFile
from latency.measurement import ChainSamples, Conditions, OperatorMeasurement
from latency.operator import OperatorSpec
from latency.report.difference import difference, withdrawn_tables
from latency.report.table_report import Evidence, table_report
from latency.report.values import TableDifference, TableReport
from latency.table import LatencyTable
from latency.target import Target
from service.profiling import repository
from service.profiling.table_networks import TableNetworks, network_rows, table_networks
from service.profiling.use_cases import get_table, load_table
from service.tables.latency_table import LatencyTableRow
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow


@dataclass(frozen=True, kw_only=True)
class StoredTable:
    """A version of a table and what is stored beside it, read but not yet worked out."""

    row: LatencyTableRow
    table: LatencyTable
    networks: Sequence[tuple[NetworkMeasurementRow, str]]
    unused: Sequence[MeasurementRow] = ()  # that failed or are in quarantine
    imported: int = 0

    @property
    def withdrawn_at(self) -> str | None:
        """Since when the version is used for nothing new, ISO 8601."""
        return None if self.row.withdrawn_at is None else self.row.withdrawn_at.isoformat()


def read_table(session: Session, table_id: str) -> StoredTable:
    """Return a version of a table with what a report of it needs.

    Raises:
        NotFoundError: there is no such table.
    """
    row = get_table(session, table_id)
    return StoredTable(
        row=row,
        table=load_table(session, table_id),
        networks=network_rows(session, row),
        unused=repository.unused_measurements(session, row.target_fingerprint),
        imported=repository.imported_operators(session, table_id),
    )


def report_of_table(
    stored: StoredTable, needed: Sequence[OperatorSpec], *, now: datetime
) -> TableReport:
    """Return the report of a version of a table.

    Args:
        stored: the version.
        needed: operators that a space needs; empty: those of the held-out networks.
        now: the time.
    """
    networks = table_networks(stored.row, stored.networks)
    known = {found.spec for found in stored.table.rows}
    unused = {
        codec.decode(row.spec, OperatorSpec): row.error or row.quarantine for row in stored.unused
    }
    evidence = Evidence(
        held_out=networks.held_out,
        again=networks.again,
        needed=needed,
        quarantined={spec: reason for spec, reason in unused.items() if spec not in known},
        imported=stored.imported,
        withdrawn_at=stored.withdrawn_at,
    )
    return table_report(stored.table, evidence, now=now)


def difference_of_tables(before: StoredTable, after: StoredTable) -> TableDifference:
    """Return what is different in the second table; networks are those that judge either."""
    graphs = dict.fromkeys(
        measured.graph
        for stored in (before, after)
        for measured in table_networks(stored.row, stored.networks).held_out
        if measured.graph is not None
    )
    found = difference(before.table, after.table, list(graphs))
    return replace(found, withdrawn=withdrawn_tables(before.withdrawn_at, after.withdrawn_at))


@dataclass(frozen=True, kw_only=True)
class StoredSamples:
    """The raw samples of a version of a table, as rows."""

    measurements: Sequence[MeasurementRow]
    devices: dict[str, str]  # names by id


def read_samples(session: Session, table_id: str) -> StoredSamples:
    """Return the raw samples that a version of a table is made of."""
    return StoredSamples(
        measurements=repository.table_measurements(session, table_id),
        devices=repository.device_names(session),
    )


def table_file(stored: StoredTable, samples: StoredSamples) -> TableFile:
    """Return a version of a table as a file, with the raw samples that it is made of."""
    target = stored.table.target
    profiles = [*_profiles(samples.measurements, samples.devices, target)]
    networks = table_networks(stored.row, stored.networks)
    if networks.device_id:
        profiles.append(_network_profile(networks, samples.devices, target))
    return TableFile(table=stored.table, evidence=tuple(profiles), withdrawn_at=stored.withdrawn_at)


def _profiles(
    rows: Sequence[MeasurementRow], names: dict[str, str], target: Target
) -> Iterator[ProfileFile]:
    """Yield what devices measured, in the order of the measurements: rows depend on it."""
    for (device_id, measured_at), members in groupby(
        rows, key=lambda row: (row.device_id, row.measured_at)
    ):
        yield ProfileFile(
            device=names[device_id],
            target=target,
            conditions=Conditions(started_at=measured_at),
            operators=tuple(
                OperatorMeasurement(
                    spec=codec.decode(row.spec, OperatorSpec),
                    samples=codec.decode(row.samples or "", ChainSamples),
                    unstable=row.unstable,
                )
                for row in members
            ),
            networks=(),
        )


def _network_profile(networks: TableNetworks, names: dict[str, str], target: Target) -> ProfileFile:
    return ProfileFile(
        device=names[networks.device_id],
        target=target,
        conditions=Conditions(started_at=networks.measured_at),
        operators=(),
        networks=(*networks.calibration, *networks.held_out),
    )
