import pytest

from latency.plan import MeasuringCosts, Plan
from tests.latency import samples

A, B, C = samples.conv(4, 4), samples.conv(4, 8), samples.conv(8, 8)


def test_minutes_add_operators_and_processes_of_networks() -> None:
    costs = MeasuringCosts(operator_s=0.5, process_s=2.0)
    plan = Plan(operators=(A, B, C), networks=4, processes=3, costs=costs)
    assert plan.minutes == pytest.approx((3 * 0.5 + 12 * 2.0) / 60)
    assert Plan(operators=()).minutes == 0.0


def test_history_replaces_the_defaults_where_there_is_one() -> None:
    costs = MeasuringCosts.observed(operators=100, operators_s=30.0)
    assert costs.operator_s == pytest.approx(0.3)
    assert costs.process_s == MeasuringCosts().process_s
    costs = MeasuringCosts.observed(operators=0, operators_s=0.0, processes=4, processes_s=2.0)
    assert costs == MeasuringCosts(operator_s=MeasuringCosts().operator_s, process_s=0.5)
