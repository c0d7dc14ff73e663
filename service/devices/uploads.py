"""Results of leases: chunks, each stored as a whole or not at all, and the end of an attempt."""

import statistics
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from latency import codec
from latency.graph import NetworkGraph
from latency.measurement import Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import Chunk, Finish, FinishAnswer, Outcome, ProfileWork, VerifyWork, WorkKind
from latency.operator import OperatorSpec
from latency.quarantine import Evidence, judge
from service.devices import repository
from service.devices.checks import checks_of, release, settle
from service.devices.incoming import clean_text, digest_of_chunks
from service.devices.leasing import Desk, end_unit, fail_attempt, find_lease, open_lease
from service.devices.trust import PENDING
from service.errors import ConflictError, InvalidValueError, invalid_field
from service.lifecycle import LeaseState, WorkState, next_lease_state
from service.tables.device import DeviceRow
from service.tables.lease import ChunkRow, LeaseRow
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow
from service.tables.work_unit import WorkUnitRow


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A checked chunk, made ready before the transaction so that this one is short."""

    position: int
    sha256: str
    chunk: Chunk
    operator_values: tuple[dict[str, Any], ...]  # columns of MeasurementRow, in order
    operator_reasons: tuple[str, ...]  # why an operator is in quarantine, in order
    network_reasons: tuple[str, ...]  # why a network is in quarantine, in order

    @classmethod
    def of(cls, position: int, sha256: str, chunk: Chunk, evidence: Evidence) -> "Upload":
        """Return the upload of a chunk whose body has this digest, judged by the evidence."""
        verdict = judge(chunk.operators, chunk.networks, evidence)
        return cls(
            position=position,
            sha256=sha256,
            chunk=chunk,
            operator_values=tuple(map(_operator_values, chunk.operators)),
            operator_reasons=verdict.operators,
            network_reasons=verdict.networks,
        )


def store_chunk(
    session: Session, device_id: str, lease_id: str, upload: Upload, desk: Desk
) -> None:
    """Store one upload with all its measurements; the same upload again changes nothing.

    Raises:
        NotFoundError: not a lease of this device.
        ConflictError: another attempt took over, or other bytes were stored at this position.
        InvalidValueError: a measurement that the lease did not ask for.
    """
    lease = find_lease(session, device_id, lease_id)
    chunk = upload.chunk
    stored = repository.chunk(session, lease_id, upload.position)
    if stored is not None:
        if stored.sha256 != upload.sha256:
            raise ConflictError("Another chunk was stored at this index.", code="chunk-conflict")
        return
    unit = open_lease(session, lease, chunk.attempt)
    graphs = _check_was_asked(lease, unit, chunk)
    session.add(
        ChunkRow(
            lease_id=lease_id,
            position=upload.position,
            sha256=upload.sha256,
            measurements=len(chunk.operators) + len(chunk.networks),
            conditions=codec.to_plain(chunk.conditions),
            conditions_after=_plain_or_none(chunk.conditions_after),
            created_at=desk.now,
        )
    )
    checks = checks_of(lease, unit)
    waiting = PENDING if checks else ""
    common = _common_values(lease, chunk, desk)
    if upload.operator_values:
        rows = [
            values | _quarantine(values["error"], reason or waiting) | common
            for values, reason in zip(upload.operator_values, upload.operator_reasons, strict=True)
        ]
        session.execute(insert(MeasurementRow), rows)
    if chunk.networks:
        rows = [
            _network_values(measured, graphs[measured.name])
            | _quarantine(measured.error, reason or waiting)
            | common
            for measured, reason in zip(chunk.networks, upload.network_reasons, strict=True)
        ]
        session.execute(insert(NetworkMeasurementRow), rows)
    session.flush()
    if checks:
        release(session, lease, checks)


def finish_lease(
    session: Session, device_id: str, lease_id: str, finish: Finish, desk: Desk
) -> FinishAnswer:
    """End an attempt; the same message again gets the same answer.

    Raises:
        NotFoundError: not a lease of this device.
        ConflictError: another attempt took over, or the chunks are not those that were stored.
        InvalidValueError: the attempt calls itself done and results are missing.
    """
    repository.device_by_id(session, device_id, lock=True)  # first, as in every transaction
    lease = find_lease(session, device_id, lease_id)
    if lease.state in (LeaseState.FINISHED, LeaseState.FAILED) and lease.digest == finish.digest:
        return FinishAnswer(digest=finish.digest)
    unit = open_lease(session, lease, finish.attempt)
    _check_chunks(session, lease, finish)
    lease.digest = finish.digest
    lease.finished_at = desk.now
    if finish.outcome is Outcome.DONE:
        _check_complete(session, lease, unit)
        _judge_device(session, lease, unit)
        lease.state = next_lease_state(LeaseState(lease.state), LeaseState.FINISHED)
        lease.done = lease.total
        _end_measured_unit(session, lease, unit, desk)
    else:
        lease.reason = clean_text(finish.reason) or "the device gave no reason"
        lease.state = next_lease_state(LeaseState(lease.state), LeaseState.FAILED)
        fail_attempt(session, unit, lease.reason, desk)
    session.flush()
    return FinishAnswer(digest=finish.digest)


def _judge_device(session: Session, lease: LeaseRow, unit: WorkUnitRow) -> None:
    if checks := checks_of(lease, unit):
        device = session.get_one(DeviceRow, lease.device_id)
        settle(session, device, lease, checks)


def _end_measured_unit(session: Session, lease: LeaseRow, unit: WorkUnitRow, desk: Desk) -> None:
    """End a unit, or have measured again what is in quarantine, as long as attempts are left."""
    reasons = repository.quarantine_reasons(session, lease.id)
    if reasons and desk.rules.after_failure(unit.attempts) is WorkState.QUEUED:
        reason = f"{len(reasons)} results are in quarantine, the first because: {reasons[0]}"
        fail_attempt(session, unit, reason, desk)
    else:
        end_unit(session, unit, WorkState.DONE, desk)


def _asked_for(
    lease: LeaseRow, unit: WorkUnitRow
) -> tuple[AbstractSet[OperatorSpec], dict[str, NetworkGraph | None]]:
    """Return the operators, and the networks with their graphs, that a lease asks for."""
    if unit.kind == WorkKind.VERIFY:
        verify = codec.decode(lease.work, VerifyWork)
        return frozenset(), {verify.name: verify.graph}
    profile = codec.decode(lease.work, ProfileWork)
    return set(profile.operators), {net.name: net.graph for net in profile.networks}


def _check_was_asked(
    lease: LeaseRow, unit: WorkUnitRow, chunk: Chunk
) -> dict[str, NetworkGraph | None]:
    specs, graphs = _asked_for(lease, unit)
    for index, operator in enumerate(chunk.operators):
        if operator.spec not in specs:
            raise invalid_field(
                f"/operators/{index}/spec",
                "This lease did not ask for this operator.",
                code="unexpected-result",
            )
    for index, network in enumerate(chunk.networks):
        if network.name not in graphs:
            raise invalid_field(
                f"/networks/{index}/name",
                "This lease did not ask for a network of this name.",
                code="unexpected-result",
            )
    return graphs


def _check_chunks(session: Session, lease: LeaseRow, finish: Finish) -> None:
    stored = repository.chunk_digests(session, lease.id)
    positions = [position for position, _ in stored]
    if positions != list(range(finish.chunks)):
        raise ConflictError(
            f"{len(positions)} chunks are stored, not those from 0 to {finish.chunks - 1}.",
            code="chunks-missing",
        )
    if digest_of_chunks([digest for _, digest in stored]) != finish.digest:
        raise ConflictError("The digest is not that of the stored chunks.", code="chunk-conflict")


def _check_complete(session: Session, lease: LeaseRow, unit: WorkUnitRow) -> None:
    specs, graphs = _asked_for(lease, unit)
    operators = {spec.key for spec in specs} - repository.measured_spec_keys(session, lease.id)
    networks = graphs.keys() - repository.measured_network_names(session, lease.id)
    if operators or networks:
        raise InvalidValueError(
            f"Results of {len(operators)} operators and {len(networks)} networks are missing.",
            code="results-incomplete",
        )


def _common_values(lease: LeaseRow, chunk: Chunk, desk: Desk) -> dict[str, Any]:
    return {
        "unit_id": lease.unit_id,
        "lease_id": lease.id,
        "device_id": lease.device_id,
        "target_fingerprint": lease.target_fingerprint,
        "measured_at": chunk.conditions.started_at,
        "received_at": desk.now,
    }


def _operator_values(measured: OperatorMeasurement) -> dict[str, Any]:
    samples = measured.samples
    return {
        "spec_key": measured.spec.key,
        "kind": measured.spec.kind.value,
        "spec": measured.spec.canonical_json,
        "samples": None if samples is None else codec.encode(samples).decode(),
        "error": clean_text(measured.error),
        "unstable": clean_text(measured.unstable),
        "reference_ns": None if samples is None else _median(samples.reference_ns),
    }


def _network_values(measured: NetworkMeasurement, graph: NetworkGraph | None) -> dict[str, Any]:
    return {
        "name": measured.name,
        "measurement": codec.to_plain(replace(measured, graph=None)),
        "graph": None if graph is None else graph.to_dict(),
        "error": clean_text(measured.error),
        "reference_ns": _median(chain.from_iterable(measured.reference_ns)),
    }


def _quarantine(error: str, reason: str) -> dict[str, str]:
    """Return the column of a reason; what failed has nothing that could be used."""
    return {"quarantine": "" if error else reason}


def _median(times_ns: Iterable[int]) -> int | None:
    times = list(times_ns)
    return round(statistics.median(times)) if times else None


def _plain_or_none(conditions: Conditions | None) -> Any:
    return None if conditions is None else codec.to_plain(conditions)
