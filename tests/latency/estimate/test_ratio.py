"""How much faster one network is than another that was timed in the same processes."""

import math

import pytest

from latency.estimate.ratio import speed_up


def test_ratio_is_that_of_the_medians_of_each_process() -> None:
    found = speed_up([(10, 11, 900), (20, 22, 24)], [(22, 22, 22), (66, 66, 10)])
    assert found is not None
    assert found.ratio == pytest.approx(math.sqrt(2 * 3))
    assert found.processes == 2


def test_interval_is_students() -> None:
    ratios = (2.0, 2.2, 1.9, 2.1, 2.05)
    found = speed_up([(1_000_000,)] * 5, [(round(1_000_000 * ratio),) for ratio in ratios])
    assert found is not None
    logs = [math.log(ratio) for ratio in ratios]
    mean = sum(logs) / 5
    deviation = math.sqrt(sum((value - mean) ** 2 for value in logs) / 4)
    half = 2.776 * deviation / math.sqrt(5)
    assert found.low == pytest.approx(math.exp(mean - half), rel=1e-5)
    assert found.high == pytest.approx(math.exp(mean + half), rel=1e-5)
    assert found.low < found.ratio < found.high


def test_equal_processes_leave_no_doubt_and_one_process_leaves_all() -> None:
    sure = speed_up([(10,)] * 3, [(30,)] * 3)
    assert sure is not None
    assert (sure.low, sure.high) == pytest.approx((3.0, 3.0))
    unsure = speed_up([(10,)], [(30,)])
    assert unsure is not None
    assert (unsure.low, unsure.high) == (0.0, math.inf)


def test_without_samples_there_is_no_ratio() -> None:
    assert speed_up([], []) is None
    with pytest.raises(ValueError, match="argument"):
        speed_up([(10,)], [])
