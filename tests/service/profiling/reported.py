"""A board that has measured a small space with whole networks, for tests of reports and files."""

import functools
from dataclasses import replace

import pytest

from latency.estimate.lookup_table import TableEstimator
from latency.measurement import NetworkMeasurement, OperatorMeasurement
from latency.messages import CALIBRATION, HELD_OUT, NamedGraph, ProfileWork
from latency.operator import SparsityPattern
from search.space.planned_space import PlannedSpace
from search.space.sparsity import Sparsity
from service.database import Database
from service.datasets.inspection import DIGITS_TASK
from service.devices.work import network_results, request_profile
from service.profiling.planning import planned_networks
from service.profiling.use_cases import build_table
from tests.service.board import Board
from tests.service.conftest import ENGINES, empty_postgres
from tests.service.fakes import HeldClock
from tests.service.profiling.steps import CELLS, CHANNELS, all_operators, bare_table
from tests.service.samples import (
    add_job,
    chunk_of,
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


def sqlite_or_what_is_asked(request: pytest.FixtureRequest) -> Database:
    """SQLite; both where a test has queries of its own."""
    if getattr(request, "param", "sqlite") == "sqlite":
        found: Database = request.getfixturevalue("sqlite_database")
        return found
    return empty_postgres(request)
