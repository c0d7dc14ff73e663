import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.gaps import _non_negative_least_squares, family_of, fit_gap_model
from latency.operator import OperatorKind, OperatorSpec
from tests.latency import samples
from tests.latency.samples import conv, depthwise, row


def cost(spec: OperatorSpec) -> float:
    return 300.0 + 0.004 * spec.macs + 0.2 * spec.traffic_elements


SPECS = [conv(c, d, size) for c in (8, 32) for d in (16, 64) for size in (4, 8, 16)]


def test_a_law_of_work_and_traffic_is_found_again() -> None:
    model = fit_gap_model([row(spec, cost(spec)) for spec in SPECS])
    wanted = conv(48, 96, 12)
    ns, spread = model.price_ns(wanted)
    assert ns == pytest.approx(cost(wanted), rel=1e-6)
    assert spread == pytest.approx(0.0, abs=1e-3)


def test_noise_shows_in_the_spread() -> None:
    rng = np.random.default_rng(0)
    noisy = [row(spec, cost(spec) * (1 + 0.1 * rng.standard_normal())) for spec in SPECS]
    ns, spread = fit_gap_model(noisy).price_ns(conv(48, 96, 12))
    assert ns == pytest.approx(cost(conv(48, 96, 12)), rel=0.15)
    assert 0.08 < spread / ns < 0.35


def test_families_have_laws_of_their_own() -> None:
    slow = [
        row(depthwise(c, size), 10 * cost(depthwise(c, size))) for c in (8, 32) for size in (4, 8)
    ]
    model = fit_gap_model([row(spec, cost(spec)) for spec in SPECS] + slow)
    wanted = depthwise(16, 8)
    assert model.price_ns(wanted)[0] == pytest.approx(10 * cost(wanted), rel=1e-6)
    assert family_of(wanted) != family_of(conv(16, 16))


def test_an_unknown_family_is_priced_by_all_rows() -> None:
    model = fit_gap_model([row(spec, cost(spec)) for spec in SPECS])
    wanted = samples.plain(OperatorKind.RELU, 32)
    assert model.price_ns(wanted)[0] == pytest.approx(cost(wanted), rel=1e-6)


def test_one_row_gives_an_estimate_that_admits_ignorance() -> None:
    ns, spread = fit_gap_model([row(conv(8, 8), 500.0)]).price_ns(conv(16, 16))
    assert ns > 0.0
    assert spread > 0.5 * ns


@settings(max_examples=60)
@given(st.integers(0, 10_000), st.integers(3, 12))
def test_non_negative_least_squares_meets_the_optimality_conditions(seed: int, rows: int) -> None:
    """Karush-Kuhn-Tucker: no gradient where x > 0, none that points inwards where x = 0."""
    rng = np.random.default_rng(seed)
    matrix, target = rng.standard_normal((rows, 3)), rng.standard_normal(rows)
    solution = _non_negative_least_squares(matrix, target)
    gradient = matrix.T @ (matrix @ solution - target)
    assert (solution >= 0).all()
    assert np.abs(gradient[solution > 0]).max(initial=0.0) < 1e-8
    assert gradient[solution == 0].min(initial=0.0) > -1e-8
