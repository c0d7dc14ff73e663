"""Tables and profiles as files: exported, imported, refused, over HTTP."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from latency.estimate.lookup_table import TableEstimator
from latency.exchange.document import from_document, to_document
from latency.exchange.profile_file import PLAN, PROFILE, ProfileFile
from latency.exchange.table_file import TABLE, TableFile, table_of_document
from latency.measurement import Conditions, OperatorMeasurement
from latency.messages import ProfileWork
from latency.table import TRANSFERRED
from latency.target import Target
from service.access.tokens import TokenKind
from service.access.use_cases import create_token
from service.database import Database
from service.profiling.use_cases import load_table, measuring_costs
from service.tables.work_unit import WorkUnitRow
from tests.latency.samples import scaled
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.profiling.reported import (
    BOTH,
    SPACE,
    measured_networks,
    measured_operators,
    networks,
    profile,
    sqlite_or_what_is_asked,
)
from tests.service.profiling.steps import CELLS, CHANNELS, all_operators
from tests.service.samples import (
    STARTED,
    target,
)

database = pytest.fixture(sqlite_or_what_is_asked, name="database")


def identical(measured: OperatorMeasurement) -> OperatorMeasurement:
    assert measured.samples is not None
    still = replace(measured.samples, short_ns=(5_000,) * 15, long_ns=(9_000,) * 15)
    return replace(measured, samples=still)


class TestTableFiles:
    def test_another_server_makes_the_same_table_of_it(
        self,
        admin: TestClient,
        database: Database,
        table_id: str,
        elsewhere: tuple[TestClient, Database],
    ) -> None:
        there, other_database = elsewhere
        body = admin.get(f"/v1/tables/{table_id}/export").content
        with database.reading() as session:
            here = load_table(session, table_id)
        assert table_of_document(body).table == here
        answer = there.post("/v1/tables/import", content=body)
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert (made["devices"], made["rows_differing"]) == (["board (imported)"], 0)
        with other_database.reading() as session:
            copy = load_table(session, made["table_id"])
        assert copy == here
        graph = networks()[0].graph
        assert TableEstimator(copy).predict(graph) == TableEstimator(here).predict(graph)
        assert there.get("/v1/devices").json()[0]["agent_version"] == "imported"
        report = there.get(f"/v1/tables/{made['table_id']}/report").json()
        assert report["imported"] == len(here.rows)
        assert report["accuracy"] == admin.get(f"/v1/tables/{table_id}/report").json()["accuracy"]
        assert there.get(f"/v1/jobs/{made['job_id']}").json()["state"] == "succeeded"
        again = there.post("/v1/tables/import", content=body)
        assert (again.status_code, again.json()["code"]) == (409, "imported-already")

    def test_what_is_refused_changes_nothing(
        self, admin: TestClient, table_id: str, elsewhere: tuple[TestClient, Database]
    ) -> None:
        there, _ = elsewhere
        body = admin.get(f"/v1/tables/{table_id}/export").content
        file = table_of_document(body)
        faster = {"calibration": {"slope": 0.5}}
        content = json.loads(body)["content"]
        forged = json.dumps(json.loads(body) | {"content": content | {"table": faster}}).encode()
        strange = replace(file.evidence[0], target=target(threads=2))
        foreign = replace(file.table.rows[0], method=TRANSFERRED)
        moved = replace(file, table=replace(file.table, rows=(foreign, *file.table.rows[1:])))
        for bad, code in (
            (body[:-100], "file-refused"),
            (forged, "file-refused"),
            (to_document(file.evidence[0], PROFILE), "file-refused"),
            (to_document(TableFile(table=file.table), TABLE), "invalid-value"),
            (to_document(TableFile(table=file.table, evidence=(strange,)), TABLE), "file-refused"),
            (to_document(moved, TABLE), "invalid-value"),
        ):
            answer = there.post("/v1/tables/import", content=bad)
            assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert there.get("/v1/devices").json() == there.get("/v1/jobs").json() == []

    def test_rows_that_do_not_follow_from_the_samples_are_counted(
        self, admin: TestClient, table_id: str, elsewhere: tuple[TestClient, Database]
    ) -> None:
        there, database = elsewhere
        file = table_of_document(admin.get(f"/v1/tables/{table_id}/export").content)
        own, *others = file.evidence[0].operators
        assert own.samples is not None
        spread = replace(own.samples, long_ns=tuple(9_000 + 3 * step for step in range(15)))
        scattered = replace(own, samples=spread)  # 1000 to 1007 ns, and the file says the least
        evidence = (replace(file.evidence[0], operators=(scattered, *others)), *file.evidence[1:])
        body = to_document(replace(file, evidence=evidence), TABLE)
        made = there.post("/v1/tables/import", content=body).json()
        assert made["rows_differing"] == 1
        with database.reading() as session:
            assert load_table(session, made["table_id"]).rows[0].median_ns == 1003.5

    def test_rows_that_their_samples_contradict_are_refused(
        self, admin: TestClient, table_id: str, elsewhere: tuple[TestClient, Database]
    ) -> None:
        there, _ = elsewhere
        file = table_of_document(admin.get(f"/v1/tables/{table_id}/export").content)
        cheap = replace(file.table.rows[0], median_ns=1.0)
        table = replace(file.table, rows=(cheap, *file.table.rows[1:]))
        answer = there.post(
            "/v1/tables/import", content=to_document(replace(file, table=table), TABLE)
        )
        assert (answer.status_code, answer.json()["code"]) == (422, "file-refused")
        assert f"of {cheap.spec.label()} must be from 1000 to 1000" in answer.json()["detail"]
        assert there.get("/v1/tables").json() == []

    def test_a_withdrawn_table_says_so_and_is_not_imported(
        self, admin: TestClient, table_id: str, elsewhere: tuple[TestClient, Database]
    ) -> None:
        there, _ = elsewhere
        admin.post("/v1/devices/board/withdrawal")
        (listed,) = admin.get("/v1/tables").json()
        report = admin.get(f"/v1/tables/{table_id}/report").json()
        difference = admin.get(f"/v1/tables/{table_id}/diff", params={"against": table_id}).json()
        body = admin.get(f"/v1/tables/{table_id}/export").content
        withdrawn_at = table_of_document(body).withdrawn_at
        assert withdrawn_at == report["withdrawn_at"]
        assert withdrawn_at is not None
        assert datetime.fromisoformat(withdrawn_at) == datetime.fromisoformat(
            listed["withdrawn_at"]
        )
        assert difference["withdrawn"] == [
            f"the table {name} was withdrawn at {withdrawn_at}" for name in ("before", "after")
        ]
        answer = there.post("/v1/tables/import", content=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "table-withdrawn")
        assert there.get("/v1/devices").json() == []


class TestProfileFiles:
    def post(self, admin: TestClient, file: ProfileFile, device: str = "offline") -> Any:
        body = to_document(file, PROFILE)
        return admin.post("/v1/profiles/import", params={"device": device}, content=body)

    def file(self, of: Target | None = None) -> ProfileFile:
        return ProfileFile(
            target=of or target(processor="offline board"),
            conditions=Conditions(started_at=STARTED),
            operators=measured_operators(),
            networks=measured_networks(),
        )

    @BOTH
    def test_a_board_that_never_called_gets_a_table(
        self, admin: TestClient, database: Database, clock: HeldClock
    ) -> None:
        clock.advance(600)
        answer = self.post(admin, self.file())
        assert answer.status_code == 201, answer.text
        made = answer.json()
        assert (made["operators"], made["networks"]) == (len(all_operators()), len(networks()))
        (listed,) = admin.get("/v1/tables", params={"device": "offline"}).json()
        assert (listed["id"], listed["error"]["networks"]) == (made["table_id"], 5)
        (device,) = admin.get("/v1/devices").json()
        assert (device["name"], device["online"]) == ("offline", False)
        assert self.post(admin, self.file()).json()["code"] == "imported-already"
        # A file says nothing about how long measuring takes.
        with database.reading() as session:
            costs = measuring_costs(session, self.file().target.fingerprint)
        assert costs.operator_s == type(costs)().operator_s

    @BOTH
    def test_what_cannot_be_true_is_kept_and_nobody_waits_for_it(
        self, admin: TestClient, database: Database
    ) -> None:
        file = self.file()
        first, *others = file.operators
        assert first.samples is not None
        still = replace(first.samples, short_ns=(1,) * 5, long_ns=(1,) * 5)
        wrong = replace(file, operators=(replace(first, samples=still), *others))
        made = self.post(admin, wrong).json()
        assert (made["operators_taken"], made["operators"]) == (len(others), len(others) + 1)
        assert made["networks_taken"] == made["networks"] == len(networks())
        assert made["quarantined"] == 1
        (named,) = made["reasons"]
        assert (named["what"], named["device"]) == (first.spec.label(), "offline")
        assert "the clock stands still" in named["reason"]
        with database.reading() as session:
            assert set(session.scalars(select(WorkUnitRow.state))) == {"done"}
        (kept,) = admin.get("/v1/operators?device=offline&quarantined=true").json()
        assert kept["label"] == first.spec.label()
        (table,) = admin.get("/v1/tables", params={"device": "offline"}).json()
        report = admin.get(f"/v1/tables/{table['id']}/report").json()
        assert [remark["operator"] for remark in report["quarantined"]] == [first.spec.label()]

    def test_networks_in_quarantine_calibrate_nothing(
        self, admin: TestClient, database: Database
    ) -> None:
        file = self.file()
        still = replace(file.networks[0], processes_ns=((50_000,) * 9,) * 3)
        good = file.networks[1:]
        made = self.post(admin, replace(file, networks=(still, *good))).json()
        assert (made["networks_taken"], made["networks"]) == (len(good), len(good) + 1)
        assert made["reasons"][0]["what"] == still.name
        (table,) = admin.get("/v1/tables").json()
        assert {name for kind in table["networks"].values() for name in kind} == {
            network.name for network in good
        }

    @pytest.mark.parametrize("what", ["x1000", "identical"])
    def test_a_file_of_which_nothing_can_be_used_makes_no_version(
        self, admin: TestClient, board: Board, table_id: str, what: str
    ) -> None:
        wrong = tuple(
            scaled(found, 1000.0) if what == "x1000" else identical(found)
            for found in measured_operators()
        )
        answer = self.post(admin, replace(self.file(target()), operators=wrong), "board")
        assert (answer.status_code, answer.json()["code"]) == (409, "nothing-taken")
        detail = answer.json()["detail"]
        assert f"0 of its {len(wrong)} operators and 13 of its 13 networks can be used" in detail
        assert f"{wrong[0].spec.label()}: " in detail
        assert f"and {len(wrong) - 3} more" in detail
        assert [table["id"] for table in admin.get("/v1/tables").json()] == [table_id]
        assert admin.get("/v1/operators?device=board&quarantined=true").json() == []

    def test_samples_and_dates_that_are_none_are_named(self, admin: TestClient) -> None:
        file = self.file()
        dated = self.post(admin, replace(file, conditions=Conditions(started_at="noon")))
        assert "$.conditions.started_at must be an ISO 8601 time" in dated.json()["detail"]
        first, second, *others = file.operators
        assert second.samples is not None
        below = replace(second.samples, long_ns=(-5, *second.samples.long_ns[1:]))
        bad = replace(file, operators=(first, replace(second, samples=below), *others))
        answer = self.post(admin, bad)
        assert (answer.status_code, answer.json()["code"]) == (422, "file-refused")
        place = f"$.operators[1].samples.long_ns[0] of {second.spec.label()} must be from 1 to"
        assert place in answer.json()["detail"]

    def test_the_plan_of_a_known_board_comes_back_as_its_profile(
        self, admin: TestClient, board: Board
    ) -> None:
        order = {"device": "board", "channels": CHANNELS, "cells": CELLS, "held_out": 5}
        work = from_document(admin.post("/v1/plans/file", json=order).content, PLAN, ProfileWork)
        assert work.networks == networks()
        assert set(work.operators) <= {*SPACE.usage(target()).points, *SPACE.usage(target()).probes}
        assert self.post(admin, self.file(target()), "board").status_code == 201
        left = from_document(admin.post("/v1/plans/file", json=order).content, PLAN, ProfileWork)
        assert not set(left.operators) & {measured.spec for measured in self.file().operators}

    def test_without_networks_it_counts_in_the_next_version(
        self, admin: TestClient, database: Database, clock: HeldClock, board: Board
    ) -> None:
        bare = replace(self.file(target()), networks=())
        assert self.post(admin, bare, "board").json()["table_id"] is None
        second = profile(database, clock, board, 1100, 1.0)
        with database.reading() as session:
            assert {row.median_ns for row in load_table(session, second).rows} == {1100}

    def test_refusals(
        self, admin: TestClient, api: TestClient, database: Database, clock: HeldClock, board: Board
    ) -> None:
        good = self.file()
        impossible = replace(
            good.operators[0],
            samples=replace(good.operators[0].samples, copies=0),  # type: ignore[type-var]
        )
        nameless = replace(good.networks[0], graph=None)
        few = replace(good, networks=good.networks[:2])
        for bad, pointer in (
            (replace(good, operators=(impossible,)), "/operators/0/samples/copies"),
            (replace(good, operators=good.operators[:1] * 2), "/operators"),
            (replace(good, networks=(nameless,)), "/networks/0/graph"),
            (replace(good, operators=(), networks=()), "/operators"),
        ):
            answer = self.post(admin, bad)
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == pointer
        other = self.post(admin, good, "board")
        assert (other.status_code, other.json()["code"]) == (409, "target-differs")
        assert self.post(admin, few).json()["code"] == "measurements-unusable"
        with database.transaction() as session:
            token = create_token(session, TokenKind.USER, name="user", now=clock()).token
        api.headers["Authorization"] = f"Bearer {token}"
        assert self.post(api, good).status_code == 403
        assert [device["name"] for device in admin.get("/v1/devices").json()] == ["board"]
