"""Timing in turns: models are run round by round, so that drift hits all of them alike."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from latency.units import NS_PER_MS, NS_PER_US

Run = Callable[[], object]
Clock = Callable[[], int]  # nanoseconds, monotonic


@dataclass(frozen=True, kw_only=True)
class TimingSettings:
    """How long and how often is timed."""

    rounds: int = 15
    sample_ns: int = 400 * NS_PER_US  # length of one sample; clocks resolve better than 1 us
    warmup_ns: int = 3 * NS_PER_MS  # per model, before the first round
    max_runs: int = 1_000  # in one sample


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Samples of one model, in nanoseconds per run: one per round, and those of the warm-up."""

    samples_ns: tuple[int, ...]
    warmup_ns: tuple[int, ...]


def time_in_turns(
    runs: Sequence[Run], settings: TimingSettings, clock: Clock = time.perf_counter_ns
) -> list[Timed]:
    """Return the samples of each model.

    Every round takes one sample of every model; a sample is the mean of as many runs as fill
    `sample_ns`. The order turns around each round, so that no model always follows the same one.
    """
    warmups = [_warm_up(run, settings, clock) for run in runs]
    counts = [_runs_per_sample(warmup, settings) for warmup in warmups]
    samples: list[list[int]] = [[] for _ in runs]
    indices = list(range(len(runs)))
    for _ in range(settings.rounds):
        for index in indices:
            samples[index].append(_sample(runs[index], counts[index], clock))
        indices.reverse()
    return [
        Timed(samples_ns=tuple(taken), warmup_ns=tuple(warmup))
        for taken, warmup in zip(samples, warmups, strict=True)
    ]


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
