"""Reports and differences: from what is stored, over HTTP, on both databases."""

from dataclasses import replace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from latency import codec
from latency.messages import ProfileWork
from latency.report.values import TableDifference, TableReport
from service.database import Database
from service.devices.work import request_profile
from service.profiling import report_endpoints
from service.profiling.use_cases import load_table
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.profiling.reported import BOTH, profile, sqlite_or_what_is_asked
from tests.service.profiling.steps import CELLS, CHANNELS, all_operators
from tests.service.samples import (
    add_job,
    chunk_of,
    conv,
)

database = pytest.fixture(sqlite_or_what_is_asked, name="database")


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
