"""Devices that have measured a small space, for tests of what becomes of it."""

import functools
from dataclasses import replace

from latency.estimate.lookup_table import TableEstimator
from latency.measurement import NetworkMeasurement
from latency.messages import NamedGraph, ProfileWork
from latency.operator import OperatorSpec
from latency.rows import RawMeasurement, table_rows
from latency.table import LatencyTable
from search.space.dass_cells import build_graph
from search.space.sampling import calibration_genotypes, held_out_genotypes
from service.database import Database
from service.datasets.inspection import DIGITS_TASK
from service.devices.work import request_profile
from tests.search.space.exhaustive import space_operators
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import STARTED, add_job, chunk_of, operator_result, target

CHANNELS, CELLS = 4, 3


def profile(
    database: Database,
    clock: HeldClock,
    board: Board,
    work: ProfileWork,
    *,
    ns: int = 1000,
    seconds: float = 30.0,
    networks: tuple[NetworkMeasurement, ...] = (),
) -> str:
    """Let the device measure `work`; returns the id of the unit. Checks come out as 1000 ns."""
    with database.transaction() as session:
        job = add_job(session, clock(), board.device_id)
        unit = request_profile(session, board.device_id, job, work, now=clock())
    board.digests.clear()
    lease = board.work()
    assert lease.profile is not None
    checks = [spec for spec in lease.profile.operators if spec not in work.operators]
    chunk = chunk_of(work, ns=ns)
    known = tuple(operator_result(spec) for spec in checks)
    chunk = replace(chunk, operators=chunk.operators + known)
    sent = tuple(replace(network, graph=None) for network in networks)  # the service knows them
    chunk = replace(chunk, networks=sent or chunk.networks)
    assert board.upload(lease, chunk).status_code == 204
    clock.advance(seconds)
    assert board.finish(lease).status_code == 200
    return unit


@functools.cache
def all_operators() -> tuple[OperatorSpec, ...]:
    """Return the operators of the space; it takes a moment."""
    return space_operators(CHANNELS, CELLS, DIGITS_TASK)


@functools.cache
def whole_networks(*, held_out: bool) -> list[NetworkMeasurement]:
    """Return networks measured as 1.1 times the sum of operators of 1000 ns each, plus 2000 ns."""
    draw = held_out_genotypes if held_out else calibration_genotypes
    found = []
    for index, genotype in enumerate(draw(CHANNELS, CELLS, 7, 5)):
        graph = build_graph(genotype, DIGITS_TASK)
        estimate = TableEstimator(bare_table()).predict(graph).latency_ms * 1e6
        ns = round(1.1 * estimate + 2000)
        found.append(
            NetworkMeasurement(name=f"net{index}", processes_ns=((ns, ns), (ns, ns)), graph=graph)
        )
    return found


@functools.cache
def bare_table() -> LatencyTable:
    measured = [operator_result(spec) for spec in all_operators()]
    rows = table_rows(
        RawMeasurement(spec=found.spec, samples=found.samples, measured_at=STARTED)
        for found in measured
        if found.samples is not None
    )
    return LatencyTable(target=target(), version=0, rows=rows)


@functools.cache
def timed_networks() -> tuple[NetworkMeasurement, ...]:
    """Return networks as a device uploads them: five for calibration, one held out."""
    chosen = (
        *(("calibration", network) for network in whole_networks(held_out=False)),
        *(("held-out", network) for network in whole_networks(held_out=True)[:1]),
    )
    return tuple(
        replace(
            network,
            name=f"{kind}-{network.name}",
            processes_ns=(tuple(int(network.median_ns) + step for step in range(-2, 3)),) * 2,
        )
        for kind, network in chosen
    )


def whole_profile() -> ProfileWork:
    """Return work for networks of the space, and for some of its operators."""
    named = tuple(
        NamedGraph(name=network.name, graph=network.graph)
        for network in timed_networks()
        if network.graph is not None
    )
    return ProfileWork(operators=all_operators()[:12], networks=named)
