"""Models that crash, loop for ever or want all memory: each is an outcome, and work goes on."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

from latency.measurement import OperatorMeasurement
from latency.messages import ProfileWork, VerifyWork
from latency.profiler.child_messages import ChildRequest
from latency.profiler.device import current_target
from latency.profiler.process import ChildDiedError, ChildProcess
from latency.profiler.runner import Measurement, run_profile, run_verify
from tests.latency import samples

TARGET = current_target()
SMALL = samples.conv(16, 16)
TERA = 1 << 40


@pytest.fixture(autouse=True)
def _locks_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    with ChildProcess(deadline_s=3.0) as process:
        yield process


def never() -> bool:
    return False


def saved(tmp_path: Path, node: NodeProto, constants: dict[str, Any], output: str) -> Path:
    graph = helper.make_graph(
        [node],
        "poison",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path / "poison.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def bomb(tmp_path: Path) -> Path:
    """A few hundred bytes that expand `x` to four TiB."""
    node = helper.make_node("Expand", ["x", "shape"], ["y"])
    return saved(tmp_path, node, constants={"shape": np.array([TERA])}, output="y")


def endless(tmp_path: Path) -> Path:
    """A loop of 2^62 rounds."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["on"]),
            helper.make_node("Add", ["a", "a"], ["b"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, [1]),
        ],
    )
    node = helper.make_node("Loop", ["rounds", "yes", "x"], ["y"], body=body)
    constants = {"rounds": np.array(1 << 62), "yes": np.array(True)}
    return saved(tmp_path, node, constants=constants, output="y")


def stuck(tmp_path: Path) -> Path:
    """A file that is never read to its end."""
    path = tmp_path / "fifo.onnx"
    os.mkfifo(path)
    return path


def test_a_memory_bomb_is_an_error_in_the_measurement(tmp_path: Path) -> None:
    result = run_verify(
        VerifyWork(name="bomb", processes=1), bomb(tmp_path), TARGET, never, again=0.0
    )
    assert result.processes_ns == ()
    assert result.error


def test_an_endless_loop_ends_with_its_deadline(tmp_path: Path, child: ChildProcess) -> None:
    request = ChildRequest(target=TARGET, rounds=1, model_path=str(endless(tmp_path)))
    with pytest.raises(ChildDiedError, match="no answer in 3 s"):
        child.ask(request, never)
    assert child._process is None


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_is_named_and_the_next_child_measures(
    tmp_path: Path, child: ChildProcess, number: signal.Signals
) -> None:
    request = ChildRequest(target=TARGET, rounds=1, model_path=str(stuck(tmp_path)))

    def crash() -> bool:
        assert child._process is not None
        os.kill(child._process.pid, number)
        return False

    with pytest.raises(ChildDiedError, match=rf"code -{number.value} \({number.name}\)"):
        child.ask(request, crash)
    measured = child.ask(ChildRequest(target=TARGET, rounds=1, operator=SMALL), never)
    assert measured.operator is not None


def test_work_goes_on_behind_an_operator_that_nothing_can_hold() -> None:
    huge = samples.conv(65_536, 65_536, kernel=7, padding=3)  # 0.8 TiB of weights
    results: list[Measurement] = []
    run_profile(ProfileWork(operators=(huge, SMALL), rounds=3), TARGET, results.append, never, 0.0)
    by_spec = {row.spec: row for row in results if isinstance(row, OperatorMeasurement)}
    assert by_spec[huge].samples is None
    assert by_spec[huge].error
    assert by_spec[SMALL].samples is not None


def test_the_limits_hold_in_a_process_of_its_own() -> None:
    code = (
        "import resource; from latency.profiler.limits import limit_this_process\n"
        "limit_this_process()\n"
        "print(*(resource.getrlimit(what)[0] for what in (resource.RLIMIT_DATA, resource.RLIMIT_CORE)))\n"
        "print(open('/proc/self/oom_score_adj').read())"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    data, core, first_to_go = map(int, answer.stdout.split())
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < data <= max(1 << 30, total)
    assert (core, first_to_go) == (0, 1000)
