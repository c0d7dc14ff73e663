"""The front of a search for two devices: each candidate is measured and held to a budget on both."""

import asyncio
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.messages import VerifyWork
from service.client.event_text import result_lines
from service.jobs.repository import events_after
from service.jobs.use_cases import artifacts_of
from service.worker.context import WorkerContext
from service.worker.flow import Flow
from service.worker.front_lines import candidate_name, with_dominance
from service.worker.search_flow import measure_front
from service.worker.search_steps import finish
from service.worker.stage_results import round_folder
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import network
from tests.service.worker.stepping import SteppingFlow, verify_all
from tests.service.worker.test_several_devices import (
    PREDICTION,
    ended,
    give_tables,
    measure,
    order,
    write_round,
)

# Milliseconds on each device; None: it cannot run the network. Budgets are 0.5 and 0.4 ms.
MEASURED_MS: list[tuple[float, float | None]] = [(0.2, 0.3), (0.3, 0.2), (0.4, 0.6), (0.3, None)]
HINTS = [0.5, 0.5, 0.4, 0.9]


@pytest.fixture
def searched(
    context: WorkerContext, admin: TestClient, boards: list[Board], clock: HeldClock
) -> Flow:
    """A search for both whose network is measured and whose trainer has found four others."""
    flow = order(context, admin, front=len(HINTS))
    give_tables(flow, boards, clock)
    write_round(flow)
    measure(flow, boards, ms=(0.3, 0.2))
    found = {
        "candidates": [candidate(index, hint) for index, hint in enumerate(HINTS)],
        "judged_images": 512,
        "path_epochs": 10,
        "considered": 17,
        "budget_ms": 0.5,
    }
    (round_folder(flow, 0) / "front.json").write_text(json.dumps(found))
    return flow


def candidate(index: int, hint: float) -> dict[str, Any]:
    """Return what the trainer says of a candidate, which has another form on the second device."""
    forms = [
        {"prediction": PREDICTION | {"table_version": place}, "graph": graph_of(index, place)}
        for place in (1, 2)
    ]
    told = {"device": "pi", "budget_ms": 0.4, "tighten": 1.0}
    return {
        "genotype": {"number": index},
        "source": "alphas",
        "derived": index == 3,
        "shared_weight_accuracy": hint,
        "width_distortion": 0.0,
        "rank": 0,
        "budget_used": 0.2 * index,
        **forms[0],
        "also": [told | forms[1]],
    }


def graph_of(index: int, place: int) -> dict[str, Any]:
    return network(depth=2 * index + place).to_dict()


def measured(flow: Flow, boards: list[Board]) -> list[tuple[int, int]]:
    """Have the candidates measured; returns which was asked of which device, in order."""
    asked: list[tuple[int, int]] = []

    def device(_number: int, index: int, place: int) -> None:
        asked.append((index, place))

        def is_the_candidate(work: VerifyWork) -> None:
            assert work.name == candidate_name(0, index, place)
            assert work.graph is not None
            assert work.graph.to_dict() == graph_of(index, place)

        verify_all(boards[place - 1], MEASURED_MS[index][place - 1], is_the_candidate)

    stepping = SteppingFlow(context=flow.context, job_id=flow.job_id, attempt=0, device=device)
    asyncio.run(measure_front(stepping, 0, len(boards)))
    return asked


def test_every_candidate_is_measured_on_every_device_and_held_to_every_budget(
    searched: Flow, boards: list[Board]
) -> None:
    every = [(index, place) for index in range(len(HINTS)) for place in (1, 2)]
    assert measured(searched, boards) == every
    finish(searched, 0)
    job = ended(searched)
    assert job.error is None
    assert job.result is not None
    front = job.result["front"]
    candidates = front["candidates"]
    for one, (own_ms, other_ms) in zip(candidates, MEASURED_MS, strict=True):
        (pi,) = one["also"]
        assert (pi["device"], pi["budget_ms"]) == ("pi", 0.4)
        assert [part["predicted"]["table_version"] for part in (one, pi)] == [1, 2]
        assert one["measured"]["latency_ms"] == pytest.approx(own_ms, abs=1e-3)
        if other_ms is not None:
            assert pi["measured"]["latency_ms"] == pytest.approx(other_ms, abs=1e-3)
    assert [one["met"] for one in candidates] == [True, True, False, None]
    assert [one["also"][0]["met"] for one in candidates] == [True, True, False, None]
    assert [one["dominated"] for one in candidates] == [False, False, True, None]
    assert [one["budget_used"] for one in candidates] == pytest.approx([0.0, 0.2, 0.4, 0.6])
    assert "`met` is about all of them" in front["meaning"]
    summary = job.result["certificate"]["front"]["candidates"]
    assert [one["also"] for one in summary] == [one["also"] for one in candidates]
    assert "front-0-0" not in job.result["certificate"]["other_measurements"]
    with searched.context.database.reading() as session:
        assert "front.json" in {found.name for found in artifacts_of(session, searched.job_id)}
    lines = result_lines(job)
    hint = "50.0% with shared weights"
    assert f"front 0: 0.2000 ms measured, 0.3000 ms measured on pi, {hint}" in lines
    assert lines[-2].startswith(
        "front 3: 0.3000 ms measured, predicted 10.0000 ms (90 %: 9.0000 to 11.0000), table version 2 "
        "on pi, not measured"
    )


def test_a_device_that_cannot_run_a_candidate_is_named_and_ends_no_search(
    searched: Flow, boards: list[Board]
) -> None:
    measured(searched, boards)
    with searched.context.database.reading() as session:
        events = events_after(session, searched.job_id, 0)
    notes = [event.payload["message"] for event in events if event.kind == "note"]
    assert notes[-1].startswith("candidate 3 of the front is not measured on pi: The device could")


@settings(max_examples=60, deadline=None)
@given(
    points=st.lists(
        st.tuples(st.integers(1, 3), st.none() | st.integers(1, 3), st.integers(0, 2)), max_size=8
    )
)
def test_dominated_on_several_devices_is_what_another_is_as_fast_as_on_each(
    points: list[tuple[int, int | None, int]],
) -> None:
    def told(ms: int | None) -> dict[str, Any]:
        return {"measured": None if ms is None else {"latency_ms": float(ms)}}

    lines = [
        {"index": index, "shared_weight_accuracy": hint / 4, **told(own), "also": [told(other)]}
        for index, (own, other, hint) in enumerate(points)
    ]
    known = [(own, other, -hint) for own, other, hint in points if other is not None]
    for line, (own, other, hint) in zip(with_dominance(lines), points, strict=True):
        if other is None:
            assert line["dominated"] is None
            continue
        point = (own, other, -hint)
        beaten = any(
            better != point and all(a <= b for a, b in zip(better, point, strict=True))
            for better in known
        )
        assert line["dominated"] is beaten
