"""What the features ask of the job engine, as protocols; service.engine implements them."""

from typing import Protocol

from sqlalchemy.orm import Session

from service.lifecycle import JobKind


class WorkListener(Protocol):
    """Is told when the device work of a job has ended."""

    def finished(self, session: Session, job_id: str, unit_id: str) -> None:
        """Wake the job's flow, in the transaction that ends the unit; it may be rolled back."""
        ...


class JobQueue(Protocol):
    """Starts and stops the flow of a job. To resume is to start a flow for the next attempt."""

    def enqueue(self, session: Session, job_id: str, kind: JobKind, priority: int) -> None:
        """Start a flow for the job's attempt, in the transaction that stores the job."""
        ...

    def cancel(self, job_id: str, attempt: int) -> None:
        """Stop the job's flow and its trainer; a flow that has ended is left alone."""
        ...
