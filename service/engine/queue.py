"""DbosJobQueue: what the API asks of the job engine, over a client that runs nothing itself."""

from collections.abc import Sequence

from dbos import DBOSClient, EnqueueOptions
from sqlalchemy.orm import Session

from service.engine.names import (
    APPLICATION_VERSION,
    COMPRESS_FLOW,
    DEVICE_TOPIC,
    FLOW_QUEUE,
    PROFILE_FLOW,
    SEARCH_FLOW,
    VERIFY_FLOW,
)
from service.lifecycle import JobKind
from service.tables.job import JobRow

_FLOWS = {
    JobKind.SEARCH: SEARCH_FLOW,
    JobKind.PROFILE: PROFILE_FLOW,
    JobKind.VERIFY: VERIFY_FLOW,
    JobKind.COMPRESS: COMPRESS_FLOW,
}


def workflow_id(job_id: str, attempt: int) -> str:
    """Return the id of the flow of one attempt at a job.

    Resuming a job starts a new flow. It passes over everything that is already there, since
    measurements are in our tables, and finished stages and checkpoints in the job's folder.
    """
    return f"{job_id}.{attempt}"


class DbosJobQueue:
    """Implements the ports JobQueue and WorkListener of service.ports."""

    def __init__(self, client: DBOSClient) -> None:
        self._client = client

    def enqueue(self, session: Session, job_id: str, kind: JobKind, priority: int) -> None:
        """Start a flow for the job's current attempt, in the transaction of `session`."""
        attempt = _attempt(session, job_id)
        options: EnqueueOptions = {
            "workflow_name": _FLOWS[kind],
            "queue_name": FLOW_QUEUE,
            "workflow_id": workflow_id(job_id, attempt),
            "workflow_id_reuse_policy": "reject",
            "priority": priority,
            "app_version": APPLICATION_VERSION,
        }
        session.flush()
        self._client.enqueue_in_transaction(session, options, job_id, attempt)

    def cancel(self, job_id: str, attempt: int) -> None:
        """Stop the flow and its trainer; a flow that has ended is left alone."""
        self._client.cancel_workflow(workflow_id(job_id, attempt), cancel_children=True)

    def finished(self, session: Session, job_id: str, unit_id: str) -> None:
        """Wake the job's flow, in the transaction that ends the unit of device work."""
        flow_id = workflow_id(job_id, _attempt(session, job_id))
        session.flush()
        self._client.send_in_transaction(
            session, flow_id, unit_id, DEVICE_TOPIC, idempotency_key=f"{flow_id}.{unit_id}"
        )

    def statuses(self, flows: Sequence[tuple[str, int]]) -> dict[tuple[str, int], str]:
        """Return DBOS' word for the state of each flow, by (job, attempt), where there is one."""
        ids = {workflow_id(job_id, attempt): (job_id, attempt) for job_id, attempt in flows}
        if not ids:
            return {}
        found = self._client.list_workflows(
            workflow_ids=list(ids), load_input=False, load_output=False
        )
        return {ids[flow.workflow_id]: flow.status for flow in found}

    def close(self) -> None:
        """Let go of the client; the database engine belongs to the caller."""
        self._client.destroy()


def _attempt(session: Session, job_id: str) -> int:
    row = session.get(JobRow, job_id)
    if row is None:
        raise ValueError(f"job queue: there is no job {job_id}")
    return row.attempt
