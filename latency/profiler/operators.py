"""Marginal cost of one operator, measured in this process."""

from dataclasses import replace

from latency.graph import NetworkGraph
from latency.host_lock import measuring
from latency.measurement import (
    DISTURBED,
    ChainSamples,
    OperatorMeasurement,
    marginal_cost,
    slowdown,
)
from latency.operator import OperatorSpec
from latency.profiler.micro_models import METHOD, MicroModels, micro_models
from latency.profiler.random_model import random_model
from latency.profiler.reference import reference_model
from latency.profiler.session import open_session, runner
from latency.profiler.stability import is_settled, unsettled
from latency.profiler.timing import Rounds, Run, TimingSettings, time_in_turns
from latency.target import Target


class OperatorProfiler:
    """Measures operators one after the other; the reference model is opened once."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._reference = runner(open_session(reference_model(), target))

    def measure(self, spec: OperatorSpec, settings: TimingSettings) -> OperatorMeasurement:
        """Return raw samples of one operator; the host is held while they are taken.

        Rounds are taken until the interval of the cost is narrow, or the settings' most are kept;
        then the measurement is called unstable. Beside a reference that is slower than it can be,
        no more are taken than the settings' least: it will have to be measured again.

        Raises:
            ValueError: the runtime refuses the micro-model.
        """
        # An int8 operator is measured in a frame that is quantized as a whole.
        models = micro_models(replace(spec, dtype="float32"))
        runs = [self._open(graph, spec.dtype) for graph in (models.short, models.long)]

        def settled(rounds: Rounds) -> bool:
            short, long, reference = zip(*rounds, strict=True)
            return slowdown(reference, settings.fastest_ns) > DISTURBED or is_settled(
                marginal_cost(_samples(models, short, long))
            )

        with measuring():
            (short, long), reference = time_in_turns(
                runs, self._reference, settings, settled=settled
            )
        samples = replace(
            _samples(models, short.samples_ns, long.samples_ns),
            warmup_ns=long.warmup_ns,
            reference_ns=reference.samples_ns,
            short_runs=short.runs,
            long_runs=long.runs,
        )
        unstable = unsettled(marginal_cost(samples))
        return OperatorMeasurement(spec=spec, samples=samples, unstable=unstable)

    def measure_reference(self, settings: TimingSettings) -> tuple[int, ...]:
        """Return times of the reference model alone: how fast the machine is right now."""
        with measuring():
            _, reference = time_in_turns([], self._reference, settings)
        return reference.samples_ns

    def _open(self, graph: NetworkGraph, dtype: str) -> Run:
        model = random_model(graph, int8=dtype == "int8")
        return runner(open_session(model, self._target, micro_model=True))


def _samples(
    models: MicroModels, short_ns: tuple[int, ...], long_ns: tuple[int, ...]
) -> ChainSamples:
    return ChainSamples(method=METHOD, copies=models.copies, short_ns=short_ns, long_ns=long_ns)


def measure_operator(
    spec: OperatorSpec, target: Target, settings: TimingSettings | None = None
) -> OperatorMeasurement:
    """Return raw samples of one operator, measured in this process.

    Raises:
        ValueError: the runtime refuses the micro-model.
    """
    return OperatorProfiler(target).measure(spec, settings or TimingSettings())
