"""Marginal cost of one operator, measured in this process."""

from dataclasses import dataclass

from latency.graph import NetworkGraph
from latency.host_lock import measuring
from latency.lowering.build import build_model
from latency.lowering.weights import random_weights
from latency.measurement import ChainSamples, OperatorMeasurement
from latency.operator import OperatorSpec
from latency.profiler.micro_models import METHOD, micro_models
from latency.profiler.reference import reference_model
from latency.profiler.session import open_session, runner
from latency.profiler.timing import Run, TimingSettings, time_in_turns
from latency.target import Target

WEIGHT_SEED = 0


@dataclass(frozen=True, kw_only=True)
class ProfiledOperator:
    """The samples of one operator, and of the reference model in the same rounds."""

    measurement: OperatorMeasurement
    reference_ns: tuple[int, ...]


class OperatorProfiler:
    """Measures operators one after the other; the reference model is opened once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reference = runner(open_session(reference_model(), target))

    def measure(self, spec: OperatorSpec, settings: TimingSettings) -> ProfiledOperator:
        """Return raw samples of one operator; the host is held while they are taken.

        Raises:
            ValueError: the runtime refuses the micro-model.
        """
        models = micro_models(spec)
        runs = [self._open(graph) for graph in (models.short, models.long)]
        with measuring():
            (short, long), reference = time_in_turns(runs, self._reference, settings)
        samples = ChainSamples(
            method=METHOD,
            copies=models.copies,
            short_ns=short.samples_ns,
            long_ns=long.samples_ns,
            warmup_ns=long.warmup_ns,
        )
        return ProfiledOperator(
            measurement=OperatorMeasurement(spec=spec, samples=samples),
            reference_ns=reference.samples_ns,
        )

    def measure_reference(self, settings: TimingSettings) -> tuple[int, ...]:
        """Return times of the reference model alone: how fast the machine is right now."""
        with measuring():
            _, reference = time_in_turns([], self._reference, settings)
        return reference.samples_ns

    def _open(self, graph: NetworkGraph) -> Run:
        model = build_model(graph, random_weights(WEIGHT_SEED)).SerializeToString()
        return runner(open_session(model, self._target, micro_model=True))


def measure_operator(
    spec: OperatorSpec, target: Target, settings: TimingSettings | None = None
) -> OperatorMeasurement:
    """Return raw samples of one operator, measured in this process.

    Raises:
        ValueError: the runtime refuses the micro-model.
    """
    return OperatorProfiler(target).measure(spec, settings or TimingSettings()).measurement
