from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.estimate.density_curves import CurveForm, DensityCurves, curve_ns, form_errors
from latency.operator import OperatorSpec, Regime, SparsityPattern
from latency.table import TableRow
from tests.latency.recorded import recorded_table
from tests.latency.samples import conv, row

KNEE, LINEAR = CurveForm.KNEE, CurveForm.LINEAR
DENSITIES = (0.05, 0.1, 0.25, 0.5, 1.0)


def sparse(channels: int, density: float) -> OperatorSpec:
    dense = conv(channels, channels, regime=Regime.LIBRARY)
    if density == 1.0:
        return dense
    return replace(dense, pattern=SparsityPattern.BLOCK, density=density)


def knee_law(density: float) -> float:
    return max(300.0, 100.0 + 2000.0 * density)


def power_law(density: float) -> float:
    return 100.0 + 1000.0 * float(density**1.5)


def rows_of(
    law: Callable[[float], float], *channels: int, densities: tuple[float, ...] = DENSITIES
) -> list[TableRow]:
    return [row(sparse(c, density), c * law(density)) for c in channels for density in densities]


def test_a_knee_is_found_again_from_three_densities() -> None:
    points = [(density, knee_law(density)) for density in (0.05, 0.25, 1.0)]
    for density in (0.02, 0.1, 0.4, 0.8):
        assert curve_ns(KNEE, points, density) == pytest.approx(knee_law(density))
    assert curve_ns(LINEAR, points, 0.1) == pytest.approx(np.interp(0.1, (0.05, 0.25), (300, 600)))


@given(
    st.lists(st.floats(100.0, 1e6), min_size=3, max_size=3),
    st.floats(0.01, 1.0),
    st.sampled_from(CurveForm),
)
def test_a_curve_meets_its_rows_and_leaves_their_range_by_little(
    costs: list[float], density: float, form: CurveForm
) -> None:
    points = list(zip((0.05, 0.25, 1.0), sorted(costs), strict=True))
    for at, cost in points:
        assert curve_ns(form, points, at) == pytest.approx(cost, rel=1e-6)
    cost = curve_ns(form, points, density)
    assert 0.8 * points[0][1] <= cost <= 1.25 * points[2][1]


@pytest.mark.parametrize(("law", "form"), [(knee_law, KNEE), (power_law, LINEAR)])
def test_a_family_takes_the_form_that_misses_less(
    law: Callable[[float], float], form: CurveForm
) -> None:
    curves = DensityCurves(rows_of(law, 8, 16, 32, 64))
    assert curves.form_of("library conv 1x1")[0] is form
    errors = {error.form: error for error in form_errors(rows_of(law, 8, 16, 32, 64))}
    other = LINEAR if form is KNEE else KNEE
    assert errors[form].mean < errors[other].mean
    assert len(errors[form].misses) == 4 * 3


def test_the_interval_covers_what_the_form_misses_and_no_more_than_twice() -> None:
    found = DensityCurves(rows_of(power_law, 8, 16, 32, 64)).price_ns(sparse(32, 0.15))
    assert found is not None
    cost, half = found
    missed = abs(cost - 32 * power_law(0.15))
    assert missed < half < 0.5 * cost


def test_one_row_makes_no_curve_and_nothing_is_extrapolated_upwards() -> None:
    assert DensityCurves([row(sparse(8, 0.25), 1.0)]).price_ns(sparse(8, 0.5)) is None
    low = rows_of(knee_law, 8, densities=(0.05, 0.25))
    assert DensityCurves(low).price_ns(sparse(8, 0.5)) is None
    assert DensityCurves(low).price_ns(sparse(8, 0.1)) is not None


def test_either_form_is_near_recorded_rows_that_are_left_out() -> None:
    errors = [error for error in form_errors(recorded_table().rows) if len(error.misses) > 20]
    assert {error.form for error in errors} == set(CurveForm)
    assert {error.family for error in errors} == {"library conv 1x1", "library conv"}
    assert all(error.mean < 0.08 for error in errors)
