"""From the sum of a network's rows to its latency with a 90 % interval; for one network or many."""

import math

import numpy as np
import numpy.typing as npt

from latency.estimate.quantile import t_quantile_90
from latency.table import Calibration

# Relative standard deviation where no whole network was measured: plain sums of marginal costs
# were up to 13 % below whole networks on x86-64.
UNCALIBRATED_SIGMA = 0.08

Floats = npt.NDArray[np.float64]


def calibrated_ns(
    calibration: Calibration, total_ns: Floats | float, spread_ns: Floats | float
) -> tuple[Floats, Floats, Floats]:
    """Return latency, low and high end of its 90 % interval, in nanoseconds.

    Args:
        calibration: of the regime.
        total_ns: sum of the rows.
        spread_ns: half width of the interval of that sum.
    """
    latency = np.maximum(0.0, calibration.intercept_ns + calibration.slope * np.asarray(total_ns))
    half = np.hypot(calibration.slope * np.asarray(spread_ns), unexplained(calibration) * latency)
    return latency, np.maximum(0.0, latency - half), latency + half


def unexplained(calibration: Calibration) -> float:
    """Return the relative half width of what rows do not explain, at 90 %."""
    if calibration.networks == 0:
        return t_quantile_90(math.inf) * UNCALIBRATED_SIGMA
    return t_quantile_90(max(1, calibration.networks - 1)) * calibration.sigma
