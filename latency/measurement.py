"""Raw results of timing, kept whole: samples, warm-ups, conditions. Statistics are recomputed."""

import math
import statistics
from dataclasses import dataclass

from latency.graph import NetworkGraph
from latency.operator import OperatorSpec


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What the machine was like while it measured. None means unknown, which is no failure."""

    started_at: str  # ISO 8601 with offset, by the device's clock
    load_average: float | None = None  # over one minute, before the measurement
    frequency_khz: int | None = None
    temperature_c: float | None = None
    governor: str | None = None


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


@dataclass(frozen=True, kw_only=True)
class OperatorMeasurement:
    """Marginal cost of one operator, as raw samples. `error` is set where it could not be taken."""

    spec: OperatorSpec
    samples: ChainSamples | None
    error: str = ""


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
    """Whole-network latency. Each process is a fresh one, interleaved with the reference model."""

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
        medians = [float(statistics.median(samples)) for samples in self.processes_ns]
        return float(statistics.median(medians))


@dataclass(frozen=True, kw_only=True)
class MarginalCost:
    """Statistics of one operator measurement."""

    median_ns: float  # marginal cost; may be slightly negative for an operator that costs nothing
    spread_ns: float  # half width of the 90 % interval of the median
    samples: int


def marginal_cost(samples: ChainSamples) -> MarginalCost:
    """Return the marginal cost of one operator from paired rounds.

    Each round gives one difference (long - short) / copies; the median of the differences is
    robust against a disturbed round. The spread is the order-statistics interval of that median.
    """
    pairs = zip(samples.short_ns, samples.long_ns, strict=True)
    slopes = sorted((long - short) / samples.copies - samples.baseline_ns for short, long in pairs)
    return MarginalCost(
        median_ns=statistics.median(slopes),
        spread_ns=median_half_width(slopes),
        samples=len(slopes),
    )


def median_half_width(ordered: list[float]) -> float:
    """Return half the 90 % interval of the median of sorted values, by order statistics."""
    count = len(ordered)
    reach = round(1.645 * math.sqrt(count) / 2)
    low = max(0, (count - 1) // 2 - reach)
    high = min(count - 1, count // 2 + reach)
    return (ordered[high] - ordered[low]) / 2
