import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.design import ROW_ERROR, Array, choose_points

EVERY = np.ones(6, dtype=bool)


def random_problem(seed: int) -> tuple[Array, Array]:
    """Return shares of 6 operators in 4 networks, and a covariance."""
    rng = np.random.default_rng(seed)
    shares = rng.dirichlet(np.ones(6), size=4)
    root = rng.standard_normal((6, 3))
    return shares, root @ root.T


def network_error(shares: Array, covariance: Array) -> float:
    return float(np.sqrt(np.mean([share @ covariance @ share for share in shares])))


def measured(covariance: Array, chosen: list[int]) -> Array:
    """Return the covariance once some operators have rows, by the textbook formula."""
    cross = covariance[:, chosen]
    known = covariance[np.ix_(chosen, chosen)] + ROW_ERROR**2 * np.eye(len(chosen))
    return covariance - cross @ np.linalg.solve(known, cross.T)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4))
def test_errors_are_those_of_the_conditioned_covariance(seed: int, limit: int) -> None:
    shares, covariance = random_problem(seed)
    design = choose_points(shares, covariance, EVERY, limit=limit)
    assert design.errors[0] == pytest.approx(network_error(shares, covariance))
    for count in range(1, len(design.chosen) + 1):
        left = measured(covariance, list(design.chosen[:count]))
        assert design.errors[count] == pytest.approx(network_error(shares, left), abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_the_first_choice_is_the_best_single_one(seed: int) -> None:
    shares, covariance = random_problem(seed)
    (first,) = choose_points(shares, covariance, EVERY, limit=1).chosen
    errors = [network_error(shares, measured(covariance, [index])) for index in range(6)]
    assert errors[first] == pytest.approx(min(errors), abs=1e-6)


def test_of_twins_one_is_measured() -> None:
    covariance = np.array([[0.1, 0.1, 0.0], [0.1, 0.1, 0.0], [0.0, 0.0, 0.1]])
    shares = np.array([[0.4, 0.4, 0.2]])
    design = choose_points(shares, covariance, EVERY[:3], limit=3, until=0.01)
    assert set(design.chosen) in ({0, 2}, {1, 2})
    assert design.errors[-1] <= 0.01 < design.errors[1]


def test_it_stops_where_everything_is_known_well_enough_and_asks_for_candidates_only() -> None:
    shares, covariance = random_problem(0)
    assert choose_points(shares, covariance, EVERY, limit=6, until=10.0).chosen == ()
    some = np.array([True, False, True, False, False, False])
    assert set(choose_points(shares, covariance, some, limit=6).chosen) <= {0, 2}


def test_a_network_that_is_known_badly_is_asked_for_even_if_typical_ones_are_not() -> None:
    shares = np.array([[1.0, 0.0]] * 9 + [[0.0, 1.0]])
    covariance = np.diag([1e-6, 0.01])
    both = np.ones(2, dtype=bool)
    assert choose_points(shares, covariance, both, limit=2, until=0.05).chosen == ()
    assert choose_points(shares, covariance, both, limit=2, until=0.05, worst=0.03).chosen == (1,)
