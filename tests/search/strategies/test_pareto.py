import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.strategies.pareto import crowding, crowding_by_rank, ranks

POINTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 2)), min_size=1, max_size=25
).map(lambda points: np.array(points, dtype=float))


def dominated(point: np.ndarray, by: np.ndarray) -> bool:
    return bool(all(by <= point) and any(by < point))


@settings(max_examples=150, deadline=None)
@given(points=POINTS)
def test_ranks_are_fronts_taken_off_one_by_one(points: np.ndarray) -> None:
    left = set(range(len(points)))
    wanted: dict[int, int] = {}
    rank = 0
    while left:
        front = {
            index
            for index in left
            if not any(dominated(points[index], points[other]) for other in left)
        }
        wanted |= dict.fromkeys(front, rank)
        left -= front
        rank += 1
    assert ranks(points).tolist() == [wanted[index] for index in range(len(points))]


def test_the_ends_are_lonely_and_the_crowded_are_not() -> None:
    points = np.array([[0.0, 10.0], [1.0, 9.0], [3.0, 7.0], [9.0, 1.0], [10.0, 0.0]])
    found = crowding(points)
    assert np.isinf(found[[0, 4]]).all()
    assert found[1:4] == pytest.approx([2 * 0.3, 2 * 0.8, 2 * 0.7])


@settings(max_examples=50, deadline=None)
@given(points=POINTS)
def test_crowding_looks_at_its_own_rank_only(points: np.ndarray) -> None:
    of_ranks = ranks(points)
    found = crowding_by_rank(points, of_ranks)
    assert not np.isnan(found).any()
    assert (found >= 0.0).all()
    first = of_ranks == 0
    assert (found[first] == crowding(points[first])).all()
