from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.profiler.timing import TimingSettings, time_in_turns


class Machine:
    """A clock that only models move; `slow` says how busy the machine is at a time."""

    def __init__(self, slow: Callable[[int], float] = lambda _: 1.0) -> None:
        self.now = 0
        self.runs: list[str] = []
        self._slow = slow

    def clock(self) -> int:
        return self.now

    def model(self, name: str, ns: int) -> Callable[[], None]:
        def run() -> None:
            self.runs.append(name)
            self.now += round(ns * self._slow(self.now))

        return run


def settings_of(**changes: float) -> TimingSettings:
    values = {"rounds": 5, "sample_ns": 1_000, "warmup_ns": 2_000, **changes}
    return TimingSettings(**values)  # type: ignore[arg-type]


def test_a_sample_is_the_mean_of_as_many_runs_as_fill_it() -> None:
    machine = Machine()
    models = [machine.model("short", 100), machine.model("long", 5_000)]
    timed, reference = time_in_turns(models, machine.model("r", 50), settings_of(), machine.clock)
    assert [set(t.samples_ns) for t in timed] == [{100}, {5_000}]
    assert reference.samples_ns == (50,) * 5
    warmup = len(timed[0].warmup_ns)
    assert warmup == 20  # 2,000 ns of warm-up
    assert machine.runs.count("short") == warmup + 5 * 10
    assert machine.runs.count("long") == 2 + 5


def test_the_order_turns_around_each_round() -> None:
    machine = Machine()
    models = [machine.model("a", 1_000), machine.model("b", 1_000)]
    time_in_turns(models, machine.model("r", 1_000), settings_of(rounds=3), machine.clock)
    assert "".join(machine.runs[6:]) == "rabrbarabr"


def test_rounds_in_a_burst_of_other_work_are_taken_again() -> None:
    machine = Machine(slow=lambda now: 3.0 if 30_000 < now < 60_000 else 1.0)
    models = [machine.model("a", 1_000)]
    quiet = settings_of(rounds=20)
    (timed,), reference = time_in_turns(models, machine.model("r", 1_000), quiet, machine.clock)
    assert set(reference.samples_ns) == {1_000}
    assert timed.samples_ns.count(1_000) >= 19  # the edge of the burst may fall into a round
    assert len(timed.samples_ns) == 20


def test_what_was_fast_before_is_the_measure_of_quiet() -> None:
    machine = Machine(slow=lambda _: 1.5)
    busy = settings_of(rounds=4, patience=3, fastest_ns=1_000.0)
    time_in_turns([machine.model("a", 1_000)], machine.model("r", 1_000), busy, machine.clock)
    warmup, rounds = 2, 4 * 3
    assert machine.runs.count("a") == warmup + rounds  # never quiet: all its patience is used


def test_rounds_end_with_the_budget_but_there_is_always_one() -> None:
    machine = Machine()
    hurried = settings_of(rounds=50, budget_ns=10_000)
    (timed,), _ = time_in_turns(
        [machine.model("a", 3_000)], machine.model("r", 1_000), hurried, machine.clock
    )
    assert 1 <= len(timed.samples_ns) <= 4


def test_rounds_are_added_until_the_samples_are_settled() -> None:
    machine = Machine()
    looks: list[int] = []

    def settled(rounds: list[list[int]]) -> bool:
        assert all(len(samples) == 2 for samples in rounds)
        looks.append(len(rounds))
        return len(rounds) >= 20

    more = settings_of(rounds=5, most_rounds=100)
    model, reference = machine.model("a", 1_000), machine.model("r", 1_000)
    (timed,), beside = time_in_turns([model], reference, more, machine.clock, settled)
    assert looks == [5, 8, 12, 18, 27]
    assert len(timed.samples_ns) == len(beside.samples_ns) == 27
    assert (timed.runs, beside.runs) == (1, 1)


def test_samples_that_never_settle_end_at_the_most_rounds() -> None:
    machine = Machine()
    bounded = settings_of(rounds=5, most_rounds=30)
    model, reference = machine.model("a", 1_000), machine.model("r", 1_000)
    (timed,), _ = time_in_turns([model], reference, bounded, machine.clock, lambda _: False)
    assert len(timed.samples_ns) == 30


def test_large_models_get_only_as_many_rounds_as_fit_their_time_to_settle() -> None:
    machine = Machine()
    slow = settings_of(rounds=5, most_rounds=100, settling_ns=30_000)
    model, reference = machine.model("a", 3_000), machine.model("r", 1_000)
    (timed,), _ = time_in_turns([model], reference, slow, machine.clock, lambda _: False)
    assert len(timed.samples_ns) == 8  # 20 us for the first five, 32 us for eight


def test_on_a_busy_machine_rounds_are_added_too_and_the_patience_bounds_them() -> None:
    machine = Machine(slow=lambda _: 1.5)
    busy = settings_of(rounds=5, most_rounds=10, patience=3, fastest_ns=1_000.0)
    model, reference = machine.model("a", 1_000), machine.model("r", 1_000)
    (timed,), _ = time_in_turns([model], reference, busy, machine.clock, lambda _: False)
    assert len(timed.samples_ns) == 10
    assert machine.runs.count("a") == 2 + 10 * 3


@settings(max_examples=30)
@given(st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.6, 4.0]), min_size=7, max_size=7))
def test_the_choice_of_rounds_never_looks_at_the_model(pattern: list[float]) -> None:
    """A model whose own time is random keeps its distribution: only the reference decides."""
    times = [1_000, 9_000, 2_000, 7_000]

    def kept(model_times: list[int]) -> tuple[int, ...]:
        machine = Machine()
        calls = {"a": 0, "r": 0}

        def reference() -> None:
            calls["r"] += 1
            machine.now += round(100 * pattern[calls["r"] % 7])

        def model() -> None:
            calls["a"] += 1
            machine.now += model_times[calls["a"] % len(model_times)]

        chosen = settings_of(rounds=6, sample_ns=1, warmup_ns=1)
        (timed,), _ = time_in_turns([model], reference, chosen, machine.clock)
        return timed.samples_ns

    scaled = tuple(value * 10 for value in kept(times))
    assert kept([value * 10 for value in times]) == scaled


def test_no_models_times_the_reference_alone() -> None:
    machine = Machine()
    timed, reference = time_in_turns([], machine.model("r", 10), settings_of(), machine.clock)
    assert timed == []
    assert reference.samples_ns == (10,) * 5


@pytest.mark.parametrize("ns", [0, 1])
def test_a_model_faster_than_the_clock_is_run_a_bounded_number_of_times(ns: int) -> None:
    machine = Machine()
    bounded = settings_of(rounds=1, sample_ns=10**9, max_runs=7)
    time_in_turns([machine.model("a", ns)], machine.model("r", 100), bounded, machine.clock)
    assert machine.runs.count("a") == 7 + 7
