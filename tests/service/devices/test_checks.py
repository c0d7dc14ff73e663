"""A device is judged by operators that are known: over HTTP, on both databases."""

from collections.abc import Collection
from dataclasses import replace

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency.measurement import OperatorMeasurement
from latency.messages import Chunk, Lease, ProfileWork
from latency.operator import OperatorSpec
from service.cli.tables import device_lines
from service.database import Database
from service.devices.schemas import DeviceRead
from service.devices.trust import CHECKS, ENOUGH, PENDING, TRUSTED_AFTER
from service.devices.work import network_results
from service.lifecycle import WorkState
from service.profiling.use_cases import measured_operators
from service.tables.device import DeviceRow
from tests.service.board import Board, enrol
from tests.service.devices.steps import ask, state
from tests.service.fakes import HeldClock
from tests.service.samples import chunk_of, conv, network, profile_work

KNOWN_NS = 40_000
KNOWN = replace(profile_work(12, 0), operators=tuple(conv(4 * (n + 1), size=16) for n in range(12)))


def measure(
    board: Board, lease: Lease, ns: int = KNOWN_NS, failing: Collection[OperatorSpec] = ()
) -> None:
    """Measure everything that a lease asks for; some of it cannot be."""
    board.digests.clear()
    assert lease.profile is not None
    chunk = chunk_of(lease.profile, attempt=lease.attempt, ns=ns)
    operators = tuple(
        OperatorMeasurement(spec=row.spec, samples=None, error="crashed")
        if row.spec in failing
        else row
        for row in chunk.operators
    )
    chunk = replace(chunk, operators=operators)
    assert board.upload(lease, chunk).status_code == 204
    assert board.finish(lease).status_code == 200


def extra(lease: Lease, work: ProfileWork) -> list[int]:
    """Return where the checks of a lease are."""
    assert lease.profile is not None
    return [
        index for index, spec in enumerate(lease.profile.operators) if spec not in work.operators
    ]


def passed(admin: TestClient, board: Board) -> int:
    found: int = admin.get(f"/v1/devices/{board.device_id}").json()["checks_passed"]
    return found


@pytest.fixture
def second(
    app: FastAPI, admin: TestClient, board: Board, database: Database, clock: HeldClock
) -> Board:
    """A new device of a class that another one has measured."""
    ask(database, clock, board, KNOWN)
    measure(board, board.work())
    return enrol(app, admin, name="second")


