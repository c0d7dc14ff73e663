"""Raw results of timing, kept whole: samples, warm-ups, conditions. Statistics are recomputed."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from latency.graph import NetworkGraph
from latency.operator import OperatorSpec
from latency.units import NS_PER_US

SAMPLE_NS = 250 * NS_PER_US  # an operator's sample has as many runs as fill this
_COVERAGE = 0.9
_EXACT_COUNT = 500  # more samples than that take the normal approximation of the binomial
DISTURBED = 1.08  # a slower reference than this times its best: something else used the machine
# Processes of one network on a quiet machine differ by 1 to 3 % (nine of ten networks; 2026-11-27).
# Further apart one of them met something that the reference model beside it did not feel.
AGREEMENT = 1.1
LEAST_SAMPLES = 5  # fewer have no 90 % interval: two of four may lie on one side, once in eight


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the machine was like while it measured. None means unknown, which is no failure."""

    started_at: str  # ISO 8601 with offset, by the device's clock; when they were read
    load_average: float | None = None  # over one minute
    frequency_khz: int | None = None  # of the fastest core that the process may use
    temperature_c: float | None = None
    governor: str | None = None
    throttled: int | None = None  # how often the cores were slowed down for heat since the start
    affinity: tuple[int, ...] = ()  # cores that the process may use; empty where unknown
    threads: int | None = None  # of ONNX Runtime


@dataclass(frozen=True, kw_only=True)
class ChainSamples:
    """Two sizes of one micro-model, timed in turns: `copies` more operators in the long one.

    The marginal cost is (median(long) - median(short)) / copies - median(baseline).
    """

    method: str  # how the micro-model is built: chain, pair, branch
    copies: int  # operators in the long model minus operators in the short one
    short_ns: tuple[int, ...]  # one sample per round; each the mean time of a run in that round
    long_ns: tuple[int, ...]
    baseline_ns: float = 0.0  # cost per copy of what the micro-model adds beside the operator
    warmup_ns: tuple[int, ...] = ()
    reference_ns: tuple[int, ...] = ()  # the reference model in the same rounds
    fastest_reference_ns: int = 0  # what it took at its best on this machine; 0 where unknown
    short_runs: int = 0  # in one sample; 0 where it was not written down
    long_runs: int = 0


@dataclass(frozen=True, kw_only=True)
class OperatorMeasurement:
    """Marginal cost of one operator, as raw samples. `error` is set where it could not be taken."""

    spec: OperatorSpec
    samples: ChainSamples | None
    error: str = ""
    unstable: str = ""  # why the samples say less than they should; empty where they are good


@dataclass(frozen=True, kw_only=True)
class Rivals:
    """What is timed in the same processes as a network, run by run in turns, for a ratio."""

    dense_parent: NetworkGraph | None = None  # with random weights, by stock operators
    without_library: bool = False  # the network itself, in a session without the library

    def __bool__(self) -> bool:
        return self.dense_parent is not None or self.without_library


NO_RIVALS = Rivals()


@dataclass(frozen=True, kw_only=True)
class NetworkMeasurement:
    """Whole-network latency, from several processes, interleaved with the reference model."""

    name: str
    processes_ns: tuple[tuple[int, ...], ...]  # samples of one run each, per process
    reference_ns: tuple[tuple[int, ...], ...] = ()  # the reference model in the same processes
    graph: NetworkGraph | None = None  # None where an ONNX file was measured
    error: str = ""
    dense_parent_ns: tuple[tuple[int, ...], ...] = ()  # the rivals, in the same processes
    without_library_ns: tuple[tuple[int, ...], ...] = ()

    @property
    def median_ns(self) -> float:
        """Median over the processes of each process's median."""
        return float(statistics.median(self._medians_ns))

    @property
    def apart(self) -> float:
        """How many times as long as the fastest process the slowest took; 1.0 with one process."""
        return max(self._medians_ns) / max(min(self._medians_ns), 1.0)

    @property
    def _medians_ns(self) -> list[float]:
        return [float(statistics.median(samples)) for samples in self.processes_ns]


@dataclass(frozen=True, kw_only=True)
class MarginalCost:
    """Statistics of one operator measurement."""

    median_ns: float  # marginal cost; may be slightly negative for an operator that costs nothing
    spread_ns: float  # half width of the 90 % interval of the median
    samples: int


def marginal_cost(samples: ChainSamples) -> MarginalCost:
    """Return the marginal cost of one operator from paired rounds.

    Each round gives one difference (long - short) / copies; the median of the differences is
    robust against a disturbed round. Where the machine was slower throughout, the interval reaches
    what the operator would cost if it was slowed down like the reference.
    """
    pairs = zip(samples.short_ns, samples.long_ns, strict=True)
    slopes = [(long - short) / samples.copies - samples.baseline_ns for short, long in pairs]
    median_ns = statistics.median(slopes)
    slower = slowdown(samples.reference_ns, samples.fastest_reference_ns)
    excess_ns = abs(median_ns) * (1.0 - 1.0 / slower) if slower > DISTURBED else 0.0
    return MarginalCost(
        median_ns=median_ns,
        spread_ns=median_half_width(slopes) + excess_ns,
        samples=len(slopes),
    )


def slowdown(reference_ns: Sequence[int], fastest_ns: float | None) -> float:
    """Return how many times its best the reference model took; 1.0 where that is unknown."""
    if not reference_ns or not fastest_ns:
        return 1.0
    return float(statistics.median(reference_ns)) / fastest_ns


def median_half_width(values: Sequence[float]) -> float:
    """Return the longer arm of the 90 % interval of the median.

    Order statistics, interpolated: Hettmansperger and Sheather, Confidence intervals based on
    interpolated order statistics, 1986. As the longer arm counts on both sides, 93 to 96 % are
    covered where the number of samples was fixed; sampling until the interval is narrow, at the
    looks of `timing.py`, takes 3 to 6 points of that away again (simulated, see the tests). Fewer
    than LEAST_SAMPLES values give their range, which covers less.
    """
    ordered = sorted(values)
    rank, share = _interval_ranks(len(ordered))
    low = ordered[rank] + share * (ordered[min(rank + 1, len(ordered) - 1)] - ordered[rank])
    high = ordered[-1 - rank] - share * (
        ordered[-1 - rank] - ordered[max(-2 - rank, -len(ordered))]
    )
    median = statistics.median(ordered)
    return max(median - low, high - median)


@cache
def _interval_ranks(count: int) -> tuple[int, float]:
    """Return the rank from either end, from 0, and the share of the way to the next one."""
    if count > _EXACT_COUNT:
        return math.floor((count + 1 - 1.645 * math.sqrt(count)) / 2) - 1, 0.0
    below = 0.5**count  # probability that no value is below the median
    covered = 1.0 - 2.0 * below
    if covered < _COVERAGE:
        return 0, 0.0
    rank = 0
    while True:
        # One value more on either side may miss the median.
        below += math.comb(count, rank + 1) * 0.5**count
        inner = 1.0 - 2.0 * below
        if inner < _COVERAGE:
            break
        rank, covered = rank + 1, inner
    part = (covered - _COVERAGE) / (covered - inner)
    outside = rank + 1
    return rank, (count - outside) * part / (outside + (count - 2 * outside) * part)
