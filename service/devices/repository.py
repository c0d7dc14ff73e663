"""Queries on devices, their work units, leases and uploads."""

from collections.abc import Sequence
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Select, bindparam, exists, func, or_, select
from sqlalchemy.orm import Session

from service.lifecycle import LeaseState, WorkState
from service.tables.device import DeviceRow
from service.tables.lease import IMPORT_CLAIM, ChunkRow, LeaseRow
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow
from service.tables.target import TargetRow
from service.tables.work_unit import WorkUnitRow

Measured = TypeVar("Measured", MeasurementRow, NetworkMeasurementRow)

OPEN_WORK = (WorkState.QUEUED, WorkState.LEASED)
OPEN_LEASES = (LeaseState.ACTIVE, LeaseState.EXPIRED)
_RECENT = 101  # measurements that tell the usual time of the reference model


def device_by_id(session: Session, device_id: str, *, lock: bool = False) -> DeviceRow | None:
    """Return a device; with `lock` its claims wait for each other."""
    statement = select(DeviceRow).where(DeviceRow.id == device_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def device_by_name(session: Session, name: str) -> DeviceRow | None:
    """Return the device with this name."""
    return session.scalar(select(DeviceRow).where(DeviceRow.name == name))


def device_names_like(session: Session, name: str) -> set[str]:
    """Return the names that begin with `name`."""
    statement = select(DeviceRow.name).where(DeviceRow.name.startswith(name, autoescape=True))
    return set(session.scalars(statement))


def devices_by_name(
    session: Session, limit: int, offset: int
) -> Sequence[tuple[DeviceRow, TargetRow]]:
    """Return a page of the devices with their targets."""
    statement = _with_target().order_by(DeviceRow.name).limit(limit).offset(offset)
    return [(device, target) for device, target in session.execute(statement)]


def device_with_target(session: Session, device_id: str) -> tuple[DeviceRow, TargetRow] | None:
    """Return a device with its target."""
    found = session.execute(_with_target().where(DeviceRow.id == device_id)).first()
    return None if found is None else (found[0], found[1])


# Built once: this is asked at every poll of every device, and building costs more than asking.
_POLL = select(
    DeviceRow.target_fingerprint,
    DeviceRow.last_seen_at,
    exists().where(WorkUnitRow.device_id == DeviceRow.id, WorkUnitRow.state.in_(OPEN_WORK)),
).where(DeviceRow.id == bindparam("device_id"))


def polled_device(session: Session, device_id: str) -> tuple[str, datetime, bool] | None:
    """Return (fingerprint, last seen, whether there is open work) of a device."""
    found = session.execute(_POLL, {"device_id": device_id}).first()
    return None if found is None else (found[0], found[1], found[2])


def oldest_queued_unit(session: Session, device_id: str) -> WorkUnitRow | None:
    """Return the unit that the device should do next."""
    statement = (
        select(WorkUnitRow)
        .where(WorkUnitRow.device_id == device_id, WorkUnitRow.state == WorkState.QUEUED)
        .order_by(WorkUnitRow.created_at, WorkUnitRow.id)
        .limit(1)
    )
    return session.scalar(statement.with_for_update())


def unit_by_id(session: Session, unit_id: str, *, lock: bool = False) -> WorkUnitRow | None:
    """Return a work unit."""
    statement = select(WorkUnitRow).where(WorkUnitRow.id == unit_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def open_units_of_job(session: Session, job_id: str) -> Sequence[WorkUnitRow]:
    """Return the units of a job that have not ended."""
    statement = (
        select(WorkUnitRow)
        .where(WorkUnitRow.job_id == job_id, WorkUnitRow.state.in_(OPEN_WORK))
        .order_by(WorkUnitRow.id)
    )
    return session.scalars(statement.with_for_update()).all()


def lease_by_id(session: Session, lease_id: str) -> LeaseRow | None:
    """Return a lease."""
    return session.scalar(select(LeaseRow).where(LeaseRow.id == lease_id))


def newest_lease(session: Session, unit_id: str) -> LeaseRow | None:
    """Return the newest attempt at a unit."""
    statement = select(LeaseRow).where(LeaseRow.unit_id == unit_id)
    return session.scalar(statement.order_by(LeaseRow.attempt.desc()).limit(1))


def active_lease(session: Session, device_id: str) -> LeaseRow | None:
    """Return the lease that the device holds; there is at most one."""
    return session.scalar(
        select(LeaseRow).where(LeaseRow.device_id == device_id, LeaseRow.state == LeaseState.ACTIVE)
    )


def is_claim_used(session: Session, device_id: str, claim_id: str) -> bool:
    """Whether a lease was given for this claim."""
    statement = select(
        exists().where(LeaseRow.device_id == device_id, LeaseRow.claim_id == claim_id)
    )
    return bool(session.scalar(statement))


def open_leases_of_unit(session: Session, unit_id: str) -> Sequence[LeaseRow]:
    """Return the leases of a unit that could still be used."""
    return session.scalars(
        select(LeaseRow).where(LeaseRow.unit_id == unit_id, LeaseRow.state.in_(OPEN_LEASES))
    ).all()


def overdue_leases(session: Session, now: datetime, limit: int) -> Sequence[LeaseRow]:
    """Return active leases that ran out before `now`, the oldest first."""
    statement = (
        select(LeaseRow)
        .where(LeaseRow.state == LeaseState.ACTIVE, LeaseRow.expires_at < now)
        .order_by(LeaseRow.expires_at)
        .limit(limit)
    )
    return session.scalars(statement).all()


def has_overdue_leases(session: Session, now: datetime) -> bool:
    """Whether a sweep would find something."""
    statement = select(
        exists().where(LeaseRow.state == LeaseState.ACTIVE, LeaseRow.expires_at < now)
    )
    return bool(session.scalar(statement))


def chunk(session: Session, lease_id: str, position: int) -> ChunkRow | None:
    """Return one upload of a lease."""
    return session.get(ChunkRow, (lease_id, position))


def chunk_digests(session: Session, lease_id: str) -> Sequence[tuple[int, str]]:
    """Return (position, digest) of every upload of a lease, in order."""
    statement = (
        select(ChunkRow.position, ChunkRow.sha256)
        .where(ChunkRow.lease_id == lease_id)
        .order_by(ChunkRow.position)
    )
    return [(position, digest) for position, digest in session.execute(statement)]


def target(session: Session, fingerprint: str) -> TargetRow | None:
    """Return a target."""
    return session.get(TargetRow, fingerprint)


def first_unfinished_attempt(session: Session, lease: LeaseRow) -> datetime:
    """Return when the device began what it has measured and not finished, this lease included."""
    finished = (
        select(func.max(LeaseRow.created_at))
        .where(
            LeaseRow.device_id == lease.device_id,
            LeaseRow.state == LeaseState.FINISHED,
            LeaseRow.created_at < lease.created_at,
        )
        .scalar_subquery()
    )
    first = select(func.min(LeaseRow.created_at)).where(
        LeaseRow.device_id == lease.device_id,
        or_(finished.is_(None), LeaseRow.created_at > finished),
    )
    return session.scalar(first) or lease.created_at


def recent_references(session: Session, fingerprint: str) -> Sequence[int]:
    """Return what the reference model took lately on a target, in good measurements."""
    statement = (
        select(MeasurementRow.reference_ns)
        .where(
            MeasurementRow.target_fingerprint == fingerprint,
            MeasurementRow.quarantine == "",
            MeasurementRow.reference_ns.is_not(None),
        )
        .order_by(MeasurementRow.id.desc())
        .limit(_RECENT)
    )
    return [found for found in session.scalars(statement) if found is not None]


def fastest_reference(session: Session, device_id: str, fingerprint: str) -> int | None:
    """Return the least that the reference model took lately beside a network, nanoseconds.

    Beside networks only: they leave less of the caches to it than single operators do.
    """
    recent = (
        select(NetworkMeasurementRow.reference_ns)
        .where(
            NetworkMeasurementRow.device_id == device_id,
            NetworkMeasurementRow.target_fingerprint == fingerprint,
            NetworkMeasurementRow.quarantine == "",
            NetworkMeasurementRow.reference_ns.is_not(None),
        )
        .order_by(NetworkMeasurementRow.id.desc())
        .limit(_RECENT)
        .subquery()
    )
    fastest: int | None = session.scalar(select(func.min(recent.c.reference_ns)))
    return fastest


def quarantine_reasons(session: Session, lease_id: str) -> Sequence[str]:
    """Return why results of a lease are in quarantine, the first ones first."""
    return [
        reason
        for row in (MeasurementRow, NetworkMeasurementRow)
        for reason in session.scalars(
            select(row.quarantine)
            .where(row.lease_id == lease_id, row.quarantine != "")
            .order_by(row.id)
        )
    ]


def quarantine_counts(session: Session, device_ids: Sequence[str]) -> dict[str, int]:
    """Return how many results of each device are in quarantine, of devices that have any."""
    counts: dict[str, int] = {}
    for row in (MeasurementRow, NetworkMeasurementRow):
        statement = (
            select(row.device_id, func.count())
            .where(row.device_id.in_(device_ids), row.quarantine != "")
            .group_by(row.device_id)
        )
        for device_id, found in session.execute(statement):
            counts[device_id] = counts.get(device_id, 0) + found
    return counts


def targets_of(session: Session, device_id: str) -> set[str]:
    """Return the targets that a device was when it measured."""
    return {
        fingerprint
        for row in (MeasurementRow, NetworkMeasurementRow)
        for fingerprint in session.scalars(
            select(row.target_fingerprint).where(row.device_id == device_id).distinct()
        )
    }


def judged_rows(
    session: Session, fingerprint: str, reasons: Sequence[str], *, imported: bool = False
) -> list[MeasurementRow | NetworkMeasurementRow]:
    """Return what was measured on a target, failures apart, and judged with one of the reasons.

    Args:
        session: to read from.
        fingerprint: of the target.
        reasons: for quarantine; an empty one for what is good.
        imported: only what files brought.
    """
    return [
        *_judged(session, MeasurementRow, fingerprint, reasons, imported=imported),
        *_judged(session, NetworkMeasurementRow, fingerprint, reasons, imported=imported),
    ]


def _judged(
    session: Session,
    row: type[Measured],
    fingerprint: str,
    reasons: Sequence[str],
    *,
    imported: bool,
) -> Sequence[Measured]:
    statement = select(row).where(
        row.target_fingerprint == fingerprint, row.error == "", row.quarantine.in_(reasons)
    )
    if imported:
        statement = statement.join(LeaseRow, LeaseRow.id == row.lease_id)
        statement = statement.where(LeaseRow.claim_id.startswith(IMPORT_CLAIM))
    return session.scalars(statement).all()


def measured_spec_keys(session: Session, lease_id: str) -> set[str]:
    """Return the operators that a lease has results for, errors too."""
    statement = select(MeasurementRow.spec_key).where(MeasurementRow.lease_id == lease_id)
    return set(session.scalars(statement))


def measured_network_names(session: Session, lease_id: str) -> set[str]:
    """Return the networks that a lease has results for, errors too."""
    statement = select(NetworkMeasurementRow.name).where(NetworkMeasurementRow.lease_id == lease_id)
    return set(session.scalars(statement))


def good_spec_keys(session: Session, unit_id: str, fingerprint: str) -> set[str]:
    """Return the operators that some attempt at the unit has measured on this target."""
    return set(
        session.scalars(
            select(MeasurementRow.spec_key).where(
                MeasurementRow.unit_id == unit_id,
                MeasurementRow.target_fingerprint == fingerprint,
                MeasurementRow.error == "",
                MeasurementRow.quarantine == "",
            )
        )
    )


def good_network_names(session: Session, unit_id: str, fingerprint: str) -> set[str]:
    """Return the networks that some attempt at the unit has measured on this target."""
    return set(
        session.scalars(
            select(NetworkMeasurementRow.name).where(
                NetworkMeasurementRow.unit_id == unit_id,
                NetworkMeasurementRow.target_fingerprint == fingerprint,
                NetworkMeasurementRow.error == "",
                NetworkMeasurementRow.quarantine == "",
            )
        )
    )


def network_rows(session: Session, unit_id: str) -> Sequence[NetworkMeasurementRow]:
    """Return the network measurements of a unit, the oldest first."""
    statement = select(NetworkMeasurementRow).where(NetworkMeasurementRow.unit_id == unit_id)
    return session.scalars(statement.order_by(NetworkMeasurementRow.id)).all()


def is_leased_artifact(session: Session, device_id: str, sha256: str) -> bool:
    """Whether a unit that is leased to the device needs this artifact."""
    statement = select(
        exists().where(
            WorkUnitRow.device_id == device_id,
            WorkUnitRow.artifact_sha256 == sha256,
            WorkUnitRow.state == WorkState.LEASED,
        )
    )
    return bool(session.scalar(statement))


def _with_target() -> Select[DeviceRow, TargetRow]:
    return select(DeviceRow, TargetRow).join(
        TargetRow, TargetRow.fingerprint == DeviceRow.target_fingerprint
    )
