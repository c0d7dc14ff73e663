"""What is well-formed and cannot be true: kept, listed, measured again, never used."""

from dataclasses import replace
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy import select

from latency.measurement import Conditions, OperatorMeasurement
from latency.messages import Chunk, ProfileWork, VerifyWork
from service.cli.tables import device_lines, quarantine_lines
from service.database import Database
from service.devices.schemas import DeviceRead
from service.devices.work import network_results, request_verify
from service.lifecycle import WorkState
from service.profiling.schemas import OperatorRead
from service.profiling.use_cases import known_operator_keys, measured_operators
from service.tables.lease import ChunkRow
from tests.latency.samples import scaled
from tests.service.board import Board
from tests.service.devices.steps import ask, state
from tests.service.fakes import HeldClock
from tests.service.samples import (
    STARTED,
    add_job,
    chunk_of,
    network,
    network_result,
    operator_result,
    profile_work,
)

REFERENCE_NS = tuple(150_000 + step for step in range(15))


def beside_reference(measured: OperatorMeasurement, factor: float = 1.0) -> OperatorMeasurement:
    assert measured.samples is not None
    times = tuple(round(value * factor) for value in REFERENCE_NS)
    return replace(measured, samples=replace(measured.samples, reference_ns=times))


def with_operators(chunk: Chunk, *operators: OperatorMeasurement, **changes: Any) -> Chunk:
    return replace(chunk, operators=operators, **changes)


def test_a_bad_row_is_kept_with_its_reason_and_measured_again(
    database: Database, clock: HeldClock, admin: TestClient, board: Board
) -> None:
    work = profile_work(3, 0)
    unit = ask(database, clock, board, work)
    chunk = chunk_of(work)
    bad = scaled(chunk.operators[1], 1 / 1000)
    lease = board.work()
    mixed = with_operators(chunk, chunk.operators[0], bad, chunk.operators[2])
    assert board.upload(lease, mixed).status_code == 204
    assert board.finish(lease).status_code == 200
    fingerprint = board.target.fingerprint
    with database.reading() as session:
        good = {work.operators[0].key, work.operators[2].key}
        assert known_operator_keys(session, fingerprint) == good
        assert {row.spec.key for row in measured_operators(session, fingerprint)} == good
    assert state(database, unit) == (
        WorkState.QUEUED,
        "attempt 1: 1 results are in quarantine, the first because: a run with 5 of these "
        "operators took 17 ns, and at least 500 are plausible here",
    )
    (kept,) = admin.get("/v1/operators", params={"device": "board", "quarantined": True}).json()
    assert kept["key"] == work.operators[1].key
    assert "took 17 ns" in kept["quarantine"]
    assert "took 17 ns" in next(quarantine_lines([OperatorRead.model_validate(kept)]))
    (device,) = admin.get("/v1/devices").json()
    assert device["quarantined"] == 1
    assert "(1 in quarantine)" in next(device_lines([DeviceRead.model_validate(device)]))

    again = board.work()
    assert again.profile is not None
    assert again.profile.operators == work.operators[1:2]
    board.digests.clear()
    board.upload(again, chunk_of(again.profile, attempt=2))
    assert board.finish(again).status_code == 200
    assert state(database, unit)[0] is WorkState.DONE
    with database.reading() as session:
        assert len(known_operator_keys(session, fingerprint)) == 3
    assert len(admin.get("/v1/operators", params={"device": "board"}).json()) == 3


def test_a_device_that_goes_on_being_wrong_ends_like_one_that_cannot_measure(
    database: Database, clock: HeldClock, board: Board
) -> None:
    work = profile_work(2, 0)
    unit = ask(database, clock, board, work)
    for attempt in (1, 2, 3):
        board.digests.clear()
        chunk = chunk_of(work, attempt=attempt)
        wrong = [scaled(found, 1 / 1000) for found in chunk.operators]
        lease = board.work()
        assert board.upload(lease, with_operators(chunk, *wrong)).status_code == 204
        assert board.finish(lease).status_code == 200
    assert state(database, unit)[0] is WorkState.DONE
    assert board.claim().lease is None
    with database.reading() as session:
        assert known_operator_keys(session, board.target.fingerprint) == set()


