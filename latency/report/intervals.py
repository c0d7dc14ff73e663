"""Ratios of two measured costs, with an interval that also covers what one session cannot see."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

# A row measured again in fresh sessions spreads by 2.5 to 4.3 % over five sessions on x86-64,
# which is this relative standard deviation. The spread of a row is that within one session.
BETWEEN_SESSIONS = 0.015
Z_90 = 1.645
Z_99 = 2.576
LEAST_NS = 50.0  # a cheaper operator is within the noise: its ratios say nothing


@dataclass(frozen=True, kw_only=True)
class Ratio:
    """A ratio with its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """A cost and the half width of its 90 % interval, nanoseconds."""

    ns: float
    spread_ns: float

    @property
    def floor_ns(self) -> float:
        """What is within the noise, nanoseconds."""
        return max(LEAST_NS, self.spread_ns)

    @property
    def is_measurable(self) -> bool:
        """Whether it stands out of the noise, so that a ratio with it means something."""
        return self.ns > self.floor_ns

    @property
    def deviation(self) -> float:
        """Relative standard deviation."""
        within = math.log1p(self.spread_ns / self.ns) / Z_90
        return math.hypot(within, BETWEEN_SESSIONS)


def ratio_of(above: Cost, below: Cost, z: float) -> Ratio:
    """Return above / below; errors are taken to be independent and relative."""
    half = z * math.hypot(above.deviation, below.deviation)
    return ratio_around(math.log(above.ns / below.ns), half)


def mean_ratio(logs: Sequence[float], deviations: Sequence[float], z: float) -> Ratio:
    """Return the geometric mean of ratios, given as logarithms with their deviations.

    Part of the deviation between sessions is common to all rows of a session, so it does not
    shrink with their number: the interval is never narrower than that of one row.
    """
    count = len(logs)
    own = math.sqrt(math.fsum(deviation**2 for deviation in deviations)) / count
    common = math.sqrt(2) * BETWEEN_SESSIONS
    return ratio_around(math.fsum(logs) / count, z * max(own, common))


def geometric_mean(values: Sequence[float]) -> float:
    """Return the geometric mean of positive values."""
    return math.exp(math.fsum(map(math.log, values)) / len(values))


def ratio_around(log: float, half: float) -> Ratio:
    """Return the ratio with this logarithm, and the interval of this half width around it."""
    return Ratio(value=math.exp(log), low=math.exp(log - half), high=math.exp(log + half))
