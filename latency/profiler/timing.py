"""Timing in turns, with a noise gate: models are run round by round beside a reference model.

A machine is rarely quiet. Drift hits all models of a round alike; a burst of other work does not,
but it also slows the reference model, which runs at both ends of each round. So more rounds are
taken until enough of them are quiet, and the quietest ones are kept. The choice looks only at the
reference, never at the models themselves, so it does not flatter them. How many rounds are enough
may depend on the models' samples: the caller judges those at a few fixed looks, the next with half
as many rounds again. Work that goes on for seconds slows whole measurements; those are noticed,
and taken again later, by `stability.py`.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from latency.measurement import SAMPLE_NS
from latency.units import NS_PER_MS, NS_PER_S

Run = Callable[[], object]
Clock = Callable[[], int]  # nanoseconds, monotonic
Rounds = list[list[int]]  # samples by round and model; the last model of each is the reference
Settled = Callable[[Rounds], bool]

_GROWTH = 1.5  # from look to look


@dataclass(frozen=True, kw_only=True)
class TimingSettings:
    """How long and how often is timed."""

    rounds: int = 15  # kept, at least
    most_rounds: int = 0  # kept at most, while samples are not settled; below `rounds`: as many
    sample_ns: int = SAMPLE_NS  # length of one sample; a clock resolves well below 1 us
    warmup_ns: int = 3 * NS_PER_MS  # per model, before the first round
    max_runs: int = 1_000  # in one sample
    quiet: float = 1.05  # a round is quiet if its reference took at most this times the fastest
    fastest_ns: float = float("inf")  # of the reference, as far as known from before
    patience: int = 4  # at most this many rounds are taken for each one that is kept
    budget_ns: int = 20 * NS_PER_S  # no further round begins after this time
    settling_ns: int = NS_PER_S  # after this time rounds are not added any more, settled or not


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Samples of one model, in nanoseconds per run: one per kept round, and the warm-up."""

    samples_ns: tuple[int, ...]
    warmup_ns: tuple[int, ...]
    runs: int  # in one sample


def time_in_turns(
    runs: Sequence[Run],
    reference: Run,
    settings: TimingSettings,
    clock: Clock | None = None,
    settled: Settled = lambda _: True,
) -> tuple[list[Timed], Timed]:
    """Return the samples of each model, and those of the reference model in the same rounds.

    A sample is the mean of as many runs as fill `sample_ns`. The order turns around each round, so
    that no model always follows the same one. `settled` looks at the rounds that would be kept and
    says whether they are enough; it is asked until it agrees or `most_rounds` are kept.
    """
    clock = clock or time.perf_counter_ns
    everything = [*runs, reference]
    warmups = [_warm_up(run, settings, clock) for run in everything]
    counts = [_runs_per_sample(warmup, settings) for warmup in warmups]
    taking = _take_rounds(everything, counts, clock)
    rounds = _enough_rounds(taking, settings, clock, settled)
    timed = [
        Timed(samples_ns=tuple(samples), warmup_ns=tuple(warmup), runs=count)
        for samples, warmup, count in zip(zip(*rounds, strict=True), warmups, counts, strict=True)
    ]
    return timed[:-1], timed[-1]


def _enough_rounds(
    taking: Iterator[list[int]], settings: TimingSettings, clock: Clock, settled: Settled
) -> Rounds:
    """Return the kept rounds in the order of time."""
    wanted, most = settings.rounds, max(settings.rounds, settings.most_rounds)
    begin = clock()
    rounds: Rounds = []
    while True:
        rounds.append(next(taking))
        taken_ns = clock() - begin
        is_late = taken_ns > settings.budget_ns
        is_patient = len(rounds) < wanted * settings.patience
        if not is_late and is_patient and _count_quiet(rounds, settings) < wanted:
            continue
        by_noise = sorted(range(len(rounds)), key=lambda index: rounds[index][-1])
        kept = [rounds[index] for index in sorted(by_noise[:wanted])]
        if is_late or taken_ns > settings.settling_ns or wanted >= most or settled(kept):
            return kept
        wanted = min(most, math.ceil(wanted * _GROWTH))


def _take_rounds(runs: Sequence[Run], counts: list[int], clock: Clock) -> Iterator[list[int]]:
    """Yield round after round, without end."""
    order = list(range(len(runs) - 1))
    before = _sample(runs[-1], counts[-1], clock)
    while True:
        samples = [0] * len(runs)
        for index in order:
            samples[index] = _sample(runs[index], counts[index], clock)
        order.reverse()
        after = _sample(runs[-1], counts[-1], clock)
        samples[-1] = max(before, after)
        before = after
        yield samples


def _count_quiet(rounds: Rounds, settings: TimingSettings) -> int:
    fastest = min(settings.fastest_ns, *(samples[-1] for samples in rounds))
    return sum(samples[-1] <= fastest * settings.quiet for samples in rounds)


def _warm_up(run: Run, settings: TimingSettings, clock: Clock) -> list[int]:
    """Return the time of single runs until `warmup_ns` have passed, at least two."""
    times: list[int] = []
    while len(times) < 2 or (sum(times) < settings.warmup_ns and len(times) < settings.max_runs):
        times.append(_sample(run, 1, clock))
    return times


def _runs_per_sample(warmup: list[int], settings: TimingSettings) -> int:
    fastest = max(1, min(warmup))
    return max(1, min(settings.max_runs, round(settings.sample_ns / fastest)))


def _sample(run: Run, count: int, clock: Clock) -> int:
    start = clock()
    for _ in range(count):
        run()
    return round((clock() - start) / count)
