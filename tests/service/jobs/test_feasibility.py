"""A budget that the table rules out is refused before anything is stored."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency.estimate.lookup_table import TableEstimator
from latency.operator import OperatorKind, OperatorSpec, SparsityPattern
from latency.table import Calibration, LatencyTable, TableRow
from search.space.dass_cells import build_graph
from search.space.extremes import smallest_genotype
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity, with_sparsity
from search.space.stage_extremes import smallest_stages
from search.space.stage_networks import build_stages
from search.space.stage_space import StageSpace
from service.database import Database
from service.datasets.inspection import DIGITS_TASK
from service.errors import BudgetInfeasibleError
from service.jobs.feasibility import check_budget, covers_space, smallest_budget_ms
from tests.search.space.exhaustive import space_operators
from tests.service.board import enrol
from tests.service.fakes import HeldClock, RecordingQueue
from tests.service.jobs.tables import give_table
from tests.service.samples import STARTED, target

CHANNELS, CELLS = 4, 3
SIZE = (CHANNELS, CELLS, DIGITS_TASK)
SPACE = PlannedSpace(
    channels=CHANNELS,
    cells=CELLS,
    task=DIGITS_TASK,
    sparsity=Sparsity(pattern=SparsityPattern.BLOCK, density=0.25),
)


@pytest.fixture(scope="module")
def table() -> LatencyTable:
    """A table in which every operator costs a microsecond."""
    rows = tuple(
        TableRow(
            spec=spec,
            median_ns=1000.0,
            spread_ns=10.0,
            samples=15,
            method="chain",
            measured_at=STARTED,
        )
        for spec in space_operators(*SIZE)
    )
    return LatencyTable(target=target(), version=1, rows=rows)


def test_the_smallest_budget_is_the_bound_between_refused_and_allowed(
    table: LatencyTable,
) -> None:
    smallest = smallest_budget_ms(table, SPACE)
    check_budget(table, SPACE, smallest, device="board")
    with pytest.raises(BudgetInfeasibleError) as refused:
        check_budget(table, SPACE, smallest * 0.999, device="board")
    assert refused.value.extra["smallest_feasible_ms"] == smallest
    genotype, prediction = smallest_genotype(SPACE.estimator(table), *SIZE)
    assert prediction.high_ms == smallest
    graph = with_sparsity(build_graph(genotype, DIGITS_TASK), SPACE.sparsity)
    assert TableEstimator(table).predict(graph) == prediction


def test_a_table_covers_a_space_if_what_it_lacks_hardly_shows(table: LatencyTable) -> None:
    assert covers_space(table, SPACE)
    assert covers_space(dataclasses.replace(table, rows=table.rows[:-1]), SPACE)
    some = tuple(row for row in table.rows if row.spec.kind is not OperatorKind.CONV)
    assert not covers_space(dataclasses.replace(table, rows=some), SPACE)
    assert not covers_space(dataclasses.replace(table, rows=table.rows[::8]), SPACE)
    assert covers_space(dataclasses.replace(table, rows=table.rows[::8]), SPACE, most=5)


def test_a_target_with_the_library_needs_rows_of_both_regimes(table: LatencyTable) -> None:
    with_library = dataclasses.replace(table.target, operator_library="1+test")
    wanted = SPACE.usage(with_library).points
    assert set(SPACE.usage(table.target).points) < set(wanted)
    row = table.rows[0]
    rows = tuple(dataclasses.replace(row, spec=spec) for spec in wanted)
    stock = dataclasses.replace(table, target=with_library)
    both = dataclasses.replace(stock, rows=rows, library=Calibration())
    assert covers_space(both, SPACE)
    assert not covers_space(dataclasses.replace(stock, library=Calibration()), SPACE)
    assert not covers_space(dataclasses.replace(both, library=None), SPACE)


STAGES = StageSpace(width=CHANNELS, task=DIGITS_TASK, density=0.25)


def test_the_smallest_budget_for_stages_is_that_of_a_network(table: LatencyTable) -> None:
    row = table.rows[0]
    rows = tuple(
        dataclasses.replace(row, spec=spec, median_ns=1000.0 + spec.macs / 8)
        for spec in STAGES.usage(target()).points
    )
    stages = dataclasses.replace(table, rows=rows)
    smallest = smallest_budget_ms(stages, STAGES)
    check_budget(stages, STAGES, smallest, device="board")
    with pytest.raises(BudgetInfeasibleError) as refused:
        check_budget(stages, STAGES, smallest * 0.999, device="board")
    assert refused.value.extra["smallest_feasible_ms"] == smallest
    genotype, prediction = smallest_stages(STAGES.estimator(stages), STAGES.skeleton)
    assert prediction.high_ms == smallest
    graph = with_sparsity(build_stages(genotype, DIGITS_TASK), STAGES.sparsity)
    assert TableEstimator(stages).predict(graph) == prediction


@pytest.mark.parametrize(
    ("size", "operators"),
    [
        ({"channels": CHANNELS, "cells": CELLS}, lambda: space_operators(*SIZE)),
        ({"space": "stages", "channels": CHANNELS}, lambda: STAGES.usage(target()).points),
    ],
    ids=["dass-cells", "stages"],
)
def test_the_api_refuses_with_the_nearest_budget_and_stores_nothing(
    app: FastAPI,
    admin: TestClient,
    database: Database,
    clock: HeldClock,
    job_queue: RecordingQueue,
    size: dict[str, Any],
    operators: Callable[[], tuple[OperatorSpec, ...]],
) -> None:
    board = enrol(app, admin)
    give_table(database, clock, board, operators())
    order = {"device": "board", "budget_ms": 0.001, **size}
    refused = admin.post("/v1/searches", json=order)
    assert (refused.status_code, refused.json()["code"]) == (422, "budget-infeasible")
    nearest = refused.json()["smallest_feasible_ms"]
    assert nearest > 0.001
    assert refused.json()["table_version"] == 1
    assert job_queue.calls == []
    allowed = admin.post("/v1/searches", json=order | {"budget_ms": nearest * 1.001})
    assert allowed.status_code == 201
