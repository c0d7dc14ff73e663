"""Whole sessions, in this process, against the real socket: claim, work, claim again."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from latency.agent.claim_loop import claim_work
from latency.agent.job_runner import Workplace
from latency.agent.stop import StopSignal
from latency.messages import Outcome, VerifyWork
from tests.latency_agent.conftest import MakeWorkplace
from tests.latency_agent.fake_server import FakeServer, Fault, problem
from tests.latency_agent.samples import TARGET, SteadyMeasurer, graph, profile_work


def spools(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "spool").iterdir())


def run_until(
    condition: Callable[[], bool], workplace: Workplace, server: FakeServer, stop: StopSignal
) -> None:
    """Run the claim loop until `condition` holds and the agent asks for new work."""

    def watch(_request: str) -> Fault | None:
        if condition():
            stop.set()
        return None

    server.fault_of = watch
    claim_work(workplace, stop)


def session(server: FakeServer, workplace: Workplace) -> None:
    """Claim and finish one profile unit and one verify unit."""
    stop = StopSignal()
    units = [
        server.give(profile_work(3, networks=1)),
        server.give(VerifyWork(name="candidate", graph=graph(4))),
    ]
    run_until(lambda: all(unit.finish for unit in units), workplace, server, stop)


CLEAN_SESSION = 7  # claim, 2 chunks, finish; claim, 1 chunk, finish


@pytest.mark.parametrize("number", range(CLEAN_SESSION))
@pytest.mark.parametrize("fault", list(Fault))
def test_a_fault_at_any_request_changes_nothing_in_the_result(
    server: FakeServer,
    make_workplace: MakeWorkplace,
    measurer: SteadyMeasurer,
    tmp_path: Path,
    fault: Fault,
    number: int,
) -> None:
    server.heartbeat_every_s = 60.0
    server.faults = {number: fault}
    session(server, make_workplace())
    profile, verify = server.units
    assert profile.finish is not None
    assert profile.finish.outcome is Outcome.DONE
    assert len(profile.operators) == 3
    assert len(profile.networks) == 1
    assert [row.name for row in verify.networks] == ["candidate"]
    assert len(measurer.measured) == 5
    assert len(server.requests) > CLEAN_SESSION
    assert spools(tmp_path) == []


def test_after_a_refused_attempt_the_lease_runs_out_before_the_next_claim(
    server: FakeServer, make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latency.agent.claim_loop.PAUSE_AFTER_TROUBLE_S", 0.01)
    unit = server.give(profile_work(1))
    unit.lease = replace(unit.lease, expires_in_s=0.2)
    server.refusals["finish"] = problem(422, "chunks-missing", "Not all there.")
    claimed_at: list[float] = []

    def note() -> bool:
        if server.requests[-1] == "POST /v1/work/claim":
            claimed_at.append(time.monotonic())
        return len(claimed_at) == 2

    run_until(note, make_workplace(), server, StopSignal())
    assert claimed_at[1] - claimed_at[0] >= 0.22


def test_a_refused_claim_is_asked_again_and_a_stop_ends_the_wait(
    server: FakeServer, make_workplace: MakeWorkplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("latency.agent.claim_loop.PAUSE_AFTER_TROUBLE_S", 0.01)
    server.refusals["claim"] = problem(422, "invalid-value", "target")
    run_until(lambda: len(server.requests) >= 3, make_workplace(), server, StopSignal())
    assert len(server.requests) >= 3


def test_a_full_disk_does_not_end_the_agent(
    server: FakeServer, make_workplace: MakeWorkplace, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("latency.agent.claim_loop.PAUSE_AFTER_TROUBLE_S", 0.01)
    unit = server.give(profile_work(2))
    workplace = make_workplace()
    (tmp_path / "spool").rmdir()
    (tmp_path / "spool").write_text("in the way")

    def clear(count: int) -> bool:
        if count == 2 and (tmp_path / "spool").is_file():
            (tmp_path / "spool").unlink()
            (tmp_path / "spool").mkdir()
        return unit.finish is not None

    run_until(
        lambda: clear(sum("claim" in request for request in server.requests)),
        workplace,
        server,
        StopSignal(),
    )
    assert len(unit.operators) == 2


def test_claims_differ_and_carry_the_target_of_the_moment(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    def change() -> bool:
        measurer.current = replace(TARGET, threads=2)
        return len(server.claims) >= 3

    run_until(change, make_workplace(), server, StopSignal())
    assert len({claim.claim_id for claim in server.claims}) == len(server.claims)
    assert server.claims[0].target == TARGET
    assert server.claims[-1].target.threads == 2
