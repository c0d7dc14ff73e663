import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.estimator import PriceSource
from latency.estimate.families import family_of
from latency.estimate.gaps import GapModel, _non_negative_least_squares
from latency.estimate.operator_prices import OperatorPrices
from latency.estimate.roofline import roofline_ns
from latency.operator import OperatorKind, OperatorSpec
from latency.table import TableRow
from latency.target import UNKNOWN_DEVICE
from tests.latency import samples
from tests.latency.recorded import recorded_table
from tests.latency.samples import conv, depthwise, row

ESTIMATED, ASSUMED = PriceSource.ESTIMATED, PriceSource.ASSUMED


def cost(spec: OperatorSpec) -> float:
    return 300.0 + 0.004 * spec.macs + 0.2 * spec.traffic_elements


SPECS = [conv(c, d, size) for c in (8, 32) for d in (16, 64) for size in (4, 8, 16)]


def model(*rows: TableRow) -> GapModel:
    return GapModel(rows, UNKNOWN_DEVICE)


def test_a_law_of_work_and_traffic_is_found_again() -> None:
    wanted = conv(48, 96, 12)
    price = model(*(row(spec, cost(spec)) for spec in SPECS)).price(wanted)
    assert price.ns == pytest.approx(cost(wanted), rel=1e-3)
    assert price.spread_ns < 0.1 * price.ns
    assert price.source is ESTIMATED


def test_noise_shows_in_the_spread() -> None:
    rng = np.random.default_rng(0)
    noisy = [row(spec, cost(spec) * (1 + 0.1 * rng.standard_normal())) for spec in SPECS]
    price = model(*noisy).price(conv(48, 96, 12))
    assert price.ns == pytest.approx(cost(conv(48, 96, 12)), rel=0.15)
    assert 0.08 < price.spread_ns / price.ns < 0.35


def test_what_the_law_misses_is_taken_from_the_neighbours() -> None:
    """Small images are twice as slow as the law: an operator beside them is, too."""
    rows = [row(spec, cost(spec) * (2 if spec.height == 4 else 1)) for spec in SPECS]
    near, far = conv(32, 48, 4), conv(32, 48, 16)
    prices = model(*rows)
    assert prices.price(near).ns / cost(near) > 1.5 * prices.price(far).ns / cost(far)


def test_families_have_laws_of_their_own() -> None:
    slow = [depthwise(c, size) for c in (8, 32) for size in (4, 8, 16)]
    rows = [row(spec, cost(spec)) for spec in SPECS] + [row(s, 10 * cost(s)) for s in slow]
    wanted = depthwise(16, 8)
    assert model(*rows).price(wanted).ns == pytest.approx(10 * cost(wanted), rel=0.05)


def test_a_family_without_rows_is_assumed_from_how_far_the_device_is_from_its_roofline() -> None:
    rows = [row(spec, 3 * roofline_ns(spec, UNKNOWN_DEVICE)) for spec in SPECS]
    wanted = samples.plain(OperatorKind.RELU, 32)
    price = model(*rows).price(wanted)
    assert price.source is ASSUMED
    assert price.ns == pytest.approx(3 * roofline_ns(wanted, UNKNOWN_DEVICE), rel=0.3)
    assert price.spread_ns > 0.8 * price.ns


@given(st.integers(1, 512), st.integers(1, 64))
def test_one_row_gives_a_price_of_anything_that_admits_ignorance(channels: int, size: int) -> None:
    price = model(row(conv(8, 8), 500.0)).price(depthwise(channels, size))
    assert price.ns > 0.0
    assert price.spread_ns > price.ns


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


@pytest.mark.parametrize("setting", ["one-thread", "avx2"])
def test_intervals_hold_nine_of_ten_recorded_rows_that_are_left_out(setting: str) -> None:
    table = recorded_table(setting)
    model = GapModel(table.rows, table.target.facts)
    inside = []
    for (family, _), fitted in model.families.items():
        rows = [known for known in table.rows if family_of(known.spec) == family]
        means, deviations = fitted.field.left_out()
        for left, mean, deviation in zip(rows, means, deviations, strict=True):
            cost = fitted.formula_ns(left.spec) * np.exp(mean)
            inside.append(abs(left.median_ns - cost) <= cost * np.expm1(1.645 * deviation))
    assert 0.84 < np.mean(inside) < 0.97


@settings(max_examples=30)
@given(noise=st.floats(0.2, 0.8), wrong=st.floats(1.3, 2.5))
def test_a_row_measured_in_noise_is_drawn_towards_what_the_others_say(
    noise: float, wrong: float
) -> None:
    specs = [conv(width, width, 16, kernel=3, padding=1) for width in range(8, 136, 8)]
    true = {spec: 500.0 + 0.02 * spec.macs for spec in specs}
    noisy = specs[7]
    rows = [row(spec, true[spec], 0.001 * true[spec]) for spec in specs if spec != noisy]
    disturbed = row(noisy, wrong * true[noisy], noise * wrong * true[noisy])
    prices = OperatorPrices([*rows, disturbed])
    for quiet in rows:
        assert prices.price(quiet.spec).ns == quiet.median_ns
    found = prices.price(noisy)
    assert true[noisy] * 0.9 < found.ns < disturbed.median_ns
    assert 0.0 < found.spread_ns < disturbed.spread_ns
    assert found.source is PriceSource.MEASURED


def test_a_noisy_row_alone_in_its_family_stays_what_it_is() -> None:
    alone = row(conv(16, 16), 4000.0, 2000.0)
    assert OperatorPrices([alone]).price(alone.spec).ns == 4000.0
