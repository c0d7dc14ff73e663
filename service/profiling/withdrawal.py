"""Withdrawal: what one device measured is not used any more, and what rested on it is named."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from latency.quarantine import WITHDRAWN
from service.devices.use_cases import Device, get_device
from service.devices.withdrawn import withdraw_copies
from service.devices.work import network_results
from service.errors import ConflictError, NotFoundError
from service.profiling import repository
from service.profiling.use_cases import (
    build_table,
    calibration_problem,
    load_table,
    split_networks,
)
from service.tables.job import JobRow
from service.tables.latency_table import LatencyTableRow


@dataclass(frozen=True, kw_only=True)
class WithdrawnTable:
    """A version that rested on the device, and the newest one of its target now, if there is one."""

    table: LatencyTableRow
    replacement: LatencyTableRow | None


@dataclass(frozen=True, kw_only=True)
class Withdrawal:
    """What rested on a device."""

    device: Device
    copies: tuple[str, ...]  # names of other devices, under which files brought the same samples
    tables: tuple[WithdrawnTable, ...]
    jobs: tuple[JobRow, ...]  # that used one of these tables, the oldest first


def withdraw_device(session: Session, device: Device, now: datetime) -> Withdrawal:
    """Put what a device has measured into quarantine and replace the tables that used it.

    A target whose newest version used it gets a new one from what other devices measured, unless
    too little of that remains. Files may have brought the same samples under another name: those go
    with them. What the device measures from now on is used again, what a file brings of the old is
    not (`withdrawn_samples`). A second call finds the same tables and jobs, and changes nothing.
    """
    repository.withdraw_measurements(session, device.id, WITHDRAWN)
    copies = withdraw_copies(session, device.id)
    tables = repository.tables_resting_on(session, sorted({device.id} | copies), WITHDRAWN)
    replaced = set()
    for table in tables:
        newest = repository.newest_table(session, table.target_fingerprint)
        if newest is not None and newest.id == table.id:
            replaced.add(table.target_fingerprint)
    for table in tables:
        table.withdrawn_at = table.withdrawn_at or now
    session.flush()
    for fingerprint in sorted(replaced):
        _rebuild(session, fingerprint, now)
    return Withdrawal(
        device=device,
        copies=tuple(sorted(get_device(session, found).name for found in copies)),
        tables=tuple(
            WithdrawnTable(
                table=table,
                replacement=repository.newest_table(session, table.target_fingerprint),
            )
            for table in tables
        ),
        jobs=tuple(repository.jobs_of_tables(session, [table.id for table in tables])),
    )


def _rebuild(session: Session, fingerprint: str, now: datetime) -> None:
    """Store a new version from what remains of a target; none where that makes no table."""
    for unit_id in repository.units_with_networks(session, fingerprint):
        with session.begin_nested() as attempt:
            if _is_rebuilt(session, fingerprint, unit_id, now):
                return
            attempt.rollback()


def _is_rebuilt(session: Session, fingerprint: str, unit_id: str, now: datetime) -> bool:
    """Whether the networks of a unit and the operators that remain make a table; it is stored."""
    try:
        table = build_table(
            session,
            fingerprint,
            *split_networks(network_results(session, unit_id)),
            now=now,
            timed_by=repository.device_of_unit(session, unit_id),
        )
    except (NotFoundError, ConflictError):
        return False
    return not calibration_problem(load_table(session, table.id))
