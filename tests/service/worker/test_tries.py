"""A network that was only measured badly is measured again, and costs no training."""

import asyncio
import hashlib
import json
import statistics
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.measurement import Conditions, NetworkMeasurement
from latency.messages import Chunk, Lease
from service.jobs.repository import events_after
from service.tables.job import JobRow
from service.worker.context import WorkerContext
from service.worker.flow import Flow
from service.worker.search_flow import measure_in_tries
from service.worker.search_steps import ask_for_graph, ask_for_model, judge
from service.worker.stage_results import measurement_name, round_folder
from service.worker.tries import (
    MOST_TRIES,
    Expectation,
    Tries,
    doubt,
    load_tries,
    try_name,
    verified_units,
)
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import STARTED, add_job, network
from tests.service.worker.stepping import SteppingFlow

BUDGET_MS = 0.1
QUIET, DISTURBED = 60_000, 72_000  # ns of the reference model
FAST, SLOW = 90_000, 130_000  # ns of a network: within the budget, and over it
PROCESSES = 5
MODEL = measurement_name(0, "model")


def measured(name: str, ns: int, reference_ns: int = QUIET) -> NetworkMeasurement:
    """Return a measurement of five processes, a little apart from each other."""
    return NetworkMeasurement(
        name=name,
        processes_ns=tuple(
            tuple(ns + 10 * process + run for run in range(5)) for process in range(PROCESSES)
        ),
        reference_ns=tuple(tuple(reference_ns + run for run in range(5)) for _ in range(PROCESSES)),
    )


def tries(*taken: tuple[int, int], fastest: int | None = QUIET) -> Tries:
    """Return tries from (latency, reference) in nanoseconds."""
    return Tries(
        measurements=tuple(
            measured(try_name("net", index), *one) for index, one in enumerate(taken)
        ),
        fastest_reference_ns=fastest,
    )


def expecting(high_ms: float | None = None, before_ms: float | None = None) -> Expectation:
    return Expectation(budget_ms=BUDGET_MS, high_ms=high_ms, before_ms=before_ms)


def test_one_try_is_what_was_measured() -> None:
    one = tries((SLOW, DISTURBED))
    assert one.together == one.measurements[0]
    assert one.summary()["tries"] == 1
    assert one.disturbed == "disturbed: the reference model took 1.20 times its best"
    assert one.summary()["disturbed"] == one.disturbed
    assert tries((SLOW, QUIET)).summary()["disturbed"] is None


def test_an_agent_that_says_nothing_of_the_reference_is_believed() -> None:
    plain = replace(measured("net", SLOW), reference_ns=())
    found = Tries(measurements=(plain, plain), fastest_reference_ns=None)
    assert found.disturbed == ""
    assert len(found.together.processes_ns) == PROCESSES
    assert found.together.reference_ns == ()


def test_undisturbed_processes_outvote_disturbed_ones() -> None:
    found = tries((SLOW, DISTURBED), (FAST, QUIET))
    assert found.together.median_ns == found.measurements[1].median_ns
    assert found.together.name == "net"
    assert found.disturbed == ""
    assert found.summary()["tries_ms"] == pytest.approx([0.13, 0.09], abs=1e-4)


def test_of_undisturbed_tries_none_is_chosen_because_it_pleases() -> None:
    found = tries((SLOW, QUIET), (FAST, QUIET), (SLOW, QUIET))
    assert found.together.median_ns == pytest.approx(SLOW, rel=1e-3)


def test_processes_that_disagree_are_a_disturbance() -> None:
    one = measured("net", SLOW)
    apart = replace(one, processes_ns=(*one.processes_ns[:-1], (2 * SLOW,) * 5))
    found = Tries(measurements=(apart,), fastest_reference_ns=None)
    assert found.disturbed == "disturbed: its slowest process took 2.00 times its fastest"


