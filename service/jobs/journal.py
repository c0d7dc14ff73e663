"""The journal of a job: every change of its state, and what happened in between."""

from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from service.errors import NotFoundError
from service.jobs import repository
from service.lifecycle import FINAL_JOB_STATES, JobState, next_job_state
from service.tables.job import JobEventRow, JobRow

STATE_EVENT = "state"
PROGRESS_EVENT = "progress"
NOTE_EVENT = "note"


def locked_job(session: Session, job_id: str) -> JobRow:
    """Return the job, locked until the end of the transaction.

    Raises:
        NotFoundError: there is no such job.
    """
    row = repository.job_by_id(session, job_id, lock=True)
    if row is None:
        raise NotFoundError("There is no job with this id.")
    return row


def record(
    session: Session, job: JobRow, kind: str, payload: dict[str, Any], now: datetime
) -> None:
    """Append an event; the job must be locked, since events are numbered without gaps."""
    number = repository.last_event_number(session, job.id) + 1
    session.add(
        JobEventRow(job_id=job.id, number=number, kind=kind, payload=payload, created_at=now)
    )
    session.flush()


def move(
    session: Session,
    job: JobRow,
    state: JobState,
    now: datetime,
    payload: dict[str, Any] | None = None,
) -> None:
    """Change the state of a locked job and record it; the same state again changes nothing.

    Raises:
        IllegalTransitionError: the job cannot become that.
    """
    new = next_job_state(JobState(job.state), state)
    if new == job.state:
        return
    job.state = new
    if new is JobState.RUNNING and job.started_at is None:
        job.started_at = now
    job.finished_at = now if new in FINAL_JOB_STATES else None
    record(session, job, STATE_EVENT, {"state": new.value} | (payload or {}), now)
