"""Latency of whole networks: fresh processes, each interleaved with the reference model."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from latency.graph import NetworkGraph
from latency.measurement import NO_RIVALS, NetworkMeasurement, Rivals
from latency.profiler.child_messages import ChildAnswer, ChildRequest
from latency.profiler.process import ChildDiedError, ChildProcess, ShouldStop
from latency.profiler.stability import QuietRule
from latency.target import Target

NETWORK_ROUNDS = 200
_PATIENCE = 2  # at most this times the processes asked for


def never_stop() -> bool:
    """Go on to the end."""
    return False


@dataclass(frozen=True, kw_only=True)
class NetworkProfiler:
    """Measures whole networks of one target; knows how fast the reference can be."""

    target: Target
    should_stop: ShouldStop = never_stop
    rounds: int = NETWORK_ROUNDS
    quiet: QuietRule = field(default_factory=QuietRule)

    def measure(
        self,
        model: NetworkGraph | Path,
        name: str,
        processes: int,
        rivals: Rivals = NO_RIVALS,
    ) -> NetworkMeasurement:
        """Return the samples of a graph with random weights, or of an ONNX file.

        Processes in which the reference model was slow are taken again; of all, the quietest
        ones are kept. A model that cannot be measured gives a measurement with `error`.

        Raises:
            StoppedError: `should_stop` became true.
            ValueError: `processes` is below one.
        """
        if processes < 1:
            raise ValueError(f"processes must be at least 1, got {processes}")
        graph = model if isinstance(model, NetworkGraph) else None
        result = NetworkMeasurement(name=name, processes_ns=(), graph=graph)
        answers: list[ChildAnswer] = []
        while self._wants_more(answers, processes):
            answer = self._one_process(model, rivals)
            if answer.error:
                return replace(result, error=answer.error)
            self.quiet.observe(answer.reference_ns)
            answers.append(answer)
        kept = self.quiet.quietest([answer.reference_ns for answer in answers], processes)
        return replace(
            result,
            processes_ns=tuple(answers[index].network_ns for index in kept),
            reference_ns=tuple(answers[index].reference_ns for index in kept),
            dense_parent_ns=_taken(answers[index].dense_parent_ns for index in kept),
            without_library_ns=_taken(answers[index].without_library_ns for index in kept),
        )

    def _wants_more(self, answers: list[ChildAnswer], processes: int) -> bool:
        quiet = sum(self.quiet.is_quiet(answer.reference_ns) for answer in answers)
        return quiet < processes and len(answers) < processes * _PATIENCE

    def _one_process(self, model: NetworkGraph | Path, rivals: Rivals) -> ChildAnswer:
        request = ChildRequest(
            target=self.target,
            rounds=self.rounds,
            fastest_reference_ns=self.quiet.fastest_ns,
            graph=model if isinstance(model, NetworkGraph) else None,
            model_path=str(model) if isinstance(model, Path) else "",
            rivals=rivals,
        )
        with ChildProcess() as child:
            try:
                return child.ask(request, self.should_stop)
            except ChildDiedError as error:
                return ChildAnswer(error=str(error))


def _taken(processes: Iterable[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Return the samples of each process, or nothing where none were asked for."""
    return tuple(samples for samples in processes if samples)


def measure_network_processes(
    model: NetworkGraph | Path, name: str, target: Target, processes: int
) -> NetworkMeasurement:
    """Return the latency of one network, from `processes` fresh processes.

    Raises:
        ValueError: `processes` is below one.
    """
    return NetworkProfiler(target=target).measure(model, name, processes)
