"""Steps that make sure that the device has a latency table for the space of a job."""

from typing import Any

from sqlalchemy.orm import Session

from latency.messages import ProfileWork
from latency.operator import Regime
from latency.plan import RowPlan, network_errors
from latency.table import LatencyTable
from search.space.search_space import SearchSpace
from service.datasets.use_cases import find_dataset
from service.devices.use_cases import get_device
from service.devices.work import network_results, request_profile
from service.jobs.feasibility import covers_space
from service.jobs.given_network import job_space
from service.jobs.job_devices import OWN, device_id_at, table_id_at, take_table
from service.jobs.journal import NOTE_EVENT, record
from service.jobs.use_cases import get_job
from service.lifecycle import JobState
from service.profiling.planning import next_rows, planned_networks
from service.profiling.schemas import DEFAULT_HELD_OUT, DEFAULT_ROWS
from service.profiling.use_cases import (
    build_table,
    calibration_problem,
    latest_table,
    load_table,
    measured_operators,
    measuring_costs,
    split_networks,
)
from service.tables.job import JobRow
from service.tables.latency_table import LatencyTableRow
from service.worker.device_work import finished_profiles, open_profile, wait_for_device
from service.worker.flow import Flow, JobFailedError

_MEASURABLE = 0.9  # of the held-out networks: one that cannot be measured does not ask for all anew
_WORST_USABLE = 0.15  # relative standard error of any network from operators without a row


async def ensure_table(flow: Flow, place: int = OWN) -> str:
    """Return the id of a table of a device that covers the job's space; measures what is missing.

    First what a plan asks for, then, where prices between the rows turn out to be too uncertain,
    what is still worth a row. A job that is resumed goes on with the round that it was in: what is
    known is in the database.
    """
    while True:
        plan: dict[str, Any] = await flow.step(plan_profile, place)
        if plan["table_id"] is not None:
            return str(plan["table_id"])
        if plan["unit_id"] is None:
            return str(await flow.step(publish_table, place))
        await wait_for_device(flow, plan["unit_id"])


def plan_profile(flow: Flow, place: int = OWN) -> dict[str, Any]:
    """Step: name the table that is good enough, or ask the device for the next round.

    Neither is named when there is nothing left to ask: then a table can be made.
    """
    with flow.context.database.reading() as session:
        job = get_job(session, flow.job_id)
        if (own := _own_table(session, job, place)) is not None:
            return {"table_id": own, "unit_id": None}
        task = find_dataset(session, job.request["dataset"]).task
        device = get_device(session, device_id_at(session, job, place))
        request = job.request
        held_out = int(request.get("held_out", DEFAULT_HELD_OUT))  # a search does not say
        most = _most_rows(request)
        space = job_space(flow.context.store, request, task)
        done = finished_profiles(session, job.id, device)
        newest = None if done else latest_table(session, device.id)
        table = None if newest is None else load_table(session, newest.id)
        known = measured_operators(session, device.target_fingerprint)
        costs = measuring_costs(session, device.target_fingerprint)
    # Before the transaction: large spaces take seconds, and on SQLite everybody waits for a writer.
    if newest is not None and table is not None and _is_enough(table, request, space):
        return _take(flow, place, newest)
    rows = next_rows(space, device.target, known, done, costs, most)
    asked = any(work.networks for work in done.values())
    networks = () if asked else planned_networks(space, device.target, held_out)
    work = ProfileWork(operators=rows.operators, networks=networks)
    return _ask(flow, place, work, _round_note(work, rows, round_number=len(done) + 1))


def _own_table(session: Session, job: JobRow, place: int) -> str | None:
    """Return the table that the job took before it was resumed, as long as it can be trusted.

    Another version, made of the same measurements, would be the price of plans that are trained.
    """
    table_id = table_id_at(session, job, place)
    if table_id is None:
        return None
    table = session.get_one(LatencyTableRow, table_id)
    device = get_device(session, device_id_at(session, job, place))
    trusted = table.withdrawn_at is None
    return table_id if trusted and table.target_fingerprint == device.target_fingerprint else None


