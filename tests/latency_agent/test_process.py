"""The agent as a real process with the real profiler: join, run, die, come back, stop."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from latency import codec
from latency.agent.spool import Row
from latency.agent.state import Identity, load_identity, save_identity
from latency.exchange.document import to_document, write_document
from latency.exchange.profile_file import PLAN, read_profile
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.measurement import OperatorMeasurement
from latency.messages import Chunk, Outcome, ProfileWork, VerifyWork
from tests.latency_agent.fake_server import AGENT_TOKEN, ENROL_TOKEN, FakeServer, problem
from tests.latency_agent.samples import conv, graph, profile_work

ROOT = Path(__file__).parents[2]
AGENT = [sys.executable, "-m", "latency.agent"]
PATIENCE_S = 150.0  # measuring waits while something else uses the machine


def environment(**more: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if "proxy" not in key.lower()}
    return {**kept, "OMP_NUM_THREADS": "1", **more}


def call(*arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the agent to its end; `stdin` is what it reads."""
    return subprocess.run(
        [*AGENT, *arguments],
        cwd=ROOT,
        env=environment(**{key: more[key] for key in more if key != "stdin"}),
        input=more.get("stdin", ""),
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE_S,
    )


@contextmanager
def running(state_dir: Path, *arguments: str) -> Iterator[psutil.Popen]:
    """Run the agent in the background; killed with its children on the way out."""
    with (state_dir / "log.txt").open("ab") as log:
        process = psutil.Popen(
            [*AGENT, "run", "--state-dir", str(state_dir), "--again", "0", *arguments],
            cwd=ROOT,
            env=environment(),
            stderr=log,
        )
    try:
        yield process
    finally:
        for member in family(process):
            member.kill()
        process.wait(PATIENCE_S)


def family(process: psutil.Popen) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def joined(server: FakeServer, tmp_path: Path) -> Path:
    """Return a state folder as `join` leaves it."""
    state_dir = tmp_path / "state"
    identity = Identity(server=server.address, device_id="d", token=AGENT_TOKEN, name="board")
    save_identity(state_dir, identity)
    return state_dir


def measured(state_dir: Path) -> list[OperatorMeasurement]:
    """Return the operators that are safe in the spool; readable while the agent writes to it."""
    found: list[OperatorMeasurement] = []
    for path in sorted((state_dir / "spool").glob("*/chunk-*.json")):
        found += codec.decode(path.read_bytes(), Chunk).operators
    for path in sorted((state_dir / "spool").glob("*/rows-*.jsonl")):
        lines = path.read_bytes().split(b"\n")[1:-1]
        rows = [codec.decode(line, Row).operator for line in lines]
        found += [row for row in rows if row is not None and row not in found]
    return found


def has_measured(state_dir: Path, count: int) -> bool:
    try:
        return len(measured(state_dir)) >= count
    except FileNotFoundError:  # sealed between the listing and the reading
        return False


