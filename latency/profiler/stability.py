"""Was the machine quiet? Told by the reference model, in the same rounds as the measurement."""

import statistics
from collections.abc import Sequence

TOLERANCE = 1.08  # a slower reference than this times the fastest one seen means disturbed


class QuietRule:
    """Remembers how fast the reference model can be, and judges measurements by it."""

    def __init__(self, tolerance: float = TOLERANCE) -> None:
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

    def is_quiet(self, reference_ns: Sequence[int]) -> bool:
        """Return whether a measurement with these reference times was undisturbed."""
        if not reference_ns or self._fastest_ns is None:
            return True
        return statistics.median(reference_ns) <= self._fastest_ns * self._tolerance

    def quietest(self, references_ns: Sequence[Sequence[int]], count: int) -> list[int]:
        """Return the indices of the `count` measurements with the fastest reference, in order."""
        medians = [statistics.median(times) if times else 0.0 for times in references_ns]
        by_noise = sorted(range(len(medians)), key=lambda index: medians[index])
        return sorted(by_noise[:count])
