"""Queries on measurements and latency tables."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, insert, not_, or_, select, update
from sqlalchemy.orm import Session

from service.devices.trust import PENDING
from service.lifecycle import LeaseState
from service.tables.device import DeviceRow
from service.tables.job import JobDeviceRow, JobRow
from service.tables.latency_table import LatencyTableMeasurementRow, LatencyTableRow
from service.tables.lease import IMPORT_CLAIM, LeaseRow
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow
from service.tables.target import TargetRow
from service.tables.work_unit import WorkUnitRow

_INSERT_BATCH = 1000
_GOOD = (MeasurementRow.error == "", MeasurementRow.quarantine == "")


def target(session: Session, fingerprint: str, *, lock: bool = False) -> TargetRow | None:
    """Return a target; with `lock` its tables are made one after the other."""
    statement = select(TargetRow).where(TargetRow.fingerprint == fingerprint)
    return session.scalar(statement.with_for_update() if lock else statement)


def newest_measurements(session: Session, fingerprint: str) -> Sequence[MeasurementRow]:
    """Return the newest good measurement of each operator by each device of a target."""
    newest = (
        select(func.max(MeasurementRow.id))
        .where(MeasurementRow.target_fingerprint == fingerprint, *_GOOD)
        .group_by(MeasurementRow.spec_key, MeasurementRow.device_id)
    )
    statement = select(MeasurementRow).where(MeasurementRow.id.in_(newest))
    return session.scalars(statement.order_by(MeasurementRow.id)).all()


def table_measurements(session: Session, table_id: str) -> Sequence[MeasurementRow]:
    """Return the measurements that a version of a table is made of."""
    statement = (
        select(MeasurementRow)
        .join(
            LatencyTableMeasurementRow,
            LatencyTableMeasurementRow.measurement_id == MeasurementRow.id,
        )
        .where(LatencyTableMeasurementRow.table_id == table_id)
        .order_by(MeasurementRow.id)
    )
    return session.scalars(statement).all()


def add_table_measurements(session: Session, table_id: str, measurement_ids: list[int]) -> None:
    """Note which measurements a version is made of."""
    values = [
        {"table_id": table_id, "measurement_id": measurement_id}
        for measurement_id in measurement_ids
    ]
    for start in range(0, len(values), _INSERT_BATCH):
        session.execute(insert(LatencyTableMeasurementRow), values[start : start + _INSERT_BATCH])


def quarantined_measurements(
    session: Session, device_id: str, limit: int, offset: int
) -> Sequence[MeasurementRow]:
    """Return a page of what a device measured and no table uses, the newest first."""
    statement = (
        select(MeasurementRow)
        .where(
            MeasurementRow.device_id == device_id,
            MeasurementRow.error == "",  # what failed has no samples to show
            MeasurementRow.quarantine != "",
        )
        .order_by(MeasurementRow.id.desc())
    )
    return session.scalars(statement.limit(limit).offset(offset)).all()


def withdraw_measurements(session: Session, device_id: str, reason: str) -> None:
    """Put everything that a device measured into quarantine; earlier reasons stay.

    But for that of results which wait for checks: they would be let out later.
    """
    for row in (MeasurementRow, NetworkMeasurementRow):
        statement = update(row).where(
            row.device_id == device_id, row.error == "", row.quarantine.in_(("", PENDING))
        )
        session.execute(statement.values(quarantine=reason))


def tables_resting_on(
    session: Session, device_ids: Iterable[str], reason: str
) -> Sequence[LatencyTableRow]:
    """Return the versions that use measurements of one of these devices which now have this reason."""
    statement = select(LatencyTableRow).where(
        or_(*(_rests_on(device_id, reason) for device_id in device_ids))
    )
    return session.scalars(
        statement.order_by(LatencyTableRow.target_fingerprint, LatencyTableRow.version)
    ).all()


def _rests_on(device_id: str, reason: str) -> ColumnElement[bool]:
    by_operators = (
        select(LatencyTableMeasurementRow.table_id)
        .join(MeasurementRow, MeasurementRow.id == LatencyTableMeasurementRow.measurement_id)
        .where(MeasurementRow.device_id == device_id, MeasurementRow.quarantine == reason)
    )
    # What the device has timed since it was withdrawn is good, and so are versions from then on.
    good_again = (
        select(func.min(NetworkMeasurementRow.received_at))
        .where(NetworkMeasurementRow.device_id == device_id, NetworkMeasurementRow.quarantine == "")
        .scalar_subquery()
    )
    by_networks = and_(
        LatencyTableRow.timed_by == device_id,
        or_(good_again.is_(None), LatencyTableRow.created_at < good_again),
    )
    return or_(LatencyTableRow.id.in_(by_operators), by_networks)


def units_with_networks(session: Session, fingerprint: str) -> Sequence[str]:
    """Return the units that have good networks of a target, the newest first."""
    statement = (
        select(NetworkMeasurementRow.unit_id)
        .where(
            NetworkMeasurementRow.target_fingerprint == fingerprint,
            NetworkMeasurementRow.error == "",
            NetworkMeasurementRow.quarantine == "",
        )
        .group_by(NetworkMeasurementRow.unit_id)
        .order_by(func.max(NetworkMeasurementRow.id).desc())
    )
    return session.scalars(statement).all()


def device_of_unit(session: Session, unit_id: str) -> str:
    """Return the id of the device that a unit is for."""
    return session.get_one(WorkUnitRow, unit_id).device_id


def jobs_of_tables(session: Session, table_ids: Sequence[str]) -> Sequence[JobRow]:
    """Return the jobs that used one of these versions, the oldest first."""
    further = select(JobDeviceRow.job_id).where(JobDeviceRow.table_id.in_(table_ids))
    statement = select(JobRow).where(JobRow.table_id.in_(table_ids) | JobRow.id.in_(further))
    return session.scalars(statement.order_by(JobRow.created_at, JobRow.id)).all()


def networks_named(
    session: Session, fingerprint: str, names: Sequence[str], limit: int
) -> Sequence[tuple[NetworkMeasurementRow, str]]:
    """Return the newest good measurements of networks of these names on a target, with their jobs.

    Jobs for different spaces use the same names for other networks.
    """
    statement = (
        select(NetworkMeasurementRow, WorkUnitRow.job_id)
        .join(WorkUnitRow, WorkUnitRow.id == NetworkMeasurementRow.unit_id)
        .where(
            NetworkMeasurementRow.target_fingerprint == fingerprint,
            NetworkMeasurementRow.name.in_(names),
            NetworkMeasurementRow.error == "",
            NetworkMeasurementRow.quarantine == "",
        )
        .order_by(NetworkMeasurementRow.id.desc())
        .limit(limit)
    )
    return [(row, job_id) for row, job_id in session.execute(statement)]


def unused_measurements(session: Session, fingerprint: str) -> Sequence[MeasurementRow]:
    """Return the newest measurement of each operator of a target that failed or is in quarantine."""
    newest = (
        select(func.max(MeasurementRow.id))
        .where(MeasurementRow.target_fingerprint == fingerprint, not_(and_(*_GOOD)))
        .group_by(MeasurementRow.spec_key)
    )
    return session.scalars(select(MeasurementRow).where(MeasurementRow.id.in_(newest))).all()


def imported_operators(session: Session, table_id: str) -> int:
    """Return how many operators of a table rest on an imported file, wholly or in part."""
    statement = (
        select(func.count(MeasurementRow.spec_key.distinct()))
        .join(
            LatencyTableMeasurementRow,
            LatencyTableMeasurementRow.measurement_id == MeasurementRow.id,
        )
        .join(LeaseRow, LeaseRow.id == MeasurementRow.lease_id)
        .where(
            LatencyTableMeasurementRow.table_id == table_id,
            LeaseRow.claim_id.startswith(IMPORT_CLAIM),
        )
    )
    return session.scalar(statement) or 0


def device_names(session: Session) -> dict[str, str]:
    """Return the names of all devices by their ids."""
    return {device.id: device.name for device in session.scalars(select(DeviceRow))}


def table_by_id(session: Session, table_id: str) -> LatencyTableRow | None:
    """Return a version of a table."""
    return session.get(LatencyTableRow, table_id)


def newest_table(session: Session, fingerprint: str) -> LatencyTableRow | None:
    """Return the newest version of the table of a target that was not withdrawn."""
    statement = (
        select(LatencyTableRow)
        .where(
            LatencyTableRow.target_fingerprint == fingerprint,
            LatencyTableRow.withdrawn_at.is_(None),
        )
        .order_by(LatencyTableRow.version.desc())
        .limit(1)
    )
    return session.scalar(statement)


def newest_version(session: Session, fingerprint: str) -> int:
    """Return the highest version of the table of a target, withdrawn or not; 0 without any."""
    statement = select(func.max(LatencyTableRow.version))
    statement = statement.where(LatencyTableRow.target_fingerprint == fingerprint)
    return session.scalar(statement) or 0


def tables_newest_first(
    session: Session, fingerprint: str | None, limit: int, offset: int
) -> Sequence[LatencyTableRow]:
    """Return a page of the versions, of one target or of all."""
    statement = select(LatencyTableRow).order_by(
        LatencyTableRow.created_at.desc(), LatencyTableRow.version.desc(), LatencyTableRow.id
    )
    if fingerprint is not None:
        statement = statement.where(LatencyTableRow.target_fingerprint == fingerprint)
    return session.scalars(statement.limit(limit).offset(offset)).all()


def finished_profiles(
    session: Session, fingerprint: str, kind: str, limit: int
) -> Sequence[tuple[str, datetime, datetime]]:
    """Return (work, started, finished) of the newest finished leases on a target."""
    statement = (
        select(LeaseRow.work, LeaseRow.created_at, LeaseRow.finished_at)
        .join(WorkUnitRow, WorkUnitRow.id == LeaseRow.unit_id)
        .where(
            LeaseRow.target_fingerprint == fingerprint,
            LeaseRow.state == LeaseState.FINISHED,
            LeaseRow.finished_at.is_not(None),
            ~LeaseRow.claim_id.startswith(IMPORT_CLAIM),
            WorkUnitRow.kind == kind,
        )
        .order_by(LeaseRow.finished_at.desc())
        .limit(limit)
    )
    return [
        (work, started, finished)
        for work, started, finished in session.execute(statement)
        if finished is not None
    ]
