"""Steps that run again after an interruption change nothing that they have already done."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from latency.codec import decode
from latency.messages import ProfileWork, VerifyWork
from latency.operator import SparsityPattern
from search.requests import SearchRequest
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity
from search.space.stage_space import StageSpace
from service.datasets.inspection import DIGITS_TASK
from service.devices.work import cancel_work
from service.errors import BudgetInfeasibleError
from service.jobs.repository import job_by_id
from service.lifecycle import JobState
from service.profiling.planning import profiled_space
from service.profiling.use_cases import build_table
from service.tables.job import JobRow
from service.tables.work_unit import WorkUnitRow
from service.worker.context import WorkerContext
from service.worker.device_work import ask_device, measured_network, summary
from service.worker.flow import Flow, JobFailedError
from service.worker.flows import write_failure
from service.worker.search_steps import check_feasible, is_given
from service.worker.space_table import plan_profile
from service.worker.stages import StageOrder, prepare_stage
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock
from tests.service.samples import add_job, chunk_of, network, network_result, target

SPACE = PlannedSpace(
    channels=4,
    cells=3,
    task=DIGITS_TASK,
    sparsity=Sparsity(pattern=SparsityPattern.BLOCK, density=0.25),
)

PROFILE: dict[str, Any] = {"dataset": "digits", "channels": 4, "cells": 3, "pattern": "block"}


def units_of(flow: Flow) -> int:
    with flow.context.database.reading() as session:
        return session.scalar(select(func.count()).select_from(WorkUnitRow)) or 0


def ask(flow: Flow, name: str) -> str:
    with flow.job() as (session, job):
        return ask_device(flow, session, job, VerifyWork(name=name, graph=network()))


def test_the_same_work_is_asked_for_once(flow: Flow) -> None:
    first = ask(flow, "round-0-graph")
    assert ask(flow, "round-0-graph") == first
    assert ask(flow, "round-1-graph") != first
    assert units_of(flow) == 2
    with flow.context.database.transaction() as session:
        cancel_work(session, flow.job_id, now=flow.context.clock())
    assert ask(flow, "round-0-graph") != first  # what was cancelled is asked for anew


def test_planning_twice_asks_for_one_profile_and_the_job_waits(flow: Flow) -> None:
    plan = plan_profile(flow)
    assert plan["table_id"] is None
    assert plan_profile(flow)["unit_id"] == plan["unit_id"]
    assert units_of(flow) == 1
    with flow.context.database.reading() as session:
        job = job_by_id(session, flow.job_id)
        assert job is not None
        assert job.state == JobState.WAITING


def test_a_device_is_asked_in_rounds_until_nothing_is_worth_a_row(
    app: FastAPI, admin: TestClient, context: WorkerContext, clock: HeldClock
) -> None:
    flow = flow_of_board(context, board := enrol(app, admin), clock)
    asked: list[ProfileWork] = []
    while (plan := plan_profile(flow))["unit_id"] is not None:
        assert plan_profile(flow) == plan  # a unit that waits is the round
        work = measure(board)
        assert set(work.operators).isdisjoint(spec for before in asked for spec in before.operators)
        asked.append(work)
        flow = replace(flow, attempt=resumed(flow))
    assert plan["table_id"] is None
    assert 1 <= len(asked) <= 3
    assert [bool(work.networks) for work in asked] == [True] + [False] * (len(asked) - 1)
    assert set(SPACE.usage(target()).points) - set(asked[0].operators)  # others tell of these


def test_a_job_in_a_hurry_has_fewer_rows_measured(
    app: FastAPI, admin: TestClient, context: WorkerContext, clock: HeldClock
) -> None:
    flow = flow_of_board(context, board := enrol(app, admin), clock)
    set_job(flow, request={**PROFILE, "rows": 50})
    asked = 0
    while plan_profile(flow)["unit_id"] is not None:
        asked += len(measure(board).operators)
        flow = replace(flow, attempt=resumed(flow))
    assert 33 < asked <= 50  # the first round has two thirds


def test_a_device_that_became_another_target_is_asked_for_everything_again(
    app: FastAPI, admin: TestClient, context: WorkerContext, clock: HeldClock
) -> None:
    flow = flow_of_board(context, board := enrol(app, admin), clock)
    plan_profile(flow)
    first = measure(board)
    board.target = target(threads=2)
    board.claim()
    plan_profile(flow)
    again = measure(board)
    assert again.networks == first.networks
    assert again.operators == first.operators


def flow_of_board(context: WorkerContext, board: Board, clock: HeldClock) -> Flow:
    """Return the first attempt at a profile of a small space on a device."""
    with context.database.transaction() as session:
        job_id = add_job(session, clock(), board.device_id)
        session.get_one(JobRow, job_id).request = PROFILE
    return Flow(context=context, job_id=job_id, attempt=0)


def measure(board: Board) -> ProfileWork:
    """Let the device do what it is asked for: every operator costs a microsecond."""
    board.digests.clear()
    lease = board.work()
    assert lease.profile is not None
    assert board.upload(lease, chunk_of(lease.profile)).status_code == 204
    assert board.finish(lease).status_code == 200
    return lease.profile


def resumed(flow: Flow) -> int:
    """Give the job a new attempt, as a resume does; returns its number."""
    with flow.context.database.transaction() as session:
        job = session.get_one(JobRow, flow.job_id)
        job.attempt += 1
        return job.attempt


def test_the_trainer_is_told_the_space_that_was_planned_and_priced(
    app: FastAPI, admin: TestClient, context: WorkerContext, clock: HeldClock
) -> None:
    flow = flow_of_board(context, board := enrol(app, admin), clock)
    request = {
        "dataset": "digits",
        "space": "stages",
        "channels": 4,
        "cells": 5,
        "pattern": "block",
        "density": 0.25,
        "budget_ms": 50.0,
        "seed": 1,
        "recipe": "tiny",
    }
    set_job(flow, request=request)
    plan_profile(flow)
    measure(board)
    with context.database.transaction() as session:
        table = build_table(session, target().fingerprint, [], [], now=clock())
        session.get_one(JobRow, flow.job_id).table_id = table.id
    check_feasible(flow)
    prepare_stage(flow, StageOrder(job_id=flow.job_id, attempt=0, stage="search"))
    written = (context.job_folder(flow.job_id) / "request.json").read_bytes()
    found = decode(written, SearchRequest)
    assert found.space == "stages"
    assert found.search_space(DIGITS_TASK) == profiled_space(request, DIGITS_TASK)
    check_what_later_stages_are_given(flow, request)
    set_job(flow, request=request | {"budget_ms": 1e-4})
    with pytest.raises(BudgetInfeasibleError):
        check_feasible(flow)


def check_what_later_stages_are_given(flow: Flow, request: dict[str, Any]) -> None:
    """The result of the search; for a front its supernet too; for a given network neither."""
    folder = flow.context.job_folder(flow.job_id)
    (folder / "search.json").write_text("{}")
    (folder / "checkpoints").mkdir()
    (folder / "checkpoints" / "search.pt").write_bytes(b"weights")
    set_job(flow, request=request | {"front": 3})
    order = StageOrder(job_id=flow.job_id, attempt=0, stage="derive", round_number=1)
    prepare_stage(flow, order)
    assert (folder / "round-1" / "search.json").read_text() == "{}"
    assert not (folder / "round-1" / "checkpoints").exists()
    prepare_stage(flow, replace(order, stage="front", tighten=(0.9,)))
    assert (folder / "round-1" / "checkpoints" / "search.pt").read_bytes() == b"weights"
    asked = decode((folder / "round-1" / "request.json").read_bytes(), SearchRequest)
    assert (asked.front, asked.tighten, asked.genotype) == (3, 0.9, None)
    genotype = stages_genotype()
    set_job(flow, request=request | {"genotype": genotype})
    prepare_stage(flow, replace(order, round_number=2))
    assert not (folder / "round-2" / "search.json").exists()
    asked = decode((folder / "round-2" / "request.json").read_bytes(), SearchRequest)
    assert asked.genotype == genotype
    assert is_given(flow)


def stages_genotype() -> dict[str, Any]:
    space = StageSpace(width=4, task=DIGITS_TASK)
    return space.random_genotype(np.random.default_rng(0)).to_dict()


def set_job(flow: Flow, *, request: dict[str, Any]) -> None:
    with flow.context.database.transaction() as session:
        session.get_one(JobRow, flow.job_id).request = request


def test_a_failure_is_written_into_the_job(flow: Flow) -> None:
    error = {"code": "trainer-crashed", "message": "killed"}
    write_failure(flow, error)
    with flow.context.database.reading() as session:
        job = job_by_id(session, flow.job_id)
        assert job is not None
        assert (job.state, job.error) == (JobState.FAILED, error)


def test_a_unit_without_results_is_no_measurement(flow: Flow) -> None:
    unit_id = ask(flow, "round-0-graph")
    with flow.context.database.reading() as session, pytest.raises(JobFailedError, match="arrived"):
        measured_network(session, unit_id)


def test_a_summary_is_the_median_of_medians() -> None:
    found = summary(network_result("x", ns=2_000_000))
    assert found["latency_ms"] == pytest.approx(2.000012)
    assert found["processes_ms"] == pytest.approx([2.000002, 2.000012, 2.000022])
    assert found["samples"] == 15
