"""Operators in batches: what was measured on a disturbed or changed machine is measured again.

Every operator carries the reference model through its own rounds, so a batch is judged by the
reference at its beginning, at its end and everywhere in between, operator by operator. What the
reference cannot tell, a clock or a governor that changed, is read around the batch and speaks
against all of it. Disturbances last from a tenth of a second to minutes. So operators that were
disturbed wait until all others are done, and are then tried again for up to four times as long as
those took (`again`), with more and more patience for a quiet moment within each try.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from latency.measurement import Conditions, OperatorMeasurement
from latency.operator import OperatorSpec
from latency.profiler.child_messages import ChildAnswer, ChildRequest
from latency.profiler.process import ChildDiedError, ChildProcess, ShouldStop
from latency.profiler.stability import PATIENCE, QuietRule, changed_speed, more_patience
from latency.target import Target

OnOperator = Callable[[OperatorMeasurement], None]
Ask = Callable[[OperatorSpec | None, int, float | None, int], ChildAnswer]

_LOOKS_AT_THE_MACHINE = 8  # before the first operator: how fast is the reference at its best
_LOOK_ROUNDS = 100
# Trying again lasts so many times as long as the first tries took, and at the least so long, or with
# less than once the first tries that share of it. Then the quietest try is reported, as unstable.
AGAIN = 4.0
_LEAST_AGAIN_S = 20.0
_BATCH = 8  # operators; what a power cut may cost
_BATCH_S = 10.0  # results of a batch are reported at its end, so large operators make it shorter
_NOTHING = ChildAnswer()


@dataclass(frozen=True, kw_only=True)
class Questions:
    """Asks a measuring child for one operator at a time; a new child takes over when it dies."""

    child: ChildProcess
    rounds: int
    target: Target
    should_stop: ShouldStop

    def __call__(
        self, spec: OperatorSpec | None, looks: int, fastest_ns: float | None, patience: int
    ) -> ChildAnswer:
        """Return the samples of an operator, or `looks` rounds of the reference model alone.

        Args:
            spec: None for the reference model.
            looks: rounds of the reference model.
            fastest_ns: of the reference model, as far as known.
            patience: rounds that may be taken for each one that is kept.

        Raises:
            StoppedError: `should_stop` became true.
        """
        request = ChildRequest(
            target=self.target,
            rounds=looks or self.rounds,
            fastest_reference_ns=fastest_ns,
            patience=patience,
            operator=spec,
        )
        try:
            return self.child.ask(request, self.should_stop)
        except ChildDiedError as error:
            return ChildAnswer(error=str(error))


@dataclass(frozen=True, kw_only=True)
class _Try:
    """One measurement of an operator, and what its batch says against it."""

    answer: ChildAnswer = _NOTHING
    changed: str = ""


@dataclass(frozen=True, kw_only=True)
class _Waiting:
    """An operator that is still to be measured well, and its best try so far."""

    spec: OperatorSpec
    best: _Try = _Try()


@dataclass
class OperatorRun:
    """Measures a list of operators and reports each once."""

    ask: Ask
    again: float = AGAIN
    quiet: QuietRule = field(default_factory=QuietRule)
    monotonic: Callable[[], float] = time.monotonic  # seconds
    _patience: int = field(init=False, default=PATIENCE)
    _conditions: list[Conditions] = field(init=False, default_factory=list)  # from before the batch

    def run(self, operators: Sequence[OperatorSpec], on_result: OnOperator) -> None:
        """Report every operator once: good ones with their batch, the others after new tries.

        Raises:
            StoppedError: the run was told to stop; the batch that was being measured is lost.
        """
        waiting = [_Waiting(spec=spec) for spec in operators]
        if waiting:
            self._look_at_the_machine()
        start = self.monotonic()
        waiting = self._try_all(waiting, on_result)
        first_end = self.monotonic()
        least_s = _LEAST_AGAIN_S * min(1.0, self.again)
        end = first_end + max(least_s, self.again * (first_end - start))
        while waiting and self.monotonic() < end:
            self._patience = more_patience(self._patience)
            waiting = self._try_all(waiting, on_result, end)
        for item in waiting:
            on_result(self._as_measurement(item.spec, item.best))

    def _look_at_the_machine(self) -> None:
        for _ in range(_LOOKS_AT_THE_MACHINE):
            self._ask(None, _LOOK_ROUNDS)

    def _try_all(
        self, waiting: list[_Waiting], on_result: OnOperator, end: float = math.inf
    ) -> list[_Waiting]:
        """Measure all, in batches; report those that are good and return the others.

        After the moment `end` no further batch begins, and what was not reached is returned too.
        """
        again: list[_Waiting] = []
        now = -math.inf
        while waiting and now < end:
            measured, now = self._measure_batch(waiting)
            waiting = waiting[len(measured) :]
            again += self._report(measured, on_result)
        return again + waiting

    def _measure_batch(
        self, waiting: Sequence[_Waiting]
    ) -> tuple[list[tuple[_Waiting, ChildAnswer]], float]:
        """Measure the first of `waiting`, as many as make a batch; returns the moment of its end."""
        del self._conditions[:-1]
        start = now = self.monotonic()
        measured: list[tuple[_Waiting, ChildAnswer]] = []
        for item in waiting[:_BATCH]:
            measured.append((item, self._ask(item.spec)))
            now = self.monotonic()
            if now - start > _BATCH_S:
                break
        return measured, now

    def _report(
        self, measured: Sequence[tuple[_Waiting, ChildAnswer]], on_result: OnOperator
    ) -> list[_Waiting]:
        """Report what is good; return what should be measured again."""
        changed = changed_speed(self._conditions)
        again = []
        for item, answer in measured:
            best = self._better(item.best, _Try(answer=answer, changed=changed))
            if best.answer.error or not self._against(best):
                on_result(self._as_measurement(item.spec, best))
            else:
                again.append(replace(item, best=best))
        return again

    def _against(self, best: _Try) -> str:
        return best.changed or self.quiet.disturbed(best.answer.beside_ns)

    def _ask(self, spec: OperatorSpec | None, looks: int = 0) -> ChildAnswer:
        answer = self.ask(spec, looks, self.quiet.fastest_ns, self._patience)
        self.quiet.observe(answer.beside_ns)
        if answer.conditions is not None:
            self._conditions.append(answer.conditions)
        return answer

    def _better(self, first: _Try, second: _Try) -> _Try:
        """Return the try to keep: with samples, of one clock, beside the faster reference."""
        if first.answer.operator is None:
            return second
        if second.answer.operator is None or (second.changed and not first.changed):
            return first
        if first.changed and not second.changed:
            return second
        references = [first.answer.beside_ns, second.answer.beside_ns]
        return (first, second)[self.quiet.quietest(references, 1)[0]]

    def _as_measurement(self, spec: OperatorSpec, best: _Try) -> OperatorMeasurement:
        measured = best.answer.operator
        if measured is None or measured.samples is None:
            return OperatorMeasurement(spec=spec, samples=None, error=best.answer.error)
        fastest = round(self.quiet.fastest_ns or 0)
        reasons = (self._against(best), measured.unstable)
        return replace(
            measured,
            samples=replace(measured.samples, fastest_reference_ns=fastest),
            unstable="; ".join(filter(None, reasons)),
        )