def test_a_new_device_measures_what_is_known_and_is_believed(
    database: Database, clock: HeldClock, admin: TestClient, second: Board
) -> None:
    work = profile_work(3, 1)
    unit = ask(database, clock, second, work)
    lease = second.work()
    assert len(extra(lease, work)) == CHECKS
    assert {KNOWN.operators[0].kind} == {spec.kind for spec in lease.profile.operators}  # type: ignore[union-attr]
    again = second.claim().lease
    assert again is not None
    assert again.profile == lease.profile  # the same lease, the same checks
    measure(second, lease, KNOWN_NS * 3 // 2)
    assert state(database, unit)[0] is WorkState.DONE
    with database.reading() as session:
        rows = measured_operators(session, second.target.fingerprint)
        assert [result.error for result in network_results(session, unit)] == [""]
    assert len(rows) == len(KNOWN.operators) + 3
    assert passed(admin, second) == 1
    device = next(one for one in admin.get("/v1/devices").json() if one["name"] == "second")
    assert "1 checks passed" in next(device_lines([DeviceRead.model_validate(device)]))


def test_nothing_of_a_device_with_other_units_is_used(
    database: Database, clock: HeldClock, admin: TestClient, second: Board
) -> None:
    work = profile_work(3, 1)
    unit = ask(database, clock, second, work)
    lease = second.work()
    measure(second, lease, KNOWN_NS * 8)  # each row alone is plausible
    reason = "operators that are known here took 8 times as long as known"
    assert state(database, unit) == (
        WorkState.QUEUED,
        f"attempt 1: {CHECKS + 4} results are in quarantine, the first because: {reason}",
    )
    kept = admin.get("/v1/operators", params={"device": "second", "quarantined": True}).json()
    assert {row["quarantine"] for row in kept} == {reason}
    with database.reading() as session:
        rows = measured_operators(session, second.target.fingerprint)
        (network_row,) = network_results(session, unit)
    assert {row.spec for row in rows} == set(KNOWN.operators)
    assert network_row.error == f"in quarantine: {reason}"
    assert passed(admin, second) == 0
    measure(second, second.work())  # it has been mended
    assert state(database, unit)[0] is WorkState.DONE
    assert passed(admin, second) == 1


def test_results_are_not_used_before_enough_checks_are_in(
    database: Database, clock: HeldClock, second: Board
) -> None:
    work = profile_work(3, 0)
    ask(database, clock, second, work)
    lease = second.work()
    assert lease.profile is not None
    whole = chunk_of(lease.profile, ns=KNOWN_NS)
    checks = [row for row in whole.operators if row.spec not in work.operators]
    others = [row for row in whole.operators if row.spec in work.operators]

    def upload(index: int, *rows: OperatorMeasurement) -> set[str]:
        chunk: Chunk = replace(whole, operators=rows)
        assert second.upload(lease, chunk, index=index).status_code == 204
        with database.reading() as session:
            rows_used = measured_operators(session, second.target.fingerprint)
        return {row.spec.key for row in rows_used} & {spec.key for spec in work.operators}

    assert upload(0, *others[:2]) == set()
    assert upload(1, *checks[: ENOUGH - 1]) == set()
    found = upload(2, *checks[ENOUGH - 1 :])
    assert found == {row.spec.key for row in others[:2]}
    assert upload(3, others[2]) == {spec.key for spec in work.operators}


def test_a_lease_that_never_sends_its_checks_spoils_nothing(
    database: Database, clock: HeldClock, admin: TestClient, second: Board
) -> None:
    work = profile_work(3, 0)
    ask(database, clock, second, work)
    lease = second.work()
    assert second.upload(lease, chunk_of(work, ns=KNOWN_NS * 8)).status_code == 204
    assert second.finish(lease).json()["code"] == "results-incomplete"
    clock.advance(600)
    with database.reading() as session:
        rows = measured_operators(session, second.target.fingerprint)
    assert {row.spec for row in rows} == set(KNOWN.operators)
    kept = admin.get("/v1/operators", params={"device": "second", "quarantined": True}).json()
    assert {row["quarantine"] for row in kept} == {PENDING}


def test_a_single_device_is_compared_with_itself(
    database: Database, clock: HeldClock, admin: TestClient, board: Board
) -> None:
    ask(database, clock, board, KNOWN)
    first = board.work()
    assert extra(first, KNOWN) == []
    measure(board, first)
    assert passed(admin, board) == 0
    work = profile_work(2, 0)
    unit = ask(database, clock, board, work)
    lease = board.work()
    assert len(extra(lease, work)) == CHECKS
    measure(board, lease, KNOWN_NS * 3)
    assert state(database, unit)[0] is WorkState.QUEUED


@pytest.mark.parametrize("lost", ["failed", "withdrawn"])
def test_what_no_check_speaks_against_is_used_when_the_lease_is_done(
    database: Database, clock: HeldClock, admin: TestClient, board: Board, second: Board, lost: str
) -> None:
    work = profile_work(3, 1)
    unit = ask(database, clock, second, work)
    lease = second.work()
    if lost == "withdrawn":
        path = f"/v1/devices/{board.device_id}/withdrawal"
        assert admin.post(path).status_code == 200
    measure(second, lease, failing=KNOWN.operators if lost == "failed" else ())
    assert state(database, unit)[0] is WorkState.DONE
    with database.reading() as session:
        rows = measured_operators(session, second.target.fingerprint)
    assert {spec.key for spec in work.operators} <= {row.spec.key for row in rows}
    assert passed(admin, second) == 0


def test_what_failed_has_no_place_in_quarantine(
    database: Database, clock: HeldClock, admin: TestClient, second: Board
) -> None:
    work = profile_work(3, 0)
    ask(database, clock, second, work)
    measure(second, second.work(), KNOWN_NS * 8, failing=work.operators[:1])
    kept = admin.get("/v1/operators", params={"device": "second", "quarantined": True})
    assert kept.status_code == 200
    assert len(kept.json()) == CHECKS + 2


def test_what_waits_for_checks_is_withdrawn_with_the_rest(
    database: Database, clock: HeldClock, admin: TestClient, second: Board
) -> None:
    work = profile_work(3, 0)
    ask(database, clock, second, work)
    lease = second.work()
    assert lease.profile is not None
    whole = chunk_of(lease.profile, ns=KNOWN_NS)
    others = tuple(row for row in whole.operators if row.spec in work.operators)
    checks = tuple(row for row in whole.operators if row.spec not in work.operators)
    assert second.upload(lease, replace(whole, operators=others), index=0).status_code == 204
    assert admin.post(f"/v1/devices/{second.device_id}/withdrawal").status_code == 200
    assert second.upload(lease, replace(whole, operators=checks), index=1).status_code == 204
    with database.reading() as session:
        rows = measured_operators(session, second.target.fingerprint)
    assert not {spec.key for spec in work.operators} & {row.spec.key for row in rows}


def test_the_last_check_decides(database: Database, clock: HeldClock, second: Board) -> None:
    """What looked wrong after the first checks is used if all of them together agree."""
    work = profile_work(2, 0)
    unit = ask(database, clock, second, work)
    lease = second.work()
    assert lease.profile is not None
    honest, slow = (chunk_of(lease.profile, ns=ns) for ns in (KNOWN_NS, 3 * KNOWN_NS))
    checks = [row.spec for row in honest.operators if row.spec not in work.operators]

    def upload(chunk: Chunk, specs: Collection[OperatorSpec], index: int) -> None:
        rows = tuple(row for row in chunk.operators if row.spec in specs)
        assert second.upload(lease, replace(chunk, operators=rows), index=index).status_code == 204

    upload(slow, checks[:ENOUGH], 0)
    upload(honest, [*checks[ENOUGH:], *work.operators], 1)
    assert second.finish(lease).status_code == 200
    assert state(database, unit)[0] is WorkState.DONE
    with database.reading() as session:
        rows = measured_operators(session, second.target.fingerprint)
    assert {spec.key for spec in work.operators} <= {row.spec.key for row in rows}


@pytest.mark.parametrize(("known", "checked"), [(ENOUGH - 1, 0), (ENOUGH, ENOUGH)])
def test_too_few_known_operators_check_nothing(
    database: Database, clock: HeldClock, board: Board, known: int, checked: int
) -> None:
    ask(database, clock, board, replace(KNOWN, operators=KNOWN.operators[:known]))
    measure(board, board.work())
    work = profile_work(2, 0)
    unit = ask(database, clock, board, work)
    lease = board.work()
    assert len(extra(lease, work)) == checked
    measure(board, lease)
    assert state(database, unit)[0] is WorkState.DONE
    with database.reading() as session:
        rows = measured_operators(session, board.target.fingerprint)
    assert len(rows) == known + 2  # nothing waits for checks that never come


def test_a_trusted_device_is_checked_now_and_then(
    database: Database, clock: HeldClock, second: Board
) -> None:
    with database.transaction() as session:
        session.get_one(DeviceRow, second.device_id).agreed = 10 * TRUSTED_AFTER
    checked = 0
    for size in range(20):
        work = ProfileWork(operators=(conv(4, size=20 + size),))
        ask(database, clock, second, work)
        lease = second.work()
        checked += bool(extra(lease, work))
        measure(second, lease)
    assert checked < 10  # one in twenty is expected


def test_networks_alone_are_not_checked(
    database: Database, clock: HeldClock, second: Board
) -> None:
    work = profile_work(0, 1)
    ask(database, clock, second, work)
    lease = second.work()
    assert lease.profile == work
    assert work.networks[0].graph == network(depth=1)
    measure(second, lease)
