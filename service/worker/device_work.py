"""Steps around the work of devices: ask once, wait without holding anything, read the results."""

import statistics
from typing import Any

from dbos import DBOS
from sqlalchemy import select
from sqlalchemy.orm import Session

from latency import codec
from latency.measurement import NetworkMeasurement
from latency.messages import ProfileWork, VerifyWork, WorkKind
from latency.units import ns_to_ms
from service.devices.work import network_results, request_profile, request_verify, work_state
from service.engine.names import DEVICE_TOPIC
from service.lifecycle import JobState, LeaseState, WorkState
from service.tables.job import JobRow
from service.tables.lease import LeaseRow
from service.tables.work_unit import WorkUnitRow
from service.worker.flow import Flow, JobFailedError, JobStoppedError

# The message that a unit has ended wakes the flow at once; asking is for the case that it is lost.
_FIRST_WAIT_S = 30.0
_LONGEST_WAIT_S = 600.0
_USABLE = (WorkState.QUEUED, WorkState.LEASED, WorkState.DONE)


def ask_device(flow: Flow, session: Session, job: JobRow, work: ProfileWork | VerifyWork) -> str:
    """Return the id of a unit for `work`; a unit that asks for the same is used again.

    A step that was interrupted behind its commit runs again, and a resumed job asks again.
    """
    if job.device_id is None:
        raise JobFailedError({"code": "device-missing", "message": "The job names no device."})
    flow.enter(session, job, JobState.WAITING)
    plain = codec.to_plain(work)
    units = session.scalars(
        select(WorkUnitRow).where(WorkUnitRow.job_id == job.id, WorkUnitRow.state.in_(_USABLE))
    )
    for unit in units:
        if unit.work == plain:
            return unit.id
    request = request_profile if isinstance(work, ProfileWork) else request_verify
    return request(session, job.device_id, job.id, work, now=flow.context.clock())  # type: ignore[arg-type]


def open_profile(session: Session, job_id: str) -> str | None:
    """Return the unit of a job that a device still has to measure, or None."""
    statement = select(WorkUnitRow.id).where(
        WorkUnitRow.job_id == job_id,
        WorkUnitRow.kind == WorkKind.PROFILE,
        WorkUnitRow.state.in_((WorkState.QUEUED, WorkState.LEASED)),
    )
    return session.scalars(statement.order_by(WorkUnitRow.created_at)).first()


def finished_profiles(session: Session, job_id: str, fingerprint: str) -> dict[str, ProfileWork]:
    """Return what a job has had measured on a target, by unit, in the order of asking."""
    statement = (
        select(WorkUnitRow.id, WorkUnitRow.work)
        .join(LeaseRow, LeaseRow.unit_id == WorkUnitRow.id)
        .where(
            WorkUnitRow.job_id == job_id,
            WorkUnitRow.kind == WorkKind.PROFILE,
            WorkUnitRow.state == WorkState.DONE,
            LeaseRow.state == LeaseState.FINISHED,
            LeaseRow.target_fingerprint == fingerprint,
        )
        .order_by(WorkUnitRow.created_at)
    )
    return {
        unit_id: codec.from_plain(work, ProfileWork) for unit_id, work in session.execute(statement)
    }


async def wait_for_device(flow: Flow, unit_id: str) -> None:
    """Return when the unit is done.

    Raises:
        JobFailedError: the device could not do it.
        JobStoppedError: it was cancelled.
    """
    wait_s = _FIRST_WAIT_S
    while not await flow.step(is_done, unit_id):
        await DBOS.recv_async(DEVICE_TOPIC, timeout_seconds=wait_s)
        wait_s = min(2 * wait_s, _LONGEST_WAIT_S)


def is_done(flow: Flow, unit_id: str) -> bool:
    """Step: return whether the unit is done; the job runs on when it is."""
    with flow.job() as (session, job):
        state, reason = work_state(session, unit_id)
        if state is WorkState.FAILED:
            raise JobFailedError(
                {"code": "device-work-failed", "message": f"The device could not measure: {reason}"}
            )
        if state is WorkState.CANCELLED:
            raise JobStoppedError
        if state is WorkState.DONE:
            flow.enter(session, job, JobState.RUNNING)
        return state is WorkState.DONE


def measured_network(session: Session, unit_id: str) -> NetworkMeasurement:
    """Return the measurement of a unit that asked for one network.

    Raises:
        JobFailedError: there is none, or the network could not be run.
    """
    results = network_results(session, unit_id)
    if len(results) != 1 or results[0].error or not results[0].processes_ns:
        why = results[0].error if results else "no measurement arrived"
        raise JobFailedError(
            {"code": "measurement-failed", "message": f"The device could not run it: {why}"}
        )
    return results[0]


def measured_summary(session: Session, unit_id: str | None) -> dict[str, Any] | None:
    """Return the summary of a unit's network; None where there is no unit or it was not measured."""
    if unit_id is None:
        return None
    try:
        return summary(measured_network(session, unit_id))
    except JobFailedError:
        return None


def summary(measured: NetworkMeasurement) -> dict[str, Any]:
    """Return what a certificate says of a measurement: medians in milliseconds."""
    medians_ns = [statistics.median(samples) for samples in measured.processes_ns]
    return {
        "latency_ms": ns_to_ms(measured.median_ns),
        "processes_ms": [ns_to_ms(median) for median in medians_ns],
        "reference_ms": [ns_to_ms(statistics.median(taken)) for taken in measured.reference_ns],
        "samples": sum(len(samples) for samples in measured.processes_ns),
    }
