"""Is a network better than a control? Judged by accuracy on the whole test set, both in budget."""

import math
import statistics
from dataclasses import dataclass

_Z90 = 1.645  # standard errors in half a 90 % interval


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """Accuracies of one network on the whole test set, one for each training.

    Raises:
        ValueError: there are none, or no test images.
    """

    values: tuple[float, ...]  # fractions
    test_images: int

    def __post_init__(self) -> None:
        if not self.values or self.test_images < 1:
            raise ValueError("accuracies: one training and one test image are needed at least")

    @property
    def mean(self) -> float:
        """Mean over the trainings."""
        return statistics.fmean(self.values)

    @property
    def spread(self) -> float | None:
        """Standard deviation over the trainings; None with a single one."""
        return statistics.stdev(self.values) if len(self.values) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a searched network compares with one control."""

    control: str
    gained: float  # difference of the mean accuracies, above 0 where the searched one is better
    uncertainty: float  # differences up to this say nothing

    @property
    def is_better(self) -> bool:
        """Whether the searched network is better by more than the uncertainty."""
        return self.gained > self.uncertainty

    def text(self) -> str:
        """Return the verdict in words."""
        if not self.is_better:
            return f"not better than control {self.control}"
        points = f"{100 * self.gained:.2f} ± {100 * self.uncertainty:.2f} points"
        return f"better than control {self.control} by {points}"


def judge(control: str, searched: Accuracies, rival: Accuracies) -> Verdict:
    """Compare a searched network with a control.

    The uncertainty is half the 90 % interval of the difference by the binomial standard errors,
    since another test set of that size would give other accuracies; with several trainings it is
    their spread where that is larger. Both take the two networks as independent, which errs on the
    side of the control: they see the same images.
    """
    binomial = _Z90 * math.hypot(*(_standard_error(found) for found in (searched, rival)))
    spread = math.hypot(*(found.spread or 0.0 for found in (searched, rival)))
    return Verdict(
        control=control, gained=searched.mean - rival.mean, uncertainty=max(binomial, spread)
    )


def _standard_error(found: Accuracies) -> float:
    return math.sqrt(found.mean * (1.0 - found.mean) / found.test_images)
