"""Latency of whole networks: several processes each, interleaved with the reference model.

Where a process puts a network in memory changes how fast it is, so every network is timed in
several. Starting one takes longer than timing a small network, so networks share processes, a group
at a time. Those that were disturbed, or whose processes disagree, get further ones after all
others, for half as long as those took, with more and more patience for quiet moments.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from latency.graph import NetworkGraph
from latency.measurement import AGREEMENT, NO_RIVALS, NetworkMeasurement, Rivals
from latency.profiler.child_messages import ChildAnswer, ChildRequest
from latency.profiler.process import ChildDiedError, ChildProcess, ShouldStop
from latency.profiler.stability import PATIENCE, QuietRule, more_patience
from latency.target import Target

NETWORK_ROUNDS = 200
_LEAST_AGAIN_S = 5.0  # of timing disturbed networks again
_GROUP = 10  # networks; what a power cut may cost

OnNetwork = Callable[[NetworkMeasurement], None]


def never_stop() -> bool:
    """Go on to the end."""
    return False


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network to time: a graph with random weights, or an ONNX file."""

    name: str
    model: NetworkGraph | Path
    rivals: Rivals = NO_RIVALS


@dataclass(frozen=True, kw_only=True)
class _Taken:
    """What the processes of one network said so far."""

    network: Network
    answers: list[ChildAnswer] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class NetworkRun:
    """Measures whole networks of one target; knows how fast the reference can be."""

    target: Target
    should_stop: ShouldStop = never_stop
    rounds: int = NETWORK_ROUNDS
    quiet: QuietRule = field(default_factory=QuietRule)
    agreement: float = AGREEMENT
    again: bool = True  # disturbed networks get further processes
    monotonic: Callable[[], float] = time.monotonic  # seconds

    def run(self, networks: Sequence[Network], processes: int, on_result: OnNetwork) -> None:
        """Report every network once; one that cannot be measured gives a result with `error`.

        Of all processes of a network the undisturbed ones are kept that agree with most others; with
        too few of them, those in which the reference model was fastest.

        Raises:
            StoppedError: `should_stop` became true; groups that were being measured are lost.
            ValueError: `processes` is below one.
        """
        if processes < 1:
            raise ValueError(f"processes must be at least 1, got {processes}")
        start = self.monotonic()
        disturbed: list[_Taken] = []
        for group in _groups([_Taken(network=network) for network in networks]):
            for _ in range(processes):
                self._one_process([taken for taken in group if not _error(taken)], PATIENCE)
                group.reverse()  # no network always follows the same one
            disturbed += self._report(group, processes, on_result)
        first_end = self.monotonic()
        again_s = max(_LEAST_AGAIN_S, (first_end - start) / 2)
        end = first_end + again_s if self.again else first_end
        patience = PATIENCE
        while disturbed and self.monotonic() < end:
            patience = more_patience(patience)
            again, disturbed = disturbed, []
            for number, group in enumerate(_groups(again)):
                if number and self.monotonic() >= end:
                    disturbed += group
                    continue
                self._one_process(group, patience)
                disturbed += self._report(group, processes, on_result)
        for taken in disturbed:
            on_result(self._result(taken, processes))

    def _one_process(self, group: Sequence[_Taken], patience: int) -> None:
        """Time each network of a group once, in one process that they share."""
        with ChildProcess() as child:
            for taken in group:
                answer = self._ask(child, taken.network, patience)
                self.quiet.observe(answer.reference_ns)
                taken.answers.append(answer)

    def _report(
        self, group: Sequence[_Taken], processes: int, on_result: OnNetwork
    ) -> list[_Taken]:
        """Report what was undisturbed in enough processes; return the others."""
        again = []
        for taken in group:
            if self._wants_more(taken, processes):
                again.append(taken)
            else:
                on_result(self._result(taken, processes))
        return again

    def _wants_more(self, taken: _Taken, processes: int) -> bool:
        if _error(taken):
            return False
        quiet = sum(self.quiet.is_quiet(answer.reference_ns) for answer in taken.answers)
        return quiet < processes or self._result(taken, processes).apart > self.agreement

    def _ask(self, child: ChildProcess, network: Network, patience: int) -> ChildAnswer:
        model = network.model
        request = ChildRequest(
            target=self.target,
            rounds=self.rounds,
            fastest_reference_ns=self.quiet.fastest_ns,
            patience=patience,
            graph=model if isinstance(model, NetworkGraph) else None,
            model_path=str(model) if isinstance(model, Path) else "",
            rivals=network.rivals,
        )
        try:
            return child.ask(request, self.should_stop)
        except ChildDiedError as error:
            return ChildAnswer(error=str(error))

    def _result(self, taken: _Taken, processes: int) -> NetworkMeasurement:
        model, answers = taken.network.model, taken.answers
        graph = model if isinstance(model, NetworkGraph) else None
        result = NetworkMeasurement(name=taken.network.name, processes_ns=(), graph=graph)
        if error := _error(taken):
            return replace(result, error=error)
        kept = self._kept(answers, processes)
        return replace(
            result,
            processes_ns=tuple(answers[index].network_ns for index in kept),
            reference_ns=tuple(answers[index].reference_ns for index in kept),
            dense_parent_ns=_given(answers[index].dense_parent_ns for index in kept),
            without_library_ns=_given(answers[index].without_library_ns for index in kept),
        )

    def _kept(self, answers: Sequence[ChildAnswer], processes: int) -> list[int]:
        """Return which processes count, in order."""
        references = [answer.reference_ns for answer in answers]
        medians = [statistics.median(answer.network_ns) for answer in answers]
        return self.quiet.kept(references, medians, processes)


def _groups(networks: list[_Taken]) -> Iterator[list[_Taken]]:
    for start in range(0, len(networks), _GROUP):
        yield networks[start : start + _GROUP]


def _error(taken: _Taken) -> str:
    return next((answer.error for answer in taken.answers if answer.error), "")


def _given(processes: Iterable[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Return the samples of each process, or nothing where none were asked for."""
    return tuple(samples for samples in processes if samples)
