import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from latency.kernels.library import library_version
from latency.library_form import library_form
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.measurement import NetworkMeasurement, OperatorMeasurement, Rivals, marginal_cost
from latency.messages import NamedGraph, ProfileWork, VerifyWork
from latency.operator import OperatorKind
from latency.profiler.child_messages import ChildAnswer, ChildRequest
from latency.profiler.device import current_target
from latency.profiler.networks import NETWORK_ROUNDS, Network, NetworkRun
from latency.profiler.operators import measure_operator
from latency.profiler.process import ChildDiedError, ChildProcess, ShouldStop, StoppedError
from latency.profiler.runner import Measurement, run_profile, run_verify
from latency.profiler.stability import QuietRule
from latency.profiler.timing import TimingSettings
from latency.target import Target
from tests.latency import samples

TARGET = current_target()
SMALL, LARGE = samples.conv(16, 16), samples.conv(64, 64, 16, kernel=3, padding=1)
NETWORK = samples.small_network()
INF = float("inf")


@pytest.fixture(autouse=True)
def _locks_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    with ChildProcess() as process:
        yield process


def never() -> bool:
    return False


def operator_request(rounds: int = 3) -> ChildRequest:
    return ChildRequest(target=TARGET, rounds=rounds, operator=SMALL)


def test_operators_and_networks_are_reported_once_each() -> None:
    operators = (SMALL, LARGE, samples.pool(OperatorKind.AVG_POOL, 16), samples.linear(32, 10))
    work = ProfileWork(
        operators=operators,
        networks=(NamedGraph(name="small", graph=NETWORK),),
        rounds=5,
        processes=2,
    )
    results: list[Measurement] = []
    run_profile(work, TARGET, results.append, never, again=0.0)
    measured = {m.spec: m for m in results if isinstance(m, OperatorMeasurement)}
    assert set(measured) == set(operators)
    assert len(results) == len(operators) + 1
    for measurement in measured.values():
        assert measurement.error == ""
        assert measurement.samples is not None
        taken = measurement.samples
        counts = [len(times) for times in (taken.short_ns, taken.long_ns, taken.reference_ns)]
        assert counts[0] >= 5
        assert len(set(counts)) == 1
        assert min(taken.short_runs, taken.long_runs) >= 1
    large, small = measured[LARGE].samples, measured[SMALL].samples
    assert large is not None
    assert small is not None
    assert marginal_cost(large).median_ns > 5 * marginal_cost(small).median_ns  # 140 times the work
    network = results[-1]
    assert isinstance(network, NetworkMeasurement)
    assert (network.name, network.graph, network.error) == ("small", NETWORK, "")
    assert len(network.processes_ns) == len(network.reference_ns) == 2
    assert network.median_ns > 0


@pytest.mark.skipif(not TARGET.has_library, reason="the operator library was not built")
def test_operators_and_networks_of_the_library_are_measured_on_a_target_that_has_it() -> None:
    operators = samples.library_operators()
    form = library_form(NETWORK)
    work = ProfileWork(
        operators=operators,
        networks=(NamedGraph(name="form", graph=form),),
        rounds=3,
        processes=1,
    )
    results: list[Measurement] = []
    run_profile(work, TARGET, results.append, never, again=0.0)
    assert [result.error for result in results] == [""] * (len(operators) + 1)
    assert {m.spec for m in results if isinstance(m, OperatorMeasurement)} == set(operators)


def test_another_version_of_the_library_is_refused_and_both_are_named() -> None:
    other = replace(TARGET, operator_library="1+other")
    results: list[Measurement] = []
    run_profile(ProfileWork(operators=(SMALL,)), other, results.append, never, again=0.0)
    (result,) = results
    assert result.error.startswith("the target has operator library 1+other, this process has ")
    assert result.error.endswith(library_version() or "none")


