"""Uploads and the end of an attempt, on both databases."""

from dataclasses import replace

from sqlalchemy import select

from latency import codec
from latency.messages import Finish, Outcome, VerifyWork
from service.database import Database
from service.devices.work import (
    network_results,
    request_verify,
)
from service.lifecycle import WorkState
from service.tables.lease import ChunkRow
from service.tables.measurement import MeasurementRow, NetworkMeasurementRow
from tests.service.board import Board, content_digest
from tests.service.devices.steps import ask, count, state
from tests.service.fakes import HeldClock, RecordingListener
from tests.service.samples import (
    add_job,
    chunk_of,
    network,
    network_result,
    operator_result,
    profile_work,
)


class TestUploads:
    def test_repeats_change_nothing(
        self, database: Database, clock: HeldClock, board: Board, listener: RecordingListener
    ) -> None:
        work = profile_work()
        ask(database, clock, board, work)
        lease = board.work()
        chunk = chunk_of(work)
        assert [board.upload(lease, chunk).status_code for _ in range(3)] == [204] * 3
        assert (count(database, ChunkRow), count(database, MeasurementRow)) == (1, 3)
        first, second = board.finish(lease), board.finish(lease)
        assert first.content == second.content
        assert len(listener.units) == 1
        assert board.upload(lease, chunk).status_code == 204

    def test_other_bytes_at_the_same_index_are_refused(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work()
        ask(database, clock, board, work)
        lease = board.work()
        board.upload(lease, chunk_of(work))
        response = board.upload(lease, chunk_of(work, ns=2000))
        assert (response.status_code, response.json()["code"]) == (409, "chunk-conflict")
        assert count(database, MeasurementRow) == 3

    def test_results_that_were_not_asked_for_are_refused_as_a_whole(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(2, 1)
        ask(database, clock, board, work)
        lease = board.work()
        more = chunk_of(profile_work(3, 1))
        response = board.upload(lease, more)
        assert response.status_code == 422
        assert response.json()["errors"][0]["pointer"] == "/operators/2/spec"
        named = replace(chunk_of(work), networks=(network_result("other"),))
        assert board.upload(lease, named).json()["code"] == "unexpected-result"
        assert count(database, MeasurementRow) == 0
        assert count(database, NetworkMeasurementRow) == 0

    def test_damaged_on_the_way_may_be_sent_again(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work()
        ask(database, clock, board, work)
        lease = board.work()
        path = f"/v1/work/leases/{lease.lease_id}/chunks/0"
        body = codec.encode(chunk_of(work))
        damaged = board.http.put(path, content=body + b" ", headers=content_digest(body))
        assert (damaged.status_code, damaged.json()["retryable"]) == (400, True)
        for header in ({}, {"Content-Digest": "md5=:AAAA:"}, {"Content-Digest": "sha-256=:*:"}):
            refused = board.http.put(path, content=body, headers=header)
            assert (refused.status_code, refused.json()["code"]) == (400, "no-digest")

    def test_finish_needs_every_chunk_and_every_result(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(3, 1)
        ask(database, clock, board, work)
        lease = board.work()
        board.upload(lease, chunk_of(replace(work, operators=work.operators[:1])))
        incomplete = board.finish(lease)
        assert (incomplete.status_code, incomplete.json()["code"]) == (422, "results-incomplete")
        finish = Finish(attempt=1, outcome=Outcome.DONE, chunks=2, digest="0" * 64)
        path = f"/v1/work/leases/{lease.lease_id}/finish"
        missing = board.http.post(path, content=codec.encode(finish))
        assert (missing.status_code, missing.json()["code"]) == (409, "chunks-missing")
        wrong = board.http.post(path, content=codec.encode(replace(finish, chunks=1)))
        assert (wrong.status_code, wrong.json()["code"]) == (409, "chunk-conflict")

    def test_operators_that_cannot_be_measured_are_results_too(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(1, 0)
        unit = ask(database, clock, board, work)
        failed = replace(operator_result(work.operators[0]), samples=None, error="crash\x00ed")
        board.upload(lease := board.work(), replace(chunk_of(work), operators=(failed,)))
        assert board.finish(lease).status_code == 200
        assert state(database, unit)[0] is WorkState.DONE
        with database.reading() as session:
            assert session.scalars(select(MeasurementRow.error)).all() == ["crash ed"]

    def test_failed_attempt_is_tried_again_and_the_reason_kept(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        unit = ask(database, clock, board, profile_work())
        response = board.finish(board.work(), outcome=Outcome.FAILED, reason="no runtime")
        assert response.status_code == 200
        assert state(database, unit) == (WorkState.QUEUED, "attempt 1: no runtime")
        assert board.work().attempt == 2


def test_results_prefer_a_good_measurement(
    database: Database, clock: HeldClock, board: Board
) -> None:
    with database.transaction() as session:
        job = add_job(session, clock())
        work = VerifyWork(name="net", graph=network())
        unit = request_verify(session, board.device_id, job, work, now=clock())
    lease = board.work()
    base = chunk_of(profile_work(0, 0))
    for index, error in enumerate(("", "killed")):
        chunk = replace(base, networks=(network_result("net", error=error),))
        assert board.upload(lease, chunk, index=index).status_code == 204
    with database.reading() as session:
        (result,) = network_results(session, unit)
    assert (result.error, result.graph) == ("", network())
