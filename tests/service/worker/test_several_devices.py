"""A search for two devices: a table, measurements, a file and a verdict for each of them."""

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency.codec import decode
from latency.exchange.table_file import read_table
from latency.messages import Chunk, ProfileWork
from search.requests import SearchRequest
from service.client.event_text import result_lines
from service.database import Database
from service.devices.use_cases import get_device
from service.errors import BudgetInfeasibleError
from service.jobs.job_devices import search_devices, take_table
from service.jobs.repository import events_after
from service.jobs.schemas import JobRead
from service.jobs.use_cases import artifacts_of, get_job
from service.lifecycle import JobState
from service.profiling.use_cases import build_table
from service.profiling.withdrawal import withdraw_device
from service.worker import search_flow, search_steps
from service.worker.context import WorkerContext
from service.worker.device_work import is_done
from service.worker.flow import Flow, JobFailedError, unwrap
from service.worker.search_steps import (
    ask_for_comparison,
    ask_for_graph,
    ask_for_model,
    check_feasible,
    count_devices,
    finish,
    judge,
)
from service.worker.space_table import plan_profile
from service.worker.stage_results import round_folder
from service.worker.stages import StageOrder, prepare_stage
from service.worker.tries import verified_units
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock
from tests.service.profiling.steps import all_operators, profile
from tests.service.samples import CONDITIONS, network, network_result

ORDER = {
    "device": "box",
    "budget_ms": 0.5,
    "also": [{"device": "pi", "budget_ms": 0.4}],
    "channels": 4,
    "cells": 3,
    "recipe": "tiny",
}
BUDGETS_MS = (0.5, 0.4)
PREDICTION = {"latency_ms": 10.0, "low_ms": 9.0, "high_ms": 11.0, "table_version": 1}
REGRET = {"method": "predicted", "rows": [], "text": "found for on\nbox pi"}


@pytest.fixture
def searching(context: WorkerContext, admin: TestClient, boards: list[Board]) -> Flow:
    """The first attempt at a search for both."""
    return order(context, admin)


@pytest.fixture
def priced(searching: Flow, boards: list[Board], clock: HeldClock) -> Flow:
    """The same when both have a table."""
    give_tables(searching, boards, clock)
    return searching


def give_tables(flow: Flow, boards: list[Board], clock: HeldClock) -> None:
    """Let each device have a table, on which every operator costs a microsecond."""
    for place, board in enumerate(boards, start=1):
        profile(flow.context.database, clock, board, ProfileWork(operators=all_operators()))
        with flow.context.database.transaction() as session:
            table = build_table(session, board.target.fingerprint, [], [], now=clock())
            take_table(session, get_job(session, flow.job_id), place, table.id)


def order(context: WorkerContext, admin: TestClient, **changes: Any) -> Flow:
    response = admin.post("/v1/searches", json=ORDER | changes)
    assert response.status_code == 201, response.text
    return Flow(context=context, job_id=response.json()["id"], attempt=0)


def answer(flow: Flow, board: Board, unit_id: str, *, ms: float) -> None:
    """Let a device time the network that it was asked for."""
    board.digests.clear()
    lease = board.work()
    assert lease.verify is not None
    result = network_result(lease.verify.name, ns=round(ms * 1e6))
    chunk = Chunk(attempt=lease.attempt, conditions=CONDITIONS, networks=(result,))
    assert board.upload(lease, chunk).status_code == 204
    assert board.finish(lease).status_code == 200
    assert is_done(flow, unit_id)


def write_round(flow: Flow, *, tighten: tuple[float, ...] = ()) -> None:
    """Write what the stages of a round leave: one network, a file for each device."""
    flow.context.job_folder(flow.job_id).mkdir(parents=True, exist_ok=True)
    (flow.context.job_folder(flow.job_id) / "search.json").write_text("{}")
    made = StageOrder(job_id=flow.job_id, attempt=0, stage="derive", tighten=tighten)
    prepare_stage(flow, made)
    folder, graph = round_folder(flow, 0), network().to_dict()
    derived = {"graph": graph, "prediction": PREDICTION}
    exports = []
    for path in ("model.onnx", "model-2.onnx"):
        (folder / path).write_bytes(path.encode())
        digest = hashlib.sha256(path.encode()).hexdigest()
        exports.append(
            {
                "path": path,
                "sha256": digest,
                "bytes": len(path),
                "regime": "stock",
                "prediction": PREDICTION,
                "genotype": {"channels": 4},
                "dense_parent": graph,
            }
        )
    results = {
        "derive": derived | {"also": [derived], "regret": REGRET},
        "train": {"accuracy": 0.9, "test_images": 360, "epochs": 3},
        "export": exports[0] | {"also": exports[1:]},
    }
    for stage, result in results.items():
        (folder / f"{stage}.json").write_text(json.dumps(result))
    (folder / "genotype.json").write_text("{}")