def test_join_run_and_stop(server: FakeServer, tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    token_file = tmp_path / "token"
    token_file.write_text(ENROL_TOKEN + "\n")
    answer = call(
        "join", "--server", server.address + "/", "--token-file", str(token_file),
        "--name", "board", "--state-dir", str(state_dir),
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert "device-1" in answer.stdout
    identity = load_identity(state_dir)
    assert (identity.server, identity.token) == (server.address, AGENT_TOKEN)
    assert (state_dir / "identity.json").stat().st_mode & 0o777 == 0o600
    assert state_dir.stat().st_mode & 0o777 == 0o700
    assert server.registrations[0].name == "board"
    assert server.registrations[0].target.runtime_version.count(".") >= 1

    work = ProfileWork(operators=(conv(4), conv(8)), rounds=3)
    profile = server.give(work)
    model = build_model(graph(4), random_weights(1)).SerializeToString()
    sha256 = server.store(model)
    verify = server.give(VerifyWork(name="candidate", artifact_sha256=sha256, processes=2))
    with running(state_dir) as process:
        assert server.wait_for(lambda: bool(profile.finish and verify.finish), PATIENCE_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    assert profile.finish is not None
    assert profile.finish.outcome is Outcome.DONE
    assert {row.spec for row in profile.operators} == set(work.operators)
    assert all(row.samples and len(row.samples.long_ns) >= 3 for row in profile.operators)
    assert verify.finish is not None
    assert verify.finish.outcome is Outcome.DONE
    assert len(verify.networks[0].processes_ns) == 2
    assert verify.networks[0].median_ns > 0
    assert not list((state_dir / "spool").iterdir())
    log = (state_dir / "log.txt").read_text()
    assert AGENT_TOKEN not in log
    assert "Traceback" not in log


def has_child(process: psutil.Popen) -> bool:
    return len(family(process)) >= 2


@pytest.mark.slow
def test_kill_9_and_resume_from_the_spool(server: FakeServer, tmp_path: Path) -> None:
    state_dir = joined(server, tmp_path)
    work = profile_work(20, networks=1)  # three batches; each is reported as a whole
    unit = server.give(work)
    before: list[OperatorMeasurement] = []
    for enough in (1, 9):
        with running(state_dir) as process:
            wait_until(partial(has_measured, state_dir, enough))
            wait_until(partial(has_child, process))  # there is none for a moment between batches
            members = family(process)
            process.kill()
            _, left = psutil.wait_procs(members, PATIENCE_S)
        assert len(members) >= 2
        assert left == []
        assert unit.finish is None
        found = measured(state_dir)
        assert found[: len(before)] == before
        before = found
    with running(state_dir):
        assert server.wait_for(lambda: unit.finish is not None, PATIENCE_S)
    assert unit.finish is not None
    assert unit.finish.outcome is Outcome.DONE
    assert unit.operators[: len(before)] == before
    assert len(unit.operators) == 20
    assert {row.spec for row in unit.operators} == set(work.operators)
    assert [row.error for row in unit.operators] == [""] * 20
    assert [row.name for row in unit.networks] == ["network-0"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_child_and_leaves_the_lease(
    server: FakeServer, tmp_path: Path, number: signal.Signals
) -> None:
    state_dir = joined(server, tmp_path)
    unit = server.give(profile_work(200))
    with running(state_dir) as process:
        wait_until(partial(has_measured, state_dir, 1))
        members = family(process)
        assert len(members) == 2
        for member in members:  # as a terminal does it: the whole group gets the signal
            member.send_signal(number)
        assert process.wait(PATIENCE_S) == 0
        _, left = psutil.wait_procs(members, PATIENCE_S)
        assert left == []
    assert unit.finish is None
    rows = measured(state_dir)
    assert rows
    assert [row.error for row in rows] == [""] * len(rows)


def test_a_revoked_token_ends_the_agent_with_a_clear_message(
    server: FakeServer, tmp_path: Path
) -> None:
    state_dir = joined(server, tmp_path)
    server.revoked = True
    answer = call("run", "--state-dir", str(state_dir))
    assert answer.returncode == 3
    assert "does not accept this token" in answer.stderr
    assert "token-revoked" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_one_state_folder_has_one_agent(server: FakeServer, tmp_path: Path) -> None:
    state_dir = joined(server, tmp_path)
    with running(state_dir):
        assert server.wait_for(lambda: bool(server.claims))
        answer = call("run", "--state-dir", str(state_dir))
    assert answer.returncode == 1
    assert "another agent" in answer.stderr


def test_a_server_that_moved_is_found_by_its_new_address(
    server: FakeServer, tmp_path: Path
) -> None:
    state_dir = joined(server, tmp_path)
    old = load_identity(state_dir)
    moved = Identity(server="http://127.0.0.1:9", device_id="d", token=old.token, name="board")
    save_identity(state_dir, moved)
    with running(state_dir, "--server", server.address):
        assert server.wait_for(lambda: bool(server.claims))


@pytest.mark.parametrize("source", ["stdin", "environment"])
def test_the_enrolment_token_comes_by_ways_that_others_cannot_see(
    server: FakeServer, tmp_path: Path, source: str
) -> None:
    arguments = ("join", "--server", server.address, "--state-dir", str(tmp_path / "state"))
    if source == "stdin":
        answer = call(*arguments, stdin=ENROL_TOKEN + "\n")
    else:
        answer = call(*arguments, EDGEWRIGHT_ENROL_TOKEN=ENROL_TOKEN)
    assert answer.returncode == 0, answer.stderr
    again = call(*arguments, stdin=ENROL_TOKEN)
    assert again.returncode == 1
    assert "--replace" in again.stderr
    used = call(*arguments, "--replace", stdin=ENROL_TOKEN)
    assert used.returncode == 1
    assert "enrol-token-used" in used.stderr
    assert load_identity(tmp_path / "state").token == AGENT_TOKEN


def test_a_registration_that_is_refused_leaves_no_identity(
    server: FakeServer, tmp_path: Path
) -> None:
    server.refusals["devices"] = problem(422, "protocol-unsupported", "Version 1 only.")
    arguments = ("join", "--server", server.address, "--state-dir", str(tmp_path / "state"))
    answer = call(*arguments, stdin=ENROL_TOKEN)
    assert answer.returncode == 1
    assert "Version 1 only" in answer.stderr
    assert not (tmp_path / "state" / "identity.json").exists()


def test_measure_needs_no_server(tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.json", tmp_path / "profile.json"
    work = profile_work(2, networks=1)
    write_document(plan, work, PLAN)
    refused = call("measure", str(plan), "-o", str(out), "--affinity", "0,65000")
    assert refused.returncode == 1
    assert "affinity: there is no core 65000; this process may use " in refused.stderr
    core = min(os.sched_getaffinity(0))
    for wrong in ("-1", "nan", "1e9", "twice"):
        refused = call("measure", str(plan), "-o", str(out), f"--again={wrong}")
        assert refused.returncode == 2
        assert "--again: must be from 0 to 100" in refused.stderr
    pinned = ("--affinity", str(core), "--again", "0")
    answer = call("measure", str(plan), "-o", str(out), *pinned)
    assert answer.returncode == 0, answer.stderr
    assert "3 measured, 0 failed" in answer.stdout
    profile = read_profile(out)
    assert {row.spec for row in profile.operators} == set(work.operators)
    assert profile.networks[0].median_ns > 0
    assert (profile.target.threads, profile.target.affinity) == (1, (core,))
    assert profile.conditions_after is not None
    assert profile.conditions_after.affinity == (core,)
    assert profile.conditions.started_at


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"{", "plan.json: not JSON"),
        (to_document({"operators": []}, PLAN), "no operators"),
        (to_document({"operators": [{"kind": "conv"}]}, PLAN), "operators"),
        (to_document({"operators": []}, "edgewright-profile"), "edgewright-plan"),
    ],
)
def test_a_plan_that_is_none_is_refused(tmp_path: Path, document: bytes, message: str) -> None:
    plan = tmp_path / "plan.json"
    plan.write_bytes(document)
    answer = call("measure", str(plan), "-o", str(tmp_path / "out.json"))
    assert answer.returncode == 1
    assert message in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (tmp_path / "out.json").exists()


def test_the_doctor_names_every_fact(server: FakeServer, tmp_path: Path) -> None:
    state_dir = joined(server, tmp_path)
    answer = call("doctor", "--state-dir", str(state_dir))
    lines = answer.stdout.splitlines()
    names = [line[5:18].strip() for line in lines]
    assert names == [
        "cores", "governor", "load", "temperature", "ONNX Runtime", "library", "clock", "noise",
        "state", "server",
    ]  # fmt: skip
    assert lines[-1] == f"ok   server        {server.address} answers"
    assert answer.returncode == (1 if any(line.startswith("FIX") for line in lines) else 0)
