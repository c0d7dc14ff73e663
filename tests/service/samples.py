"""Values for tests: targets, operators, networks, work and measurements."""

import itertools
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.measurement import ChainSamples, Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import Chunk, NamedGraph, ProfileWork, Registration
from latency.operator import OperatorKind, OperatorSpec
from latency.target import DeviceFacts, Target
from service.access.tokens import TokenKind
from service.access.use_cases import authenticate, create_token
from service.database import Database
from service.devices.use_cases import register_device
from service.lifecycle import JobKind, JobState
from service.tables.job import JobRow

STARTED = "2026-11-23T12:00:00+00:00"
CONDITIONS = Conditions(started_at=STARTED, load_average=0.1)


def target(*, threads: int = 1, processor: str = "test board") -> Target:
    """Return a target."""
    facts = DeviceFacts(machine="x86_64", processor=processor, cores=2, features=("avx2",))
    return Target(facts=facts, runtime_version="1.32.0", threads=threads)


def conv(channels: int = 8, *, size: int = 8) -> OperatorSpec:
    """Return a 3x3 convolution."""
    return OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=channels,
        out_channels=channels,
        height=size,
        width=size,
        kernel=3,
        padding=1,
    )


def network(channels: int = 8, *, depth: int = 2) -> NetworkGraph:
    """Return a chain of convolutions."""
    names = [INPUT, *(f"conv{index}" for index in range(depth))]
    nodes = tuple(
        GraphNode(name=name, spec=conv(channels), inputs=(before,), parameters=name)
        for before, name in itertools.pairwise(names)
    )
    return NetworkGraph(input_shape=(channels, 8, 8), nodes=nodes)


def profile_work(operators: int = 3, networks: int = 1) -> ProfileWork:
    """Return work with so many operators and networks."""
    return ProfileWork(
        operators=tuple(conv(4 * (index + 1)) for index in range(operators)),
        networks=tuple(
            NamedGraph(name=f"net{index}", graph=network(depth=index + 1))
            for index in range(networks)
        ),
    )


def operator_result(spec: OperatorSpec, *, ns: int = 1000) -> OperatorMeasurement:
    """Return a measurement whose marginal cost is `ns`."""
    rounds = 15
    samples = ChainSamples(
        method="chain",
        copies=4,
        short_ns=tuple(5_000 + step for step in range(rounds)),
        long_ns=tuple(5_000 + step + 4 * ns for step in range(rounds)),
    )
    return OperatorMeasurement(spec=spec, samples=samples)


def network_result(name: str, *, ns: int = 50_000, error: str = "") -> NetworkMeasurement:
    """Return a measurement of three processes around `ns`."""
    if error:
        return NetworkMeasurement(name=name, processes_ns=(), error=error)
    processes = tuple(tuple(ns + step + shift for step in range(5)) for shift in (0, 10, 20))
    return NetworkMeasurement(name=name, processes_ns=processes, reference_ns=processes)


def chunk_of(work: ProfileWork, *, attempt: int = 1, ns: int = 1000) -> Chunk:
    """Return one chunk with a result for everything in `work`."""
    return Chunk(
        attempt=attempt,
        conditions=CONDITIONS,
        operators=tuple(operator_result(spec, ns=ns) for spec in work.operators),
        networks=tuple(network_result(named.name) for named in work.networks),
    )


def add_device(session: Session, now: datetime, *, name: str = "board") -> str:
    """Enrol a device; returns its id."""
    issued = create_token(session, TokenKind.ENROL, name="test", now=now, lifetime_s=60)
    principal = authenticate(session, issued.token, now)
    registration = Registration(name=name, target=target(), agent_version="0.1.0")
    return register_device(session, principal.token_id, registration, now).device_id


def add_job(session: Session, now: datetime, device_id: str | None = None) -> str:
    """Store a job; returns its id."""
    job = JobRow(
        kind=JobKind.PROFILE.value,
        state=JobState.RUNNING.value,
        request={},
        device_id=device_id,
        created_at=now,
    )
    session.add(job)
    session.flush()
    return job.id


def count_jobs(database: Database) -> int:
    """Return how many jobs there are."""
    with database.reading() as session:
        return session.scalar(select(func.count()).select_from(JobRow)) or 0
