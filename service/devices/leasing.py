"""Leases: work is handed out attempt by attempt, renewed by heartbeats, taken back in silence.

The clock is the server's. `attempt` is the fencing token: an older attempt can change nothing. An
attempt that was taken back is given again to its device while nobody else has the unit.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from latency import codec
from latency.messages import (
    Claim,
    ClaimAnswer,
    Heartbeat,
    HeartbeatAnswer,
    Lease,
    ProfileWork,
    VerifyWork,
    WorkKind,
)
from service.devices import repository
from service.devices.checks import with_checks
from service.devices.rules import LeaseRules, measurement_count, remaining_work
from service.devices.use_cases import store_target
from service.errors import ConflictError, NotFoundError, UnauthenticatedError
from service.lifecycle import LeaseState, WorkState, next_lease_state, next_work_state
from service.ports import WorkListener
from service.tables.base import new_id
from service.tables.device import DeviceRow
from service.tables.lease import LeaseRow
from service.tables.work_unit import WorkUnitRow

_SWEEP_BATCH = 200
_SAME_RENEWAL_S = 5.0  # a heartbeat that says nothing new is written down at most this often


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What handing out work takes beside the session: the rules, the listener, the time."""

    rules: LeaseRules
    listener: WorkListener
    now: datetime


def has_nothing_new(session: Session, device_id: str, claim: Claim, desk: Desk) -> bool:
    """Whether a claim would change nothing, so that it needs no write."""
    found = repository.polled_device(session, device_id)
    if found is None:
        return False
    fingerprint, last_seen_at, has_open_work = found
    return (
        fingerprint == claim.target.fingerprint
        and not desk.rules.is_unseen(last_seen_at, desk.now)
        and not has_open_work
    )


def claim_work(session: Session, device_id: str, claim: Claim, desk: Desk) -> ClaimAnswer:
    """Give the device its unfinished lease, else its next unit, else nothing."""
    device = repository.device_by_id(session, device_id, lock=True)
    if device is None:
        raise UnauthenticatedError("This device was removed.", code="token-revoked")
    _note_target(session, device, claim, desk.now)
    device.last_seen_at = desk.now
    lease = _held_lease(session, device, desk)
    if lease is None and not repository.is_claim_used(session, device_id, claim.claim_id):
        lease = _next_lease(session, device, claim.claim_id, desk)
    session.flush()
    message = None if lease is None else _lease_message(session, lease, desk)
    return ClaimAnswer(lease=message, poll_again_in_s=desk.rules.poll_s)


def renew_lease(
    session: Session, device_id: str, lease_id: str, beat: Heartbeat, desk: Desk
) -> HeartbeatAnswer:
    """Note that the device works, and tell it whether to go on.

    Raises:
        NotFoundError: not a lease of this device.
        ConflictError: another attempt took over.
    """
    _note_seen(session, device_id, desk)  # first: every transaction locks devices before units
    lease = find_lease(session, device_id, lease_id)
    cancelled = lease.state == LeaseState.CANCELLED
    left_s = 0.0
    if not cancelled and lease.state not in (LeaseState.FINISHED, LeaseState.FAILED):
        open_lease(session, lease, beat.attempt)
        changed = (lease.done, lease.total) != (beat.done, beat.total)
        if changed or (desk.now - lease.renewed_at).total_seconds() >= _SAME_RENEWAL_S:
            _renew(lease, desk)
            lease.done, lease.total = beat.done, beat.total
        left_s = (lease.expires_at - desk.now).total_seconds()
    return HeartbeatAnswer(
        cancelled=cancelled, expires_in_s=max(0.0, left_s), server_time=desk.now.isoformat()
    )


def expire_leases(session: Session, desk: Desk) -> int:
    """Take back what silent devices hold; returns how many leases that was."""
    overdue = repository.overdue_leases(session, desk.now, _SWEEP_BATCH)
    taken = 0
    for found in overdue:
        unit = repository.unit_by_id(session, found.unit_id, lock=True)
        session.refresh(found)  # it may have been renewed before the unit was locked
        if unit is None or found.state != LeaseState.ACTIVE or found.expires_at >= desk.now:
            continue
        found.state = next_lease_state(LeaseState(found.state), LeaseState.EXPIRED)
        fail_attempt(session, unit, f"no sign of life for {desk.rules.lease_s:g} s", desk)
        taken += 1
    session.flush()
    return taken


def find_lease(session: Session, device_id: str, lease_id: str) -> LeaseRow:
    """Return a lease of this device, with its unit locked until the end of the transaction.

    Raises:
        NotFoundError: there is none; a lease of another device looks the same.
    """
    lease = repository.lease_by_id(session, lease_id)
    if lease is None or lease.device_id != device_id:
        raise NotFoundError("This device has no lease with this id.")
    repository.unit_by_id(session, lease.unit_id, lock=True)
    session.refresh(lease)
    return lease


def open_lease(session: Session, lease: LeaseRow, attempt: int) -> WorkUnitRow:
    """Return the unit of a lease that may write; give it back to a late device where possible.

    Raises:
        ConflictError: another attempt took over, or the lease has ended.
    """
    unit = repository.unit_by_id(session, lease.unit_id)
    if unit is None or attempt != lease.attempt or unit.attempts != lease.attempt:
        raise _superseded("Another attempt took over.")
    if lease.state == LeaseState.EXPIRED and unit.state == WorkState.QUEUED:
        other = repository.active_lease(session, lease.device_id)
        if other is not None:
            raise _superseded("This device has other work now.")
        lease.state = next_lease_state(LeaseState(lease.state), LeaseState.ACTIVE)
        unit.state = next_work_state(WorkState(unit.state), WorkState.LEASED)
        unit.reasons = unit.reasons[:-1]  # it was not lost after all
    if lease.state != LeaseState.ACTIVE:
        raise _superseded(f"This attempt is {lease.state}.")
    return unit


