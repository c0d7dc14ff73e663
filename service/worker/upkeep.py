"""What a worker does now and then beside its flows. All of it may be repeated at any time."""

import logging

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.devices.leasing import Desk, expire_leases
from service.devices.repository import has_overdue_leases
from service.devices.rules import LeaseRules
from service.devices.work import work_progress
from service.jobs import repository
from service.jobs.journal import PROGRESS_EVENT, locked_job, move, record
from service.lifecycle import FINAL_JOB_STATES, JobState, WorkState
from service.tables.job import JobRow
from service.tables.work_unit import WorkUnitRow
from service.worker.context import WorkerContext

_log = logging.getLogger(__name__)
# Ends of a flow in which our own code had no say.
_ENDED_BY_ENGINE = {
    "ERROR": "the flow ended with an error; see the worker's log",
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": "the job has ended too many workers",
}
_RUNNING = ("ENQUEUED", "PENDING", "DELAYED")


def keep_up(context: WorkerContext) -> None:
    """Sweep leases of devices, relay their progress, and bring jobs and flows back together."""
    try:
        _sweep_leases(context)
        with context.database.reading() as session:
            open_jobs = {(job.id, job.attempt): job.state for job in repository.open_jobs(session)}
        for (job_id, _), state in open_jobs.items():
            if state == JobState.WAITING:
                _relay_device_progress(context, job_id)
        for (job_id, attempt), status in context.queue.statuses(list(open_jobs)).items():
            if status in _ENDED_BY_ENGINE:
                _end_with_flow(context, job_id, attempt, _ENDED_BY_ENGINE[status])
        _stop_flows_of_cancelled_jobs(context)
    except SQLAlchemyError:
        _log.warning("upkeep: the database does not answer")


def _sweep_leases(context: WorkerContext) -> None:
    now = context.clock()
    with context.database.reading() as session:
        overdue = has_overdue_leases(session, now)
    if overdue:
        desk = Desk(rules=LeaseRules.of(context.settings), listener=context.queue, now=now)
        with context.database.transaction() as session:
            expire_leases(session, desk)


def _relay_device_progress(context: WorkerContext, job_id: str) -> None:
    with context.database.reading() as session:
        report = _device_progress(session, job_id)
        known = repository.job_by_id(session, job_id)
    if report is None or known is None or known.progress == report:
        return
    with context.database.transaction() as session:
        job = locked_job(session, job_id)
        if job.state == JobState.WAITING:
            job.progress = report
            record(session, job, PROGRESS_EVENT, report, context.clock())


def _device_progress(session: Session, job_id: str) -> dict[str, object] | None:
    unit = session.scalar(
        select(WorkUnitRow)
        .where(WorkUnitRow.job_id == job_id, WorkUnitRow.state == WorkState.LEASED)
        .limit(1)
    )
    if unit is None:
        return None
    done, total = work_progress(session, unit.id)
    return {"stage": "device", "work": unit.kind, "done": done, "total": total}


def _end_with_flow(context: WorkerContext, job_id: str, attempt: int, reason: str) -> None:
    with context.database.transaction() as session:
        job = locked_job(session, job_id)
        if job.attempt == attempt and job.state not in FINAL_JOB_STATES:
            job.error = {"code": "internal-error", "message": f"The job was ended: {reason}."}
            move(session, job, JobState.FAILED, context.clock(), {"error": job.error})


def _stop_flows_of_cancelled_jobs(context: WorkerContext) -> None:
    """The API stops the flow behind its commit, and may die in between."""
    with context.database.reading() as session:
        newest = session.execute(
            select(JobRow.id, JobRow.attempt)
            .where(JobRow.state == JobState.CANCELLED)
            .order_by(JobRow.finished_at.desc())
            .limit(20)
        ).all()
    flows = [(job_id, attempt) for job_id, attempt in newest]
    for (job_id, attempt), status in context.queue.statuses(flows).items():
        if status in _RUNNING:
            context.queue.cancel(job_id, attempt)
