"""Can a measurement be trusted? Was the machine quiet, did it keep its speed, is the cost settled?

Whether the machine was quiet is told by the reference model, in the same rounds as the measurement.
"""

import statistics
from collections.abc import Sequence

from latency.measurement import DISTURBED, Conditions, MarginalCost, slowdown

# A cost is settled when half its 90 % interval is at most the larger of these. Measured in new
# sessions beside an undisturbed reference, costs of 1.6 to 3 us differed by 1 to 6 % (standard
# deviation; 2026-11-27, two cores of a shared AMD EPYC): more samples would not tell more. A network
# sums dozens of costs, whose errors of sampling cancel out by the root of their number.
_RELATIVE = 0.03
_ABSOLUTE_NS = 50.0

PATIENCE = 4  # rounds that are taken at most for each one that is kept, in a first try
_MORE_PATIENCE = 3  # times as much from try to try
_MOST_PATIENCE = 36

_SLOWER_CLOCK = 0.8  # boost clocks jitter by less; smaller changes are the reference's to tell


def is_settled(cost: MarginalCost) -> bool:
    """Return whether the interval of a cost is as narrow as it is worth the time to make it."""
    return cost.spread_ns <= max(_RELATIVE * abs(cost.median_ns), _ABSOLUTE_NS)


def unsettled(cost: MarginalCost) -> str:
    """Return what to say of a cost that is not settled, or an empty text."""
    if is_settled(cost):
        return ""
    return (
        f"not settled: {cost.median_ns:.0f} ns within {cost.spread_ns:.0f} ns either way "
        f"after {cost.samples} samples"
    )


def changed_speed(conditions: Sequence[Conditions]) -> str:
    """Return why measurements under these conditions, in order, are not of one machine.

    Empty where the clock, the governor and the heat stayed what they were, or cannot be read.
    """
    governors = [found.governor for found in conditions if found.governor]
    if len(set(governors)) > 1:
        return f"the governor changed from {governors[0]} to {governors[-1]}"
    throttled = [found.throttled for found in conditions if found.throttled is not None]
    if throttled and throttled[-1] > throttled[0]:
        return "the processor was slowed down for heat"
    clocks = [found.frequency_khz for found in conditions if found.frequency_khz]
    if clocks and min(clocks) < max(clocks) * _SLOWER_CLOCK:
        return f"the clock changed between {min(clocks)} and {max(clocks)} kHz"
    return ""


def more_patience(patience: int) -> int:
    """Return how long to wait for quiet rounds in the next try."""
    return min(patience * _MORE_PATIENCE, _MOST_PATIENCE)


class QuietRule:
    """Remembers how fast the reference model can be, and judges measurements by it."""

    def __init__(self, tolerance: float = DISTURBED) -> None:
        self._tolerance = tolerance
        self._fastest_ns: float | None = None

    @property
    def fastest_ns(self) -> float | None:
        """The fastest median of the reference model so far; None before the first."""
        return self._fastest_ns

    def observe(self, reference_ns: Sequence[int]) -> None:
        """Learn from the reference times of one measurement."""
        if reference_ns:
            median = statistics.median(reference_ns)
            self._fastest_ns = min(median, self._fastest_ns or median)

    def disturbed(self, reference_ns: Sequence[int]) -> str:
        """Return why a measurement with these reference times was disturbed, or an empty text."""
        slower = slowdown(reference_ns, self._fastest_ns)
        if slower <= self._tolerance:
            return ""
        return f"disturbed: the reference model took {slower:.2f} times its best"

    def is_quiet(self, reference_ns: Sequence[int]) -> bool:
        """Return whether a measurement with these reference times was undisturbed."""
        return not self.disturbed(reference_ns)

    def kept(
        self, references_ns: Sequence[Sequence[int]], medians_ns: Sequence[float], count: int
    ) -> list[int]:
        """Return which `count` measurements of one thing are to be believed, in order.

        The undisturbed ones that agree with most others; with too few of them, those beside which
        the reference model was fastest.
        """
        quiet = [index for index, times in enumerate(references_ns) if self.is_quiet(times)]
        if len(quiet) < count:
            return self.quietest(references_ns, count)
        middle = statistics.median(medians_ns[index] for index in quiet)
        return sorted(sorted(quiet, key=lambda index: abs(medians_ns[index] - middle))[:count])

    def quietest(self, references_ns: Sequence[Sequence[int]], count: int) -> list[int]:
        """Return the indices of the `count` measurements with the fastest reference, in order."""
        medians = [statistics.median(times) if times else 0.0 for times in references_ns]
        by_noise = sorted(range(len(medians)), key=lambda index: medians[index])
        return sorted(by_noise[:count])
