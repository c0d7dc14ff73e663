"""Model files timed as a job times them: beside the reference model, until the machine was quiet.

A host has states: one and the same file takes 1.5 times as long while its neighbours are busy, for
tenths of a second or for hours. A latency table holds prices of the fast state, so what is compared
with a budget has to be measured in it too. `references` remembers how fast the reference model was;
times of two steps of a benchmark may be compared where both saw the machine at its best.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.rounds import RESAMPLES, Ratio
from latency.measurement import NetworkMeasurement
from latency.profiler.device import current_target
from latency.profiler.networks import NETWORK_ROUNDS, Network, NetworkRun
from latency.profiler.stability import QuietRule
from latency.units import NS_PER_MS


@dataclass(frozen=True, kw_only=True)
class FileTime:
    """How long one file takes, by processes of its own."""

    processes_ms: tuple[float, ...]  # median of each process
    references_ns: tuple[float, ...]  # median of the reference model in each of them
    quiet: bool  # every process that counts was undisturbed

    @property
    def ms(self) -> float:
        """Median over the processes, milliseconds."""
        return statistics.median(self.processes_ms)

    def __str__(self) -> str:
        low, high = min(self.processes_ms), max(self.processes_ms)
        return f"{self.ms:.4f} ({low:.4f}-{high:.4f}){'' if self.quiet else ' disturbed'}"


def time_files(
    files: Mapping[str, Path],
    processes: int,
    references_ns: Sequence[float] = (),
    rounds: int = NETWORK_ROUNDS,
) -> dict[str, FileTime]:
    """Return how long each file takes on this machine and one thread, by name.

    Args:
        files: ONNX files; those of the operator library run in it.
        processes: in which each is timed; disturbed ones are taken again.
        references_ns: medians of the reference model from earlier measurements of this machine.
        rounds: runs of a file in each process, where the machine is quiet.

    Raises:
        SystemExit: a file cannot be measured.
    """
    quiet = QuietRule()
    for reference_ns in references_ns:
        quiet.observe([round(reference_ns)])
    found: list[NetworkMeasurement] = []
    run = NetworkRun(target=current_target(1), quiet=quiet, rounds=rounds)
    networks = [Network(name=name, model=path) for name, path in files.items()]
    run.run(networks, processes, found.append)
    for measured in found:
        if measured.error:
            raise SystemExit(f"{measured.name}: could not be measured: {measured.error}")
    times = {measured.name: _time(measured, quiet) for measured in found}
    return {name: times[name] for name in files}


def fastest_reference_ns(times: Mapping[str, FileTime]) -> float:
    """Return what the reference model took at its best beside any of the files."""
    return min(min(time.references_ns) for time in times.values())


def time_ratio(slower: FileTime, faster: FileTime) -> Ratio:
    """Return how many times as fast `faster` is, with the 95 % interval of a bootstrap.

    Processes are drawn on either side for themselves: those that count of two files need not have
    run beside each other.
    """
    rng = np.random.default_rng(0)

    def resampled(times: Sequence[float]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        picks = rng.integers(0, len(times), size=(RESAMPLES, len(times)))
        medians: np.ndarray[tuple[int, ...], np.dtype[np.float64]] = np.median(
            np.array(times)[picks], axis=1
        )
        return medians

    quotients = resampled(slower.processes_ms) / resampled(faster.processes_ms)
    low, high = np.quantile(quotients, (0.025, 0.975))
    return Ratio(value=slower.ms / faster.ms, low=float(low), high=float(high))


def _time(measured: NetworkMeasurement, quiet: QuietRule) -> FileTime:
    return FileTime(
        processes_ms=tuple(
            statistics.median(samples) / NS_PER_MS for samples in measured.processes_ns
        ),
        references_ns=tuple(statistics.median(samples) for samples in measured.reference_ns),
        quiet=all(quiet.is_quiet(samples) for samples in measured.reference_ns),
    )
