"""Checks of a lease: operators that nobody asked for, known on the target, to judge the device by.

They are the part of a lease's work that its unit does not have. What a lease with checks brings is
used for nothing until enough of them have come out as known.
"""

import secrets
from collections.abc import Collection, Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from latency import codec
from latency.measurement import ChainSamples, marginal_cost
from latency.messages import ProfileWork, VerifyWork, WorkKind
from latency.operator import OperatorSpec
from latency.rows import table_rows
from latency.table import TableRow
from service.devices import check_queries
from service.devices.stored import raw_measurement
from service.devices.trust import (
    CHECKS,
    ENOUGH,
    PENDING,
    agrees,
    is_usable,
    mixed,
    ratio,
    refusal,
    share_checked,
)
from service.tables.device import DeviceRow
from service.tables.lease import LeaseRow
from service.tables.work_unit import WorkUnitRow

_LOOKED_AT = 4 * CHECKS  # known operators, of which those that are known well are taken

_RANDOM = secrets.SystemRandom()


def with_checks(
    session: Session,
    device: DeviceRow,
    unit: WorkUnitRow,
    work: ProfileWork | VerifyWork,
) -> ProfileWork | VerifyWork:
    """Return what is left of a unit, with operators that the device is judged by where it is its turn.

    Nothing of its job is among them: what an earlier attempt or round has measured is not asked for
    again.
    """
    if isinstance(work, VerifyWork) or not work.operators:
        return work
    if _RANDOM.random() >= share_checked(device.agreed):
        return work
    asked = {
        spec.key
        for plain in check_queries.profiles_of_job(session, unit.job_id, unit.device_id)
        for spec in codec.from_plain(plain, ProfileWork).operators
    }
    known = sorted(check_queries.known_spec_keys(session, device.target_fingerprint) - asked)
    looked_at = _RANDOM.sample(known, min(_LOOKED_AT, len(known)))
    rows = list(filter(is_usable, _known(session, device.target_fingerprint, looked_at)))
    if len(rows) < ENOUGH:
        return work  # they would decide nothing, and what waits for them would wait forever
    checks = [row.spec for row in _RANDOM.sample(rows, min(CHECKS, len(rows)))]
    return replace(work, operators=mixed(work.operators, checks, _RANDOM))


def checks_of(lease: LeaseRow, unit: WorkUnitRow) -> frozenset[OperatorSpec]:
    """Return the operators by which a lease is judged; none where it is not."""
    if unit.kind != WorkKind.PROFILE:
        return frozenset()
    asked = codec.from_plain(unit.work, ProfileWork).operators
    return frozenset(codec.decode(lease.work, ProfileWork).operators).difference(asked)


def release(session: Session, lease: LeaseRow, checks: Collection[OperatorSpec]) -> None:
    """Let the results so far be used, where the checks that are in agree with what is known."""
    times = _times(session, lease, checks)
    if times is not None and agrees(times):
        check_queries.replace_quarantine(session, lease.id, (PENDING,), "")


def settle(
    session: Session, device: DeviceRow, lease: LeaseRow, checks: Collection[OperatorSpec]
) -> None:
    """Let all results of a lease that is done be used, or none of them.

    Its agreement is counted for the device. Where too few checks can be compared, because they failed
    or because what was known has been withdrawn since, nothing speaks against the results, and
    nothing is counted.
    """
    times = _times(session, lease, checks)
    if times is None or agrees(times):
        check_queries.replace_quarantine(session, lease.id, (PENDING,), "")
    else:
        check_queries.replace_quarantine(session, lease.id, ("", PENDING), refusal(times))
    if times is not None:
        device.agreed = device.agreed + 1 if agrees(times) else 0


def _times(session: Session, lease: LeaseRow, checks: Collection[OperatorSpec]) -> float | None:
    """Return how many times as long as known the checks took; None where too few can be compared."""
    keys = [spec.key for spec in checks]
    found = {
        row.spec_key: marginal_cost(codec.decode(row.samples, ChainSamples)).median_ns
        for row in check_queries.measured_operators(session, lease.id, keys)
        if row.samples is not None
    }
    known = _known(session, lease.target_fingerprint, keys, lease)
    return ratio(found, {row.spec.key: row.median_ns for row in known})


def _known(
    session: Session, fingerprint: str, keys: Sequence[str], lease: LeaseRow | None = None
) -> Sequence[TableRow]:
    """Return what is known of operators besides a lease: from other devices, else from its own."""
    own = None if lease is None else lease.id
    rows = check_queries.good_measurements(session, fingerprint, keys, own)
    if lease is not None:
        elsewhere = {row.spec_key for row in rows if row.device_id != lease.device_id}
        rows = [
            row for row in rows if row.device_id != lease.device_id or row.spec_key not in elsewhere
        ]
    return table_rows(raw_measurement(row) for row in rows)