def test_a_reference_far_from_what_the_target_showed_before(
    database: Database, clock: HeldClock, admin: TestClient, board: Board
) -> None:
    work = profile_work(2, 0)
    ask(database, clock, board, work)
    lease = board.work()
    first, second = (beside_reference(found) for found in chunk_of(work).operators)
    board.upload(lease, with_operators(chunk_of(work), first))
    far = beside_reference(second, 9.0)  # 1.35 ms: possible on another board with these vectors
    board.upload(lease, with_operators(chunk_of(work), far), index=1)
    kept = admin.get("/v1/operators", params={"device": "board", "quarantined": True}).json()
    assert [row["key"] for row in kept] == [work.operators[1].key]
    assert "the reference model took 1350063 ns" in kept[0]["quarantine"]


class TestTimeOfTheLease:
    """24 s of samples."""

    def slow_chunk(self, work: ProfileWork, attempt: int = 1) -> Chunk:
        times = tuple(tuple(40_000_000 + step for step in range(200)) for _ in range(3))
        name = work.networks[0].name
        slow = replace(network_result(name), processes_ns=times)
        return replace(chunk_of(work, attempt=attempt), networks=(slow,))

    def errors(self, database: Database, unit: str) -> list[str]:
        with database.reading() as session:
            return [result.error for result in network_results(session, unit)]

    def test_samples_cannot_last_longer_than_it(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(3, 1)
        unit = ask(database, clock, board, work)
        lease = board.work()
        clock.advance(20)
        board.upload(lease, self.slow_chunk(work))
        (error,) = self.errors(database, unit)
        assert error.startswith(
            "in quarantine: the times of this upload add up to more than the 22"
        )
        with database.reading() as session:
            assert len(known_operator_keys(session, board.target.fingerprint)) == 3

    def test_what_an_earlier_attempt_has_measured_may_come_with_a_later_one(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(0, 1)
        unit = ask(database, clock, board, work)
        board.work()
        clock.advance(100)  # the lease runs out
        lease = board.work()
        assert lease.attempt == 2
        board.upload(lease, self.slow_chunk(work, attempt=2))
        assert self.errors(database, unit) == [""]


def test_a_verification_in_quarantine_is_made_again_and_then_an_error(
    database: Database, clock: HeldClock, board: Board
) -> None:
    with database.transaction() as session:
        job = add_job(session, clock())
        work = VerifyWork(name="net", graph=network())
        unit = request_verify(session, board.device_id, job, work, now=clock())
    frozen = replace(network_result("net"), processes_ns=((50_000,) * 9,))
    for attempt in (1, 2, 3):
        board.digests.clear()
        lease = board.work()
        chunk = replace(chunk_of(profile_work(0, 0), attempt=attempt), networks=(frozen,))
        assert board.upload(lease, chunk).status_code == 204
        assert board.finish(lease).status_code == 200
    assert state(database, unit)[0] is WorkState.DONE
    with database.reading() as session:
        (result,) = network_results(session, unit)
    assert result.error == "in quarantine: all samples are identical: the clock stands still"


def test_conditions_before_and_after_and_instability_are_stored(
    database: Database, clock: HeldClock, admin: TestClient, board: Board
) -> None:
    work = profile_work(1, 0)
    ask(database, clock, board, work)
    after = Conditions(started_at=STARTED, temperature_c=61.5, affinity=(0, 1), threads=2)
    shaky = replace(operator_result(work.operators[0]), unstable="not settled")
    board.upload(board.work(), with_operators(chunk_of(work), shaky, conditions_after=after))
    with database.reading() as session:
        stored = session.scalars(select(ChunkRow.conditions_after)).one() or {}
    assert (stored["temperature_c"], stored["affinity"], stored["threads"]) == (61.5, [0, 1], 2)
    (row,) = admin.get("/v1/operators", params={"device": "board"}).json()
    assert row["unstable"] == "not settled"
