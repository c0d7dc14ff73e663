"""Two-sided 90 % quantile of Student's t distribution: how far few samples may be off."""

import math

# 95th percentile for 1 to 10 degrees of freedom, then the normal distribution's plus its first
# two terms of the Cornish-Fisher expansion (Abramowitz and Stegun, 26.7.5), right to 0.001.
_SMALL = (6.314, 2.920, 2.353, 2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812)
_Z = 1.644854


def t_quantile_90(degrees_of_freedom: float) -> float:
    """Return t with P(|T| <= t) = 0.9.

    Raises:
        ValueError: fewer than one degree of freedom.
    """
    if degrees_of_freedom < 1:
        raise ValueError(f"degrees of freedom must be at least 1, got {degrees_of_freedom}")
    if degrees_of_freedom <= len(_SMALL):
        return _SMALL[math.floor(degrees_of_freedom) - 1]
    first = (_Z**3 + _Z) / 4 / degrees_of_freedom
    second = (5 * _Z**5 + 16 * _Z**3 + 3 * _Z) / 96 / degrees_of_freedom**2
    return _Z + first + second
