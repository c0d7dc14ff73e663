"""Controls of a search for two devices: a file, a measurement and a budget on each."""

import asyncio
import hashlib
import json
from typing import Any

import pytest
from fastapi.testclient import TestClient

from latency.messages import VerifyWork
from service.jobs.repository import events_after
from service.jobs.use_cases import artifacts_of
from service.worker.context import WorkerContext
from service.worker.control_lines import control_name
from service.worker.flow import Flow
from service.worker.search_flow import measure_controls
from service.worker.search_steps import finish
from service.worker.stage_results import round_folder
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.worker.stepping import SteppingFlow, verify_all
from tests.service.worker.test_several_devices import (
    PREDICTION,
    ended,
    give_tables,
    measure,
    order,
    write_round,
)

# Milliseconds on each device; None: it cannot run the file. Budgets are 0.5 and 0.4 ms.
MEASURED_MS: dict[str, tuple[float, float | None]] = {
    "random": (0.45, 0.35),
    "dense": (0.3, 0.6),
    "int8": (0.3, None),
}


@pytest.fixture
def trained(
    context: WorkerContext, admin: TestClient, boards: list[Board], clock: HeldClock
) -> Flow:
    """A search for both whose network is measured and whose trainer has made three controls."""
    flow = order(context, admin, controls=True)
    give_tables(flow, boards, clock)
    write_round(flow)
    measure(flow, boards, ms=(0.3, 0.2))
    absent = {"name": "random-mask", "absent": "why", "verdict": "no control random-mask: why"}
    lines = [*(written(flow, name) for name in MEASURED_MS), absent]
    found = {"controls": lines, "verdict": "of the trainer", "seeds": [0], "test_images": 360}
    (round_folder(flow, 0) / "controls.json").write_text(json.dumps(found))
    return flow


def written(flow: Flow, name: str) -> dict[str, Any]:
    """Return the line of a control whose files were written; in int8 it is one for both."""
    folder = round_folder(flow, 0) / "controls" / f"{name}-0"
    folder.mkdir(parents=True)
    files = []
    for file in ("model.onnx", "model.onnx" if name == "int8" else "model-2.onnx"):
        content = f"{name} {file}".encode()
        (folder / file).write_bytes(content)
        path = str((folder / file).relative_to(round_folder(flow, 0)))
        digest = hashlib.sha256(content).hexdigest()
        files.append({"path": path, "sha256": digest, "prediction": PREDICTION})
    told = {"name": name, "accuracy": 0.9, "spread": None}
    verdict = f"not better than control {name}"
    return told | {"verdict": verdict} | files[0] | {"also": [{"device": "pi", **files[1]}]}


def measured(flow: Flow, boards: list[Board]) -> list[tuple[str, int]]:
    """Have the controls measured; returns what was asked of which device, in order."""
    asked: list[tuple[str, int]] = []

    def device(_number: int, name: str, place: int) -> None:
        asked.append((name, place))

        def is_the_control(work: VerifyWork) -> None:
            assert work.name == control_name(0, name, place)

        verify_all(boards[place - 1], MEASURED_MS[name][place - 1], is_the_control)

    stepping = SteppingFlow(context=flow.context, job_id=flow.job_id, attempt=0, device=device)
    asyncio.run(measure_controls(stepping, 0, len(boards)))
    return asked


def test_every_control_is_measured_on_every_device_and_held_to_every_budget(
    trained: Flow, boards: list[Board]
) -> None:
    assert measured(trained, boards) == [(name, place) for name in MEASURED_MS for place in (1, 2)]
    finish(trained, 0)
    job = ended(trained)
    assert job.result is not None
    found = job.result["certificate"]["controls"]
    random, dense, int8, absent = found["controls"]
    assert random["measured"]["latency_ms"] == pytest.approx(0.45, abs=1e-3)
    (pi,) = random["also"]
    assert pi["measured"]["latency_ms"] == pytest.approx(0.35, abs=1e-3)
    assert (pi["device"], pi["budget_ms"], pi["prediction"]) == ("pi", 0.4, PREDICTION)
    lines = (random, dense, int8, absent)
    assert [line["met"] for line in lines] == [True, False, None, None]
    assert [line["also"][0]["met"] for line in lines] == [True, False, None, None]
    assert [line["also"][0]["measured"] for line in (int8, absent)] == [None, None]
    assert found["verdict"] == (
        "not better than control random; not better than control dense, which is over the budget on "
        "pi: 0.6000 ms measured; not better than control int8; no control random-mask: why"
    )


def test_a_device_that_cannot_run_a_control_is_named_and_ends_no_search(
    trained: Flow, boards: list[Board]
) -> None:
    measured(trained, boards)
    with trained.context.database.reading() as session:
        events = events_after(session, trained.job_id, 0)
    notes = [event.payload["message"] for event in events if event.kind == "note"]
    assert notes[-1].startswith("control int8 is not measured on pi: The device could not measure")
    finish(trained, 0)
    assert ended(trained).error is None


def test_the_files_of_controls_are_kept_for_every_device(
    trained: Flow, boards: list[Board]
) -> None:
    measured(trained, boards)
    finish(trained, 0)
    with trained.context.database.reading() as session:
        files = {found.name: found.sha256 for found in artifacts_of(session, trained.job_id)}
    for name in MEASURED_MS:
        own, other = (files[f"control-{name}{suffix}.onnx"] for suffix in ("", "-2"))
        assert (own == other) == (name == "int8")
