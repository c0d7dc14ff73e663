"""The front in a search job: asked for, measured with random weights, stated, trained on request."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.messages import Chunk, Outcome
from service.client.event_text import event_line, result_lines
from service.client.events import Event
from service.jobs.repository import events_after, job_by_id
from service.jobs.schemas import JobRead
from service.lifecycle import JobState
from service.tables.job import JobRow
from service.worker.context import WorkerContext
from service.worker.flow import Flow
from service.worker.front_lines import (
    candidate_name,
    collect_front,
    front_bytes,
    front_summary,
    is_candidate,
    with_dominance,
)
from service.worker.front_steps import ask_for_candidate, front_candidates, wants_front
from service.worker.search_flow import measure_front
from service.worker.stage_results import round_folder
from service.worker.tries import verified_units
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import (
    CONDITIONS,
    add_job,
    network,
    network_result,
)
from tests.service.worker.stepping import SteppingFlow

BUDGET_MS = 0.1
PREDICTION = {"latency_ms": 0.05, "low_ms": 0.04, "high_ms": 0.06, "table_version": 4}


@pytest.fixture
def searching(context: WorkerContext, board: Board, clock: HeldClock) -> Flow:
    """A search whose trainer has found three networks to choose from."""
    with context.database.transaction() as session:
        job_id = add_job(session, clock(), board.device_id)
        session.get_one(JobRow, job_id).request = {"budget_ms": BUDGET_MS, "front": 3}
    flow = Flow(context=context, job_id=job_id, attempt=0)
    folder = round_folder(flow, 0)
    folder.mkdir(parents=True)
    found = {
        "candidates": [candidate(depth, hint) for depth, hint in ((1, 0.4), (2, 0.3), (3, 0.9))],
        "judged_images": 512,
        "path_epochs": 10,
        "considered": 17,
        "budget_ms": BUDGET_MS,
    }
    (folder / "front.json").write_text(json.dumps(found))
    return flow


def candidate(depth: int, hint: float) -> dict[str, Any]:
    return {
        "genotype": {"depth": depth},
        "source": "alphas",
        "derived": depth == 3,
        "shared_weight_accuracy": hint,
        "width_distortion": 0.0,
        "rank": 0,
        "prediction": PREDICTION,
        "graph": network(depth=depth).to_dict(),
    }


def answer(board: Board, index: int, *, ns: int) -> None:
    """Let the device measure a candidate as it was asked to."""
    board.digests.clear()
    lease = board.work()
    assert lease.verify is not None
    assert lease.verify.name == candidate_name(0, index)
    assert lease.verify.graph == network(depth=index + 1)
    result = network_result(lease.verify.name, ns=ns)
    chunk = Chunk(attempt=lease.attempt, conditions=CONDITIONS, networks=(result,))
    assert board.upload(lease, chunk).status_code == 204
    assert board.finish(lease).status_code == 200


def refuse(board: Board) -> None:
    """Let the device fail until nobody asks it any more."""
    board.digests.clear()
    while (lease := board.claim().lease) is not None:
        assert board.finish(lease, outcome=Outcome.FAILED, reason="no memory").status_code == 200


def measured(flow: Flow, device: Callable[[int], None]) -> tuple[JobRead, dict[str, Any]]:
    """Have all candidates measured; returns the job and its front."""
    stepping = SteppingFlow(
        context=flow.context,
        job_id=flow.job_id,
        attempt=0,
        device=lambda _number, index, _place: device(index),
    )
    asyncio.run(measure_front(stepping, 0, devices=1))
    return collected(flow)


def collected(flow: Flow) -> tuple[JobRead, dict[str, Any]]:
    with flow.context.database.reading() as session:
        job = job_by_id(session, flow.job_id)
        assert job is not None
        front = collect_front(session, flow, job, 0, verified_units(session, job.id))
        assert front is not None
        return JobRead.model_validate(job), front


def test_candidates_are_measured_one_by_one_and_compared(searching: Flow, board: Board) -> None:
    assert wants_front(searching)
    assert front_candidates(searching, 0) == [0, 1, 2]
    times = (50_000, 60_000, 130_000)
    job, front = measured(searching, lambda index: answer(board, index, ns=times[index]))
    assert job.state == JobState.RUNNING
    first, second, third = front["candidates"]
    assert [one["index"] for one in front["candidates"]] == [0, 1, 2]
    assert first["measured"]["latency_ms"] == pytest.approx(0.05, abs=1e-4)
    assert [one["met"] for one in front["candidates"]] == [True, True, False]
    assert [one["dominated"] for one in front["candidates"]] == [False, True, False]
    assert third["derived"]
    assert second["genotype"] == {"depth": 2}
    assert second["predicted"] == PREDICTION
    assert "graph" not in second
    assert (front["judged_images"], front["path_epochs"], front["considered"]) == (512, 10, 17)
    assert "no accuracy to expect" in front["meaning"]
    assert json.loads(front_bytes(front)) == front
    summary = front_summary(front)
    assert summary is not None
    assert summary["file"] == "front.json"
    assert all("genotype" not in one for one in summary["candidates"])
    assert len(summary["candidates"]) == 3


def test_one_that_the_device_cannot_run_does_not_end_the_search(
    searching: Flow, board: Board
) -> None:
    def device(index: int) -> None:
        if index == 0:
            refuse(board)
        else:
            answer(board, index, ns=50_000 + 1_000 * index)

    job, front = measured(searching, device)
    assert job.state == JobState.RUNNING
    with searching.context.database.reading() as session:
        events = events_after(session, searching.job_id, 0)
    notes = [event.payload["message"] for event in events if event.kind == "note"]
    assert len(notes) == 1
    assert notes[0].startswith("candidate 0 of the front is not measured: The device could not")
    assert [one["measured"] is None for one in front["candidates"]] == [True, False, False]
    assert [one["met"] for one in front["candidates"]] == [None, True, True]
    assert [one["dominated"] for one in front["candidates"]] == [None, False, False]


def test_the_same_candidate_is_asked_for_once(searching: Flow) -> None:
    assert ask_for_candidate(searching, 0, 1) == ask_for_candidate(searching, 0, 1)
    assert ask_for_candidate(searching, 0, 1) != ask_for_candidate(searching, 0, 2)


def test_a_search_that_asks_for_none_states_none(flow: Flow) -> None:
    assert not wants_front(flow)  # an older job does not say
    with flow.context.database.reading() as session:
        job = job_by_id(session, flow.job_id)
        assert job is not None
        assert collect_front(session, flow, job, 0, {}) is None
    assert front_summary(None) is None


def test_measurements_of_candidates_are_told_from_those_of_the_network() -> None:
    assert is_candidate(candidate_name(2, 11))
    assert not is_candidate("round-0-model")
    assert not is_candidate("control-0-random")


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(
        st.tuples(st.none() | st.integers(1, 5), st.integers(0, 4)), min_size=0, max_size=8
    )
)
def test_dominated_is_what_another_beats_in_one_and_equals_in_the_other(
    points: list[tuple[int | None, int]],
) -> None:
    lines = [
        {
            "index": index,
            "measured": None if ms is None else {"latency_ms": float(ms)},
            "shared_weight_accuracy": hint / 4,
        }
        for index, (ms, hint) in enumerate(points)
    ]
    for line, (ms, hint) in zip(with_dominance(lines), points, strict=True):
        beaten = any(
            other is not None and other <= ms and better >= hint and (other, better) != (ms, hint)
            for other, better in points
            if ms is not None
        )
        assert line["dominated"] is (None if ms is None else beaten)


def test_the_command_line_lists_the_front(searching: Flow, board: Board) -> None:
    event = Event(number=1, kind="progress", payload={"stage": "front", "candidates": 6})
    assert event_line(event) == "  front: 6 networks to choose from"
    ask_for_candidate(searching, 0, 0)
    answer(board, 0, ns=50_000)
    job, front = collected(searching)
    certificate = {"accuracy": 0.9, "test_images": 360, "verdict": "met", "controls": None}
    lines = result_lines(
        job.model_copy(update={"result": {"certificate": certificate, "front": front}})
    )
    assert "front 0: 0.0500 ms measured, 40.0% with shared weights" in lines
    predicted = "predicted 0.0500 ms (90 %: 0.0400 to 0.0600), table version 4"
    assert f"front 1: {predicted}, not measured, 30.0% with shared weights" in lines
    assert f"front 2: {predicted}, not measured, 90.0% with shared weights, derived" in lines