def _take(flow: Flow, place: int, table: LatencyTableRow) -> dict[str, Any]:
    with flow.job() as (session, job):
        take_table(session, job, place, table.id)
        message = f"table version {table.version} of the device covers the space"
        record(session, job, NOTE_EVENT, {"message": message}, flow.context.clock())
        return {"table_id": table.id, "unit_id": None}


def _ask(flow: Flow, place: int, work: ProfileWork, note: dict[str, Any]) -> dict[str, Any]:
    with flow.job() as (session, job):
        device_id = device_id_at(session, job, place)
        unit_id = open_profile(session, job.id, device_id)
        if unit_id is None and (work.operators or work.networks):
            # Not `ask_device`: what it would use again may have been done by another target.
            now = flow.context.clock()
            unit_id = request_profile(session, device_id, job.id, work, now=now)
            record(session, job, NOTE_EVENT, note, now)
        if unit_id is not None:
            flow.enter(session, job, JobState.WAITING)
        return {"table_id": None, "unit_id": unit_id}


def _round_note(work: ProfileWork, rows: RowPlan, *, round_number: int) -> dict[str, Any]:
    return {
        "message": f"round {round_number}: measuring {len(work.operators)} operators and "
        f"{len(work.networks)} networks; {rows.known} operators are known, {rows.covered} are "
        f"priced by what lies around them, which costs a network {rows.error_now:.1%} now and "
        f"{rows.error_after:.1%} then",
        "operators": len(work.operators),
        "networks": len(work.networks),
        "expected_error": rows.error_now,
    }


def publish_table(flow: Flow, place: int = OWN) -> str:
    """Step: make a new version of the device's table from everything that was measured.

    Raises:
        JobFailedError: too little could be measured for a table that can be trusted; none is made.
    """
    with flow.job() as (session, job):
        device = get_device(session, device_id_at(session, job, place))
        units = finished_profiles(session, job.id, device)
        results = [result for unit_id in units for result in network_results(session, unit_id)]
        table = build_table(
            session,
            device.target_fingerprint,
            *split_networks(results),
            now=flow.context.clock(),
            timed_by=device.id,
        )
        task = find_dataset(session, job.request["dataset"]).task
        space = job_space(flow.context.store, job.request, task)
        _check_table(load_table(session, table.id), space)
        take_table(session, job, place, table.id)
        message = f"table version {table.version}: {table.operators} operators"
        for regime, error in ((Regime.STOCK, table.error), (Regime.LIBRARY, table.library_error)):
            if error is not None:
                message += f"; {regime}: mean error {error['mape']:.1%} on {error['networks']} "
                message += "held-out networks"
        note = {"message": message, "error": table.error, "library_error": table.library_error}
        record(session, job, NOTE_EVENT, note, flow.context.clock())
        return table.id


def _is_enough(table: LatencyTable, request: dict[str, Any], space: SearchSpace) -> bool:
    """Whether a table covers the space, and is judged on as many networks as were asked for."""
    wanted = int(_MEASURABLE * request.get("held_out", 0))
    judges = [table.error] if table.library is None else [table.error, table.library_error]
    judged = min(0 if error is None else error.networks for error in judges)
    return covers_space(table, space, _most_rows(request)) and judged >= wanted


def _most_rows(request: dict[str, Any]) -> int:
    """Return how many rows the table is to have for the space at most; older jobs did not say."""
    return int(request.get("rows", DEFAULT_ROWS))


def _check_table(table: LatencyTable, space: SearchSpace) -> None:
    problem = calibration_problem(table)
    usage = space.usage(table.target)
    worst = float(network_errors(usage, table.rows, table.target.facts).max())
    if not problem and worst > _WORST_USABLE:
        problem = f"too few operators could be measured: networks of the space are known to {worst:.0%} only"
    if problem:
        message = f"The measurements make no table: {problem}."
        raise JobFailedError({"code": "measurements-unusable", "message": message})