def end_unit(session: Session, unit: WorkUnitRow, state: WorkState, desk: Desk) -> None:
    """Put a unit into a final state and tell its job."""
    unit.state = next_work_state(WorkState(unit.state), state)
    unit.finished_at = desk.now
    session.flush()
    desk.listener.finished(session, unit.job_id, unit.id)


def fail_attempt(session: Session, unit: WorkUnitRow, reason: str, desk: Desk) -> None:
    """Queue a unit again after an attempt, or let it fail where there were too many."""
    unit.reasons = [*unit.reasons, f"attempt {unit.attempts}: {reason}"]
    state = desk.rules.after_failure(unit.attempts)
    if state is WorkState.FAILED:
        end_unit(session, unit, state, desk)
        return
    unit.state = next_work_state(WorkState(unit.state), state)


def _superseded(detail: str) -> ConflictError:
    return ConflictError(
        f"{detail} Drop the results.", code="lease-superseded", extra={"discard": True}
    )


def _note_target(session: Session, device: DeviceRow, claim: Claim, now: datetime) -> None:
    if claim.target.fingerprint == device.target_fingerprint:
        return
    store_target(session, claim.target, now)
    device.target_fingerprint = claim.target.fingerprint


def _note_seen(session: Session, device_id: str, desk: Desk) -> None:
    device = repository.device_by_id(session, device_id)
    if device is not None and desk.rules.is_unseen(device.last_seen_at, desk.now):
        device.last_seen_at = desk.now


def _held_lease(session: Session, device: DeviceRow, desk: Desk) -> LeaseRow | None:
    """Return the unfinished lease of the device, unless it ran out or the device has changed."""
    lease = repository.active_lease(session, device.id)
    if lease is None:
        return None
    unit = repository.unit_by_id(session, lease.unit_id, lock=True)
    session.refresh(lease)
    if unit is None or lease.state != LeaseState.ACTIVE:
        return None
    if lease.target_fingerprint != device.target_fingerprint:
        lease.state = next_lease_state(LeaseState(lease.state), LeaseState.SUPERSEDED)
        fail_attempt(session, unit, "the device changed in between", desk)
    elif lease.expires_at < desk.now:
        lease.state = next_lease_state(LeaseState(lease.state), LeaseState.EXPIRED)
        fail_attempt(session, unit, f"no sign of life for {desk.rules.lease_s:g} s", desk)
    else:
        _renew(lease, desk)
        return lease
    session.flush()
    return None


def _next_lease(session: Session, device: DeviceRow, claim_id: str, desk: Desk) -> LeaseRow | None:
    while (unit := repository.oldest_queued_unit(session, device.id)) is not None:
        for old in repository.open_leases_of_unit(session, unit.id):
            old.state = next_lease_state(LeaseState(old.state), LeaseState.SUPERSEDED)
        unit.state = next_work_state(WorkState(unit.state), WorkState.LEASED)
        work = _work_left(session, unit, device.target_fingerprint)
        if measurement_count(work) == 0:
            end_unit(session, unit, WorkState.DONE, desk)
            continue
        work = with_checks(session, device, unit, work)
        unit.attempts += 1
        lease = LeaseRow(
            id=new_id(),
            unit_id=unit.id,
            device_id=device.id,
            claim_id=claim_id,
            attempt=unit.attempts,
            state=LeaseState.ACTIVE.value,
            target_fingerprint=device.target_fingerprint,
            work=codec.encode(work).decode(),
            total=measurement_count(work),
            created_at=desk.now,
        )
        _renew(lease, desk)
        session.add(lease)
        return lease
    return None


def _work_left(session: Session, unit: WorkUnitRow, fingerprint: str) -> ProfileWork | VerifyWork:
    """Return the work of a unit less what its earlier attempts have measured on this target."""
    if unit.kind == WorkKind.VERIFY:
        return codec.from_plain(unit.work, VerifyWork)
    work = codec.from_plain(unit.work, ProfileWork)
    keys = repository.good_spec_keys(session, unit.id, fingerprint)
    names = repository.good_network_names(session, unit.id, fingerprint)
    return remaining_work(work, {spec for spec in work.operators if spec.key in keys}, names)


def _renew(lease: LeaseRow, desk: Desk) -> None:
    lease.expires_at = desk.rules.expiry(desk.now)
    lease.renewed_at = desk.now


def _lease_message(session: Session, lease: LeaseRow, desk: Desk) -> Lease:
    unit = repository.unit_by_id(session, lease.unit_id)
    assert unit is not None  # noqa: S101 - a foreign key holds it
    kind = WorkKind(unit.kind)
    is_profile = kind is WorkKind.PROFILE
    return Lease(
        lease_id=lease.id,
        attempt=lease.attempt,
        kind=kind,
        expires_in_s=(lease.expires_at - desk.now).total_seconds(),
        heartbeat_every_s=desk.rules.heartbeat_s,
        profile=codec.decode(lease.work, ProfileWork) if is_profile else None,
        verify=None if is_profile else codec.decode(lease.work, VerifyWork),
    )
