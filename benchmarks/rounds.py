"""Processes in turns, and what may be said of their ratio.

A round runs every contender once, each in a fresh process, one after the other: A B C, A B C, ...
Slow drift of the machine hits a whole round alike, so a ratio is taken inside of each round; the
figure is the median over the rounds, with the 95 % interval of a bootstrap over rounds.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np

from latency.host_lock import measuring

RESAMPLES = 4000
_DEADLINE_S = 120


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A model and how it is run."""

    label: str
    model: Path
    library: bool = False
    threads: int = 1
    program: tuple[str, ...] = (sys.executable, "-m", "benchmarks.alone")

    def command(self) -> list[str]:
        """Return what a fresh process runs."""
        words = [*self.program, str(self.model), "--threads", str(self.threads)]
        return [*words, "--library"] if self.library else words


class Answer(TypedDict):
    """What a process prints as JSON when it is done."""

    median_ms: float  # of one run
    fastest_ms: float
    runs: int
    peak_kib: int  # resident memory of the process
    outputs: list[float]  # the first of the network


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What one contender did, round by round."""

    label: str
    median_ms: tuple[float, ...]  # of the runs of one process
    peak_kib: tuple[int, ...]
    outputs: tuple[float, ...]  # the first of the network, on seeded input

    @property
    def ms(self) -> float:
        """Median over the rounds, milliseconds."""
        return statistics.median(self.median_ms)

    @property
    def peak_mib(self) -> float:
        """Median of the peaks, MiB."""
        return statistics.median(self.peak_kib) / 1024


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """How many times as fast one contender is as another."""

    value: float
    low: float  # 95 % interval
    high: float

    def __str__(self) -> str:
        return f"{self.value:5.2f} ({self.low:.2f}-{self.high:.2f})"


def run_in_turns(contenders: Sequence[Contender], rounds: int) -> dict[str, Outcome]:
    """Return what each contender did, by label.

    Raises:
        SystemExit: a process failed; the message has its last words.
    """
    answers: dict[str, list[Answer]] = {contender.label: [] for contender in contenders}
    for _ in range(rounds):
        with measuring():
            for contender in contenders:
                answers[contender.label].append(answer_of(contender.label, contender.command()))
    return {label: _outcome(label, found) for label, found in answers.items()}


def answer_of(label: str, command: Sequence[str]) -> Answer:
    """Return the JSON that a process prints as its last line.

    Raises:
        SystemExit: the process failed.
    """
    done = subprocess.run(command, capture_output=True, text=True, timeout=_DEADLINE_S, check=False)
    if done.returncode:
        raise SystemExit(f"{label}: ended with {done.returncode}:\n{done.stderr[-2000:]}")
    answer: Answer = json.loads(done.stdout.splitlines()[-1])
    return answer


def ratio(slower: Outcome, faster: Outcome) -> Ratio:
    """Return how many times as fast `faster` is."""
    return ratio_of(slower.median_ms, faster.median_ms)


def ratio_of(slower: Sequence[float], faster: Sequence[float]) -> Ratio:
    """Return how many times `faster` goes into `slower`; both hold one time a round."""
    quotients = np.array(slower) / np.array(faster)
    rng = np.random.default_rng(0)
    picks = rng.integers(0, len(quotients), size=(RESAMPLES, len(quotients)))
    low, high = np.quantile(np.median(quotients[picks], axis=1), (0.025, 0.975))
    return Ratio(value=float(np.median(quotients)), low=float(low), high=float(high))


def _outcome(label: str, answers: Sequence[Answer]) -> Outcome:
    return Outcome(
        label=label,
        median_ms=tuple(answer["median_ms"] for answer in answers),
        peak_kib=tuple(answer["peak_kib"] for answer in answers),
        outputs=tuple(answers[0]["outputs"]),
    )
