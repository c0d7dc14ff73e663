"""/v1/searches, /v1/compressions, /v1/profiles, /v1/verifications, /v1/jobs."""

from typing import Annotated

from fastapi import APIRouter, Header, Query
from fastapi.responses import StreamingResponse
from sqlalchemy.orm import Session

from service.access.policy import Operator
from service.artifacts.schemas import ArtifactRead
from service.artifacts.store import ArtifactStore
from service.context import AppContext, Context
from service.jobs import compressions, repository, use_cases
from service.jobs.event_stream import MEDIA_TYPE, event_stream
from service.jobs.given_network import check_network, is_built_in, read_graph
from service.jobs.schemas import (
    CandidateRead,
    CompressionCreate,
    JobRead,
    ProfileCreate,
    SearchCreate,
    VerificationCreate,
)
from service.jobs.use_cases import JobDesk
from service.lifecycle import JobState
from service.shapes import Identifier, Limit, Offset

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.post("/searches", status_code=201)
def create_search(context: Context, _principal: Operator, order: SearchCreate) -> JobRead:
    """Start a search; refused with 422 budget-infeasible where a table rules it out."""
    with context.database.transaction() as session:
        return JobRead.model_validate(use_cases.create_search(_desk(context, session), order))


@router.post("/compressions", status_code=201)
def create_compression(context: Context, _principal: Operator, order: CompressionCreate) -> JobRead:
    """Fit a network that exists to a budget on one device; what is in the way is 422, by node."""
    store = ArtifactStore(context.settings.artifacts_dir)
    with context.database.reading() as session:
        check_network(session, order.network)
    graph = None if is_built_in(order.network) else read_graph(store, order.network)
    with context.database.transaction() as session:
        desk = _desk(context, session)
        job = compressions.create_compression(desk, store, order, graph)
        return JobRead.model_validate(job)


@router.post("/profiles", status_code=201)
def create_profile(context: Context, _principal: Operator, order: ProfileCreate) -> JobRead:
    """Measure what the table of a device lacks for a space."""
    with context.database.transaction() as session:
        return JobRead.model_validate(use_cases.create_profile(_desk(context, session), order))


@router.post("/verifications", status_code=201)
def create_verification(
    context: Context, _principal: Operator, order: VerificationCreate
) -> JobRead:
    """Measure a stored ONNX file on a device."""
    with context.database.transaction() as session:
        return JobRead.model_validate(use_cases.create_verification(_desk(context, session), order))


@router.get("/jobs")
def list_jobs(
    context: Context,
    _principal: Operator,
    state: Annotated[JobState | None, Query()] = None,
    limit: Annotated[Limit, Query()] = 50,
    offset: Annotated[Offset, Query()] = 0,
) -> list[JobRead]:
    """Return the jobs, newest first."""
    with context.database.reading() as session:
        rows = repository.jobs_newest_first(session, state, limit, offset)
        return [JobRead.model_validate(row) for row in rows]


@router.get("/jobs/{job_id}")
def get_job(context: Context, _principal: Operator, job_id: Identifier) -> JobRead:
    """Return one job."""
    with context.database.reading() as session:
        return JobRead.model_validate(use_cases.get_job(session, job_id))


@router.get("/jobs/{job_id}/events", response_class=StreamingResponse)
def stream_events(
    context: Context,
    _principal: Operator,
    job_id: Identifier,
    last_event_id: Annotated[int, Header(ge=0, le=2**53)] = 0,
) -> StreamingResponse:
    """Return what happens to a job as server-sent events, until it has ended.

    `Last-Event-ID` names the last event that the caller has; the stream goes on behind it.
    """
    with context.database.reading() as session:
        use_cases.get_job(session, job_id)
    stream = event_stream(context.database, job_id, last_event_id)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type=MEDIA_TYPE, headers=headers)


@router.get("/jobs/{job_id}/candidates")
def list_candidates(
    context: Context, _principal: Operator, job_id: Identifier
) -> list[CandidateRead]:
    """Return the networks that a search has found."""
    with context.database.reading() as session:
        return use_cases.candidates_of(session, job_id)


@router.get("/jobs/{job_id}/artifacts")
def list_artifacts(
    context: Context, _principal: Operator, job_id: Identifier
) -> list[ArtifactRead]:
    """Return the files of a job; their bytes are at /v1/artifacts/{sha256}."""
    with context.database.reading() as session:
        return use_cases.artifacts_of(session, job_id)


@router.post("/jobs/{job_id}/cancel")
def cancel_job(context: Context, _principal: Operator, job_id: Identifier) -> JobRead:
    """Stop a job; it can be resumed."""
    with context.database.transaction() as session:
        job = JobRead.model_validate(use_cases.cancel_job(_desk(context, session), job_id))
    context.job_queue.cancel(job.id, job.attempt)
    return job


@router.post("/jobs/{job_id}/resume")
def resume_job(context: Context, _principal: Operator, job_id: Identifier) -> JobRead:
    """Go on with a cancelled or failed job."""
    with context.database.transaction() as session:
        return JobRead.model_validate(use_cases.resume_job(_desk(context, session), job_id))


def _desk(context: AppContext, session: Session) -> JobDesk:
    return JobDesk(session=session, queue=context.job_queue, now=context.clock())
