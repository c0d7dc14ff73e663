from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.estimator import Prediction
from latency.operator import Regime
from search.strategies.front import (
    Candidate,
    chosen_candidates,
    finer_grid,
    ranked,
    share_grid,
)
from tests.search.space.tables import some_genotype

PREDICTION = Prediction(
    latency_ms=1.0,
    low_ms=0.9,
    high_ms=1.1,
    measured=1,
    transferred=0,
    interpolated=0,
    estimated=0,
    assumed=0,
    regime=Regime.STOCK,
    table_version=1,
    target_fingerprint="x",
)
CANDIDATES = st.lists(
    st.builds(
        lambda seed, used, fitness, distortion: Candidate(
            genotype=some_genotype(seed),
            prediction=PREDICTION,
            budget_used=used / 6,
            shared_weight_accuracy=fitness / 4,
            width_distortion=float(distortion),
            source="test",
        ),
        st.integers(0, 12),
        st.integers(1, 6),
        st.integers(0, 4),
        st.integers(0, 2),
    ),
    max_size=15,
)


def dominates(one: Candidate, other: Candidate) -> bool:
    first, second = (
        (-c.shared_weight_accuracy, c.budget_used, c.width_distortion) for c in (one, other)
    )
    return first != second and all(a <= b for a, b in zip(first, second, strict=True))


@settings(max_examples=80, deadline=None)
@given(candidates=CANDIDATES, wanted=st.integers(1, 6))
def test_the_front_is_offered_first_and_topped_up(candidates: list[Candidate], wanted: int) -> None:
    found = ranked(candidates)
    assert len({one.genotype for one in found}) == len(found)
    assert {one.genotype for one in found} == {one.genotype for one in candidates}
    for one in found:
        assert (one.rank > 0) == any(dominates(other, one) for other in found)
    chosen = chosen_candidates(candidates, wanted)
    front = [one for one in found if one.rank == 0]
    assert len(chosen) == min(wanted, len(found))
    assert all(one in chosen for one in front) or all(one in front for one in chosen)
    assert [c.budget_used for c in chosen] == sorted(c.budget_used for c in chosen)


def test_what_is_derived_is_always_offered_and_others_are_spread() -> None:
    def candidate(seed: int, used: float, fitness: float, *, derived: bool = False) -> Candidate:
        return Candidate(
            genotype=some_genotype(seed),
            prediction=PREDICTION,
            budget_used=used,
            shared_weight_accuracy=fitness,
            width_distortion=0.0,
            source="test",
            derived=derived,
        )

    best, near, middle, derived = (
        candidate(0, 0.1, 0.9),
        candidate(1, 0.11, 0.8),
        candidate(2, 0.3, 0.1),
        candidate(3, 0.9, 0.5, derived=True),
    )
    every = [best, near, middle, derived]
    chosen = [{one.genotype for one in chosen_candidates(every, wanted)} for wanted in (1, 2, 3, 9)]
    assert chosen[0] == {derived.genotype}
    assert chosen[1] == {derived.genotype, best.genotype}
    assert chosen[2] == {derived.genotype, best.genotype, middle.genotype}
    assert chosen[3] == {one.genotype for one in every}
    found = chosen_candidates([derived, replace(derived, derived=False)], 1)
    assert [one.derived for one in found] == [True], "whichever source comes first"


def test_shares_are_in_equal_ratios_and_can_be_made_finer() -> None:
    grid = share_grid(0.125, 4)
    assert grid == pytest.approx([0.125, 0.25, 0.5, 1.0])
    assert (grid[0], grid[-1]) == (0.125, 1.0), "the ends are exact"
    finer = sorted([*grid, *finer_grid(grid)])
    assert finer == pytest.approx(share_grid(0.125, 7))
    assert share_grid(1.0, 4) == [1.0]
