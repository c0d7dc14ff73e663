"""From raw measurements to tables, plans and predictions, on both databases."""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.messages import ProfileWork
from latency.operator import Regime, SparsityPattern
from latency.plan import MeasuringCosts
from latency.rows import RawMeasurement, table_rows
from search.space.dass_cells import build_graph
from search.space.planned_space import PlannedSpace
from search.space.sampling import (
    random_genotype,
)
from search.space.sparsity import Sparsity
from search.space.stage_networks import build_stages
from search.space.stage_space import StageSpace
from service.database import Database
from service.datasets.inspection import DIGITS_TASK
from service.devices.work import request_profile
from service.errors import NotFoundError
from service.profiling.use_cases import (
    build_table,
    latest_table,
    load_table,
    measured_operators,
)
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.profiling.steps import (
    CELLS,
    CHANNELS,
    all_operators,
    profile,
    whole_networks,
)
from tests.service.samples import (
    STARTED,
    add_job,
    chunk_of,
    conv,
    operator_result,
    profile_work,
    target,
)

SPACE = PlannedSpace(
    channels=CHANNELS,
    cells=CELLS,
    task=DIGITS_TASK,
    sparsity=Sparsity(pattern=SparsityPattern.BLOCK, density=1.0),
)


@pytest.fixture
def table_id(database: Database, clock: HeldClock, board: Board) -> str:
    work = ProfileWork(operators=all_operators())
    profile(database, clock, board, work)
    with database.transaction() as session:
        row = build_table(
            session,
            target().fingerprint,
            whole_networks(held_out=False),
            whole_networks(held_out=True),
            now=clock(),
        )
        return row.id


def raw_measurements(costs: Sequence[int], unstable: str = "") -> list[RawMeasurement]:
    found = [operator_result(conv(), ns=ns).samples for ns in costs]
    return [
        RawMeasurement(spec=conv(), samples=samples, measured_at=STARTED, unstable=unstable)
        for samples in found
        if samples is not None
    ]


class TestRows:
    @given(st.lists(st.integers(1, 100_000), min_size=1, max_size=7))
    def test_median_over_devices(self, costs: list[int]) -> None:
        (row,) = table_rows(raw_measurements(costs))
        assert row.median_ns == pytest.approx(statistics.median(costs))
        assert row.samples == 15 * len(costs)

    @pytest.mark.parametrize("devices", [2, 3, 4, 5, 8, 12])
    def test_the_spread_covers_the_class_of_the_devices(self, devices: int) -> None:
        rng = np.random.default_rng(devices)
        hits = 0
        for _ in range(300):
            costs = rng.normal(100_000, 3_000, devices).round().astype(int).tolist()
            (row,) = table_rows(raw_measurements(costs))
            hits += abs(row.median_ns - 100_000) <= row.spread_ns
        assert 0.85 <= hits / 300 <= 0.97  # 0.9, in 300 tries

    @given(
        st.tuples(st.integers(9_500, 10_500), st.integers(9_500, 10_500)),
        st.sampled_from([0.001, 0.8, 60.0, 1000.0]),
        st.integers(0, 2),
    )
    def test_one_liar_of_three_moves_neither_the_cost_nor_its_spread_far(
        self, honest: tuple[int, int], factor: float, position: int
    ) -> None:
        costs = list(honest)
        costs.insert(position, round(10_000 * factor))
        (row,) = table_rows(raw_measurements(costs))
        assert min(honest) <= row.median_ns <= max(honest)
        assert row.spread_ns <= 9 * 1_000

    def test_a_row_is_unstable_where_half_of_its_devices_are(self) -> None:
        good, bad = raw_measurements([1_000]), raw_measurements([1_000], "not settled")
        assert table_rows(bad)[0].unstable == "not settled"
        assert table_rows(good + bad)[0].unstable == "not settled"
        assert table_rows(good + bad + good)[0].unstable == ""


