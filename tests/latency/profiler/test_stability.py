import pytest

from latency.measurement import MarginalCost
from latency.profiler.stability import QuietRule, is_settled, unsettled


@pytest.mark.parametrize(
    ("median_ns", "spread_ns", "settled"),
    [
        (100.0, 50.0, True),  # the floor
        (100.0, 51.0, False),
        (-5.0, 49.0, True),  # an operator that costs nothing
        (10_000.0, 300.0, True),  # 3 %
        (10_000.0, 301.0, False),
    ],
)
def test_a_cost_is_settled_when_its_interval_is_narrow(
    median_ns: float, spread_ns: float, *, settled: bool
) -> None:
    cost = MarginalCost(median_ns=median_ns, spread_ns=spread_ns, samples=240)
    assert is_settled(cost) is settled
    assert bool(unsettled(cost)) is not settled
    if not settled:
        assert "after 240 samples" in unsettled(cost)


def test_why_a_measurement_was_disturbed_is_said() -> None:
    rule = QuietRule(tolerance=1.1)
    rule.observe([100])
    assert rule.disturbed([110]) == ""
    assert rule.disturbed([150]) == "disturbed: the reference model took 1.50 times its best"
    assert rule.disturbed([]) == ""


def test_the_fastest_reference_is_the_measure() -> None:
    rule = QuietRule(tolerance=1.1)
    assert rule.fastest_ns is None
    assert rule.is_quiet([500])  # nothing is known yet
    rule.observe([100, 102, 300])
    rule.observe([200, 200, 200])
    assert rule.fastest_ns == 102
    assert rule.is_quiet([110, 112, 900])
    assert not rule.is_quiet([113, 113, 100])


def test_nothing_observed_is_nothing_learnt() -> None:
    rule = QuietRule()
    rule.observe([])
    assert rule.fastest_ns is None
    assert rule.is_quiet([])


def test_the_quietest_are_kept_in_order_of_time() -> None:
    assert QuietRule().quietest([[9], [3], [5], [4]], 3) == [1, 2, 3]
    assert QuietRule().quietest([[9]], 3) == [0]
