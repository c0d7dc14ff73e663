import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from latency.estimate.residual_field import PRIOR_PARTS, ResidualField, likeliest_parts
from tests.latency.samples import conv, depthwise

SPECS = [conv(c, d, size) for c in (8, 32) for d in (16, 64) for size in (4, 8, 16)]
OTHERS = [depthwise(c, size) for c in (8, 16, 32) for size in (4, 8, 16)]


def test_without_residuals_it_is_as_unsure_as_its_parts() -> None:
    (mean,), (deviation,) = ResidualField([], [], PRIOR_PARTS).at([conv(8, 8)])
    assert mean == 0.0
    assert deviation == pytest.approx(math.hypot(0.65, 0.4, 0.3, 0.02))


def test_a_known_operator_tells_most_of_its_neighbours() -> None:
    field = ResidualField([conv(32, 32)], [0.5], replace(PRIOR_PARTS, common=0.0))
    specs = [conv(32, 32), conv(32, 48), conv(32, 256), depthwise(32)]
    means, deviations = field.at(specs)
    assert means[0] == pytest.approx(0.5, rel=0.01)
    assert means[0] > means[1] > means[2] > 0.0
    assert means[3] == 0.0
    assert sorted(deviations) == list(deviations)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, len(SPECS) - 1))
def test_left_out_is_what_a_field_without_the_operator_says(seed: int, index: int) -> None:
    residuals = np.random.default_rng(seed).standard_normal(len(SPECS))
    means, deviations = ResidualField(SPECS, list(residuals), PRIOR_PARTS).left_out()
    others = [spec for spec in SPECS if spec != SPECS[index]]
    values = [value for at, value in enumerate(residuals) if at != index]
    (mean,), (deviation,) = ResidualField(others, values, PRIOR_PARTS).at([SPECS[index]])
    assert means[index] == pytest.approx(mean)
    assert deviations[index] == pytest.approx(deviation)


def test_one_slow_family_is_told_from_a_slow_device() -> None:
    rng = np.random.default_rng(0)
    noise = 0.02 * rng.standard_normal(len(SPECS) + len(OTHERS))
    shift = np.repeat([0.3, 0.0], [len(SPECS), len(OTHERS)])
    one = likeliest_parts(SPECS + OTHERS, list(shift + noise), shared=True, believed=0.05)
    every = likeliest_parts(SPECS + OTHERS, list(0.3 + noise), shared=True, believed=0.05)
    assert one.family > one.local
    assert every.common > every.family


def test_noise_is_not_taken_for_a_neighbourhood() -> None:
    rng = np.random.default_rng(1)
    parts = likeliest_parts(
        SPECS, list(0.1 * rng.standard_normal(len(SPECS))), shared=False, believed=0.1
    )
    assert 0.07 < math.hypot(parts.local, parts.noise) < 0.15
    assert (parts.common, parts.family) == (0.0, 0.0)


def test_few_residuals_that_happen_to_be_small_are_not_believed() -> None:
    parts = likeliest_parts(SPECS[:3], [0.001, -0.001, 0.0], shared=False, believed=0.1)
    assert math.hypot(parts.local, parts.noise) > 0.05
    many = likeliest_parts(SPECS + OTHERS, [0.0] * 21, shared=False, believed=0.1)
    assert math.hypot(many.local, many.noise) < math.hypot(parts.local, parts.noise)
