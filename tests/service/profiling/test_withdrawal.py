"""Withdrawal of what a device has measured, on both databases."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency.target import Target
from service.access.tokens import TokenKind
from service.access.use_cases import create_token
from service.cli.tables import withdrawal_lines
from service.database import Database
from service.devices.work import network_results
from service.profiling.schemas import WithdrawalRead
from service.profiling.use_cases import (
    build_table,
    known_operator_keys,
    latest_table,
    load_table,
    split_networks,
)
from service.tables.job import JobRow
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock
from tests.service.profiling.steps import profile, timed_networks, whole_profile
from tests.service.samples import add_job, target

HONEST_NS, HOSTILE_NS = 1000, 1900


@pytest.fixture
def boards(app: FastAPI, admin: TestClient) -> list[Board]:
    return [enrol(app, admin, name=f"board-{index}") for index in range(3)]


def measure(database: Database, clock: HeldClock, board: Board, ns: int) -> str:
    """Let a device measure the whole space; returns the id of its unit."""
    return profile(database, clock, board, whole_profile(), ns=ns, networks=timed_networks())


def publish(database: Database, clock: HeldClock, board: Board, unit: str) -> tuple[str, str]:
    """Make a table with the networks of a unit, and a job that uses it; returns both ids."""
    clock.advance(1)
    with database.transaction() as session:
        networks = split_networks(network_results(session, unit))
        fingerprint = board.target.fingerprint
        table = build_table(session, fingerprint, *networks, now=clock(), timed_by=board.device_id)
        job = session.get_one(JobRow, add_job(session, clock(), board.device_id))
        job.table_id = table.id
        job.name = f"search {table.version}"
        return table.id, job.id


def withdraw(admin: TestClient, board: Board) -> dict[str, Any]:
    response = admin.post(f"/v1/devices/{board.device_id}/withdrawal")
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


def prices(database: Database, table_id: str) -> set[float]:
    with database.reading() as session:
        return {row.median_ns for row in load_table(session, table_id).rows}


def test_one_device_of_three_is_withdrawn(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    first = measure(database, clock, boards[0], HONEST_NS)
    before, kept_job = publish(database, clock, boards[0], first)
    measure(database, clock, boards[1], HONEST_NS)
    bad = measure(database, clock, boards[2], HOSTILE_NS)
    table, job = publish(database, clock, boards[2], bad)
    assert prices(database, table) == {HONEST_NS}  # the median of three devices

    found = withdraw(admin, boards[2])
    assert (found["device"], found["device_id"]) == ("board-2", boards[2].device_id)
    (affected,) = found["tables"]
    assert (affected["id"], affected["version"], affected["replacement_version"]) == (table, 2, 3)
    assert [(each["id"], each["name"]) for each in found["jobs"]] == [(job, "search 2")]
    assert kept_job not in str(found)

    new = affected["replacement_id"]
    with database.reading() as session:
        newest = latest_table(session, boards[0].device_id)
        assert newest is not None
        assert (newest.id, newest.operators, newest.timed_by) == (
            new,
            len(whole_profile().operators),
            boards[1].device_id,
        )
        assert all(row.samples == 2 * 15 for row in load_table(session, new).rows)
    listed = {each["id"]: each["withdrawn_at"] for each in admin.get("/v1/tables").json()}
    assert listed[table] is not None
    assert listed[before] is listed[new] is None
    assert withdraw(admin, boards[2]) == found  # a second call changes nothing
    lines = list(withdrawal_lines(WithdrawalRead.model_validate(found)))
    assert f"use version 3, {new}" in lines[1]
    assert "search 2" in lines[2]


def test_where_too_little_remains_there_is_no_table(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    unit = measure(database, clock, boards[0], HONEST_NS)
    table, _ = publish(database, clock, boards[0], unit)
    (affected,) = withdraw(admin, boards[0])["tables"]
    assert (affected["id"], affected["replacement_id"]) == (table, None)
    with database.reading() as session:
        assert latest_table(session, boards[0].device_id) is None
        assert known_operator_keys(session, boards[0].target.fingerprint) == set()
    assert prices(database, table) == {HONEST_NS}  # a version never changes

    again = measure(database, clock, boards[0], HONEST_NS + 10)
    second, _ = publish(database, clock, boards[0], again)
    with database.reading() as session:
        newest = latest_table(session, boards[0].device_id)
    assert newest is not None
    assert (newest.id, newest.version) == (second, 2)


def test_networks_alone_make_a_table_rest_on_a_device(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    measure(database, clock, boards[0], HONEST_NS)
    only_networks = whole_profile().networks
    work = type(whole_profile())(operators=(), networks=only_networks)
    unit = profile(database, clock, boards[1], work, networks=timed_networks())
    table, _ = publish(database, clock, boards[1], unit)
    (affected,) = withdraw(admin, boards[1])["tables"]
    assert affected["id"] == table
    assert affected["replacement_version"] == 2


def test_other_targets_keep_their_tables(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    other: Target = target(threads=2)
    boards[1].target = other
    unit = measure(database, clock, boards[1], HONEST_NS)
    table, _ = publish(database, clock, boards[1], unit)
    measure(database, clock, boards[0], HONEST_NS)
    assert withdraw(admin, boards[0])["tables"] == []
    with database.reading() as session:
        newest = latest_table(session, boards[1].device_id)
    assert newest is not None
    assert newest.id == table


def test_only_an_administrator_may_withdraw(
    app: FastAPI, database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    path = f"/v1/devices/{boards[0].device_id}/withdrawal"
    with database.transaction() as session:
        token = create_token(session, TokenKind.USER, name="user", now=clock()).token
    user = TestClient(app, headers={"Authorization": f"Bearer {token}"})
    assert user.post(path).json()["code"] == "wrong-scope"
    assert admin.post(f"/v1/devices/{'0' * 32}/withdrawal").status_code == 404
    assert withdraw(admin, boards[0])["tables"] == withdraw(admin, boards[0])["jobs"] == []
