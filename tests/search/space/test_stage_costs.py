"""Costs of networks of stages are the sums that the table predicts with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.space.stage_networks import build_stages
from tests.search.space.stages import FACTORS, SPACE, costs_of, estimator_of


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(sorted(FACTORS)),
    group=st.integers(0, 7),
    number=st.integers(0, 18**3 - 1),
)
def test_upper_ends_are_bounds_and_nearly_those_of_the_table(
    name: str, group: int, number: int
) -> None:
    found = list(costs_of(name).groups())[group]
    genotype = SPACE.skeleton.genotype(found.choice(number))
    wanted = estimator_of(name).predict(build_stages(genotype, SPACE.task))
    assert found.high_ms[number] <= wanted.high_ms * (1 + 1e-12)
    regimes = costs_of(name).regimes
    if len(regimes) == 1 or name != "both":
        assert found.high_ms[number] == pytest.approx(wanted.high_ms, rel=1e-2)


def test_every_network_is_in_one_group() -> None:
    groups = list(costs_of("stock").groups())
    assert len(groups) == 2 * 2 * 2
    assert {len(group.high_ms) for group in groups} == {18**3}
    some = np.random.default_rng(0).choice(18**3, 50, replace=False).tolist()
    choices = {group.choice(number) for group in groups for number in some}
    assert len({SPACE.skeleton.genotype(choice) for choice in choices}) == 8 * 50
