"""Devices: enrolled, found, seen."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from latency import codec
from latency.messages import Registered, Registration
from latency.target import Target
from service.access.tokens import TokenKind
from service.access.use_cases import create_token, use_enrolment
from service.database import insert_if_absent
from service.devices import repository
from service.devices.rules import LeaseRules
from service.errors import NotFoundError
from service.tables.base import new_id
from service.tables.device import DeviceRow
from service.tables.target import TargetRow


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device and the target that it was when it last called."""

    id: str
    name: str
    target: Target
    agent_version: str
    created_at: datetime
    last_seen_at: datetime
    agreed: int  # profiles in a row that came out as known; see service.devices.trust

    @property
    def target_fingerprint(self) -> str:
        """The key of the device's latency tables."""
        return self.target.fingerprint

    def is_online(self, rules: LeaseRules, now: datetime) -> bool:
        """Whether the device has called lately."""
        return (now - self.last_seen_at).total_seconds() < rules.lease_s + rules.last_seen_s


def register_device(
    session: Session, token_id: str, registration: Registration, now: datetime
) -> Registered:
    """Enrol a device with a single-use token; a name in use gets a number behind it.

    Raises:
        ConflictError: the token was used already.
    """
    use_enrolment(session, token_id, now)
    store_target(session, registration.target, now)
    name = _free_name(registration.name, repository.device_names_like(session, registration.name))
    device = DeviceRow(
        id=new_id(),
        name=name,
        target_fingerprint=registration.target.fingerprint,
        agent_version=registration.agent_version,
        created_at=now,
        last_seen_at=now,
    )
    session.add(device)
    session.flush()
    issued = create_token(session, TokenKind.AGENT, name=name, now=now, device_id=device.id)
    return Registered(device_id=device.id, token=issued.token)


def get_device(session: Session, device_id: str) -> Device:
    """Return one device.

    Raises:
        NotFoundError: there is none with this id.
    """
    found = repository.device_with_target(session, device_id)
    if found is None:
        raise NotFoundError("There is no device with this id; see GET /v1/devices.")
    return _device(*found)


def find_device(session: Session, id_or_name: str) -> Device:
    """Return the device with this id, or else with this name.

    Raises:
        NotFoundError: there is none; the message lists the names that there are.
    """
    row = repository.device_by_id(session, id_or_name)
    row = row or repository.device_by_name(session, id_or_name)
    if row is None:
        names = [device.name for device in list_devices(session, limit=20, offset=0)]
        known = ", ".join(names) or "none: enrol one with `edgewright-agent join`"
        raise NotFoundError(f"There is no such device. Known devices: {known}.")
    return get_device(session, row.id)


def list_devices(session: Session, *, limit: int, offset: int) -> Sequence[Device]:
    """Return a page of all devices, by name."""
    return [_device(*found) for found in repository.devices_by_name(session, limit, offset)]


def quarantine_counts(session: Session, devices: Sequence[Device]) -> dict[str, int]:
    """Return by id how many measurements of each device no table uses, where there are any."""
    return repository.quarantine_counts(session, [device.id for device in devices])


def store_target(session: Session, target: Target, now: datetime) -> None:
    """Store a target, once per fingerprint."""
    insert_if_absent(
        session,
        TargetRow,
        {"fingerprint": target.fingerprint, "target": codec.to_plain(target), "created_at": now},
    )


def may_read_artifact(session: Session, device_id: str, sha256: str) -> bool:
    """Whether the device needs this artifact for work that is leased to it."""
    return repository.is_leased_artifact(session, device_id, sha256)


def _device(row: DeviceRow, target: TargetRow) -> Device:
    return Device(
        id=row.id,
        name=row.name,
        target=codec.from_plain(target.target, Target),
        agent_version=row.agent_version,
        created_at=row.created_at,
        last_seen_at=row.last_seen_at,
        agreed=row.agreed,
    )


def _free_name(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
