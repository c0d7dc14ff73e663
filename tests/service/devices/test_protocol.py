"""The agent protocol over HTTP, on both databases."""

from dataclasses import replace

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import event

from latency import codec
from latency.messages import Registration, VerifyWork
from service.artifacts.store import ArtifactStore
from service.artifacts.use_cases import record_artifact
from service.database import Database
from service.devices.leasing import Desk, expire_leases
from service.devices.rules import LeaseRules
from service.devices.work import (
    cancel_work,
    network_results,
    request_profile,
    request_verify,
    work_progress,
)
from service.lifecycle import WorkState
from service.settings import Settings
from service.tables.lease import LeaseRow
from tests.service.board import Board, enrol
from tests.service.devices.steps import ask, count, state
from tests.service.fakes import HeldClock, RecordingListener
from tests.service.samples import (
    add_job,
    chunk_of,
    network_result,
    profile_work,
    target,
)


class TestWholeUnit:
    def test_profile(
        self, database: Database, clock: HeldClock, board: Board, listener: RecordingListener
    ) -> None:
        work = profile_work(operators=3, networks=2)
        unit = ask(database, clock, board, work)
        lease = board.work()
        assert lease.profile == work
        assert lease.attempt == 1
        assert (lease.expires_in_s, lease.heartbeat_every_s) == (60.0, 15.0)
        assert board.beat(lease, done=2, total=5).json()["cancelled"] is False
        with database.reading() as session:
            assert work_progress(session, unit) == (2, 5)
        assert board.upload(lease, chunk_of(work)).status_code == 204
        answer = board.finish(lease)
        assert answer.status_code == 200
        assert len(answer.json()["digest"]) == 64
        assert state(database, unit) == (WorkState.DONE, "")
        assert [unit_id for _, unit_id in listener.units] == [unit]
        with database.reading() as session:
            results = network_results(session, unit)
        assert [result.name for result in results] == ["net0", "net1"]
        assert results[1].graph == work.networks[1].graph
        assert results[1].median_ns == 50_012
        assert board.claim().lease is None

    def test_verify_of_an_artifact(
        self,
        database: Database,
        clock: HeldClock,
        board: Board,
        settings: Settings,
        app: FastAPI,
        admin: TestClient,
    ) -> None:
        store = ArtifactStore(settings.artifacts_dir)
        stored = store.add_bytes(b"not really a network")
        other = store.add_bytes(b"another one")
        with database.transaction() as session:
            for file in (stored, other):
                record_artifact(session, file, media_type="application/onnx", now=clock())
            job = add_job(session, clock())
            work = VerifyWork(name="candidate", artifact_sha256=stored.sha256)
            unit = request_verify(session, board.device_id, job, work, now=clock())
        before = board.http.get(f"/v1/artifacts/{stored.sha256}")
        lease = board.work()
        assert lease.verify == work
        during = board.http.get(f"/v1/artifacts/{stored.sha256}")
        assert (before.status_code, during.status_code) == (404, 200)
        assert during.content == b"not really a network"
        assert board.http.get(f"/v1/artifacts/{other.sha256}").status_code == 404
        stranger = enrol(app, admin, name="stranger")
        assert stranger.http.get(f"/v1/artifacts/{stored.sha256}").status_code == 404
        chunk = replace(chunk_of(profile_work(0, 0)), networks=(network_result("candidate"),))
        assert board.upload(lease, chunk).status_code == 204
        assert board.finish(lease).status_code == 200
        assert state(database, unit) == (WorkState.DONE, "")

    def test_oldest_unit_first_and_one_at_a_time(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        first = ask(database, clock, board, profile_work(1, 0))
        clock.advance(1)
        second = ask(database, clock, board, profile_work(2, 0))
        lease = board.work()
        assert board.work().lease_id == lease.lease_id
        assert state(database, first)[0] is WorkState.LEASED
        assert state(database, second)[0] is WorkState.QUEUED


class TestClaim:
    def test_same_claim_gets_the_same_lease(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        ask(database, clock, board, profile_work())
        first = board.claim("one")
        assert first.lease is not None
        assert board.claim("one") == first
        assert count(database, LeaseRow) == 1

    def test_a_claim_whose_lease_has_ended_gives_no_second_one(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(1, 0)
        ask(database, clock, board, work)
        lease = board.claim("one").lease
        assert lease is not None
        board.upload(lease, chunk_of(work))
        board.finish(lease)
        ask(database, clock, board, work)
        assert board.claim("one").lease is None
        assert board.claim("two").lease is not None

    def test_a_restarted_agent_goes_on_with_its_lease(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        ask(database, clock, board, profile_work())
        lease = board.work()
        clock.advance(59)
        again = board.work()
        assert (again.lease_id, again.attempt, again.expires_in_s) == (lease.lease_id, 1, 60.0)

    def test_changed_device_gets_a_new_attempt(
        self, database: Database, clock: HeldClock, board: Board, admin: TestClient
    ) -> None:
        ask(database, clock, board, profile_work())
        lease = board.work()
        board.target = target(threads=2)
        again = board.work()
        assert (again.attempt, again.lease_id == lease.lease_id) == (2, False)
        assert board.upload(lease, chunk_of(profile_work())).json()["code"] == "lease-superseded"
        shown = admin.get(f"/v1/devices/{board.device_id}").json()
        assert shown["target_fingerprint"] == board.target.fingerprint
        assert shown["target"]["threads"] == 2

    def test_idle_polls_write_nothing_until_last_seen_is_old(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        statements: list[str] = []

        def note(_c: object, _cur: object, statement: str, *_rest: object) -> None:
            statements.append(statement.split(maxsplit=1)[0])

        event.listen(database.engine, "before_cursor_execute", note)
        try:
            clock.advance(29)
            assert board.claim().lease is None
            assert "UPDATE" not in statements
            assert "INSERT" not in statements
            clock.advance(1)
            board.claim()
            assert "UPDATE" in statements
        finally:
            event.remove(database.engine, "before_cursor_execute", note)


class TestSilence:
    def test_three_silent_attempts_fail_the_unit_with_their_reasons(
        self, database: Database, clock: HeldClock, board: Board, listener: RecordingListener
    ) -> None:
        unit = ask(database, clock, board, profile_work())
        for attempt in (1, 2, 3):
            assert board.work().attempt == attempt
            clock.advance(61)
        assert board.claim().lease is None
        ended, reason = state(database, unit)
        assert ended is WorkState.FAILED
        assert [part.split(":")[0] for part in reason.split("; ")] == [
            "attempt 1",
            "attempt 2",
            "attempt 3",
        ]
        assert len(listener.units) == 1

    def test_heartbeats_keep_a_lease(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        ask(database, clock, board, profile_work())
        lease = board.work()
        for done in range(10):
            clock.advance(15)
            assert board.beat(lease, done=done).json()["expires_in_s"] == 60.0
        assert board.work().lease_id == lease.lease_id

    def test_results_of_a_lost_attempt_are_not_asked_for_again(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(3, 2)
        unit = ask(database, clock, board, work)
        lease = board.work()
        part = replace(work, operators=work.operators[:2], networks=work.networks[:1])
        board.upload(lease, chunk_of(part))
        clock.advance(61)
        again = board.work()
        assert again.profile is not None
        assert again.profile.operators == work.operators[2:]
        assert [named.name for named in again.profile.networks] == ["net1"]
        board.digests.clear()
        assert board.upload(again, chunk_of(again.profile, attempt=2)).status_code == 204
        assert board.finish(again).status_code == 200
        assert state(database, unit)[0] is WorkState.DONE
        with database.reading() as session:
            assert len(network_results(session, unit)) == 2

    def test_everything_measured_but_never_finished_ends_at_the_next_claim(
        self, database: Database, clock: HeldClock, board: Board, listener: RecordingListener
    ) -> None:
        work = profile_work(2, 0)
        unit = ask(database, clock, board, work)
        board.upload(board.work(), chunk_of(work))
        clock.advance(61)
        assert board.claim().lease is None
        assert state(database, unit)[0] is WorkState.DONE
        assert len(listener.units) == 1

    def test_late_device_goes_on_while_nobody_took_over(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work()
        unit = ask(database, clock, board, work)
        lease = board.work()
        clock.advance(61)
        with database.transaction() as session:
            desk = Desk(rules=LeaseRules(), listener=RecordingListener(), now=clock())
            assert expire_leases(session, desk) == 1
            assert expire_leases(session, desk) == 0
        assert state(database, unit)[0] is WorkState.QUEUED
        assert board.upload(lease, chunk_of(work)).status_code == 204
        assert board.finish(lease).status_code == 200
        assert state(database, unit) == (WorkState.DONE, "")


class TestOwnership:
    def test_a_lease_of_another_device_looks_like_none(
        self, database: Database, clock: HeldClock, board: Board, app: FastAPI, admin: TestClient
    ) -> None:
        work = profile_work()
        ask(database, clock, board, work)
        lease = board.work()
        stranger = enrol(app, admin, name="stranger")
        answers = [
            stranger.beat(lease),
            stranger.upload(lease, chunk_of(work)),
            stranger.finish(lease),
        ]
        unknown = stranger.beat(replace(lease, lease_id="0" * 32))
        assert [answer.status_code for answer in answers] == [404] * 3
        bodies = [{**answer.json(), "instance": ""} for answer in (*answers, unknown)]
        assert all(body == bodies[0] for body in bodies)
        assert stranger.claim().lease is None

    def test_old_attempt_can_change_nothing(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work()
        ask(database, clock, board, work)
        old = board.work()
        clock.advance(61)
        new = board.work()
        for response in (board.beat(old), board.upload(old, chunk_of(work)), board.finish(old)):
            assert response.status_code == 409
            assert response.json()["code"] == "lease-superseded"
            assert response.json()["discard"] is True
        faked = board.upload(replace(new, lease_id=old.lease_id), chunk_of(work, attempt=2))
        assert faked.status_code == 409

    def test_cancelled_work_ends_at_the_next_heartbeat(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        with database.transaction() as session:
            job = add_job(session, clock())
            request_profile(session, board.device_id, job, profile_work(), now=clock())
            request_profile(session, board.device_id, job, profile_work(1, 0), now=clock())
        lease = board.work()
        with database.transaction() as session:
            assert cancel_work(session, job, now=clock()) == 2
            assert cancel_work(session, job, now=clock()) == 0
        assert board.beat(lease).json()["cancelled"] is True
        assert board.upload(lease, chunk_of(profile_work())).status_code == 409
        assert board.claim().lease is None


def test_registration_names_are_made_unique(app: FastAPI, admin: TestClient) -> None:
    for _ in range(3):
        enrol(app, admin, name="pi")
    names = [device["name"] for device in admin.get("/v1/devices").json()]
    assert names == ["pi", "pi-2", "pi-3"]


def test_enrolment_token_works_once(app: FastAPI, admin: TestClient, clock: HeldClock) -> None:
    token = admin.post("/v1/enrolments").json()["token"]
    http = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    body = codec.encode(Registration(name="pi", target=target(), agent_version="1"))
    wrong = codec.encode(Registration(name="pi", target=target(), agent_version="1", protocol=99))
    assert http.post("/v1/devices", content=wrong).json()["code"] == "protocol-unsupported"
    assert http.post("/v1/devices", content=body).status_code == 201
    again = http.post("/v1/devices", content=body)
    assert (again.status_code, again.json()["code"]) == (409, "enrol-token-used")
    token = admin.post("/v1/enrolments").json()["token"]
    clock.advance(3601)
    late = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    expired = late.post("/v1/devices", content=body)
    assert (expired.status_code, expired.json()["code"]) == (401, "token-expired")
