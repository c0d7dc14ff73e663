"""Steps that make sure that the device has a latency table for the space of a job."""

from typing import Any

from latency.messages import ProfileWork
from latency.plan import RowPlan, network_errors
from latency.table import Calibration, LatencyTable
from service.datasets.use_cases import Dataset, find_dataset
from service.devices.use_cases import get_device
from service.devices.work import network_results, request_profile
from service.jobs.feasibility import covers_space
from service.jobs.journal import NOTE_EVENT, record
from service.jobs.use_cases import get_job
from service.lifecycle import JobState
from service.profiling.use_cases import (
    build_table,
    latest_table,
    load_table,
    measured_operators,
    measuring_costs,
)
from service.tables.job import JobRow
from service.worker.device_work import (
    finished_profiles,
    open_profile,
    wait_for_device,
)
from service.worker.flow import Flow, JobFailedError
from service.worker.planning import (
    CALIBRATION,
    HELD_OUT,
    next_rows,
    planned_networks,
    planned_space,
)

_LEAST_NETWORKS = 4  # of the calibration
_MOST_SLOPE = 5.0  # on machines that we know it is 0.9 to 1.15
_WORST_USABLE = 0.15  # relative standard error of any network from operators without a row


async def ensure_table(flow: Flow) -> str:
    """Return the id of a table that covers the job's space; measures what is missing.

    First what a plan asks for, then, where prices between the rows turn out to be too uncertain,
    what is still worth a row. A job that is resumed goes on with the round that it was in: what is
    known is in the database.
    """
    while True:
        plan: dict[str, Any] = await flow.step(plan_profile)
        if plan["table_id"] is not None:
            return str(plan["table_id"])
        if plan["unit_id"] is None:
            return str(await flow.step(publish_table))
        await wait_for_device(flow, plan["unit_id"])


def plan_profile(flow: Flow) -> dict[str, Any]:
    """Step: name the table that is good enough, or ask the device for the next round.

    Neither is named when there is nothing left to ask: then a table can be made.
    """
    with flow.context.database.reading() as session:
        job = get_job(session, flow.job_id)
        task = find_dataset(session, job.request["dataset"]).task
        device = get_device(session, str(job.device_id))
        space = planned_space(job.request, task)
        done = finished_profiles(session, job.id, device.target_fingerprint)
        newest = None if done else latest_table(session, device.id)
        table = None if newest is None else load_table(session, newest.id)
        known = measured_operators(session, device.target_fingerprint)
        costs = measuring_costs(session, device.target_fingerprint)
    # Before the transaction: large spaces take seconds, and on SQLite everybody waits for a writer.
    if newest is not None and table is not None and covers_space(table, space):
        return _take(flow, newest.id, newest.version)
    rows = next_rows(space, device.target, known, done, costs)
    asked = any(work.networks for work in done.values())
    networks = () if asked else planned_networks(space, device.target)
    work = ProfileWork(operators=rows.operators, networks=networks)
    return _ask(flow, work, rows, round_number=len(done) + 1)


def _take(flow: Flow, table_id: str, version: int) -> dict[str, Any]:
    with flow.job() as (session, job):
        job.table_id = table_id
        message = f"table version {version} of the device covers the space"
        record(session, job, NOTE_EVENT, {"message": message}, flow.context.clock())
        return {"table_id": table_id, "unit_id": None}


def _ask(flow: Flow, work: ProfileWork, rows: RowPlan, *, round_number: int) -> dict[str, Any]:
    with flow.job() as (session, job):
        unit_id = open_profile(session, job.id)
        if unit_id is None and (work.operators or work.networks):
            # Not `ask_device`: what it would use again may have been done by another target.
            now = flow.context.clock()
            unit_id = request_profile(session, str(job.device_id), job.id, work, now=now)
            record(session, job, NOTE_EVENT, _round_note(work, rows, round_number), now)
        if unit_id is not None:
            flow.enter(session, job, JobState.WAITING)
        return {"table_id": None, "unit_id": unit_id}


def _round_note(work: ProfileWork, rows: RowPlan, round_number: int) -> dict[str, Any]:
    return {
        "message": f"round {round_number}: measuring {len(work.operators)} operators and "
        f"{len(work.networks)} networks; {rows.known} operators are known, {rows.covered} are "
        f"priced by what lies around them, which costs a network {rows.error_now:.1%} now and "
        f"{rows.error_after:.1%} then",
        "operators": len(work.operators),
        "networks": len(work.networks),
        "expected_error": rows.error_now,
    }


def publish_table(flow: Flow) -> str:
    """Step: make a new version of the device's table from everything that was measured.

    Raises:
        JobFailedError: too little could be measured for a table that can be trusted; none is made.
    """
    with flow.job() as (session, job):
        device = get_device(session, str(job.device_id))
        units = finished_profiles(session, job.id, device.target_fingerprint)
        results = [result for unit_id in units for result in network_results(session, unit_id)]
        good = [result for result in results if not result.error]
        table = build_table(
            session,
            device.target_fingerprint,
            [result for result in good if result.name.startswith(CALIBRATION)],
            [result for result in good if result.name.startswith(HELD_OUT)],
            now=flow.context.clock(),
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
    problems = [_problem_of(table.calibration)]
    if table.target.has_library:
        problems.append(_problem_of(table.library or Calibration()))
    usage = planned_space(job.request, dataset.task).usage(table.target)
    worst = float(network_errors(usage, table.rows, table.target.facts).max())
    if worst > _WORST_USABLE:
        problems.append(
            f"too few operators could be measured: networks of the space are known to {worst:.0%} only"
        )
    problem = next(filter(None, problems), "")
    if problem:
        message = f"The measurements make no table: {problem}."
        raise JobFailedError({"code": "measurements-unusable", "message": message})


def _problem_of(calibration: Calibration) -> str:
    """Return what is wrong with the whole networks of one regime, or nothing."""
    slope, networks = calibration.slope, calibration.networks
    if networks < _LEAST_NETWORKS:
        return f"only {networks} whole networks could be measured"
    if not 1 / _MOST_SLOPE <= slope <= _MOST_SLOPE:
        return f"whole networks take {slope:.3g} times the sum of their operators"
    return ""
