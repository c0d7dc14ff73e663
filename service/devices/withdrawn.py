"""Samples of a target that were withdrawn: a file that was made before may bring them again.

Nothing is written down for that: what a device measured stays stored when it is withdrawn, and a
measurement is known again by its operator and its times, whatever a file says beside them.
"""

from sqlalchemy.orm import Session

from latency import codec
from latency.measurement import ChainSamples, NetworkMeasurement, OperatorMeasurement
from latency.operator import OperatorSpec
from latency.quarantine import WITHDRAWN, Identity, identity_of
from service.devices import repository
from service.devices.use_cases import get_device
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow


def withdrawn_samples(
    session: Session, fingerprint: str, device_id: str | None = None
) -> dict[Identity, str]:
    """Return the withdrawn measurements of a target with the names of their devices.

    Args:
        session: to read from.
        fingerprint: of the target.
        device_id: only those of this device; None: of all.
    """
    rows = [
        row
        for row in repository.judged_rows(session, fingerprint, [WITHDRAWN])
        if device_id in (None, row.device_id)
    ]
    names = {one: get_device(session, one).name for one in {row.device_id for row in rows}}
    return {identity_of_row(row): names[row.device_id] for row in rows}


def withdraw_copies(session: Session, device_id: str) -> set[str]:
    """Withdraw what files brought of the samples of a withdrawn device, under any name.

    Returns the ids of the other devices that had some; the same ones when it is called again.
    """
    found: set[str] = set()
    for fingerprint in repository.targets_of(session, device_id):
        withdrawn = withdrawn_samples(session, fingerprint, device_id)
        for row in repository.judged_rows(session, fingerprint, ["", WITHDRAWN], imported=True):
            if row.device_id != device_id and identity_of_row(row) in withdrawn:
                row.quarantine = WITHDRAWN
                found.add(row.device_id)
    session.flush()
    return found


def identity_of_row(row: MeasurementRow | NetworkMeasurementRow) -> Identity:
    """Return what a stored measurement that succeeded is known by."""
    if isinstance(row, NetworkMeasurementRow):
        return identity_of(codec.from_plain(row.measurement, NetworkMeasurement))
    return identity_of(
        OperatorMeasurement(
            spec=codec.decode(row.spec, OperatorSpec),
            samples=codec.decode(row.samples or "", ChainSamples),
        )
    )
