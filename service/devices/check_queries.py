"""What the database knows that checks of a device are made of and judged by."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, select, update
from sqlalchemy.orm import Session

from latency.messages import WorkKind
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow
from service.tables.work_unit import WorkUnitRow


def profiles_of_job(session: Session, job_id: str, device_id: str) -> Sequence[Any]:
    """Return the work of each profile that a job has asked a device for, as plain values."""
    statement = select(WorkUnitRow.work).where(
        WorkUnitRow.job_id == job_id,
        WorkUnitRow.device_id == device_id,
        WorkUnitRow.kind == WorkKind.PROFILE,
    )
    return session.scalars(statement).all()


def known_spec_keys(session: Session, fingerprint: str) -> set[str]:
    """Return the operators that some device has measured well on a target."""
    statement = select(MeasurementRow.spec_key).where(*_good_on(fingerprint)).distinct()
    return set(session.scalars(statement))


def good_measurements(
    session: Session, fingerprint: str, keys: Sequence[str], but_of_lease: str | None = None
) -> Sequence[MeasurementRow]:
    """Return the newest good measurement of each of these operators by each device on a target."""
    newest = (
        select(func.max(MeasurementRow.id))
        .where(*_good_on(fingerprint), MeasurementRow.spec_key.in_(keys))
        .group_by(MeasurementRow.spec_key, MeasurementRow.device_id)
    )
    if but_of_lease is not None:
        newest = newest.where(MeasurementRow.lease_id != but_of_lease)
    statement = select(MeasurementRow).where(MeasurementRow.id.in_(newest))
    return session.scalars(statement.order_by(MeasurementRow.id)).all()


def measured_operators(
    session: Session, lease_id: str, keys: Sequence[str]
) -> Sequence[MeasurementRow]:
    """Return what a lease has measured of these operators, used or not, the oldest first."""
    statement = select(MeasurementRow).where(
        MeasurementRow.lease_id == lease_id, MeasurementRow.spec_key.in_(keys)
    )
    return session.scalars(statement.order_by(MeasurementRow.id)).all()


def replace_quarantine(session: Session, lease_id: str, old: Sequence[str], new: str) -> None:
    """Give the results of a lease that have one of these reasons another one; failures have none."""
    for row in (MeasurementRow, NetworkMeasurementRow):
        statement = update(row).where(
            row.lease_id == lease_id, row.error == "", row.quarantine.in_(old)
        )
        session.execute(statement.values(quarantine=new))


def _good_on(fingerprint: str) -> tuple[ColumnElement[bool], ...]:
    return (
        MeasurementRow.target_fingerprint == fingerprint,
        MeasurementRow.error == "",
        MeasurementRow.quarantine == "",
    )