class TestTables:
    def test_built_and_loaded(
        self, database: Database, clock: HeldClock, board: Board, table_id: str
    ) -> None:
        with database.reading() as session:
            table = load_table(session, table_id)
            newest = latest_table(session, board.device_id)
        assert newest is not None
        assert newest.id == table_id
        assert table.version == 1
        assert table.target == target()
        assert {row.spec for row in table.rows} == set(all_operators())
        assert all(row.median_ns == 1000 for row in table.rows)
        assert table.calibration.networks == 5
        assert table.calibration.slope == pytest.approx(1.1, rel=0.05)
        assert table.error is not None
        assert table.error.networks == 5
        assert table.error.mape < 0.02

    def test_a_version_never_changes(
        self, database: Database, clock: HeldClock, board: Board, table_id: str
    ) -> None:
        with database.reading() as session:
            before = load_table(session, table_id)
        work = ProfileWork(operators=(before.rows[0].spec, conv(12)))
        profile(database, clock, board, work, ns=5000)
        with database.transaction() as session:
            second = build_table(session, target().fingerprint, [], [], now=clock())
        assert (second.version, second.operators) == (2, len(before.rows) + 1)
        assert second.error is None
        with database.reading() as session:
            assert load_table(session, table_id) == before
            after = {row.spec: row.median_ns for row in load_table(session, second.id).rows}
        assert after[before.rows[0].spec] == 5000
        assert after[before.rows[1].spec] == 1000

    def test_other_targets_are_never_mixed_in(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        profile(database, clock, board, profile_work(2, 0))
        board.target = target(threads=2)
        profile(database, clock, board, profile_work(3, 0), ns=700)
        with database.transaction() as session:
            row = build_table(session, target(threads=2).fingerprint, [], [], now=clock())
            table = load_table(session, row.id)
            known = measured_operators(session, target().fingerprint)
            assert {row.spec for row in known} == set(profile_work(2, 0).operators)
        assert [found.median_ns for found in table.rows] == [700] * 3

    def test_failed_measurements_are_not_known(
        self, database: Database, clock: HeldClock, board: Board
    ) -> None:
        work = profile_work(2, 0)
        with database.transaction() as session:
            request_profile(session, board.device_id, add_job(session, clock()), work, now=clock())
        failed = replace(operator_result(work.operators[0]), samples=None, error="crashed")
        chunk = chunk_of(work)
        board.upload(board.work(), replace(chunk, operators=(failed, chunk.operators[1])))
        with database.reading() as session:
            known = measured_operators(session, target().fingerprint)
        assert [row.spec for row in known] == [work.operators[1]]

    def test_nothing_measured(self, database: Database, clock: HeldClock, board: Board) -> None:
        with database.transaction() as session:
            assert latest_table(session, board.device_id) is None
            for fingerprint in (target().fingerprint, "0" * 64):
                with pytest.raises(NotFoundError):
                    build_table(session, fingerprint, [], [], now=clock())
            with pytest.raises(NotFoundError):
                load_table(session, "0" * 32)
            with pytest.raises(NotFoundError):
                latest_table(session, "0" * 32)


class TestEndpoints:
    def test_tables(self, admin: TestClient, table_id: str, board: Board) -> None:
        (listed,) = admin.get("/v1/tables").json()
        assert (listed["id"], listed["version"]) == (table_id, 1)
        assert listed["error"]["networks"] == 5
        assert admin.get("/v1/tables", params={"device": "board"}).json() == [listed]
        board.target = target(threads=2)
        board.claim()
        assert admin.get("/v1/tables", params={"device": board.device_id}).json() == []
        detail = admin.get(f"/v1/tables/{table_id}").json()
        assert len(detail["rows"]) == listed["operators"]
        assert detail["rows"][0]["spec"]["kind"] in detail["rows"][0]["label"]
        assert detail["target"]["facts"]["processor"] == "test board"
        assert admin.get(f"/v1/tables/{'0' * 32}").status_code == 404

    def test_operators(self, admin: TestClient, table_id: str) -> None:
        found = admin.get("/v1/operators", params={"device": "board", "limit": 3}).json()
        assert [row["median_ns"] for row in found] == [1000.0] * 3
        assert admin.get("/v1/operators", params={"device": "none"}).status_code == 404

    def test_plan_counts_down_to_nothing(
        self, database: Database, clock: HeldClock, admin: TestClient, board: Board
    ) -> None:
        order = {"device": "board", "channels": CHANNELS, "cells": CELLS}
        first = admin.post("/v1/plans", json=order).json()
        usage = SPACE.usage(target())
        specs = {spec.label(): spec for spec in (*usage.points, *usage.probes)}
        assert (first["operators"], first["known"]) == (len(specs), 0)
        assert first["covered"] == len(specs) - len(first["missing"]) > 0
        assert first["expected_error"] > 0.1 > 0.01 >= first["expected_error_after"]
        wanted = tuple(specs[label] for label in first["missing"])
        profile(database, clock, board, ProfileWork(operators=wanted[:10]), seconds=60)
        second = admin.post("/v1/plans", json=order).json()
        assert second["known"] == 10
        # Ten operators took all of 60 s, so networks are taken to be slower in proportion.
        default = MeasuringCosts()
        process_s = default.process_s * 6.0 / default.operator_s
        expected = len(second["missing"]) * 6 / 60 + second["networks"] * 3 * process_s / 60
        assert second["minutes"] == pytest.approx(expected)
        profile(database, clock, board, ProfileWork(operators=tuple(specs.values())))
        last = admin.post("/v1/plans", json=order).json()
        assert (last["missing"], last["known"], last["covered"]) == ([], len(specs), 0)

    def test_plan_for_stages(self, admin: TestClient, board: Board) -> None:
        order = {"device": "board", "space": "stages", "channels": 8}
        found = admin.post("/v1/plans", json=order).json()
        space = StageSpace(width=8, task=DIGITS_TASK)
        usage = space.usage(target())
        assert found["operators"] == len({*usage.points, *usage.probes})
        refused = admin.post("/v1/plans", json=order | {"space": "trees"})
        assert refused.status_code == 422

    def test_plan_for_unknown_things(self, admin: TestClient, board: Board) -> None:
        unknown = admin.post("/v1/plans", json={"device": "none"})
        assert unknown.status_code == 404
        assert "board" in unknown.json()["detail"]
        assert admin.post("/v1/plans", json={"device": "board", "dataset": "x"}).status_code == 404
        assert admin.post("/v1/plans", json={"device": "board", "cells": 2}).status_code == 422

    def test_prediction(self, admin: TestClient, table_id: str, database: Database) -> None:
        genotype = random_genotype(np.random.default_rng(1), CHANNELS, CELLS)
        order = {"device": "board", "genotype": genotype.to_dict()}
        found = admin.post("/v1/predictions", json=order).json()
        with database.reading() as session:
            estimator = TableEstimator(load_table(session, table_id))
        expected = estimator.predict(build_graph(genotype, DIGITS_TASK))
        assert found["latency_ms"] == pytest.approx(expected.latency_ms)
        assert found["low_ms"] <= found["latency_ms"] <= found["high_ms"]
        assert (found["estimated"], found["assumed"], found["table_version"]) == (0, 0, 1)
        assert found["target_fingerprint"] == target().fingerprint

    def test_prediction_of_stages(
        self, admin: TestClient, table_id: str, database: Database
    ) -> None:
        genotype = StageSpace(width=8, task=DIGITS_TASK).random_genotype(np.random.default_rng(1))
        order = {"device": "board", "genotype": genotype.to_dict()}
        found = admin.post("/v1/predictions", json=order).json()
        with database.reading() as session:
            estimator = TableEstimator(load_table(session, table_id))
        expected = estimator.predict(build_stages(genotype, DIGITS_TASK))
        assert found["latency_ms"] == pytest.approx(expected.latency_ms)
        changes: list[dict[str, Any]] = [{"stem": 0}, {"stages": []}, {"head": -1}, {"normal": []}]
        for change in changes:
            wrong = order | {"genotype": genotype.to_dict() | change}
            assert admin.post("/v1/predictions", json=wrong).status_code == 422, change
        odd = genotype.to_dict()["stages"][0] | {"kind": "plain", "kernel": 5, "expansion": 1}
        wrong = order | {"genotype": genotype.to_dict() | {"stages": [odd] * 3}}
        refused = admin.post("/v1/predictions", json=wrong)
        assert refused.status_code == 422
        assert "kernel of plain" in refused.text

    def test_prediction_of_what_nothing_can_price(
        self, admin: TestClient, database: Database, clock: HeldClock, board: Board
    ) -> None:
        in_library = replace(conv(), regime=Regime.LIBRARY)
        profile(database, clock, board, ProfileWork(operators=(in_library,)))
        with database.transaction() as session:
            build_table(session, target().fingerprint, [], [], now=clock())
        genotype = random_genotype(np.random.default_rng(1), CHANNELS, CELLS)
        order = {"device": "board", "genotype": genotype.to_dict()}
        response = admin.post("/v1/predictions", json=order)
        assert (response.status_code, response.json()["code"]) == (409, "unpriced-operators")
        assert "conv 1->12 k3 s1" in response.json()["detail"]

    def test_prediction_without_a_table(self, admin: TestClient, board: Board) -> None:
        genotype = random_genotype(np.random.default_rng(1), CHANNELS, CELLS)
        order = {"device": "board", "genotype": genotype.to_dict()}
        response = admin.post("/v1/predictions", json=order)
        assert (response.status_code, response.json()["code"]) == (409, "no-table")

    def test_wrong_genotypes(self, admin: TestClient, table_id: str) -> None:
        genotype = random_genotype(np.random.default_rng(1), CHANNELS, CELLS).with_layers(())
        cell = [["sep_conv_3x3", 0], ["skip_connect", 1]] * 4
        good = genotype.to_dict() | {"normal": cell, "reduce": cell}
        changes: list[dict[str, Any]] = [
            {"normal": [["evil-operation", 0]] * 8},
            {"normal": [["skip_connect", 0]] * 7},
            {"normal": [["skip_connect", 4]] * 8},
            {"normal_concat": [2, 3]},
            {"cells": 65},
            {"channels": 0},
            {"layers": [{"layer": "cells.0.edges.0", "pattern": "channel", "density": 0.33}]},
            {"layers": [{"layer": "x", "pattern": "channel", "density": 2}]},
            {"layers": [{"layer": "x", "pattern": "evil", "density": 0.5}]},
        ]
        for change in changes:
            order = {"device": "board", "genotype": good | change}
            response = admin.post("/v1/predictions", json=order)
            assert response.status_code == 422, change
            assert "evil" not in response.text
        order = {"device": "board", "genotype": good}
        assert admin.post("/v1/predictions", json=order).status_code == 200
