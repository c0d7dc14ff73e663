"""Queries on measurements and latency tables."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from service.lifecycle import LeaseState
from service.tables.latency_table import LatencyTableMeasurementRow, LatencyTableRow
from service.tables.lease import LeaseRow
from service.tables.measurement import MeasurementRow
from service.tables.target import TargetRow
from service.tables.work_unit import WorkUnitRow

_INSERT_BATCH = 1000


def target(session: Session, fingerprint: str, *, lock: bool = False) -> TargetRow | None:
    """Return a target; with `lock` its tables are made one after the other."""
    statement = select(TargetRow).where(TargetRow.fingerprint == fingerprint)
    return session.scalar(statement.with_for_update() if lock else statement)


def newest_measurements(session: Session, fingerprint: str) -> Sequence[MeasurementRow]:
    """Return the newest good measurement of each operator by each device of a target."""
    newest = (
        select(func.max(MeasurementRow.id))
        .where(MeasurementRow.target_fingerprint == fingerprint, MeasurementRow.error == "")
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


def table_by_id(session: Session, table_id: str) -> LatencyTableRow | None:
    """Return a version of a table."""
    return session.get(LatencyTableRow, table_id)


def newest_table(session: Session, fingerprint: str) -> LatencyTableRow | None:
    """Return the newest version of the table of a target."""
    statement = (
        select(LatencyTableRow)
        .where(LatencyTableRow.target_fingerprint == fingerprint)
        .order_by(LatencyTableRow.version.desc())
        .limit(1)
    )
    return session.scalar(statement)


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
