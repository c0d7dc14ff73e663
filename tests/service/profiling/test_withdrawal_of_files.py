"""Files that were made before a withdrawal: what they bring of it is known again, on both databases."""

import functools
from dataclasses import replace
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency.measurement import NetworkMeasurement
from service.cli.tables import withdrawal_lines
from service.database import Database
from service.profiling.schemas import WithdrawalRead
from service.profiling.use_cases import latest_table, measured_operators
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock
from tests.service.profiling.steps import profile, timed_networks, whole_profile
from tests.service.profiling.test_withdrawal import prices, publish, withdraw

OPERATORS, NETWORKS = len(whole_profile().operators), len(whole_profile().networks)


@pytest.fixture
def boards(app: FastAPI, admin: TestClient) -> list[Board]:
    return [enrol(app, admin, name=f"board-{index}") for index in range(2)]


@functools.cache
def networks_of(number: int) -> tuple[NetworkMeasurement, ...]:
    """The networks as a board times them: no two boards get the same samples."""
    return tuple(
        replace(
            found,
            processes_ns=tuple(
                tuple(ns + number for ns in samples) for samples in found.processes_ns
            ),
        )
        for found in timed_networks()
    )


def measure(database: Database, clock: HeldClock, board: Board, number: int) -> str:
    """Let a board measure everything at 1000 ns and a little more; returns the id of its unit."""
    ns, networks = 1000 + 10 * number, networks_of(number)
    return profile(database, clock, board, whole_profile(), ns=ns, networks=networks)


def export(admin: TestClient, table_id: str) -> bytes:
    answer = admin.get(f"/v1/tables/{table_id}/export")
    assert answer.status_code == 200
    return answer.content


def take_in(admin: TestClient, body: bytes) -> Any:
    return admin.post("/v1/tables/import", content=body)


def test_an_export_from_before_a_withdrawal_brings_nothing_back(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    board = boards[0]
    table, _ = publish(database, clock, board, measure(database, clock, board, 0))
    body = export(admin, table)
    withdraw(admin, board)
    answer = take_in(admin, body)
    assert (answer.status_code, answer.json()["code"]) == (409, "nothing-taken")
    reason = "withdrawn: these are samples of board-0, whose measurements were withdrawn"
    assert reason in answer.json()["detail"]
    assert f"0 of its {OPERATORS} operators and 0 of its {NETWORKS} networks" in str(answer.json())
    assert [found["id"] for found in admin.get("/v1/tables").json()] == [table]
    with database.reading() as session:
        assert latest_table(session, board.device_id) is None
        assert measured_operators(session, board.target.fingerprint) == ()


def test_of_a_file_of_two_boards_the_good_one_is_taken(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    measure(database, clock, boards[0], 0)
    table, _ = publish(database, clock, boards[1], measure(database, clock, boards[1], 1))
    body = export(admin, table)
    withdraw(admin, boards[0])
    answer = take_in(admin, body)
    assert answer.status_code == 201, answer.text
    made = answer.json()
    assert (made["operators_taken"], made["operators"]) == (OPERATORS, 2 * OPERATORS)
    assert (made["networks_taken"], made["networks"]) == (NETWORKS, NETWORKS)
    assert made["quarantined"] == OPERATORS
    assert {one["device"] for one in made["reasons"]} == {"board-0 (imported)"}
    assert all(
        "withdrawn: these are samples of board-0" in one["reason"] for one in made["reasons"]
    )
    assert prices(database, made["table_id"]) == {1010.0}
    kept = admin.get("/v1/operators?device=board-0 (imported)&quarantined=true").json()
    assert len(kept) == OPERATORS


def test_what_a_file_brought_before_the_withdrawal_goes_with_it(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    first, _ = publish(database, clock, boards[0], measure(database, clock, boards[0], 0))
    clock.advance(1)
    second = take_in(admin, export(admin, first)).json()["table_id"]
    clock.advance(1)
    other, _ = publish(database, clock, boards[1], measure(database, clock, boards[1], 1))
    assert prices(database, other) == {1000.0}  # the median of two and their copy
    found = withdraw(admin, boards[0])
    assert found["copies"] == ["board-0 (imported)"]
    assert [one["id"] for one in found["tables"]] == [first, second, other]
    (new,) = {one["replacement_id"] for one in found["tables"]}
    assert prices(database, new) == {1010.0}
    assert withdraw(admin, boards[0]) == found
    lines = list(withdrawal_lines(WithdrawalRead.model_validate(found)))
    assert lines[1] == "files had brought the same samples as board-0 (imported): not used either"
    # The other board has nothing to do with it.
    clock.advance(1)
    alone = withdraw(admin, boards[1])
    assert alone["copies"] == []
    assert first not in {one["id"] for one in alone["tables"]}


def test_what_the_device_measures_afterwards_is_used_and_may_come_by_file(
    database: Database, clock: HeldClock, admin: TestClient, boards: list[Board]
) -> None:
    measure(database, clock, boards[0], 0)
    withdraw(admin, boards[0])
    table, _ = publish(database, clock, boards[0], measure(database, clock, boards[0], 2))
    made = take_in(admin, export(admin, table)).json()
    assert (made["operators_taken"], made["quarantined"]) == (OPERATORS, 0)
    assert prices(database, made["table_id"]) == {1020.0}
