"""Checks of a lease: operators that nobody asked for, known on the target, to judge the device by.

They are the part of a lease's work that its unit does not have. What a lease with checks brings is
used for nothing until enough of them have come out as known.
"""

import random
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

_random = secrets.SystemRandom()


def with_checks(
    session: Session,
    device: DeviceRow,
    unit: WorkUnitRow,
    work: ProfileWork | VerifyWork,
    rng: random.Random = _random,
) -> ProfileWork | VerifyWork:
    """Return what is left of a unit, with operators that the device is judged by where it is its turn.

    Nothing of its job is among them: what an earlier attempt or round has measured is not asked for
    again.
    """
    if isinstance(work, VerifyWork) or not work.operators:
        return work
    if rng.random() >= share_checked(device.agreed):
        return work
    asked = {
        spec.key
        for plain in check_queries.profiles_of_job(session, unit.job_id, unit.device_id)
        for spec in codec.from_plain(plain, ProfileWork).operators
    }
    known = sorted(check_queries.known_spec_keys(session, device.target_fingerprint) - asked)
    looked_at = rng.sample(known, min(_LOOKED_AT, len(known)))
    rows = list(filter(is_usable, _known(session, device.target_fingerprint, looked_at)))
    if len(rows) < ENOUGH:
        return work  # they would decide nothing, and what waits for them would wait forever
    checks = [row.spec for row in rng.sample(rows, min(CHECKS, len(rows)))]
    return replace(work, operators=mixed(work.operators, checks, rng))


def checks_of(lease: LeaseRow, unit: WorkUnitRow) -> frozenset[OperatorSpec]:
    """Return the operators by which a lease is judged; none where it is not."""
    if unit.kind != WorkKind.PROFILE:
        return frozenset()
    asked = codec.from_plain(unit.work, ProfileWork).operators
    return frozenset(codec.decode(lease.work, ProfileWork).operators).difference(asked)


def settle(session: Session, lease: LeaseRow, checks: Collection[OperatorSpec]) -> float | None:
    """Let the results of a lease be used, or none of them, as far as its checks decide it.

    Returns:
        How many times as long as known they took; None where too few have come.
    """
    times = _times(session, lease, [spec.key for spec in checks])
    if times is None:
        return None
    if agrees(times):
        check_queries.replace_quarantine(session, lease.id, (PENDING,), "")
    else:
        check_queries.replace_quarantine(session, lease.id, ("", PENDING), refusal(times))
    return times


def note_agreement(device: DeviceRow, times: float | None) -> None:
    """Count a profile for a device, or begin anew."""
    if times is not None:
        device.agreed = device.agreed + 1 if agrees(times) else 0


def _times(session: Session, lease: LeaseRow, keys: Sequence[str]) -> float | None:
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
    rows = check_queries.good_measurements(session, fingerprint, keys)
    if lease is not None:
        rows = [row for row in rows if row.lease_id != lease.id]
        elsewhere = {row.spec_key for row in rows if row.device_id != lease.device_id}
        rows = [
            row for row in rows if row.device_id != lease.device_id or row.spec_key not in elsewhere
        ]
    return table_rows(raw_measurement(row) for row in rows)