def measure(flow: Flow, boards: list[Board], *, ms: tuple[float, float]) -> list[float | None]:
    """Have graph, file and comparison measured on each device; returns the last judgements."""
    judged: list[float | None] = []
    first_try = {"ask_for_graph": (0,), "ask_for_model": (0,)}
    for ask in (ask_for_graph, ask_for_model, ask_for_comparison):
        judged.clear()
        for place, board in enumerate(boards, start=1):
            asked = (flow, 0, *first_try.get(ask.__name__, ()), place)
            unit_id = ask(*asked)
            assert ask(*asked) == unit_id, "the same is asked for once"
            answer(flow, board, unit_id, ms=ms[place - 1])
            judged.append(judge(flow, [unit_id], 0, place))
    return judged


def ended(flow: Flow) -> JobRead:
    with flow.context.database.reading() as session:
        return JobRead.model_validate(get_job(session, flow.job_id))


def test_each_device_is_asked_for_what_its_own_table_lacks(
    searching: Flow, boards: list[Board]
) -> None:
    assert count_devices(searching) == 2
    for place, board in enumerate(boards, start=1):
        plan = plan_profile(searching, place)
        assert plan_profile(searching, place) == plan
        lease = board.work()
        assert lease.profile is not None
        assert lease.profile.operators


def test_devices_that_are_one_target_share_a_table(
    app: FastAPI, admin: TestClient, context: WorkerContext, clock: HeldClock
) -> None:
    box = enrol(app, admin, name="box")
    enrol(app, admin, name="pi")
    flow = order(context, admin)
    profile(context.database, clock, box, ProfileWork(operators=all_operators()))
    with context.database.transaction() as session:
        table_id = build_table(session, box.target.fingerprint, [], [], now=clock()).id
    assert [plan_profile(flow, place)["table_id"] for place in (1, 2)] == [table_id, table_id]
    with context.database.reading() as session:
        devices = search_devices(session, get_job(session, flow.job_id))
        assert [one.table_id for one in devices] == [table_id, table_id]


def test_the_trainer_gets_a_table_and_a_budget_for_each(priced: Flow, boards: list[Board]) -> None:
    made = StageOrder(job_id=priced.job_id, attempt=0, stage="search", tighten=(1.0, 0.75))
    prepare_stage(priced, made)
    folder = priced.context.job_folder(priced.job_id)
    found = decode((folder / "request.json").read_bytes(), SearchRequest)
    assert [(one.device, one.budget_ms, one.tighten) for one in found.budgets] == [
        ("box", 0.5, 1.0),
        ("pi", 0.4, 0.75),
    ]
    for name, board in zip(("table.json", "table-2.json"), boards, strict=True):
        assert read_table(folder / name).table.target == board.target


def test_a_budget_that_one_device_cannot_keep_is_refused_with_its_name(
    priced: Flow, admin: TestClient
) -> None:
    check_feasible(priced)
    also = [{"device": "pi", "budget_ms": 1e-4}]
    refused = admin.post("/v1/searches", json=ORDER | {"also": also})
    assert (refused.status_code, refused.json()["code"]) == (422, "budget-infeasible")
    assert "on pi; the smallest budget" in refused.json()["detail"]


def test_what_turns_out_to_be_infeasible_after_profiling_is_refused_before_training(
    context: WorkerContext, admin: TestClient, boards: list[Board], clock: HeldClock
) -> None:
    flow = order(context, admin, also=[{"device": "pi", "budget_ms": 1e-4}])
    give_tables(flow, boards, clock)
    with pytest.raises(BudgetInfeasibleError, match="on pi; the smallest budget"):
        check_feasible(flow)


def test_the_certificate_states_every_device(priced: Flow, boards: list[Board]) -> None:
    write_round(priced)
    assert measure(priced, boards, ms=(0.3, 0.2)) == [None, None]
    finish(priced, 0)
    job = ended(priced)
    assert job.state == JobState.SUCCEEDED
    assert job.result is not None
    certificate = job.result["certificate"]
    parts = [certificate, *certificate["also"]]
    assert [part["device"]["name"] for part in parts] == ["box", "pi"]
    assert [part["budget_ms"] for part in parts] == list(BUDGETS_MS)
    assert [part["measured"]["latency_ms"] for part in parts] == pytest.approx([0.3, 0.2], 1e-3)
    assert [part["predicted"] for part in parts] == [PREDICTION, PREDICTION]
    assert [part["table"]["version"] for part in parts] == [1, 1]
    assert parts[0]["table"]["id"] != parts[1]["table"]["id"]
    assert [part["file"] for part in parts] == ["model.onnx", "model-2.onnx"]
    assert all(part["met"] for part in parts)
    assert certificate["verdict"].startswith("box: met: 0.3000 ms measured, 60.0% of the budget")
    assert "; pi: met: 0.2000 ms measured, 50.0% of the budget" in certificate["verdict"]
    assert sorted(certificate["other_measurements"]) == ["round-0-graph", "round-0-graph-2"]
    with priced.context.database.reading() as session:
        names = {found.name for found in artifacts_of(session, priced.job_id)}
    assert names == {"model.onnx", "model-2.onnx", "genotype.json", "certificate.json"}
    assert "box pi" in result_lines(job), "the regret table"


