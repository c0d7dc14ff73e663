"""Reports, differences, files: from what is stored, over HTTP, on both databases."""

import functools
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

from latency import codec
from latency.estimate.lookup_table import TableEstimator
from latency.exchange.document import from_document, to_document
from latency.exchange.profile_file import PLAN, PROFILE, ProfileFile
from latency.exchange.table_file import TABLE, TableFile, table_of_document
from latency.measurement import Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import CALIBRATION, HELD_OUT, NamedGraph, ProfileWork
from latency.operator import SparsityPattern
from latency.report.values import TableDifference, TableReport
from latency.table import TRANSFERRED
from latency.target import Target
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity
from service.access.tokens import TokenKind
from service.access.use_cases import create_token
from service.app import create_app
from service.database import Database, create_engine
from service.datasets.inspection import DIGITS_TASK
from service.devices.work import network_results, request_profile
from service.profiling import report_endpoints
from service.profiling.planning import planned_networks
from service.profiling.use_cases import build_table, load_table, measuring_costs
from service.settings import Settings
from service.tables.work_unit import WorkUnitRow
from tests.service.board import Board
from tests.service.conftest import ENGINES, empty_postgres
from tests.service.fakes import HeldClock, RecordingListener, RecordingQueue
from tests.service.profiling.steps import CELLS, CHANNELS, all_operators, bare_table
from tests.service.samples import (
    STARTED,
    add_job,
    chunk_of,
    conv,
    network_result,
    operator_result,
    target,
)

BLOCK = Sparsity(pattern=SparsityPattern.BLOCK, density=1.0)
SPACE = PlannedSpace(channels=CHANNELS, cells=CELLS, task=DIGITS_TASK, sparsity=BLOCK)


@functools.cache
def networks() -> tuple[NamedGraph, ...]:
    return planned_networks(SPACE, target(), held_out=5)


@functools.cache
def network_ns(named: NamedGraph) -> int:
    """What the network takes where operators of 1000 ns cost 1.1 times that, and a call 2 us."""
    estimate = TableEstimator(bare_table()).predict(named.graph).latency_ms * 1e6
    return round(1.1 * estimate + 2000)


def measured_networks(off: float = 1.0) -> tuple[NetworkMeasurement, ...]:
    return tuple(
        replace(network_result(named.name, ns=round(off * network_ns(named))), graph=named.graph)
        for named in networks()
    )


def measured_operators(ns: int = 1000) -> tuple[OperatorMeasurement, ...]:
    return tuple(operator_result(spec, ns=ns) for spec in all_operators())


def profile(database: Database, clock: HeldClock, board: Board, ns: int, off: float) -> str:
    """Let the board measure everything and make a table of it, as a profile job does."""
    work = ProfileWork(operators=all_operators(), networks=networks())
    with database.transaction() as session:
        job_id = add_job(session, clock())
        unit_id = request_profile(session, board.device_id, job_id, work, now=clock())
    lease = board.work()
    board.digests.clear()
    chunk = replace(chunk_of(work, ns=ns), networks=measured_networks(off))
    assert board.upload(lease, chunk).status_code == 204
    assert board.finish(lease).status_code == 200
    clock.advance(60)
    with database.transaction() as session:
        good = network_results(session, unit_id)
        row = build_table(
            session,
            board.target.fingerprint,
            [found for found in good if found.name.startswith(CALIBRATION)],
            [found for found in good if found.name.startswith(HELD_OUT)],
            now=clock(),
        )
    clock.advance(60)
    return row.id


BOTH = pytest.mark.parametrize("database", ENGINES, indirect=True)


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Database:
    """SQLite; both where a test has queries of its own."""
    if getattr(request, "param", "sqlite") == "sqlite":
        found: Database = request.getfixturevalue("sqlite_database")
        return found
    return empty_postgres(request)


@pytest.fixture
def table_id(database: Database, clock: HeldClock, board: Board) -> str:
    return profile(database, clock, board, 1000, 1.0)


@pytest.fixture
def elsewhere(
    sqlite_template: Path, tmp_path: Path, settings: Settings, clock: HeldClock
) -> Iterator[tuple[TestClient, Database]]:
    """Another server, with nothing in it, and its administrator."""
    path = tmp_path / "elsewhere.db"
    shutil.copy(sqlite_template, path)
    database = Database(create_engine(f"sqlite:///{path}"))
    app = create_app(
        settings, RecordingListener(), RecordingQueue(), database=database, clock=clock
    )
    with database.transaction() as session:
        token = create_token(session, TokenKind.ADMIN, name="other", now=clock()).token
    headers = {"Authorization": f"Bearer {token}"}
    yield TestClient(app, headers=headers, raise_server_exceptions=False), database
    database.dispose()