def test_a_network_is_timed_in_turns_with_its_rivals(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = build_model(library_form(NETWORK), random_weights(1))
    path.write_bytes(model.SerializeToString())
    rivals = Rivals(dense_parent=NETWORK, without_library=True)
    work = VerifyWork(name="compared", artifact_sha256="0" * 64, processes=2, rivals=rivals)
    result = run_verify(work, path, TARGET, again=0.0)
    assert result.error == ""
    taken = (result.processes_ns, result.dense_parent_ns, result.without_library_ns)
    for processes in taken:
        assert [len(samples) for samples in processes] == [NETWORK_ROUNDS] * 2
    assert len(set(taken)) == 3


def test_an_operator_can_be_measured_in_this_process() -> None:
    measurement = measure_operator(SMALL, TARGET, TimingSettings(rounds=3))
    assert measurement.samples is not None
    assert min(measurement.samples.short_ns) > 0


def test_a_target_that_this_runtime_cannot_run_is_an_error_in_the_measurement() -> None:
    elsewhere = Target(facts=TARGET.facts, runtime_version="1", execution_provider="NoSuchProvider")
    results: list[Measurement] = []
    run_profile(ProfileWork(operators=(SMALL,)), elsewhere, results.append, never, again=0.0)
    assert [r.error[:32] for r in results] == ["no provider 'NoSuchProvider'; th"]


def test_a_child_that_dies_is_told_and_a_new_one_takes_over(child: ChildProcess) -> None:
    assert child.ask(operator_request(), never).operator is not None
    process = child._process
    assert process is not None
    killer = threading.Timer(0.2, os.kill, (process.pid, signal.SIGKILL))
    killer.start()
    with pytest.raises(ChildDiedError, match="ended with code -9"):
        child.ask(operator_request(rounds=1_000_000), never)
    assert child.ask(operator_request(), never).operator is not None


def test_a_child_that_hangs_is_ended() -> None:
    with ChildProcess(deadline_s=0.0) as hasty:
        with pytest.raises(ChildDiedError, match="no answer in 0 s"):
            hasty.ask(operator_request(), never)
        assert hasty._process is None


def test_a_stop_ends_the_child_and_reports_nothing(child: ChildProcess) -> None:
    with pytest.raises(StoppedError):
        child.ask(operator_request(), lambda: True)
    results: list[Measurement] = []
    named = (NamedGraph(name="n", graph=NETWORK),)
    work = ProfileWork(operators=(SMALL,) * 500, networks=named, rounds=1)
    run_profile(work, TARGET, results.append, lambda: len(results) >= 2, again=0.0)
    assert 2 <= len(results) < 500
    stopped = run_verify(VerifyWork(name="n", graph=NETWORK), None, TARGET, lambda: True)
    assert stopped.error == "stopped before the end"


def test_a_child_ends_with_its_parent(child: ChildProcess) -> None:
    child.ask(operator_request(), never)
    process = child._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()
    assert process.wait(10) == 0


def test_an_onnx_file_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(build_model(NETWORK, random_weights(1)).SerializeToString())
    work = VerifyWork(name="file", artifact_sha256="0" * 64, processes=1)
    result = run_verify(work, path, TARGET, again=0.0)
    assert (result.name, result.error, result.graph) == ("file", "", None)
    assert result.median_ns > 0


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x09" * 50])
def test_a_damaged_file_is_an_error_in_the_measurement(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    result = run_verify(VerifyWork(name="file", processes=1), path, TARGET, again=0.0)
    assert "cannot load the model" in result.error
    assert result.processes_ns == ()


def test_a_missing_file_is_an_error_in_the_measurement(tmp_path: Path) -> None:
    result = run_verify(VerifyWork(name="x"), tmp_path / "absent.onnx", TARGET)
    assert "absent.onnx" in result.error


def test_verify_needs_exactly_one_model(tmp_path: Path) -> None:
    for work, path in (
        (VerifyWork(name="x"), None),
        (VerifyWork(name="x", graph=NETWORK), tmp_path),
    ):
        with pytest.raises(ValueError, match="exactly one"):
            run_verify(work, path, TARGET)
    with pytest.raises(ValueError, match="processes must be at least 1"):
        run_verify(VerifyWork(name="x", graph=NETWORK, processes=0), None, TARGET)


class CountingRule(QuietRule):
    """Counts the processes that were judged."""

    observed = 0

    def observe(self, reference_ns: Sequence[int]) -> None:
        self.observed += 1
        super().observe(reference_ns)


def measured(
    run: NetworkRun, networks: Sequence[Network], processes: int
) -> list[NetworkMeasurement]:
    results: list[NetworkMeasurement] = []
    run.run(networks, processes, results.append)
    return results


def test_disturbed_networks_get_more_processes_for_half_as_long_as_the_first_took() -> None:
    rule = CountingRule()
    rule.observe([1])  # no machine is that fast: every process looks disturbed
    moments = iter([0.0, 20.0, 20.0, 29.0, 30.0])  # start, end of the first, then before each more
    run = NetworkRun(target=TARGET, rounds=3, quiet=rule, monotonic=lambda: next(moments))
    (result,) = measured(run, [Network(name="x", model=NETWORK)], 1)
    assert rule.observed == 1 + 1 + 2
    assert len(result.processes_ns) == 1
    assert result.error == ""


def test_no_further_group_is_timed_again_when_the_time_for_it_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[ChildRequest] = []

    def answering(
        self: ChildProcess, request: ChildRequest, should_stop: ShouldStop
    ) -> ChildAnswer:
        asked.append(request)
        return ChildAnswer(network_ns=(len(asked),) * 3, reference_ns=(10, 10, 10))

    monkeypatch.setattr(ChildProcess, "ask", answering)
    rule = QuietRule()
    rule.observe([1])
    moments = iter([0.0, 20.0, 20.0, 31.0, 31.0])  # the second of two groups comes too late
    run = NetworkRun(target=TARGET, quiet=rule, monotonic=lambda: next(moments))
    networks = [Network(name=f"n{index}", model=NETWORK) for index in range(11)]
    results = measured(run, networks, 1)
    assert len(asked) == 11 + 10
    assert sorted(result.name for result in results) == sorted(one.name for one in networks)


def test_disturbed_networks_are_left_at_that_where_nothing_is_to_be_tried_again() -> None:
    rule = CountingRule()
    rule.observe([1])
    run = NetworkRun(target=TARGET, rounds=3, quiet=rule, again=False)
    (result,) = measured(run, [Network(name="x", model=NETWORK)], 1)
    assert rule.observed == 1 + 1
    assert len(result.processes_ns) == 1


def test_a_network_whose_processes_disagree_is_timed_again_and_most_of_them_win(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    times = iter([100, 40, 100, 41, 42])
    asked: list[int] = []

    def answering(
        self: ChildProcess, request: ChildRequest, should_stop: ShouldStop
    ) -> ChildAnswer:
        asked.append(next(times))
        return ChildAnswer(network_ns=(asked[-1],) * 3, reference_ns=(10, 10, 10))

    monkeypatch.setattr(ChildProcess, "ask", answering)
    (result,) = measured(NetworkRun(target=TARGET), [Network(name="x", model=NETWORK)], 3)
    assert asked == [100, 40, 100, 41, 42]
    assert result.processes_ns == ((40,) * 3, (41,) * 3, (42,) * 3)
    assert result.apart == 42 / 40


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[ChildProcess]:
    """Every measuring process that is started in a test."""
    found: list[ChildProcess] = []
    start = ChildProcess._start

    def counted(self: ChildProcess) -> "subprocess.Popen[bytes]":
        found.append(self)
        return start(self)

    monkeypatch.setattr(ChildProcess, "_start", counted)
    return found


def test_networks_share_their_processes(started: list[ChildProcess]) -> None:
    networks = [Network(name=f"n{index}", model=NETWORK) for index in range(11)]
    run = NetworkRun(target=TARGET, rounds=3, quiet=QuietRule(tolerance=INF), agreement=INF)
    results = measured(run, networks, 2)
    assert [result.name for result in results] == [network.name for network in networks]
    assert [len(result.processes_ns) for result in results] == [2] * 11
    assert len(started) == 2 * 2  # two groups, two processes each


def test_a_network_that_cannot_be_measured_spoils_no_other(
    tmp_path: Path, started: list[ChildProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = ChildProcess.ask

    def dying(self: ChildProcess, request: ChildRequest, should_stop: ShouldStop) -> ChildAnswer:
        """The process is killed before it can answer for the network without a file."""
        if request.model_path.endswith("deadly.onnx"):
            process = self._process or self._start()
            process.kill()
            process.wait()
        return ask(self, request, should_stop)

    monkeypatch.setattr(ChildProcess, "ask", dying)
    networks = [
        Network(name="good", model=NETWORK),
        Network(name="deadly", model=tmp_path / "deadly.onnx"),
        Network(name="also good", model=NETWORK),
    ]
    run = NetworkRun(target=TARGET, rounds=3, quiet=QuietRule(tolerance=INF))
    good, deadly, also = measured(run, networks, 1)
    assert (good.error, also.error) == ("", "")
    assert len(good.processes_ns) == len(also.processes_ns) == 1
    assert deadly.error == "the measuring process ended with code -9 (SIGKILL)"
    assert deadly.processes_ns == ()
    assert len(started) == 2
