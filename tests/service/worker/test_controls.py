"""Controls in a search job: asked for, measured like the network itself, stated beside it."""

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from latency.messages import Chunk, Outcome
from service.client.event_text import event_line, result_lines
from service.client.events import Event
from service.demo.report import control_text
from service.jobs.repository import events_after, job_by_id
from service.jobs.schemas import JobRead
from service.lifecycle import JobState
from service.tables.job import JobRow
from service.worker.context import WorkerContext
from service.worker.control_lines import (
    collect_controls,
    control_artifacts,
    control_name,
    is_control,
)
from service.worker.control_steps import (
    ask_for_control,
    control_files,
    wants_controls,
)
from service.worker.flow import Flow
from service.worker.search_flow import measure_controls
from service.worker.search_steps import note_unmeasured
from service.worker.stage_results import round_folder
from service.worker.tries import verified_units
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import CONDITIONS, add_job, network_result
from tests.service.worker.stepping import SteppingFlow

BUDGET_MS = 0.1


@pytest.fixture
def searching(context: WorkerContext, board: Board, clock: HeldClock) -> Flow:
    """A search whose trainer has made two controls, and could not make a third."""
    with context.database.transaction() as session:
        job_id = add_job(session, clock(), board.device_id)
        request = {"budget_ms": BUDGET_MS, "controls": True}
        session.get_one(JobRow, job_id).request = request
    flow = Flow(context=context, job_id=job_id, attempt=0)
    folder = round_folder(flow, 0)
    missing = {"name": "int8", "absent": "too slow", "verdict": "no control int8: too slow"}
    lines = [written(folder, "random"), written(folder, "dense"), missing]
    found = {"controls": lines, "verdict": "of the trainer", "seeds": [7], "test_images": 360}
    (folder / "controls.json").write_text(json.dumps(found))
    return flow


def written(folder: Path, name: str) -> dict[str, Any]:
    """Return the line of a control whose file was written."""
    path = folder / "controls" / f"{name}-7" / "model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(name.encode())
    return {
        "name": name,
        "path": str(path.relative_to(folder)),
        "sha256": hashlib.sha256(name.encode()).hexdigest(),
        "accuracy": 0.9,
        "spread": None,
        "verdict": f"not better than control {name}",
    }


def measure(flow: Flow, board: Board, name: str, *, ns: int) -> str:
    """Let the device measure a control as it was asked to; returns the id of the unit."""
    unit_id = ask_for_control(flow, 0, name)
    assert ask_for_control(flow, 0, name) == unit_id, "the same is asked for once"
    answer(board, name, ns=ns)
    return unit_id


def answer(board: Board, name: str, *, ns: int) -> None:
    """Let the device do what it was asked for."""
    board.digests.clear()
    lease = board.work()
    assert lease.verify is not None
    assert lease.verify.name == control_name(0, name)
    assert lease.verify.artifact_sha256 == hashlib.sha256(name.encode()).hexdigest()
    result = network_result(lease.verify.name, ns=ns)
    chunk = Chunk(attempt=lease.attempt, conditions=CONDITIONS, networks=(result,))
    assert board.upload(lease, chunk).status_code == 204
    assert board.finish(lease).status_code == 200


def refuse(board: Board) -> None:
    """Let the device fail until nobody asks it any more."""
    board.digests.clear()
    while (lease := board.claim().lease) is not None:
        assert board.finish(lease, outcome=Outcome.FAILED, reason="no memory").status_code == 200


def collected(flow: Flow, units: dict[str, list[str]]) -> dict[str, Any] | None:
    with flow.context.database.reading() as session:
        job = job_by_id(session, flow.job_id)
        assert job is not None
        return collect_controls(session, flow, job, 0, units)


def test_controls_are_measured_one_by_one_and_judged_by_the_budget(
    searching: Flow, board: Board
) -> None:
    assert wants_controls(searching)
    assert control_files(searching, 0) == ["random", "dense"]
    units = {
        control_name(0, name): [measure(searching, board, name, ns=ns)]
        for name, ns in (("random", 90_000), ("dense", 130_000))
    }
    found = collected(searching, units)
    assert found is not None
    random, dense, int8 = found["controls"]
    assert random["measured"]["latency_ms"] == pytest.approx(0.09, abs=1e-4)
    assert (random["met"], dense["met"], int8["met"]) == (True, False, None)
    assert int8["measured"] is None
    assert found["verdict"] == (
        "not better than control random; not better than control dense, which is over the budget: "
        "0.1300 ms measured; no control int8: too slow"
    )
    assert sorted(control_artifacts(found)) == ["control-dense.onnx", "control-random.onnx"]


