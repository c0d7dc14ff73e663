"""Registers the flows with DBOS: each a name, a job id, and an end that is always written down."""

from collections.abc import Awaitable, Callable
from typing import Any

from dbos import DBOS

from service.engine.names import (
    COMPRESS_FLOW,
    MAX_RECOVERIES,
    PROFILE_FLOW,
    SEARCH_FLOW,
    STAGE_FLOW,
    VERIFY_FLOW,
)
from service.jobs.journal import move
from service.lifecycle import JobState
from service.worker.context import WorkerContext
from service.worker.flow import Flow, JobFailedError, JobStoppedError
from service.worker.other_flows import profile_flow, verify_flow
from service.worker.search_flow import compress_flow, search_flow
from service.worker.stages import StageOrder, train


def register_flows(context: WorkerContext) -> None:
    """Make the flows known to DBOS, before it is launched."""

    @DBOS.workflow(name=STAGE_FLOW, max_recovery_attempts=MAX_RECOVERIES)
    async def stage(order: dict[str, Any]) -> dict[str, Any]:
        outcome: dict[str, Any] = await DBOS.run_step_async(
            {"name": "train", "preemptible": True}, train, context, StageOrder(**order)
        )
        return outcome

    @DBOS.workflow(name=SEARCH_FLOW, max_recovery_attempts=MAX_RECOVERIES)
    async def search(job_id: str, attempt: int) -> str:
        flow = Flow(context=context, job_id=job_id, attempt=attempt)
        return await _to_the_end(flow, lambda: search_flow(flow, stage))

    @DBOS.workflow(name=COMPRESS_FLOW, max_recovery_attempts=MAX_RECOVERIES)
    async def compress(job_id: str, attempt: int) -> str:
        flow = Flow(context=context, job_id=job_id, attempt=attempt)
        return await _to_the_end(flow, lambda: compress_flow(flow, stage))

    @DBOS.workflow(name=PROFILE_FLOW, max_recovery_attempts=MAX_RECOVERIES)
    async def profile(job_id: str, attempt: int) -> str:
        flow = Flow(context=context, job_id=job_id, attempt=attempt)
        return await _to_the_end(flow, lambda: profile_flow(flow))

    @DBOS.workflow(name=VERIFY_FLOW, max_recovery_attempts=MAX_RECOVERIES)
    async def verify(job_id: str, attempt: int) -> str:
        flow = Flow(context=context, job_id=job_id, attempt=attempt)
        return await _to_the_end(flow, lambda: verify_flow(flow))


async def _to_the_end(flow: Flow, body: Callable[[], Awaitable[None]]) -> str:
    try:
        await body()
    except JobStoppedError:
        return "stopped"
    except JobFailedError as failure:
        return await _fail(flow, failure.error)
    return "finished"


async def _fail(flow: Flow, error: dict[str, Any]) -> str:
    try:
        await flow.step(write_failure, error)
    except JobStoppedError:
        return "stopped"
    return "failed"


def write_failure(flow: Flow, error: dict[str, Any]) -> None:
    """Step: end the job as failed, and say why."""
    with flow.job() as (session, job):
        job.error = error
        move(session, job, JobState.FAILED, flow.context.clock(), {"error": error})
