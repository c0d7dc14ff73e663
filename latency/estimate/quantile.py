"""Two-sided quantiles of Student's t distribution: how far few samples may be off."""

import math

# Percentiles for 1 to 10 degrees of freedom, then the normal distribution's plus its first two
# terms of the Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5), right to 0.002.
_SMALL_90 = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
_Z_90 = 1.644854
_SMALL_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
_Z_95 = 1.959964


def t_quantile_90(degrees_of_freedom: float) -> float:
    """Return t with P(|T| <= t) = 0.9.

    Raises:
        ValueError: fewer than one degree of freedom.
    """
    return _quantile(degrees_of_freedom, _SMALL_90, _Z_90)


def t_quantile_95(degrees_of_freedom: float) -> float:
    """Return t with P(|T| <= t) = 0.95.

    Raises:
        ValueError: fewer than one degree of freedom.
    """
    return _quantile(degrees_of_freedom, _SMALL_95, _Z_95)


def _quantile(freedom: float, small: tuple[float, ...], z: float) -> float:
    if freedom < 1:
        raise ValueError(f"degrees of freedom must be at least 1, got {freedom}")
    if freedom <= len(small):
        return small[math.floor(freedom) - 1]
    first = (z**3 + z) / 4 / freedom
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96 / freedom**2
    return z + first + second
