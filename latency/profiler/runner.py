"""What the agent calls: do a piece of work, report each result as it comes."""

from collections.abc import Callable, Sequence
from pathlib import Path

from latency.measurement import NetworkMeasurement, OperatorMeasurement
from latency.messages import ProfileWork, VerifyWork
from latency.operator import OperatorSpec
from latency.profiler.child_messages import ChildAnswer, ChildRequest
from latency.profiler.networks import NetworkProfiler, never_stop
from latency.profiler.process import ChildDiedError, ChildProcess, ShouldStop, StoppedError
from latency.profiler.stability import QuietRule
from latency.target import Target

Measurement = OperatorMeasurement | NetworkMeasurement
OnResult = Callable[[Measurement], None]

_LOOKS_AT_THE_MACHINE = 8  # before the first operator: how fast is the reference at its best
_LOOK_ROUNDS = 100
_TRIES = 3  # of an operator whose rounds were disturbed; the quietest try counts


def run_profile(
    work: ProfileWork, target: Target, on_result: OnResult, should_stop: ShouldStop
) -> None:
    """Measure every operator, then every network; stop early when `should_stop` is true.

    Each operator and each network is reported once. A model that fails or crashes is reported as
    a measurement with `error`, and work goes on. An operator that was measured while something
    else used the machine is measured again after all others. Nothing runs any more when this
    returns.
    """
    try:
        with ChildProcess() as child:
            _OperatorRun(child, work.rounds, target, should_stop).run(work.operators, on_result)
        profiler = NetworkProfiler(target=target, should_stop=should_stop)
        for network in work.networks:
            on_result(profiler.measure(network.graph, network.name, work.processes))
    except StoppedError:
        return


def run_verify(
    work: VerifyWork,
    model_path: Path | None,
    target: Target,
    should_stop: ShouldStop = never_stop,
) -> NetworkMeasurement:
    """Return the latency of one network: the file at `model_path`, or the graph of the work.

    A model that cannot be measured gives a measurement with `error`.

    Raises:
        ValueError: neither a file nor a graph is given, or both are.
    """
    model = work.graph if model_path is None else model_path
    if model is None or (model_path is not None and work.graph is not None):
        raise ValueError("verify: give exactly one of a model file and a graph")
    profiler = NetworkProfiler(target=target, should_stop=should_stop)
    try:
        return profiler.measure(model, work.name, work.processes, work.rivals)
    except StoppedError:
        return NetworkMeasurement(
            name=work.name, processes_ns=(), graph=work.graph, error="stopped before the end"
        )


class _OperatorRun:
    """Measures a list of operators in one child; a new child takes over when it dies."""

    def __init__(
        self, child: ChildProcess, rounds: int, target: Target, should_stop: ShouldStop
    ) -> None:
        self._child = child
        self._rounds = rounds
        self._target = target
        self._should_stop = should_stop
        self._quiet = QuietRule()

    def run(self, operators: Sequence[OperatorSpec], on_result: OnResult) -> None:
        """Report every operator once: undisturbed ones at once, the others after a new try."""
        if operators:
            self._look_at_the_machine()
        waiting = [(spec, _NOTHING) for spec in operators]
        for tries in range(1, _TRIES + 1):
            disturbed = []
            for spec, best in waiting:
                best = self._quieter(best, self._ask(spec, self._rounds))
                if tries == _TRIES or best.error or self._quiet.is_quiet(best.reference_ns):
                    on_result(_as_measurement(spec, best))
                else:
                    disturbed.append((spec, best))
            waiting = disturbed

    def _look_at_the_machine(self) -> None:
        for _ in range(_LOOKS_AT_THE_MACHINE):
            self._quiet.observe(self._ask(None, _LOOK_ROUNDS).reference_ns)

    def _ask(self, spec: OperatorSpec | None, rounds: int) -> ChildAnswer:
        request = ChildRequest(
            target=self._target,
            rounds=rounds,
            fastest_reference_ns=self._quiet.fastest_ns,
            operator=spec,
        )
        try:
            return self._child.ask(request, self._should_stop)
        except ChildDiedError as error:
            return ChildAnswer(error=str(error))

    def _quieter(self, best: ChildAnswer, answer: ChildAnswer) -> ChildAnswer:
        if best.operator is None or answer.error:
            return answer
        references = [best.reference_ns, answer.reference_ns]
        return (best, answer)[self._quiet.quietest(references, 1)[0]]


_NOTHING = ChildAnswer()


def _as_measurement(spec: OperatorSpec, answer: ChildAnswer) -> OperatorMeasurement:
    if answer.operator is None:
        return OperatorMeasurement(spec=spec, samples=None, error=answer.error)
    return answer.operator
