"""What the agent calls: do a piece of work, report each result as it comes."""

from collections.abc import Callable
from pathlib import Path

from latency.measurement import NetworkMeasurement, OperatorMeasurement
from latency.messages import ProfileWork, VerifyWork
from latency.operator import OperatorSpec
from latency.profiler.child_messages import ChildRequest
from latency.profiler.networks import measure_network_processes
from latency.profiler.process import ChildDiedError, ChildProcess, ShouldStop, StoppedError
from latency.target import Target

Measurement = OperatorMeasurement | NetworkMeasurement


def run_profile(
    work: ProfileWork,
    target: Target,
    on_result: Callable[[Measurement], None],
    should_stop: ShouldStop,
) -> None:
    """Measure every operator, then every network; stop early when `should_stop` is true.

    A model that fails or crashes is reported as a measurement with `error`, and work goes on.
    Nothing runs any more when this returns.
    """
    try:
        with ChildProcess() as child:
            for spec in work.operators:
                request = ChildRequest(target=target, rounds=work.rounds, operator=spec)
                on_result(_measure_operator(child, spec, request, should_stop))
        for network in work.networks:
            on_result(
                measure_network_processes(
                    network.graph, network.name, target, work.processes, should_stop
                )
            )
    except StoppedError:
        return


def run_verify(
    work: VerifyWork,
    model_path: Path | None,
    target: Target,
    should_stop: ShouldStop = lambda: False,
) -> NetworkMeasurement:
    """Return the latency of one network: the file at `model_path`, or the graph of the work.

    Raises:
        ValueError: neither a file nor a graph is given, or both are.
    """
    if (model_path is None) == (work.graph is None):
        raise ValueError("verify: give exactly one of a model file and a graph")
    model = work.graph if work.graph is not None else model_path
    assert model is not None  # noqa: S101 - exactly one is given
    try:
        return measure_network_processes(model, work.name, target, work.processes, should_stop)
    except StoppedError:
        return NetworkMeasurement(
            name=work.name, processes_ns=(), graph=work.graph, error="stopped before the end"
        )


def _measure_operator(
    child: ChildProcess, spec: OperatorSpec, request: ChildRequest, should_stop: ShouldStop
) -> OperatorMeasurement:
    try:
        answer = child.ask(request, should_stop)
    except ChildDiedError as error:
        return OperatorMeasurement(spec=spec, samples=None, error=str(error))
    if answer.operator is None:
        return OperatorMeasurement(spec=spec, samples=None, error=answer.error)
    return answer.operator
