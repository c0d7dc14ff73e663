"""What the agent calls: do a piece of work, report each result as it comes."""

from collections.abc import Callable
from pathlib import Path

from latency.measurement import NetworkMeasurement, OperatorMeasurement
from latency.messages import ProfileWork, VerifyWork
from latency.profiler.batches import AGAIN, OperatorRun, Questions
from latency.profiler.networks import Network, NetworkRun, never_stop
from latency.profiler.process import ChildProcess, ShouldStop, StoppedError
from latency.target import Target

Measurement = OperatorMeasurement | NetworkMeasurement
OnResult = Callable[[Measurement], None]


def run_profile(
    work: ProfileWork,
    target: Target,
    on_result: OnResult,
    should_stop: ShouldStop,
    again: float = AGAIN,
) -> None:
    """Measure every operator, then every network; stop early when `should_stop` is true.

    Each operator and each network is reported once. A model that fails or crashes is reported as
    a measurement with `error`, and work goes on. `OperatorRun` says what happens to operators that
    were measured while something else used the machine, for `again` times as long as the first tries
    took; with 0 networks are not tried again either. Nothing runs any more when this returns.
    """
    try:
        with ChildProcess() as child:
            ask = Questions(child=child, rounds=work.rounds, target=target, should_stop=should_stop)
            OperatorRun(ask, again).run(work.operators, on_result)
        networks = [Network(name=named.name, model=named.graph) for named in work.networks]
        run = NetworkRun(target=target, should_stop=should_stop, again=again > 0)
        run.run(networks, work.processes, on_result)
    except StoppedError:
        return


def run_verify(
    work: VerifyWork,
    model_path: Path | None,
    target: Target,
    should_stop: ShouldStop = never_stop,
    again: float = AGAIN,
) -> NetworkMeasurement:
    """Return the latency of one network: the file at `model_path`, or the graph of the work.

    A model that cannot be measured gives a measurement with `error`. With `again` 0 what was
    disturbed is not tried again.

    Raises:
        ValueError: neither a file nor a graph is given, or both are; no processes are asked for.
    """
    model = work.graph if model_path is None else model_path
    if model is None or (model_path is not None and work.graph is not None):
        raise ValueError("verify: give exactly one of a model file and a graph")
    network = Network(name=work.name, model=model, rivals=work.rivals)
    results: list[NetworkMeasurement] = []
    try:
        run = NetworkRun(target=target, should_stop=should_stop, again=again > 0)
        run.run([network], work.processes, results.append)
    except StoppedError:
        return NetworkMeasurement(
            name=work.name, processes_ns=(), graph=work.graph, error="stopped before the end"
        )
    return results[0]