@given(
    taken=st.lists(
        st.tuples(st.integers(FAST // 2, 2 * SLOW), st.integers(QUIET, 2 * QUIET)),
        min_size=1,
        max_size=MOST_TRIES,
    )
)
def test_what_counts_was_measured_and_ends(taken: list[tuple[int, int]]) -> None:
    found = tries(*taken)
    everything = [samples for one in found.measurements for samples in one.processes_ns]
    assert len(found.together.processes_ns) == PROCESSES
    assert all(samples in everything for samples in found.together.processes_ns)
    medians = [one.median_ns for one in found.measurements]
    assert min(medians) - 50 <= found.together.median_ns <= max(medians) + 50
    references = [statistics.median(samples) for samples in found.together.reference_ns]
    best = min(reference for _, reference in taken)
    assert min(references) <= best * 1.08 + 2
    again = doubt(found, expecting(high_ms=0.09))
    if len(taken) == MOST_TRIES or found.together.median_ns <= BUDGET_MS * 1e6:
        assert again == ""


@pytest.mark.parametrize(
    ("taken", "expected", "reason"),
    [
        ([(FAST, DISTURBED)], expecting(), ""),  # nothing gets faster by being disturbed
        ([(SLOW, DISTURBED)], expecting(), "disturbed: the reference model took 1.20 times"),
        ([(SLOW, QUIET)], expecting(), ""),
        ([(SLOW, QUIET)], expecting(high_ms=0.14), ""),  # as was predicted
        ([(SLOW, QUIET)], expecting(high_ms=0.099), "at most 0.0990 ms were predicted"),
        ([(SLOW, QUIET)], expecting(before_ms=0.09), "with random weights it took 0.0900 ms"),
        ([(SLOW, QUIET)], expecting(before_ms=0.12), ""),  # that was over the budget as well
        ([(SLOW, QUIET)] * 2, expecting(high_ms=0.099), ""),  # two that agree are believed
        ([(SLOW, DISTURBED)] * 2, expecting(), "disturbed"),
        ([(SLOW, DISTURBED)] * 3, expecting(high_ms=0.099), ""),  # it may be how the device is
    ],
)
def test_what_is_measured_again(
    taken: list[tuple[int, int]], expected: Expectation, reason: str
) -> None:
    found = doubt(tries(*taken), expected)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


@pytest.fixture
def searching(context: WorkerContext, board: Board, clock: HeldClock) -> Flow:
    """A search whose trainer has derived, trained and exported a network."""
    with context.database.transaction() as session:
        job_id = add_job(session, clock(), board.device_id)
        session.get_one(JobRow, job_id).request = {"budget_ms": BUDGET_MS}
    flow = Flow(context=context, job_id=job_id, attempt=0)
    folder = round_folder(flow, 0)
    folder.mkdir(parents=True)
    derived = {"graph": network().to_dict(), "prediction": {"high_ms": 0.099}}
    (folder / "derive.json").write_text(json.dumps(derived))
    write_model(flow, b"model")
    return flow


def write_model(flow: Flow, content: bytes) -> None:
    folder = round_folder(flow, 0)
    (folder / "model.onnx").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    exported = {"path": "model.onnx", "sha256": sha256, "prediction": {"high_ms": 0.099}}
    (folder / "export.json").write_text(json.dumps(exported))


def answer(board: Board, ns: int, reference_ns: int) -> None:
    """Let the device do what it was asked for."""
    board.digests.clear()
    lease: Lease = board.work()
    assert lease.verify is not None
    chunk = Chunk(
        attempt=lease.attempt,
        conditions=Conditions(started_at=STARTED),
        networks=(measured(lease.verify.name, ns, reference_ns),),
    )
    assert board.upload(lease, chunk).status_code == 204
    assert board.finish(lease).status_code == 200


@dataclass(frozen=True, kw_only=True)
class Device:
    """Answers what the flow asks."""

    flow: Flow
    board: Board
    clock: HeldClock

    def __call__(self, ask: Any, *answers: tuple[int, int]) -> list[str]:
        """Measure in as many tries as the flow wants; all answers are used up."""
        left = iter(answers)

        def work(*_: int) -> None:
            answer(self.board, *next(left))
            self.clock.advance(1)

        flow = SteppingFlow(
            context=self.flow.context, job_id=self.flow.job_id, attempt=0, device=work
        )
        units = asyncio.run(measure_in_tries(flow, ask, 0))
        assert list(left) == []
        return units


@pytest.fixture
def measure(searching: Flow, board: Board, clock: HeldClock) -> Device:
    return Device(flow=searching, board=board, clock=clock)


def notes(flow: Flow) -> list[str]:
    with flow.context.database.reading() as session:
        events = events_after(session, flow.job_id, 0)
    return [event.payload["message"] for event in events if event.kind == "note"]


def test_a_disturbed_file_costs_a_measurement_and_no_training(
    searching: Flow, measure: Device
) -> None:
    measure(ask_for_graph, (FAST, QUIET))
    units = measure(ask_for_model, (SLOW, DISTURBED), (FAST, QUIET))
    assert judge(searching, units, 0) is None
    again, judged = notes(searching)
    assert again == (
        "round-0-model: measured 0.1300 ms, budget 0.1 ms; it is measured again: "
        "disturbed: the reference model took 1.20 times its best"
    )
    assert judged == "round-0-model: measured 0.0900 ms in 2 tries, budget 0.1 ms"
    with searching.context.database.reading() as session:
        found = verified_units(session, searching.job_id)
        assert list(found) == [measurement_name(0, "graph"), MODEL]
        assert found[MODEL] == units
        stated = load_tries(session, units).summary()
    assert stated["tries"] == 2
    assert stated["latency_ms"] == pytest.approx(0.09, abs=1e-4)
    assert stated["disturbed"] is None


def test_a_network_that_is_too_slow_twice_is_believed(searching: Flow, measure: Device) -> None:
    units = measure(ask_for_graph, (SLOW, QUIET), (SLOW, QUIET))
    assert len(units) == 2
    assert "at most 0.0990 ms were predicted" in notes(searching)[0]


def test_a_device_that_is_never_quiet_is_asked_a_few_times(
    searching: Flow, measure: Device
) -> None:
    measure(ask_for_graph, (FAST, QUIET))
    busy = [(SLOW, DISTURBED)] * MOST_TRIES
    units = measure(ask_for_model, *busy)
    with searching.context.database.reading() as session:
        assert load_tries(session, units).disturbed


def test_within_the_budget_once_is_enough(searching: Flow, measure: Device) -> None:
    measure(ask_for_graph, (FAST, QUIET))
    units = measure(ask_for_model, (FAST, DISTURBED))
    assert judge(searching, units, 0) is None
    assert ask_for_model(searching, 0, 0) == units[0], "a step that runs again asks for nothing new"


def test_tries_of_another_file_are_left_out(searching: Flow, measure: Device) -> None:
    measure(ask_for_model, (SLOW, QUIET), (SLOW, QUIET))
    write_model(searching, b"trained again")
    units = measure(ask_for_model, (FAST, QUIET))
    with searching.context.database.reading() as session:
        assert verified_units(session, searching.job_id) == {MODEL: units}
