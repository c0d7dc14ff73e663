"""What a device measured without this service, stored as if its agent had uploaded it.

An import is a work unit whose one lease nobody claimed: it goes through the same checks and the
same rows as an agent's, so nothing that reads measurements has to know of files.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from sqlalchemy.orm import Session

from latency import codec
from latency.exchange.profile_file import ProfileFile
from latency.measurement import NetworkMeasurement, OperatorMeasurement
from latency.messages import MAX_CHUNK_ROWS, Chunk, Finish, NamedGraph, Outcome, ProfileWork
from service.devices import repository
from service.devices.evidence import evidence_of
from service.devices.incoming import check_chunk, check_target, digest_of_chunks
from service.devices.leasing import Desk
from service.devices.rules import LeaseRules, measurement_count
from service.devices.uploads import Upload, finish_lease, store_chunk
from service.devices.use_cases import Device, get_device, store_target
from service.devices.withdrawn import withdrawn_samples
from service.devices.work import request_profile
from service.errors import ConflictError, invalid_field
from service.lifecycle import LeaseState, WorkState, next_work_state
from service.tables.base import new_id
from service.tables.device import DeviceRow
from service.tables.lease import IMPORT_CLAIM, LeaseRow
from service.tables.target import TargetRow
from service.tables.work_unit import WorkUnitRow

IMPORTED = "imported"  # agent version of a device that is known from files only
_ATTEMPT = 1
_MAX_MEASUREMENTS = 50_000

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class StoredProfile:
    """What a file brought of one device, and what was thought of it."""

    unit_id: str
    uploads: tuple[Upload, ...]

    @property
    def judged(self) -> Iterator[tuple[OperatorMeasurement | NetworkMeasurement, str]]:
        """Each measurement with the reason why it is in quarantine; empty where it is not."""
        for upload in self.uploads:
            yield from zip(upload.chunk.operators, upload.operator_reasons, strict=True)
            yield from zip(upload.chunk.networks, upload.network_reasons, strict=True)


class _Nobody:
    """The flow that waits for an imported unit: there is none."""

    def finished(self, session: Session, job_id: str, unit_id: str) -> None:
        del session, job_id, unit_id


def check_profile(profile: ProfileFile) -> tuple[Chunk, ...]:
    """Return the measurements of a profile as an agent would upload them, after its checks.

    Raises:
        InvalidValueError: a value that no measurement can have, or a network without its graph.
    """
    check_target(profile.target)
    count = len(profile.operators) + len(profile.networks)
    if not 1 <= count <= _MAX_MEASUREMENTS:
        raise invalid_field("/operators", f"A file has from 1 to {_MAX_MEASUREMENTS} measurements")
    for index, network in enumerate(profile.networks):
        if network.graph is None:
            raise invalid_field(f"/networks/{index}/graph", "A network needs its graph")
    for field, things in (
        ("operators", [measured.spec for measured in profile.operators]),
        ("networks", [measured.name for measured in profile.networks]),
    ):
        if len(set(things)) != len(things):
            raise invalid_field(f"/{field}", "Something is measured twice in one file")
    chunks = tuple(_chunks(profile))
    for chunk in chunks:
        check_chunk(chunk)
    return chunks


def imported_device(session: Session, name: str, profile: ProfileFile, now: datetime) -> Device:
    """Return the device of this id or name; a new name becomes a device that has no agent.

    Raises:
        ConflictError: the device is another target than that of the profile.
    """
    row = repository.device_by_id(session, name) or repository.device_by_name(session, name)
    if row is None:
        store_target(session, profile.target, now)
        measured_at = datetime.fromisoformat(profile.conditions.started_at).astimezone(UTC)
        row = DeviceRow(
            id=new_id(),
            name=name,
            target_fingerprint=profile.target.fingerprint,
            agent_version=IMPORTED,
            created_at=now,
            last_seen_at=min(measured_at, now),
        )
        session.add(row)
        session.flush()
    device = get_device(session, row.id)
    if device.target_fingerprint != profile.target.fingerprint:
        raise ConflictError(
            f"This device is {device.target.label()}; the file was measured on another target. "
            "Import it under another name.",
            code="target-differs",
        )
    return device


def store_profile(
    session: Session, device_id: str, job_id: str, claim: str, chunks: Sequence[Chunk], desk: Desk
) -> StoredProfile:
    """Store checked measurements of a device, those that cannot be used in quarantine.

    Args:
        session: in a transaction.
        device_id: of the device that measured.
        job_id: of the import.
        claim: says which part of which file this is; the same one is stored once.
        chunks: what `check_profile` has returned.
        desk: of `import_desk`.

    Raises:
        ConflictError: this part was imported for this device already.
    """
    if repository.is_claim_used(session, device_id, IMPORT_CLAIM + claim):
        raise ConflictError(
            "This file was imported for this device already.", code="imported-already"
        )
    work = ProfileWork(
        operators=tuple(measured.spec for chunk in chunks for measured in chunk.operators),
        networks=tuple(
            NamedGraph(name=measured.name, graph=measured.graph)
            for chunk in chunks
            for measured in chunk.networks
            if measured.graph is not None
        ),
    )
    unit_id = request_profile(session, device_id, job_id, work, now=desk.now)
    lease = _lease(session, unit_id, IMPORT_CLAIM + claim, work, desk)
    target = session.get_one(TargetRow, lease.target_fingerprint)
    withdrawn = withdrawn_samples(session, target.fingerprint)
    evidence = replace(evidence_of(session, target), withdrawn=withdrawn)
    uploads = []
    for index, chunk in enumerate(chunks):
        upload = Upload.of(index, digest_of_chunks([claim, str(index)]), chunk, evidence)
        store_chunk(session, device_id, lease.id, upload, desk)
        uploads.append(upload)
    finish = Finish(
        attempt=_ATTEMPT,
        outcome=Outcome.DONE,
        chunks=len(chunks),
        digest=digest_of_chunks([upload.sha256 for upload in uploads]),
    )
    finish_lease(session, device_id, lease.id, finish, desk)
    return StoredProfile(unit_id=unit_id, uploads=tuple(uploads))


def import_desk(rules: LeaseRules, now: datetime) -> Desk:
    """Return the desk of an import: nobody waits for its units, or measures anything again."""
    return Desk(rules=replace(rules, max_attempts=_ATTEMPT), listener=_Nobody(), now=now)


def _lease(
    session: Session, unit_id: str, claim_id: str, work: ProfileWork, desk: Desk
) -> LeaseRow:
    unit = session.get_one(WorkUnitRow, unit_id)
    unit.state = next_work_state(WorkState(unit.state), WorkState.LEASED)
    unit.attempts = _ATTEMPT
    lease = LeaseRow(
        id=new_id(),
        unit_id=unit.id,
        device_id=unit.device_id,
        claim_id=claim_id,
        attempt=_ATTEMPT,
        state=LeaseState.ACTIVE.value,
        target_fingerprint=get_device(session, unit.device_id).target_fingerprint,
        work=codec.encode(work).decode(),
        total=measurement_count(work),
        expires_at=desk.now,
        renewed_at=desk.now,
        created_at=desk.now,
    )
    session.add(lease)
    session.flush()
    return lease


def _chunks(profile: ProfileFile) -> Iterator[Chunk]:
    chunk = Chunk(
        attempt=_ATTEMPT,
        conditions=profile.conditions,
        conditions_after=profile.conditions_after,
    )
    for operators in _batches(profile.operators):
        yield replace(chunk, operators=operators)
    for networks in _batches(profile.networks):
        yield replace(chunk, networks=networks)


def _batches(items: Sequence[T]) -> Iterator[tuple[T, ...]]:
    rest = iter(items)
    while batch := tuple(islice(rest, MAX_CHUNK_ROWS)):
        yield batch