def test_one_device_that_is_too_slow_fails_the_search(priced: Flow, boards: list[Board]) -> None:
    write_round(priced, tighten=(1.0, 0.9))
    box, pi = measure(priced, boards, ms=(0.3, 0.6))
    assert box is None
    assert pi == pytest.approx(0.9 * 0.4 / 0.6 * 0.99, rel=1e-3)
    finish(priced, 0)
    job = ended(priced)
    assert job.state == JobState.FAILED
    assert job.error is not None
    assert job.error["code"] == "over-budget"
    assert "pi: not met: 0.6000 ms measured, 50.0% over" in job.error["message"]
    assert job.result is not None
    assert job.result["certificate"]["met"] is False


@dataclass(frozen=True, kw_only=True)
class SteppingFlow(Flow):
    """A flow without an engine: steps run at once, and devices work behind each question."""

    device: Callable[[str, int], None]  # takes the id of a unit and the place of the device

    async def step(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        value = unwrap(self.guarded(function, *args, **kwargs))
        if function is search_steps.ask_for_graph:
            self.device(value, args[-1])
        return value


def test_only_the_budget_that_was_missed_is_tightened(priced: Flow, boards: list[Board]) -> None:
    write_round(priced)

    def device(unit_id: str, place: int) -> None:
        answer(priced, boards[place - 1], unit_id, ms=(0.3, 0.6)[place - 1])

    flow = SteppingFlow(
        context=priced.context, job_id=priced.job_id, attempt=priced.attempt, device=device
    )
    training = search_flow._Training(flow=flow, stage_flow=lambda: None, priority=1, devices=2)
    found = asyncio.run(search_flow._measure(training, ask_for_graph, 0, (0.8, 1.0)))
    assert found == pytest.approx((0.8, 0.4 / 0.6 * 0.99), rel=1e-3)


def test_each_device_is_doubted_by_what_is_expected_there(
    priced: Flow, boards: list[Board]
) -> None:
    write_round(priced)
    path = round_folder(priced, 0) / "derive.json"
    derived = json.loads(path.read_text())
    derived["also"][0]["prediction"] = PREDICTION | {"high_ms": 0.39}
    path.write_text(json.dumps(derived))
    asked = []

    def device(unit_id: str, place: int) -> None:
        asked.append(place)
        answer(priced, boards[place - 1], unit_id, ms=0.6)

    flow = SteppingFlow(
        context=priced.context, job_id=priced.job_id, attempt=priced.attempt, device=device
    )
    training = search_flow._Training(flow=flow, stage_flow=lambda: None, priority=1, devices=2)
    asyncio.run(search_flow._measure(training, ask_for_graph, 0, (1.0, 1.0)))
    assert asked == [1, 2, 2], "only on the second it is slower than predicted"
    with priced.context.database.reading() as session:
        units = verified_units(session, priced.job_id)
        notes = [
            event.payload["message"]
            for event in events_after(session, priced.job_id, 0)
            if event.kind == "note"
        ]
    assert {name: len(found) for name, found in units.items()} == {
        "round-0-graph": 1,
        "round-0-graph-2": 2,
    }
    assert notes[-2].startswith(
        "round-0-graph-2: measured 0.6000 ms on pi, budget 0.4 ms; it is measured again"
    )
    assert notes[-1] == "round-0-graph-2: measured 0.6000 ms in 2 tries on pi, budget 0.4 ms"


@dataclass(frozen=True, kw_only=True)
class RefusingTraining(search_flow._Training):
    """Stages that end with an error."""

    code: str

    async def run(
        self, stage: str, round_number: int = 0, tighten: search_flow.Tighten = ()
    ) -> None:
        raise JobFailedError({"code": self.code, "message": f"{stage} {round_number} {tighten}"})


def test_tightened_budgets_that_are_too_much_together_do_not_end_the_search(
    searching: Flow,
) -> None:
    training = RefusingTraining(
        flow=searching,
        stage_flow=lambda: None,
        priority=1,
        devices=2,
        code="budget-infeasible",
    )
    assert not asyncio.run(search_flow._is_derived(training, 1, (0.9, 0.9)))
    with pytest.raises(JobFailedError):
        asyncio.run(search_flow._is_derived(training, 0, (1.0, 1.0)))
    with pytest.raises(JobFailedError):
        asyncio.run(search_flow._is_derived(replace(training, code="crashed"), 1, (0.9, 0.9)))


def test_the_table_of_any_device_is_what_a_job_rests_on(
    priced: Flow, boards: list[Board], database: Database, clock: HeldClock
) -> None:
    with database.transaction() as session:
        found = withdraw_device(session, get_device(session, boards[1].device_id), clock())
        assert [job.id for job in found.jobs] == [priced.job_id]
