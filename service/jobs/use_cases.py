"""Jobs: asked for, looked at, cancelled, resumed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from search.requests import MAX_FRONT, MIN_FRONT
from service.artifacts.schemas import ArtifactRead
from service.artifacts.use_cases import artifacts_of_job, get_artifact
from service.datasets.use_cases import Dataset, find_dataset
from service.devices.use_cases import Device, find_device
from service.devices.work import cancel_work
from service.errors import ConflictError, NotFoundError, invalid_field, public_message
from service.jobs import repository
from service.jobs.feasibility import refuse_impossible_budget
from service.jobs.front_pick import order_from_front
from service.jobs.job_devices import add_devices
from service.jobs.journal import STATE_EVENT, locked_job, move, record
from service.jobs.library_check import check_library
from service.jobs.schemas import (
    CandidateRead,
    ProfileCreate,
    SearchCreate,
    VerificationCreate,
)
from service.jobs.search_order import search_request
from service.lifecycle import FINAL_JOB_STATES, JobKind, JobState
from service.ports import JobQueue
from service.profiling.planning import profiled_space
from service.tables.base import new_id
from service.tables.job import JobEventRow, JobRow


@dataclass(frozen=True, kw_only=True)
class JobDesk:
    """What every use case that starts a job needs."""

    session: Session
    queue: JobQueue
    now: datetime


def create_search(desk: JobDesk, order: SearchCreate) -> JobRow:
    """Start a search.

    Raises:
        NotFoundError: unknown device or data set; the message names the known ones.
        InvalidValueError: a value does not fit the space or another one, or a device is named twice.
        BudgetInfeasibleError: the table of a device says that its budget cannot be met.
    """
    _check_order(order)
    genotype: dict[str, Any] | None = None
    if order.from_front is not None:
        order, genotype = order_from_front(desk.session, order)
    device = find_device(desk.session, order.device)
    others = _find_others(desk.session, device, order)
    dataset = find_dataset(desk.session, order.dataset)
    also = [{"device": other.name, "budget_ms": budget_ms} for other, budget_ms in others]
    values = order.model_dump() | {"device": device.name, "also": also}
    if genotype is not None:
        values["genotype"] = genotype
    try:
        request = search_request(values, dataset)
        space = request.search_space(dataset.task)
    except ValueError as error:
        raise invalid_field("", public_message(error)) from error
    for one, budget_ms in [(device, order.budget_ms), *others]:
        refuse_impossible_budget(desk.session, one, space, budget_ms, order.rows)
    job = store_job(desk, JobKind.SEARCH, device, values, dataset)
    add_devices(desk.session, job, others)
    return job


def _check_order(order: SearchCreate) -> None:
    """Refuse fields that do not go together."""
    if order.seeds > 1 and not order.controls:
        raise invalid_field("/seeds", "More than one seed needs controls: true")
    if 0 < order.front < MIN_FRONT:
        raise invalid_field("/front", f"A front has {MIN_FRONT} to {MAX_FRONT} networks; 0 is none")
    if order.also and order.densities == "budget":
        raise invalid_field("/densities", "This is for one device only; leave this or `also` out")


def create_profile(desk: JobDesk, order: ProfileCreate) -> JobRow:
    """Start to measure what the table of a device lacks.

    Raises:
        NotFoundError: unknown device or data set.
    """
    device = find_device(desk.session, order.device)
    dataset = find_dataset(desk.session, order.dataset)
    try:
        profiled_space(order.model_dump(), dataset.task)
    except ValueError as error:
        raise invalid_field("", public_message(error)) from error
    return store_job(desk, JobKind.PROFILE, device, order.model_dump(), dataset)


def create_verification(desk: JobDesk, order: VerificationCreate) -> JobRow:
    """Start to measure a stored ONNX file on a device.

    Raises:
        NotFoundError: unknown device or artifact.
        ConflictError: the device has another operator library than the table of the file.
    """
    device = find_device(desk.session, order.device)
    get_artifact(desk.session, order.artifact_sha256)
    check_library(desk.session, order.artifact_sha256, device)
    return store_job(desk, JobKind.VERIFY, device, order.model_dump(), None)


def get_job(session: Session, job_id: str) -> JobRow:
    """Return one job.

    Raises:
        NotFoundError: there is none with this id.
    """
    row = repository.job_by_id(session, job_id)
    if row is None:
        raise NotFoundError("There is no job with this id; see GET /v1/jobs.")
    return row


def cancel_job(desk: JobDesk, job_id: str) -> JobRow:
    """End a job; what its device still has to do is cancelled with it. Again: no change.

    The caller stops the flow after the commit; should it die in between, a worker does.

    Raises:
        ConflictError: the job has ended in another way.
    """
    job = locked_job(desk.session, job_id)
    if job.state in FINAL_JOB_STATES and job.state != JobState.CANCELLED:
        raise ConflictError(f"The job has ended already: it is {job.state}.", code="job-ended")
    cancel_work(desk.session, job_id, now=desk.now)
    move(desk.session, job, JobState.CANCELLED, desk.now)
    return job


def resume_job(desk: JobDesk, job_id: str) -> JobRow:
    """Go on with a cancelled or failed job from what it has already reached.

    Raises:
        ConflictError: the job is not cancelled or failed.
    """
    job = locked_job(desk.session, job_id)
    if job.state not in (JobState.CANCELLED, JobState.FAILED):
        raise ConflictError(
            f"Only a cancelled or failed job can be resumed; this one is {job.state}.",
            code="job-not-resumable",
        )
    job.attempt += 1
    job.error = None
    move(desk.session, job, JobState.QUEUED, desk.now, {"attempt": job.attempt})
    desk.queue.enqueue(desk.session, job.id, JobKind(job.kind), job.priority)
    return job


def events_after(session: Session, job_id: str, number: int) -> tuple[Sequence[JobEventRow], bool]:
    """Return the events behind `number`, and whether none can follow them.

    Raises:
        NotFoundError: there is no such job.
    """
    # The state is read before the events: an end that is seen has its event among them.
    ended = get_job(session, job_id).state in FINAL_JOB_STATES
    events = repository.events_after(session, job_id, number)
    newest = events[-1].number if events else number
    return events, ended and newest >= repository.last_event_number(session, job_id)


def artifacts_of(session: Session, job_id: str) -> list[ArtifactRead]:
    """Return the files of a job.

    Raises:
        NotFoundError: there is no such job.
    """
    get_job(session, job_id)
    return [ArtifactRead.model_validate(found) for found in artifacts_of_job(session, job_id)]


def candidates_of(session: Session, job_id: str) -> list[CandidateRead]:
    """Return the networks that a search or a compression has made; none before it is finished."""
    job = get_job(session, job_id)
    if not job.result or "certificate" not in job.result:
        return []
    return [
        CandidateRead(
            job_id=job.id,
            genotype=job.result["genotype"],
            certificate=job.result["certificate"],
            artifacts=artifacts_of(session, job_id),
        )
    ]


def _find_others(
    session: Session, device: Device, order: SearchCreate
) -> list[tuple[Device, float]]:
    """Return the devices beside the first one, each with its budget in milliseconds."""
    found: list[tuple[Device, float]] = []
    for number, one in enumerate(order.also):
        other = find_device(session, one.device)
        if other.id in {device.id, *(known.id for known, _ in found)}:
            raise invalid_field(f"/also/{number}/device", "This device is named twice")
        found.append((other, one.budget_ms))
    return found


def store_job(
    desk: JobDesk,
    kind: JobKind,
    device: Device,
    request: dict[str, Any],
    dataset: Dataset | None,
) -> JobRow:
    """Store and enqueue a job; its request is the order without name and priority."""
    priority = int(request.pop("priority"))
    job = JobRow(
        id=new_id(),
        name=request.pop("name") or "",
        kind=kind,
        state=JobState.QUEUED,
        request=request | {"device": device.name},
        device_id=device.id,
        priority=priority,
        created_at=desk.now,
    )
    if dataset is not None:
        job.request["dataset"] = dataset.name
    desk.session.add(job)
    desk.session.flush()
    record(desk.session, job, STATE_EVENT, {"state": JobState.QUEUED.value}, desk.now)
    desk.queue.enqueue(desk.session, job.id, kind, priority)
    return job
