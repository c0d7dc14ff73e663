import numpy as np
import pytest

from benchmarks.knapsack import MOST_GAP, drawn_groups, gap


@pytest.mark.parametrize("seed", range(3))
def test_plans_are_near_the_optimum(seed: int) -> None:
    rng = np.random.default_rng(seed)
    above_best, above_bound = gap(drawn_groups(rng, 5, 4), rng.uniform(0.1, 0.8))
    assert -1e-9 <= above_best <= MOST_GAP
    assert above_bound >= above_best - 1e-9
