"""Steps that make sure that the device has a latency table for the space of a job."""

from typing import Any

from latency.messages import ProfileWork
from latency.plan import missing_operators
from latency.table import LatencyTable
from service.datasets.use_cases import Dataset, find_dataset
from service.devices.use_cases import get_device
from service.devices.work import network_results
from service.jobs.feasibility import covers_space
from service.jobs.journal import NOTE_EVENT, record
from service.jobs.use_cases import get_job
from service.profiling.use_cases import (
    build_table,
    known_operator_keys,
    latest_table,
    load_table,
    split_networks,
    table_problem,
)
from service.tables.job import JobRow
from service.worker.device_work import ask_device, wait_for_device
from service.worker.flow import Flow, JobFailedError
from service.worker.planning import planned_networks, profiled_space


async def ensure_table(flow: Flow) -> str:
    """Return the id of a table that covers the job's space; measures what is missing."""
    plan: dict[str, Any] = await flow.step(plan_profile)
    if plan["table_id"] is not None:
        return str(plan["table_id"])
    await wait_for_device(flow, plan["unit_id"])
    return str(await flow.step(publish_table, plan["unit_id"]))


def plan_profile(flow: Flow) -> dict[str, Any]:
    """Step: name the table that is good enough, or ask the device for what is missing."""
    with flow.context.database.reading() as session:
        request = get_job(session, flow.job_id).request
        task = find_dataset(session, request["dataset"]).task
        target = get_device(session, str(get_job(session, flow.job_id).device_id)).target
    # Before the transaction: large spaces take seconds, and on SQLite everybody waits for a writer.
    space = profiled_space(request, task)
    wanted, networks = space.operators(target), planned_networks(space, target)
    with flow.job() as (session, job):
        device = get_device(session, str(job.device_id))
        newest = latest_table(session, device.id)
        if newest is not None and covers_space(load_table(session, newest.id), space):
            job.table_id = newest.id
            message = f"table version {newest.version} of the device covers the space"
            record(session, job, NOTE_EVENT, {"message": message}, flow.context.clock())
            return {"table_id": newest.id, "unit_id": None}
        known = known_operator_keys(session, device.target_fingerprint)
        missing = tuple(missing_operators(wanted, known))
        work = ProfileWork(operators=missing, networks=networks)
        note: dict[str, Any] = {
            "message": f"measuring {len(missing)} operators and {len(work.networks)} networks",
            "operators": len(missing),
            "networks": len(work.networks),
        }
        record(session, job, NOTE_EVENT, note, flow.context.clock())
        return {"table_id": None, "unit_id": ask_device(flow, session, job, work)}


def publish_table(flow: Flow, unit_id: str) -> str:
    """Step: make a new version of the device's table from everything that was measured.

    Raises:
        JobFailedError: too little could be measured for a table that can be trusted; none is made.
    """
    with flow.job() as (session, job):
        device = get_device(session, str(job.device_id))
        table = build_table(
            session,
            device.target_fingerprint,
            *split_networks(network_results(session, unit_id)),
            now=flow.context.clock(),
            timed_by=device.id,
        )
        _check_table(
            load_table(session, table.id), job, find_dataset(session, job.request["dataset"])
        )
        job.table_id = table.id
        message = f"table version {table.version}: {table.operators} operators"
        if table.error is not None:
            error, judges = table.error["mape"], table.error["networks"]
            message += f", mean error {error:.1%} on {judges} held-out networks"
        note = {"message": message, "error": table.error}
        record(session, job, NOTE_EVENT, note, flow.context.clock())
        return table.id


def _check_table(table: LatencyTable, job: JobRow, dataset: Dataset) -> None:
    problem = table_problem(table)
    if not problem and not covers_space(table, profiled_space(job.request, dataset.task)):
        problem = "some operators of the space could not be measured"
    if problem:
        message = f"The measurements make no table: {problem}."
        raise JobFailedError({"code": "measurements-unusable", "message": message})
