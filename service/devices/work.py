"""Work for devices, as the flows of jobs ask for it: requested, looked at, cancelled."""

from dataclasses import replace
from datetime import datetime

from sqlalchemy.orm import Session

from latency import codec
from latency.graph import NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.messages import ProfileWork, VerifyWork, WorkKind
from service.devices import repository
from service.errors import NotFoundError
from service.lifecycle import LeaseState, WorkState, next_lease_state, next_work_state
from service.tables.base import new_id
from service.tables.work_unit import WorkUnitRow


def request_profile(
    session: Session, device_id: str, job_id: str, work: ProfileWork, *, now: datetime
) -> str:
    """Ask a device to time operators and networks; returns the id of the work unit.

    Raises:
        NotFoundError: there is no such device.
        ValueError: there is nothing to do, or two networks have one name.
    """
    names = [network.name for network in work.networks]
    if not work.operators and not names:
        raise ValueError("profile work: it has neither operators nor networks")
    if len(set(names)) != len(names) or len(set(work.operators)) != len(work.operators):
        raise ValueError("profile work: a network or an operator is listed twice")
    return _add_unit(session, device_id, job_id, work, now)


def request_verify(
    session: Session, device_id: str, job_id: str, work: VerifyWork, *, now: datetime
) -> str:
    """Ask a device to time one network; returns the id of the work unit.

    Raises:
        NotFoundError: there is no such device.
        ValueError: the work names both an artifact and a graph, or neither.
    """
    if bool(work.artifact_sha256) == (work.graph is not None):
        raise ValueError("verify work: it needs an artifact or a graph, and not both")
    return _add_unit(session, device_id, job_id, work, now)


def cancel_work(session: Session, job_id: str, *, now: datetime) -> int:
    """Cancel what devices still have to do for a job; returns how many units that was."""
    units = repository.open_units_of_job(session, job_id)
    for unit in units:
        unit.state = next_work_state(WorkState(unit.state), WorkState.CANCELLED)
        unit.finished_at = now
        for lease in repository.open_leases_of_unit(session, unit.id):
            lease.state = next_lease_state(LeaseState(lease.state), LeaseState.CANCELLED)
            lease.finished_at = now
    session.flush()
    return len(units)


def work_state(session: Session, unit_id: str) -> tuple[WorkState, str]:
    """Return the state of a unit, and why its attempts failed where they did.

    Raises:
        NotFoundError: there is no such unit.
    """
    unit = _unit(session, unit_id)
    return WorkState(unit.state), "; ".join(unit.reasons)


def work_progress(session: Session, unit_id: str) -> tuple[int, int]:
    """Return (measurements done, measurements asked for) of the newest attempt at a unit."""
    lease = repository.newest_lease(session, unit_id)
    return (0, 0) if lease is None else (lease.done, lease.total)


def network_results(session: Session, unit_id: str) -> list[NetworkMeasurement]:
    """Return the newest measurement of each network of a unit; a good one before an error.

    One that is in quarantine is an error.
    """
    newest: dict[str, NetworkMeasurement] = {}
    for row in repository.network_rows(session, unit_id):
        error = f"in quarantine: {row.quarantine}" if row.quarantine else row.error
        if error and not newest.get(row.name, _FAILED).error:
            continue
        measured = codec.from_plain(row.measurement, NetworkMeasurement)
        graph = None if row.graph is None else NetworkGraph.from_dict(row.graph)
        newest[row.name] = replace(measured, graph=graph, error=error)
    return list(newest.values())


def fastest_reference_ns(session: Session, unit_id: str) -> int | None:
    """Return the least that the reference model took beside a network where a unit was measured.

    None where no agent has said it.
    """
    rows = repository.network_rows(session, unit_id)
    if not rows:
        return None
    return repository.fastest_reference(session, rows[-1].device_id, rows[-1].target_fingerprint)


_FAILED = NetworkMeasurement(name="", processes_ns=(), error="not measured")


def _add_unit(
    session: Session, device_id: str, job_id: str, work: ProfileWork | VerifyWork, now: datetime
) -> str:
    if repository.device_by_id(session, device_id) is None:
        raise NotFoundError("There is no device with this id; see GET /v1/devices.")
    kind = WorkKind.PROFILE if isinstance(work, ProfileWork) else WorkKind.VERIFY
    artifact = work.artifact_sha256 if isinstance(work, VerifyWork) else ""
    unit = WorkUnitRow(
        id=new_id(),
        device_id=device_id,
        job_id=job_id,
        kind=kind.value,
        state=WorkState.QUEUED.value,
        work=codec.to_plain(work),
        artifact_sha256=artifact or None,
        reasons=[],
        created_at=now,
    )
    session.add(unit)
    session.flush()
    return unit.id


def _unit(session: Session, unit_id: str) -> WorkUnitRow:
    unit = repository.unit_by_id(session, unit_id)
    if unit is None:
        raise NotFoundError("There is no work unit with this id.")
    return unit
