"""Queries on jobs, their events and their files."""

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.lifecycle import FINAL_JOB_STATES, JobState
from service.tables.job import JobDeviceRow, JobEventRow, JobRow


def job_by_id(session: Session, job_id: str, *, lock: bool = False) -> JobRow | None:
    """Return the job; with `lock` nobody else changes it until the transaction ends."""
    statement = select(JobRow).where(JobRow.id == job_id)
    return session.scalar(statement.with_for_update() if lock else statement)


def further_devices(session: Session, job_id: str) -> Sequence[JobDeviceRow]:
    """Return the devices of a job beside its own, in order."""
    statement = select(JobDeviceRow).where(JobDeviceRow.job_id == job_id)
    return session.scalars(statement.order_by(JobDeviceRow.place)).all()


def jobs_newest_first(
    session: Session, state: JobState | None, limit: int, offset: int
) -> Sequence[JobRow]:
    """Return a page of jobs, all or those in one state."""
    statement = select(JobRow).order_by(JobRow.created_at.desc(), JobRow.id)
    if state is not None:
        statement = statement.where(JobRow.state == state)
    return session.scalars(statement.limit(limit).offset(offset)).all()


def open_jobs(session: Session) -> Sequence[JobRow]:
    """Return every job that has not ended, oldest first."""
    statement = select(JobRow).where(JobRow.state.not_in(FINAL_JOB_STATES))
    return session.scalars(statement.order_by(JobRow.created_at)).all()


def last_event_number(session: Session, job_id: str) -> int:
    """Return the number of the newest event, 0 where there is none."""
    statement = select(func.max(JobEventRow.number)).where(JobEventRow.job_id == job_id)
    return session.scalar(statement) or 0


def events_after(
    session: Session, job_id: str, number: int, limit: int = 500
) -> Sequence[JobEventRow]:
    """Return the events behind `number`, in order."""
    statement = (
        select(JobEventRow)
        .where(JobEventRow.job_id == job_id, JobEventRow.number > number)
        .order_by(JobEventRow.number)
        .limit(limit)
    )
    return session.scalars(statement).all()
