"""Work, measurements and a measurer without a stopwatch, for tests that are not about timing."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from latency.agent.settings import AgentSettings
from latency.agent.spool import Measurement
from latency.graph import INPUT, GraphNode, NetworkGraph
from latency.measurement import ChainSamples, Conditions, NetworkMeasurement, OperatorMeasurement
from latency.messages import NamedGraph, ProfileWork, VerifyWork
from latency.operator import OperatorKind, OperatorSpec
from latency.target import DeviceFacts, Target

TARGET = Target(
    facts=DeviceFacts(machine="x86_64", processor="Test processor", cores=2),
    runtime_version="1.32.0",
)
CONDITIONS = Conditions(started_at="2026-11-23T12:00:00+00:00", load_average=0.1)

FAST = AgentSettings(
    chunk_rows=2,
    connect_timeout_s=2.0,
    answer_timeout_s=2.0,
    backoff_first_s=0.01,
    backoff_longest_s=0.05,
    upload_pause_s=0.0,
    join_patience_s=0.3,
)


def relu(channels: int) -> OperatorSpec:
    return OperatorSpec(
        kind=OperatorKind.RELU, in_channels=channels, out_channels=channels, height=8, width=8
    )


def conv(channels: int) -> OperatorSpec:
    return OperatorSpec(
        kind=OperatorKind.CONV,
        in_channels=channels,
        out_channels=channels,
        height=8,
        width=8,
        kernel=3,
        padding=1,
    )


def graph(channels: int) -> NetworkGraph:
    first = GraphNode(name="first", spec=conv(channels), inputs=(INPUT,))
    second = GraphNode(name="second", spec=relu(channels), inputs=("first",))
    return NetworkGraph(input_shape=(channels, 8, 8), nodes=(first, second))


def profile_work(operators: int, networks: int = 0) -> ProfileWork:
    return ProfileWork(
        operators=tuple(relu(4 * (index + 1)) for index in range(operators)),
        networks=tuple(
            NamedGraph(name=f"network-{index}", graph=graph(4 * (index + 1)))
            for index in range(networks)
        ),
        rounds=3,
        processes=1,
    )


def operator_row(spec: OperatorSpec, error: str = "") -> OperatorMeasurement:
    samples = ChainSamples(
        method="chain", copies=4, short_ns=(100, 110, 105), long_ns=(500, 510, 505)
    )
    return OperatorMeasurement(spec=spec, samples=None if error else samples, error=error)


def network_row(name: str, error: str = "") -> NetworkMeasurement:
    samples = () if error else ((1_000, 1_100),)
    return NetworkMeasurement(name=name, processes_ns=samples, error=error)


@dataclass
class SteadyMeasurer:
    """Gives the same samples for everything; counts what was asked of it."""

    current: Target = TARGET
    measured: list[str] = field(default_factory=list)  # labels and names, in order
    before_each: Callable[[int], None] = lambda _count: None  # called with len(measured)
    verify_error: str = ""
    models: list[bytes] = field(default_factory=list)

    def target(self) -> Target:
        return self.current

    def conditions(self) -> Conditions:
        return CONDITIONS

    def profile(
        self,
        work: ProfileWork,
        target: Target,
        on_result: Callable[[Measurement], None],
        should_stop: Callable[[], bool],
    ) -> None:
        for spec in work.operators:
            self.before_each(len(self.measured))
            if should_stop():
                return
            self.measured.append(spec.label())
            on_result(operator_row(spec))
        for network in work.networks:
            self.before_each(len(self.measured))
            if should_stop():
                return
            self.measured.append(network.name)
            on_result(network_row(network.name))

    def verify(
        self, work: VerifyWork, model: Path | None, target: Target, should_stop: Callable[[], bool]
    ) -> NetworkMeasurement:
        self.before_each(len(self.measured))
        self.measured.append(work.name)
        if model is not None:
            self.models.append(model.read_bytes())
        return network_row(work.name, self.verify_error)
