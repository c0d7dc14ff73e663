"""Batches of operators, on a machine that does what the test says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import pytest

from latency.measurement import ChainSamples, Conditions, OperatorMeasurement
from latency.operator import OperatorSpec
from latency.profiler.batches import AGAIN, OperatorRun
from latency.profiler.child_messages import ChildAnswer
from latency.profiler.process import StoppedError
from tests.latency.samples import conv

QUIET = Conditions(started_at="2026-11-27T12:00:00+00:00", governor="performance", throttled=0)
SPECS = tuple(conv(channels, 8) for channels in range(1, 41))


@dataclass
class Machine:
    """Answers like a measuring child; `slow` and `conditions` say how it is at each question."""

    slow: Callable[[int], float] = lambda _: 1.0  # of the reference, by number of the question
    conditions: Callable[[int], Conditions] = lambda _: QUIET
    broken: tuple[OperatorSpec, ...] = ()
    asked: list[OperatorSpec] = field(default_factory=list)
    fastest: list[float | None] = field(default_factory=list)
    patience: list[int] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=count)

    def __call__(
        self, spec: OperatorSpec | None, looks: int, fastest_ns: float | None, patience: int
    ) -> ChildAnswer:
        self.patience.append(patience)
        number = next(self.numbers)
        reference = (round(1_000 * self.slow(number)),) * 5
        self.fastest.append(fastest_ns)
        if spec is None:
            assert looks > 0
            return ChildAnswer(reference_ns=reference, conditions=self.conditions(number))
        self.asked.append(spec)
        if spec in self.broken:
            return ChildAnswer(error="crashed")
        samples = ChainSamples(
            method="frame",
            copies=8,
            short_ns=(1_000,) * 5,
            long_ns=(1_000 + 8 * number,) * 5,  # so that a try can be told from another
            reference_ns=reference,
        )
        measured = OperatorMeasurement(spec=spec, samples=samples)
        return ChildAnswer(operator=measured, conditions=self.conditions(number))


LOOKS = 8  # questions before the first operator


def run(
    machine: Machine, specs: tuple[OperatorSpec, ...] = SPECS, again: float = AGAIN
) -> list[OperatorMeasurement]:
    """Measure on the machine; a second passes with each operator."""
    results: list[OperatorMeasurement] = []
    seconds = count()
    measuring = OperatorRun(machine, again, monotonic=lambda: float(next(seconds)))
    measuring.run(specs, results.append)
    assert sorted(found.spec.key for found in results) == sorted(spec.key for spec in specs)
    return results


def test_on_a_quiet_machine_everything_is_measured_once() -> None:
    machine = Machine()
    results = run(machine)
    assert machine.asked == list(SPECS)
    assert all(found.unstable == found.error == "" for found in results)
    assert machine.fastest[:2] == [None, 1_000]


def test_what_was_disturbed_is_measured_again_after_all_others() -> None:
    machine = Machine(slow=lambda number: 1.5 if LOOKS + 5 <= number < LOOKS + 8 else 1.0)
    results = run(machine)
    assert machine.asked[len(SPECS) :] == list(SPECS[5:8])
    assert [found.spec for found in results[-3:]] == list(SPECS[5:8])
    assert all(found.unstable == "" for found in results)


def test_a_machine_that_is_never_quiet_gives_unstable_results_of_the_quietest_try() -> None:
    start = LOOKS + len(SPECS)
    machine = Machine(slow=lambda n: 1.0 if n < LOOKS else 1.2 if start <= n < start + 40 else 1.5)
    results = run(machine)
    tries = 5  # trying again took four times as long as the first tries
    assert len(machine.asked) == tries * len(SPECS)
    for found in results:
        assert found.unstable == "disturbed: the reference model took 1.20 times its best"
        assert found.samples is not None
        assert found.samples.reference_ns[0] == 1_200


def test_how_often_it_is_tried_again_is_for_the_owner_of_the_machine_to_say() -> None:
    machine = Machine(slow=lambda number: 1.0 if number < LOOKS else 1.5)
    run(machine, again=5.0)
    assert len(machine.asked) == 6 * len(SPECS)


def test_trying_again_ends_in_the_middle_of_the_operators_when_its_time_is_over() -> None:
    machine = Machine(slow=lambda number: 1.0 if number < LOOKS else 1.5)
    results = run(machine, again=0.5)  # a second passes with each operator
    assert machine.asked[len(SPECS) :] == list(SPECS[:24])  # half of them, to the end of a batch
    assert all(found.unstable.startswith("disturbed") for found in results)


@pytest.mark.parametrize(("again", "batches"), [(1.0, 2), (0.4, 1)])
def test_little_patience_shortens_the_least_time_too(again: float, batches: int) -> None:
    machine = Machine(slow=lambda number: 1.0 if number < LOOKS else 1.5)
    few = SPECS[:8]  # a batch, nine seconds; the least time is 20 s, or that share of it
    run(machine, few, again)
    assert len(machine.asked) == (1 + batches) * len(few)


def test_an_owner_in_a_hurry_has_nothing_tried_again() -> None:
    machine = Machine(slow=lambda number: 1.0 if number < LOOKS else 1.5)
    results = run(machine, again=0.0)
    assert machine.asked == list(SPECS)
    assert all(found.unstable.startswith("disturbed") for found in results)


def test_a_disturbance_is_waited_out_for_as_long_as_the_others_took() -> None:
    end = LOOKS + len(SPECS) + 3 * 6  # the last three are tried seven times until it is over
    machine = Machine(slow=lambda n: 1.5 if LOOKS + len(SPECS) - 3 <= n < end else 1.0)
    results = run(machine)
    assert machine.asked[len(SPECS) :] == list(SPECS[-3:]) * 7
    assert machine.patience[-21::3] == [12, 36, 36, 36, 36, 36, 36]
    assert set(machine.patience[:-21]) == {4}
    assert all(found.unstable == "" for found in results)


def test_a_busy_start_is_found_out_within_the_batch() -> None:
    """The reference was never seen fast before the third operator, so the first two are disturbed."""
    machine = Machine(slow=lambda number: 1.5 if number < LOOKS + 2 else 1.0)
    results = run(machine)
    assert machine.asked[len(SPECS) :] == list(SPECS[:2])
    assert all(found.unstable == "" for found in results)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"governor": "powersave"}, "the governor changed from performance to powersave"),
        ({"throttled": 3}, "the processor was slowed down for heat"),
        ({"frequency_khz": 800_000}, "the clock changed between 800000 and 3000000 kHz"),
    ],
)
def test_a_changed_machine_speaks_against_the_whole_batch(
    change: dict[str, object], reason: str
) -> None:
    before = replace(QUIET, frequency_khz=3_000_000)
    after = replace(before, **change)  # type: ignore[arg-type]
    machine = Machine(conditions=lambda number: before if number < LOOKS + 20 else after)
    results = run(machine)
    assert machine.asked[len(SPECS) :] == list(SPECS[16:24])  # the third batch, as a whole
    assert all(found.unstable == "" for found in results)
    flapping = Machine(
        conditions=lambda number: replace(before, frequency_khz=10**6 * (2 + number % 2))
    )
    assert {found.unstable for found in run(flapping)} == {
        "the clock changed between 2000000 and 3000000 kHz"
    }


def test_what_cannot_be_measured_is_reported_once_and_not_tried_again() -> None:
    machine = Machine(broken=SPECS[3:4])
    results = run(machine)
    assert machine.asked == list(SPECS)
    assert [found.error for found in results if found.error] == ["crashed"]


def test_large_operators_make_small_batches() -> None:
    seconds = count(0, 20)
    reported: list[int] = []
    machine = Machine()
    steps = OperatorRun(machine, monotonic=lambda: float(next(seconds)))
    steps.run(SPECS[:3], lambda _: reported.append(len(machine.asked)))
    assert reported == [1, 2, 3]  # each was reported before the next was asked for


def test_a_stop_reports_nothing_of_the_batch() -> None:
    def stop_at(number: int) -> float:
        if number == LOOKS + 20:
            raise StoppedError
        return 1.0

    results: list[OperatorMeasurement] = []
    with pytest.raises(StoppedError):
        OperatorRun(Machine(slow=stop_at)).run(SPECS, results.append)
    assert len(results) == 16
