"""Latency tables: what is missing, a new version, an old version, the newest one."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from latency import codec
from latency.estimate.made_table import make_table
from latency.measurement import NetworkMeasurement
from latency.messages import CALIBRATION, HELD_OUT, ProfileWork, WorkKind
from latency.plan import MeasuringCosts, Plan
from latency.rows import table_rows
from latency.table import Calibration, LatencyTable, PublishedError, TableRow
from latency.target import Target
from service.devices.stored import raw_measurement
from service.devices.use_cases import get_device
from service.errors import ConflictError, NotFoundError
from service.profiling import repository
from service.tables.base import new_id
from service.tables.latency_table import LatencyTableRow

_HISTORY = 10  # profiles of a target that the expected time is taken from
_LEAST_NETWORKS = 4  # of the calibration
_MOST_SLOPE = 5.0  # on machines that we know it is 0.9 to 1.15


def build_table(
    session: Session,
    fingerprint: str,
    calibration: Sequence[NetworkMeasurement],
    held_out: Sequence[NetworkMeasurement],
    *,
    now: datetime,
    timed_by: str | None = None,
) -> LatencyTableRow:
    """Store the next version of the table of a target, from its newest measurements.

    Args:
        session: in a transaction.
        fingerprint: of the target.
        calibration: whole networks that the calibration is fitted on.
        held_out: other networks, for the published error; without them there is none.
        now: the time.
        timed_by: id of the device that timed the networks.

    Raises:
        NotFoundError: nothing was measured on this target.
        ConflictError: the measurements contradict each other so much that no line fits.
    """
    found = repository.target(session, fingerprint, lock=True)
    measurements = repository.newest_measurements(session, fingerprint)
    if found is None or not measurements:
        raise NotFoundError("Nothing was measured on this target yet.")
    rows = table_rows(raw_measurement(row) for row in measurements)
    target = codec.from_plain(found.target, Target)
    version = repository.newest_version(session, fingerprint) + 1
    try:
        table = make_table(target, version, rows, calibration, held_out)
    except ValueError as error:
        raise ConflictError(
            "These measurements make no table: whole networks do not follow from their operators.",
            code="measurements-unusable",
        ) from error
    row = LatencyTableRow(
        id=new_id(),
        target_fingerprint=fingerprint,
        version=table.version,
        operators=len(rows),
        calibration=codec.to_plain(table.calibration),
        error=_plain(table.error),
        library_calibration=_plain(table.library),
        library_error=_plain(table.library_error),
        networks={
            "calibration": [measured.name for measured in calibration],
            "held_out": [measured.name for measured in held_out],
        },
        timed_by=timed_by,
        created_at=now,
    )
    session.add(row)
    session.flush()
    repository.add_table_measurements(session, row.id, [found.id for found in measurements])
    return row


def split_networks(
    results: Iterable[NetworkMeasurement],
) -> tuple[list[NetworkMeasurement], list[NetworkMeasurement]]:
    """Return the good ones of the networks of a profile: for calibration, and held out."""
    good = [result for result in results if not result.error]
    return (
        [result for result in good if result.name.startswith(CALIBRATION)],
        [result for result in good if result.name.startswith(HELD_OUT)],
    )


def load_table(session: Session, table_id: str) -> LatencyTable:
    """Return a version of a table with all its rows.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = get_table(session, table_id)
    return LatencyTable(
        target=target_of_table(session, row),
        version=row.version,
        rows=table_rows(
            raw_measurement(found) for found in repository.table_measurements(session, row.id)
        ),
        calibration=codec.from_plain(row.calibration, Calibration),
        error=_error(row.error),
        library=None
        if row.library_calibration is None
        else codec.from_plain(row.library_calibration, Calibration),
        library_error=_error(row.library_error),
    )


def get_table(session: Session, table_id: str) -> LatencyTableRow:
    """Return what is stored of a version of a table, without its rows.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = repository.table_by_id(session, table_id)
    if row is None:
        raise NotFoundError("There is no table with this id; see GET /v1/tables.")
    return row


def target_of_table(session: Session, row: LatencyTableRow) -> Target:
    """Return the target that a version of a table is of."""
    found = repository.target(session, row.target_fingerprint)
    if found is None:
        raise NotFoundError("There is no target for this table.")
    return codec.from_plain(found.target, Target)


def latest_table(session: Session, device_id: str) -> LatencyTableRow | None:
    """Return the newest table of what the device is now, or None before its first profile.

    Raises:
        NotFoundError: there is no such device.
    """
    return repository.newest_table(session, get_device(session, device_id).target_fingerprint)


def count_versions(session: Session, fingerprint: str) -> int:
    """Return how many versions the table of a target ever had, withdrawn ones too."""
    return repository.newest_version(session, fingerprint)


def list_tables(
    session: Session, fingerprint: str | None, *, limit: int, offset: int
) -> Sequence[LatencyTableRow]:
    """Return a page of the versions, the newest first."""
    return repository.tables_newest_first(session, fingerprint, limit, offset)


def measured_operators(session: Session, fingerprint: str) -> tuple[TableRow, ...]:
    """Return what is known of each operator on a target, whether or not a table has it yet."""
    measurements = repository.newest_measurements(session, fingerprint)
    return table_rows(raw_measurement(row) for row in measurements)


def quarantined_operators(
    session: Session, device_id: str, *, limit: int, offset: int
) -> list[tuple[TableRow, str]]:
    """Return a page of what a device measured and no table uses, the newest first, with reasons."""
    found = repository.quarantined_measurements(session, device_id, limit, offset)
    return [(table_rows([raw_measurement(row)])[0], row.quarantine) for row in found]


def measuring_costs(session: Session, fingerprint: str) -> MeasuringCosts:
    """Return how long a measurement takes on a target: the defaults, scaled to its history."""
    finished = repository.finished_profiles(session, fingerprint, WorkKind.PROFILE.value, _HISTORY)
    expected_s, took_s = 0.0, 0.0
    for plain, started, ended in finished:
        work = codec.decode(plain, ProfileWork)
        plan = Plan(operators=work.operators, networks=len(work.networks), processes=work.processes)
        expected_s += plan.minutes * 60
        took_s += (ended - started).total_seconds()
    default = MeasuringCosts()
    factor = took_s / expected_s if expected_s > 0 and took_s > 0 else 1.0
    return MeasuringCosts(
        operator_s=default.operator_s * factor, process_s=default.process_s * factor
    )


def calibration_problem(table: LatencyTable) -> str:
    """Return why whole networks make no calibration that can be trusted, or nothing."""
    fitted = [table.calibration]
    if table.target.has_library:
        fitted.append(table.library or Calibration())
    return next(filter(None, map(_problem_of, fitted)), "")


def _problem_of(calibration: Calibration) -> str:
    slope, networks = calibration.slope, calibration.networks
    if networks < _LEAST_NETWORKS:
        return f"only {networks} whole networks could be measured"
    if not 1 / _MOST_SLOPE <= slope <= _MOST_SLOPE:
        return f"whole networks take {slope:.3g} times the sum of their operators"
    return ""


def _plain(value: Calibration | PublishedError | None) -> Any:
    return None if value is None else codec.to_plain(value)


def _error(plain: Any) -> PublishedError | None:
    return None if plain is None else codec.from_plain(plain, PublishedError)