def test_a_control_that_could_not_be_measured_is_said_to_be_so(searching: Flow) -> None:
    ask_for_control(searching, 0, "random")
    note_unmeasured(searching, "control random", {"message": "the device had no memory left"})
    with searching.context.database.reading() as session:
        job = job_by_id(session, searching.job_id)
        assert job is not None
        assert job.state == JobState.RUNNING
        note = events_after(session, searching.job_id, 0)[-1].payload
    assert note["message"] == "control random is not measured: the device had no memory left"
    found = collected(searching, {})
    assert found is not None
    assert [line["measured"] for line in found["controls"]] == [None, None, None]


def test_a_control_that_the_device_cannot_run_does_not_end_the_search(
    searching: Flow, board: Board
) -> None:
    def device(_number: int, name: str, _place: int) -> None:
        if name == "random":
            refuse(board)
        else:
            answer(board, name, ns=50_000)

    flow = SteppingFlow(
        context=searching.context, job_id=searching.job_id, attempt=0, device=device
    )
    asyncio.run(measure_controls(flow, 0, 1))
    with searching.context.database.reading() as session:
        job = job_by_id(session, searching.job_id)
        assert job is not None
        assert job.state == JobState.RUNNING
        units = verified_units(session, job.id)
        events = events_after(session, searching.job_id, 0)
    notes = [event.payload["message"] for event in events if event.kind == "note"]
    assert len(notes) == 1
    assert notes[0].startswith("control random is not measured: The device could not measure")
    assert list(units) == [control_name(0, "dense")]
    found = collected(searching, units)
    assert found is not None
    assert [line["met"] for line in found["controls"]] == [None, True, None]


def test_a_file_that_is_not_the_trainers_is_not_measured(searching: Flow) -> None:
    (round_folder(searching, 0) / "controls" / "dense-7" / "model.onnx").write_bytes(b"other")
    with pytest.raises(ValueError, match="not the file that the trainer wrote"):
        ask_for_control(searching, 0, "dense")


def test_a_search_that_asks_for_none_states_none(flow: Flow) -> None:
    assert not wants_controls(flow)  # an older job does not say
    assert collected(flow, {}) is None
    assert control_artifacts(None) == {}


def test_measurements_of_controls_are_told_from_those_of_the_network() -> None:
    assert is_control(control_name(2, "random-mask"))
    assert not is_control("round-0-model")


def test_controls_in_words(searching: Flow, board: Board) -> None:
    unit_id = measure(searching, board, "dense", ns=130_000)
    found = collected(searching, {control_name(0, "dense"): [unit_id]})
    assert found is not None
    random, dense, int8 = map(control_text, found["controls"])
    assert random == "90.00%, not measured: not better than control random"
    assert dense == ("90.00%, 0.1300 ms measured, over the budget: not better than control dense")
    assert int8 == "no control int8: too slow"
    spread = found["controls"][0] | {"spread": 0.011}
    assert control_text(spread).startswith("90.00% ± 1.10%, ")


def test_the_command_line_states_the_verdict(searching: Flow) -> None:
    event = Event(number=1, kind="progress", payload={"stage": "controls", "verdict": "not better"})
    assert event_line(event) == "  controls: not better"
    certificate = {"accuracy": 0.9, "test_images": 360, "verdict": "met", "controls": None}
    with searching.context.database.reading() as session:
        row = job_by_id(session, searching.job_id)
        job = JobRead.model_validate(row)
    plain = result_lines(job.model_copy(update={"result": {"certificate": certificate}}))
    certificate["controls"] = {"verdict": "not better than control dense"}
    lines = result_lines(job.model_copy(update={"result": {"certificate": certificate}}))
    assert set(lines) - set(plain) == {"controls: not better than control dense"}
