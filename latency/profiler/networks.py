"""Latency of whole networks: fresh processes, each interleaved with the reference model."""

from dataclasses import replace
from pathlib import Path

from latency.graph import NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.profiler.child_messages import ChildRequest
from latency.profiler.process import ChildDiedError, ChildProcess, ShouldStop
from latency.target import Target

NETWORK_ROUNDS = 200


def measure_network_processes(
    model: NetworkGraph | Path,
    name: str,
    target: Target,
    processes: int,
    should_stop: ShouldStop = lambda: False,
) -> NetworkMeasurement:
    """Return the samples of a graph with random weights, or of an ONNX file.

    A model that cannot be measured gives a measurement whose `error` says why.

    Raises:
        StoppedError: `should_stop` became true.
        ValueError: `processes` is below one.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    graph = model if isinstance(model, NetworkGraph) else None
    path = "" if isinstance(model, NetworkGraph) else str(model)
    request = ChildRequest(target=target, rounds=NETWORK_ROUNDS, graph=graph, model_path=path)
    failed = NetworkMeasurement(name=name, processes_ns=(), graph=graph)
    network, reference = [], []
    for _ in range(processes):
        with ChildProcess() as child:
            try:
                answer = child.ask(request, should_stop)
            except ChildDiedError as error:
                return replace(failed, error=str(error))
        if answer.error:
            return replace(failed, error=answer.error)
        network.append(answer.network_ns)
        reference.append(answer.reference_ns)
    return replace(failed, processes_ns=tuple(network), reference_ns=tuple(reference))
