from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.finalize import knapsack
from search.finalize.knapsack import Option, allocate, least_cost, lower_bound

OPTIONS = st.builds(
    Option, cost=st.integers(0, 30).map(float), distortion=st.integers(0, 20).map(float)
)
GROUPS = st.lists(st.lists(OPTIONS, min_size=1, max_size=4), min_size=0, max_size=5)


def brute_force(groups: list[list[Option]], capacity: float) -> float | None:
    plans = [
        sum(option.distortion for option in plan)
        for plan in product(*groups)
        if sum(option.cost for option in plan) <= capacity
    ]
    return min(plans, default=None)


@settings(max_examples=300, deadline=None)
@given(groups=GROUPS, capacity=st.integers(0, 120).map(float))
def test_plan_is_optimal(groups: list[list[Option]], capacity: float) -> None:
    plan = allocate(groups, capacity)
    best = brute_force(groups, capacity)
    if best is None:
        assert plan is None
        return
    assert plan is not None
    picked = [group[index] for group, index in zip(groups, plan.chosen, strict=True)]
    assert plan.distortion == sum(option.distortion for option in picked) == best
    assert plan.cost == sum(option.cost for option in picked) <= capacity
    assert plan.lower_bound <= best + 1e-9


@settings(max_examples=100, deadline=None)
@given(groups=GROUPS, capacity=st.integers(0, 120).map(float))
def test_thinned_front_stays_within_capacity_and_above_the_bound(
    groups: list[list[Option]], capacity: float
) -> None:
    limit = knapsack.FRONT_LIMIT
    knapsack.FRONT_LIMIT = 3
    try:
        plan = allocate(groups, capacity)
    finally:
        knapsack.FRONT_LIMIT = limit
    assert (plan is None) == (brute_force(groups, capacity) is None)
    if plan is not None:
        assert plan.cost <= capacity
        assert plan.distortion >= plan.lower_bound - 1e-9


STATES = st.integers(0, 2)


@st.composite
def chained_groups(draw: st.DrawFn) -> list[list[Option]]:
    """Groups in which any option leads to a state that the next group may have no option for.

    Each has one that leads from state 0 to state 0.
    """
    groups = []
    for _ in range(draw(st.integers(1, 5))):
        group = draw(
            st.lists(
                st.builds(
                    Option,
                    cost=st.integers(0, 30).map(float),
                    distortion=st.integers(0, 20).map(float),
                    before=STATES,
                    after=STATES,
                ),
                max_size=5,
            )
        )
        groups.append([*group, draw(OPTIONS)])
    return groups


def plans_in_order(groups: list[list[Option]]) -> list[tuple[Option, ...]]:
    return [
        plan
        for plan in product(*groups)
        if all(x.after == y.before for x, y in pairwise((Option(cost=0, distortion=0), *plan)))
    ]


@settings(max_examples=300, deadline=None)
@given(groups=chained_groups(), capacity=st.integers(0, 120).map(float))
def test_plan_of_groups_that_depend_on_each_other_is_optimal(
    groups: list[list[Option]], capacity: float
) -> None:
    sums = [
        (sum(option.cost for option in plan), sum(option.distortion for option in plan))
        for plan in plans_in_order(groups)
    ]
    assert least_cost(groups) == min(cost for cost, _ in sums)
    plan = allocate(groups, capacity)
    best = min((lost for cost, lost in sums if cost <= capacity), default=None)
    if best is None:
        assert plan is None
        return
    assert plan is not None
    picked = tuple(group[index] for group, index in zip(groups, plan.chosen, strict=True))
    assert picked in plans_in_order(groups)
    assert plan.distortion == sum(option.distortion for option in picked) == best
    assert plan.cost == sum(option.cost for option in picked) <= capacity
    # The largest of all Lagrangian bounds, by every slope at which two plans change places.
    slopes = {0.0} | {
        (lost - other) / (dear - cost)
        for cost, lost in sums
        for dear, other in sums
        if dear > cost and lost > other
    }
    bound = max(min(lost + slope * (cost - capacity) for cost, lost in sums) for slope in slopes)
    assert plan.lower_bound == pytest.approx(bound, abs=1e-9)
    assert plan.lower_bound <= best + 1e-9


def test_options_that_lead_nowhere_are_refused() -> None:
    first = [Option(cost=1.0, distortion=0.0, after=1)]
    with pytest.raises(ValueError, match="no options of all groups follow one another"):
        allocate([first, [Option(cost=1.0, distortion=0.0)]], 5.0)
    with pytest.raises(ValueError, match="group 0 has a negative state"):
        allocate([[Option(cost=1.0, distortion=0.0, after=-1)]], 5.0)


def test_bound_is_tight_on_the_hull() -> None:
    group = [Option(cost=0.0, distortion=8.0), Option(cost=4.0, distortion=0.0)]
    assert lower_bound([group, group], 4.0) == pytest.approx(8.0)
    assert lower_bound([group], 2.0) == pytest.approx(4.0)


def test_forty_groups_are_planned_close_to_the_bound() -> None:
    widths = [(1.0, 1.0), (0.75, 0.8), (0.5, 0.6), (0.25, 0.5)]
    groups = [
        [Option(cost=cost * (900 + 37 * n), distortion=(1 - width) ** 2) for width, cost in widths]
        for n in range(40)
    ]
    capacity = 0.7 * sum(group[0].cost for group in groups)
    plan = allocate(groups, capacity)
    assert plan is not None
    assert plan.cost <= capacity
    # One group at most sits between two options in the relaxed problem.
    assert plan.distortion <= plan.lower_bound + 0.3125


def test_empty_group_is_refused() -> None:
    with pytest.raises(ValueError, match="group 1 has no options"):
        allocate([[Option(cost=1.0, distortion=0.0)], []], 5.0)


def test_negative_cost_is_refused() -> None:
    with pytest.raises(ValueError, match="group 0 has a negative cost"):
        allocate([[Option(cost=-1.0, distortion=0.0)]], 5.0)
