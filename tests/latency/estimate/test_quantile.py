import math

import pytest

from latency.estimate.quantile import t_quantile_90


@pytest.mark.parametrize(
    ("freedom", "quantile"),
    [(1, 6.314), (5, 2.015), (10, 1.812), (11, 1.796), (20, 1.725), (60, 1.671), (math.inf, 1.645)],
)
def test_quantiles_of_the_printed_tables(freedom: float, quantile: float) -> None:
    assert t_quantile_90(freedom) == pytest.approx(quantile, abs=1e-3)


def test_no_freedom_no_quantile() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        t_quantile_90(0)