class TestReport:
    @BOTH
    def test_it_judges_the_networks_that_the_version_was_judged_on(
        self, admin: TestClient, database: Database, clock: HeldClock, board: Board, table_id: str
    ) -> None:
        found = self.report(admin, table_id)
        (stock,) = found.accuracy
        with database.reading() as session:
            table = load_table(session, table_id)
        assert stock.error is not None
        assert table.error is not None
        assert stock.error.networks == 5
        assert stock.error == table.error
        assert {network.name[:8] for network in stock.networks} == {"held-out"}
        assert (stock.host, found.imported, found.unstable) == (None, 0, ())
        assert found.coverage.gaps == ()
        # Two further jobs, behind this version: they are the host against itself, and no more.
        profile(database, clock, board, 1000, 1.03)
        profile(database, clock, board, 1000, 1.07)
        again = self.report(admin, table_id).accuracy[0]
        assert again.error == stock.error
        assert again.host is not None
        assert (again.host.networks, again.host.within_5, again.host.within_10) == (5, 0, 1)
        assert again.host.mape == pytest.approx(0.07, abs=0.003)

    @BOTH
    def test_what_could_not_be_measured_and_what_a_space_lacks_is_named(
        self, admin: TestClient, database: Database, clock: HeldClock, board: Board, table_id: str
    ) -> None:
        work = ProfileWork(operators=(conv(40), all_operators()[0]))
        with database.transaction() as session:
            request_profile(session, board.device_id, add_job(session, clock()), work, now=clock())
        failed = [
            replace(found, samples=None, error="crashed") for found in chunk_of(work).operators
        ]
        board.upload(board.work(), replace(chunk_of(work), operators=tuple(failed)))
        (remark,) = self.report(admin, table_id).quarantined
        assert (remark.operator, remark.reason) == (conv(40).label(), "crashed")
        wider = self.report(admin, table_id, dataset="digits", channels=8, cells=CELLS)
        assert wider.coverage.measured < wider.coverage.needed
        sources = {gap.source for gap in wider.coverage.gaps}
        assert sources <= {"interpolated", "estimated", "assumed"}
        own = self.report(admin, table_id, dataset="digits", channels=CHANNELS, cells=CELLS)
        assert own.coverage.needed == own.coverage.measured > 0

    def test_refusals(self, admin: TestClient, api: TestClient, table_id: str) -> None:
        path = f"/v1/tables/{table_id}/report"
        assert api.get(path).status_code == 401
        assert admin.get(f"/v1/tables/{'0' * 32}/report").status_code == 404
        assert admin.get(path, params={"dataset": "none"}).status_code == 404
        assert admin.get(path, params={"dataset": "digits", "cells": 2}).status_code == 422
        assert admin.get(path, params={"space": "x"}).status_code == 422
        assert admin.get(f"/v1/tables/{table_id}/diff").status_code == 422
        unknown = admin.get(f"/v1/tables/{table_id}/diff", params={"against": "0" * 32})
        assert unknown.status_code == 404

    def test_one_at_a_time(
        self, admin: TestClient, table_id: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(report_endpoints, "_PATIENCE_S", 0.01)
        with report_endpoints._TURN:
            answer = admin.get(f"/v1/tables/{table_id}/report")
        assert (answer.status_code, answer.json()["retryable"]) == (503, True)
        self.report(admin, table_id)

    def test_the_difference_of_two_versions(
        self, admin: TestClient, database: Database, clock: HeldClock, board: Board, table_id: str
    ) -> None:
        second = profile(database, clock, board, 1200, 1.2)
        answer = admin.get(f"/v1/tables/{second}/diff", params={"against": table_id})
        found = codec.decode(answer.content, TableDifference)
        assert len(found.changes) == len(all_operators())
        assert all(change.ratio == pytest.approx(1.2) for change in found.changes)
        assert all(family.slower == family.operators for family in found.families)
        assert found.networks[0].networks == 5
        assert found.networks[0].ratio == pytest.approx(1.2, abs=0.01)

    def report(self, admin: TestClient, table_id: str, **query: Any) -> TableReport:
        answer = admin.get(f"/v1/tables/{table_id}/report", params=query)
        assert answer.status_code == 200, answer.text
        return codec.decode(answer.content, TableReport)


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
            (to_document(TableFile(table=file.table, evidence=(strange,)), TABLE), "invalid-value"),
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
        cheap = replace(file.table.rows[0], median_ns=1.0)
        table = replace(file.table, rows=(cheap, *file.table.rows[1:]))
        body = to_document(replace(file, table=table), TABLE)
        made = there.post("/v1/tables/import", content=body).json()
        assert made["rows_differing"] == 1
        with database.reading() as session:
            assert load_table(session, made["table_id"]).rows[0].median_ns == 1000


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
        assert self.post(admin, wrong).status_code == 201
        with database.reading() as session:
            assert set(session.scalars(select(WorkUnitRow.state))) == {"done"}
        (kept,) = admin.get("/v1/operators?device=offline&quarantined=true").json()
        assert kept["label"] == first.spec.label()
        (table,) = admin.get("/v1/tables", params={"device": "offline"}).json()
        report = admin.get(f"/v1/tables/{table['id']}/report").json()
        assert [remark["operator"] for remark in report["quarantined"]] == [first.spec.label()]

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
            (replace(good, conditions=Conditions(started_at="noon")), "/conditions/started_at"),
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
