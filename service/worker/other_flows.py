"""The flows of profile and verify jobs."""

from typing import Any

from latency.messages import VerifyWork
from service.devices.use_cases import get_device
from service.jobs.journal import move
from service.jobs.library_check import check_library
from service.lifecycle import JobState
from service.tables.latency_table import LatencyTableRow
from service.worker.device_work import ask_device, measured_network, summary, wait_for_device
from service.worker.flow import Flow
from service.worker.space_table import ensure_table


async def profile_flow(flow: Flow) -> None:
    """Bring the table of a device up to what a space needs."""
    table_id = await ensure_table(flow)
    await flow.step(finish_profile, table_id)


async def verify_flow(flow: Flow) -> None:
    """Measure one stored ONNX file on a device."""
    unit_id: str = await flow.step(ask_for_artifact)
    await wait_for_device(flow, unit_id)
    await flow.step(finish_verify, unit_id)


def finish_profile(flow: Flow, table_id: str) -> None:
    """Step: end the job with what the table is worth."""
    with flow.job() as (session, job):
        table = session.get_one(LatencyTableRow, table_id)
        job.result = {
            "table_id": table.id,
            "version": table.version,
            "operators": table.operators,
            "published_error": table.error,
        }
        flow.enter(session, job, JobState.RUNNING)
        move(session, job, JobState.SUCCEEDED, flow.context.clock())


def ask_for_artifact(flow: Flow) -> str:
    """Step: ask the device to time the file."""
    with flow.job() as (session, job):
        # Again: the device may have changed since the job was asked for.
        device = get_device(session, str(job.device_id))
        check_library(session, job.request["artifact_sha256"], device)
        work = VerifyWork(
            name="verify",
            artifact_sha256=job.request["artifact_sha256"],
            processes=job.request["processes"],
        )
        return ask_device(flow, session, job, work)


def finish_verify(flow: Flow, unit_id: str) -> None:
    """Step: end the job with the measurement; over its budget, the job has failed."""
    with flow.job() as (session, job):
        measured = summary(measured_network(session, unit_id))
        budget_ms: float | None = job.request["budget_ms"]
        met = budget_ms is None or measured["latency_ms"] <= budget_ms
        device = get_device(session, str(job.device_id))
        result: dict[str, Any] = {
            "measured": measured,
            "budget_ms": budget_ms,
            "met": met,
            "artifact_sha256": job.request["artifact_sha256"],
            "target": device.target.label(),
            "target_fingerprint": device.target.fingerprint,
        }
        job.result = result
        if met:
            move(session, job, JobState.SUCCEEDED, flow.context.clock())
            return
        message = f"{measured['latency_ms']:.4f} ms measured, over the budget of {budget_ms:g} ms"
        job.error = {"code": "over-budget", "message": message}
        move(session, job, JobState.FAILED, flow.context.clock(), {"error": job.error})
