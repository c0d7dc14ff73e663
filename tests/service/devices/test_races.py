"""Many threads at once, on both databases."""

from concurrent.futures import ThreadPoolExecutor

from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import func, select

from latency import codec
from latency.messages import Registration
from service.database import Database
from service.devices.leasing import Desk, expire_leases
from service.devices.rules import LeaseRules
from service.devices.work import request_profile, work_state
from service.lifecycle import WorkState
from service.tables.lease import LeaseRow
from service.tables.measurement import MeasurementRow
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock, RecordingListener
from tests.service.samples import add_job, chunk_of, profile_work, target

THREADS = 8


def ask(database: Database, clock: HeldClock, board: Board, units: int = 1) -> list[str]:
    with database.transaction() as session:
        job = add_job(session, clock())
        return [
            request_profile(session, board.device_id, job, profile_work(2, 0), now=clock())
            for _ in range(units)
        ]


def test_one_device_claiming_at_once_gets_one_lease(
    app: FastAPI, admin: TestClient, database: Database, clock: HeldClock
) -> None:
    board = enrol(app, admin)
    ask(database, clock, board, units=5)
    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(lambda _index: board.claim(), range(THREADS)))
    assert len({answer.lease.lease_id for answer in answers if answer.lease}) == 1
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(LeaseRow)) == 1


def test_the_same_upload_at_once_is_stored_once(
    app: FastAPI, admin: TestClient, database: Database, clock: HeldClock
) -> None:
    board = enrol(app, admin)
    ask(database, clock, board)
    lease = board.work()
    assert lease.profile is not None
    chunk = chunk_of(lease.profile)
    with ThreadPoolExecutor(THREADS) as pool:
        statuses = list(
            pool.map(lambda _index: board.upload(lease, chunk).status_code, range(THREADS))
        )
    assert set(statuses) == {204}
    with database.reading() as session:
        assert session.scalar(select(func.count()).select_from(MeasurementRow)) == 2


def test_sweeps_and_heartbeats_at_once(
    app: FastAPI, admin: TestClient, database: Database, clock: HeldClock
) -> None:
    boards = [enrol(app, admin, name=f"board{index}") for index in range(4)]
    units = [ask(database, clock, board)[0] for board in boards]
    leases = [board.work() for board in boards]
    clock.advance(61)
    listener = RecordingListener()

    def sweep(_index: int) -> int:
        with database.transaction() as session:
            desk = Desk(rules=LeaseRules(), listener=listener, now=clock())
            return expire_leases(session, desk)

    with ThreadPoolExecutor(THREADS) as pool:
        beats = [
            pool.submit(board.beat, lease, done=1)
            for board, lease in zip(boards, leases, strict=True)
        ]
        taken = sum(pool.map(sweep, range(4)))
    assert [beat.result().status_code for beat in beats] == [200] * 4
    assert 0 <= taken <= 4
    with database.reading() as session:
        assert {work_state(session, unit) for unit in units} == {(WorkState.LEASED, "")}


def test_one_enrolment_token_enrols_one_device(
    app: FastAPI, admin: TestClient, database: Database
) -> None:
    token = admin.post("/v1/enrolments").json()["token"]
    http = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    body = codec.encode(Registration(name="pi", target=target(), agent_version="1"))
    with ThreadPoolExecutor(THREADS) as pool:
        responses = list(
            pool.map(lambda _index: http.post("/v1/devices", content=body), range(THREADS))
        )
    assert sorted(response.status_code for response in responses) == [201] + [409] * (THREADS - 1)
    assert len(admin.get("/v1/devices").json()) == 1
