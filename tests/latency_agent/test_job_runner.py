"""One lease, in this process, against the real socket: every way in which it can end."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from latency import codec
from latency.agent.claim_loop import claim_work
from latency.agent.errors import AccessRevokedError, RefusedError, StoppedError
from latency.agent.job_runner import run_lease
from latency.agent.stop import StopSignal
from latency.messages import Chunk, Outcome, ProfileWork, VerifyWork
from tests.latency_agent.conftest import MakeWorkplace
from tests.latency_agent.fake_server import FakeServer, Fault, problem
from tests.latency_agent.samples import FAST, TARGET, SteadyMeasurer, graph, profile_work


def spools(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "spool").iterdir())


def test_everything_is_measured_once_and_confirmed(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer, tmp_path: Path
) -> None:
    work = profile_work(5, networks=2)
    unit = server.give(replace(work, operators=work.operators * 2))
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert unit.finish.outcome is Outcome.DONE
    assert [row.spec for row in unit.operators] == list(work.operators)
    assert [row.name for row in unit.networks] == ["network-0", "network-1"]
    assert len(measurer.measured) == 7
    assert len(unit.chunks) == 4
    assert spools(tmp_path) == []


def test_a_killed_run_is_resumed_from_the_spool(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    unit = server.give(profile_work(6))
    stop = StopSignal()
    measurer.before_each = lambda count: stop.set() if count == 3 else None
    with pytest.raises(StoppedError):
        run_lease(unit.lease, TARGET, make_workplace(), stop)
    assert unit.finish is None
    measurer.before_each = lambda _count: None
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert len(measurer.measured) == len(set(measurer.measured)) == 6
    assert unit.finish is not None
    assert [row.spec for row in unit.operators] == list(profile_work(6).operators)


def test_measuring_goes_on_while_the_server_is_away(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    unit = server.give(profile_work(8))
    away = {"value": True}
    server.fault_of = lambda _request: Fault.DROP_BEFORE if away["value"] else None

    def come_back(count: int) -> None:
        if count == 7:
            assert unit.chunks == {}
            away["value"] = False

    measurer.before_each = come_back
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert len(unit.operators) == 8
    assert unit.finish is not None


def test_after_a_failed_upload_there_is_a_pause(
    server: FakeServer, make_workplace: MakeWorkplace
) -> None:
    server.heartbeat_every_s = 60.0
    unit = server.give(profile_work(10))
    server.faults = {0: Fault.DROP_BEFORE}
    run_lease(unit.lease, TARGET, make_workplace(replace(FAST, upload_pause_s=3e3)), StopSignal())
    assert len(unit.operators) == 10
    # One try while measuring; then, in the end, five chunks and the finish.
    assert len(server.requests) == 7


def test_a_cancelled_lease_is_dropped_and_not_finished(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer, tmp_path: Path
) -> None:
    unit = server.give(profile_work(50))

    def cancel(count: int) -> None:
        if count == 3:
            unit.cancelled = True
            seen = len(unit.beats)
            assert server.wait_for(lambda: len(unit.beats) > seen)
        elif count > 3:
            time.sleep(0.05)  # the answer to that beat is on its way

    measurer.before_each = cancel
    run_lease(unit.lease, TARGET, make_workplace(replace(FAST, chunk_rows=999)), StopSignal())
    assert unit.finish is None
    assert len(measurer.measured) < 50
    assert spools(tmp_path) == []


@pytest.mark.parametrize("moment", [0, 3, 9])
def test_a_superseded_lease_is_dropped_and_the_agent_goes_on(
    server: FakeServer,
    make_workplace: MakeWorkplace,
    measurer: SteadyMeasurer,
    tmp_path: Path,
    moment: int,
) -> None:
    first = server.give(profile_work(10))

    def supersede(count: int) -> None:
        if count == moment:
            first.superseded = True

    measurer.before_each = supersede
    workplace = make_workplace()
    run_lease(first.lease, TARGET, workplace, StopSignal())
    assert first.finish is None
    assert spools(tmp_path) == []
    second = server.give(profile_work(2))
    run_lease(second.lease, TARGET, workplace, StopSignal())
    assert second.finish is not None


def test_an_expired_lease_leaves_its_results_for_the_next_attempt(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    first = server.give(profile_work(4))
    server.refusals["/lease-0/"] = problem(409, "lease-expired", "Expired.")
    workplace = make_workplace(replace(FAST, chunk_rows=999))
    run_lease(first.lease, TARGET, workplace, StopSignal())
    first.superseded = True
    second = server.give(profile_work(4))
    lease = replace(second.lease, attempt=2)
    second.lease = lease
    run_lease(lease, TARGET, workplace, StopSignal())
    assert second.finish is not None
    assert len(second.operators) == 4
    assert len(measurer.measured) == 4


def test_a_refused_chunk_fails_the_attempt_and_is_kept_aside(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer, tmp_path: Path
) -> None:
    unit = server.give(profile_work(20))
    server.refusals["/chunks/1"] = problem(422, "invalid-value", "samples out of range")
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert unit.finish.outcome is Outcome.FAILED
    assert unit.finish.chunks == 1
    assert "samples out of range" in unit.finish.reason
    assert len(measurer.measured) < 20
    assert [request for request in server.requests if "chunks/1" in request] == [
        "PUT /v1/work/leases/lease-0/chunks/1"
    ]
    [kept] = (tmp_path / "refused").iterdir()
    assert "samples out of range" in (kept / "reason.txt").read_text()
    assert spools(tmp_path) == []


def test_a_refused_finish_uploads_once_more_and_then_sets_aside(
    server: FakeServer, make_workplace: MakeWorkplace, tmp_path: Path
) -> None:
    server.heartbeat_every_s = 60.0
    unit = server.give(profile_work(2))
    server.refusals["finish"] = problem(422, "chunks-missing", "Not all there.")
    with pytest.raises(RefusedError, match="Not all there"):
        run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    kinds = [request.split("/")[5] for request in server.requests]
    assert kinds == ["chunks", "finish", "chunks", "finish"]
    [kept] = (tmp_path / "refused").iterdir()
    assert "Not all there" in (kept / "reason.txt").read_text()
    assert codec.decode((kept / "chunk-000000.json").read_bytes(), Chunk).operators
    assert spools(tmp_path) == []


def test_a_server_that_lost_the_chunks_gets_them_again(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    unit = server.give(profile_work(6))

    def restore_backup(count: int) -> None:
        if count == 5:
            unit.chunks.clear()

    measurer.before_each = restore_backup
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert len(unit.operators) == 6


def test_a_revoked_token_ends_the_agent_and_keeps_the_spool(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer, tmp_path: Path
) -> None:
    unit = server.give(profile_work(10))

    def revoke(count: int) -> None:
        if count == 3:
            server.revoked = True

    measurer.before_each = revoke
    with pytest.raises(AccessRevokedError, match="token-revoked"):
        run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert len(spools(tmp_path)) == 1
    with pytest.raises(AccessRevokedError):
        claim_work(make_workplace(), StopSignal())


def test_a_crash_of_the_profiler_is_a_failed_attempt_with_what_was_measured(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    unit = server.give(profile_work(5))

    def crash(count: int) -> None:
        if count == 3:
            raise RuntimeError("the measuring child ended with signal 11")

    measurer.before_each = crash
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert unit.finish.outcome is Outcome.FAILED
    assert unit.finish.reason == "RuntimeError: the measuring child ended with signal 11"
    assert len(unit.operators) == 3


def test_a_profiler_that_leaves_something_out_is_noticed(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    unit = server.give(profile_work(4))
    original = measurer.profile

    def lazy(work: ProfileWork, *others: object) -> None:
        original(replace(work, operators=work.operators[:3]), *others)  # type: ignore[arg-type]

    measurer.profile = lazy  # type: ignore[method-assign,assignment]
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert unit.finish.outcome is Outcome.FAILED
    assert unit.finish.reason == "the profiler left 1 of 4 unmeasured"


def test_an_artifact_is_downloaded_once_and_measured(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer, tmp_path: Path
) -> None:
    data = b"an ONNX file"
    sha256 = server.store(data)
    for number in range(2):
        unit = server.give(VerifyWork(name=f"candidate-{number}", artifact_sha256=sha256))
        run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
        assert unit.finish is not None
        assert unit.finish.outcome is Outcome.DONE
    assert measurer.models == [data, data]
    assert sum("artifacts" in request for request in server.requests) == 1
    assert (tmp_path / "models" / f"{sha256}.onnx").read_bytes() == data


def test_a_damaged_model_in_the_cache_is_downloaded_again_and_old_ones_go(
    server: FakeServer, make_workplace: MakeWorkplace, tmp_path: Path
) -> None:
    models = make_workplace().models
    digests = []
    for text in (b"one", b"two", b"three"):
        digests.append(server.store(text))
        models.fetch(digests[-1], FAST.patience(StopSignal()))
    folder = tmp_path / "models"
    assert {path.stem for path in folder.iterdir()} == set(digests[1:])
    (folder / f"{digests[2]}.onnx").write_bytes(b"bad")
    (folder / "tmp-left-by-a-kill").write_bytes(b"half")
    assert models.fetch(digests[2], FAST.patience(StopSignal())).read_bytes() == b"three"
    assert {path.stem for path in folder.iterdir()} == set(digests[1:])
    with pytest.raises(ValueError, match="SHA-256"):
        models.fetch("../../etc/passwd", FAST.patience(StopSignal()))


@pytest.mark.parametrize(
    ("work", "reason"),
    [
        (VerifyWork(name="n", artifact_sha256="0" * 64), "not-found"),
        (VerifyWork(name="n", artifact_sha256="xyz"), "SHA-256"),
        (VerifyWork(name="n"), "exactly one"),
        (VerifyWork(name="n", artifact_sha256="0" * 64, graph=graph(4)), "exactly one"),
    ],
)
def test_a_verification_that_cannot_be_made_says_why(
    server: FakeServer, make_workplace: MakeWorkplace, work: VerifyWork, reason: str
) -> None:
    unit = server.give(work)
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert unit.finish.outcome is Outcome.FAILED
    assert reason in unit.finish.reason


def test_a_verification_with_an_error_is_failed_and_reported(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    measurer.verify_error = "timeout"
    unit = server.give(VerifyWork(name="n", graph=graph(4)))
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert unit.finish.reason == "timeout"
    assert [row.error for row in unit.networks] == ["timeout"]


def test_a_lease_without_work_of_its_kind_is_failed(
    server: FakeServer, make_workplace: MakeWorkplace
) -> None:
    unit = server.give(profile_work(1))
    run_lease(replace(unit.lease, profile=None), TARGET, make_workplace(), StopSignal())
    assert unit.finish is not None
    assert "no work of its kind" in unit.finish.reason


def test_heartbeats_say_how_far_it_is(
    server: FakeServer, make_workplace: MakeWorkplace, measurer: SteadyMeasurer
) -> None:
    unit = server.give(profile_work(3, networks=1))
    faults = iter([Fault.BUSY, Fault.PAGE_200, Fault.DROP_AFTER])
    server.fault_of = lambda request: next(faults, None) if "heartbeat" in request else None

    def wait_for_beat(count: int) -> None:
        assert server.wait_for(lambda: any(beat.done == count for beat in unit.beats))

    measurer.before_each = wait_for_beat
    run_lease(unit.lease, TARGET, make_workplace(), StopSignal())
    assert {beat.done for beat in unit.beats} >= {0, 1, 2, 3}
    assert {(beat.attempt, beat.total) for beat in unit.beats} == {(1, 4)}
    assert unit.finish is not None
