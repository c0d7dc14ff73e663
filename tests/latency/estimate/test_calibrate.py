from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.estimate.calibrate import (
    fit_calibration,
    published_error,
    quiet_networks,
    spearman,
    widened,
)
from latency.graph import INPUT, NetworkGraph
from latency.measurement import NetworkMeasurement
from latency.operator import OperatorKind, Regime
from latency.table import Calibration
from tests.latency import samples
from tests.latency.samples import conv, row

CONV = conv(32, 32)
POOL = samples.pool(OperatorKind.MAX_POOL, 32)
ROWS = (row(CONV, 3e4), row(POOL, 1e4))
LIKE_SIZE = ((10, 1.069), (11, 1.0623), (12, 1.0862))


def network(depth: int, ns: float) -> NetworkMeasurement:
    """A chain of `depth` times convolution and pool, of 4e4 ns each, measured at `ns`."""
    names = [INPUT, *(f"n{index}" for index in range(2 * depth))]
    nodes = tuple(
        samples.node(names[index + 1], (CONV, POOL)[index % 2], names[index])
        for index in range(2 * depth)
    )
    graph = NetworkGraph(input_shape=(32, 8, 8), nodes=nodes)
    return NetworkMeasurement(name=f"d{depth}", processes_ns=((round(ns),) * 3,), graph=graph)


def measured(slope: float, intercept: float, depths: list[int]) -> list[NetworkMeasurement]:
    return [network(depth, intercept + slope * 4e4 * depth) for depth in depths]


def test_a_line_is_found_up_to_the_pull_of_the_prior() -> None:
    calibration = fit_calibration(ROWS, measured(1.1, 1e4, [3, 5, 8, 12, 16, 20]))
    assert calibration.networks == 6
    for depth in (3, 10, 20):
        predicted = calibration.intercept_ns + calibration.slope * 4e4 * depth
        assert predicted == pytest.approx(1e4 + 1.1 * 4e4 * depth, rel=0.02)


def test_a_disturbed_network_does_not_tilt_the_line() -> None:
    networks = measured(1.1, 0.0, [3, 5, 8, 10, 12, 16, 20])
    networks[3] = network(10, 2.0 * 1.1 * 4e5)
    calibration = fit_calibration(ROWS, networks)
    assert calibration.slope == pytest.approx(1.1, rel=0.04)
    assert calibration.sigma > 0.1  # and it is not hidden


@pytest.mark.parametrize(("disturbed", "used"), [(0, 8), (2, 6), (4, 4), (5, 8), (8, 8)])
def test_disturbed_networks_count_where_undisturbed_ones_are_few(disturbed: int, used: int) -> None:
    depths = [3, 5, 8, 10, 12, 16, 18, 20]
    networks = [
        replace(
            network(depth, (1.4 if index < disturbed else 1.0) * 4e4 * depth),
            reference_ns=((120 if index < disturbed else 100,) * 5,) * 3,
        )
        for index, depth in enumerate(depths)
    ]
    calibration = fit_calibration(ROWS, networks)
    assert calibration.networks == used
    assert (calibration.slope == pytest.approx(1.0, rel=0.01)) == (disturbed <= 4)


def test_disturbed_networks_count_less() -> None:
    depths = [3, 8, 12, 16, 20]
    slow = {3, 20}
    networks = [
        replace(
            network(depth, (1.2 if depth in slow else 1.0) * 4e4 * depth),
            reference_ns=((120 if depth in slow else 100,) * 5,) * 3,
        )
        for depth in depths
    ]
    alike = [replace(one, reference_ns=()) for one in networks]
    errors = []
    for known in (networks, alike):
        line = fit_calibration(ROWS, known)
        errors.append([line.intercept_ns / (4e4 * depth) + line.slope - 1 for depth in depths])
    assert max(map(abs, errors[0])) < max(map(abs, errors[1]))


def test_few_networks_of_like_size_do_not_tilt_the_line() -> None:
    # Measured: three undisturbed networks of cells, whose own line has a slope of 1.16.
    calibration = fit_calibration(
        ROWS, [network(depth, ratio * 4e4 * depth) for depth, ratio in LIKE_SIZE]
    )
    assert calibration.slope == pytest.approx(1.0, abs=0.05)


@pytest.mark.parametrize(("disturbed", "used"), [(0, 6), (2, 4), (3, 6), (6, 6)])
def test_networks_of_a_disturbed_machine_are_left_out_unless_they_are_many(
    disturbed: int, used: int
) -> None:
    networks = [
        replace(found, reference_ns=((100 if index >= disturbed else 120,) * 5,) * 3)
        for index, found in enumerate(measured(1.0, 0.0, [3, 5, 8, 12, 16, 20]))
    ]
    assert quiet_networks(networks, Regime.STOCK) == networks[6 - used :]
    torn = [
        replace(found, processes_ns=((950,), (1000,), (1100 if index < disturbed else 980,)))
        for index, found in enumerate(networks[3:] + networks[3:])
    ]
    torn = [replace(found, reference_ns=()) for found in torn]
    assert quiet_networks(torn, Regime.STOCK) == torn[6 - used :]
    unknown = [*networks, network(7, 3e5)]  # without a reference: never left out
    assert network(7, 3e5) in quiet_networks(unknown, Regime.STOCK)


def test_one_network_moves_the_line_to_itself() -> None:
    calibration = fit_calibration(ROWS, measured(1.3, 0.0, [7]))
    predicted = calibration.intercept_ns + calibration.slope * 4e4 * 7
    assert predicted == pytest.approx(1.3 * 4e4 * 7, rel=0.01)
    assert calibration.sigma >= 0.05


def test_networks_of_one_size_do_not_invent_an_intercept() -> None:
    noise = [0.99, 1.01, 1.0, 1.02, 0.98, 1.0]
    networks = [
        network(depth, 4.4e4 * depth * n) for depth, n in zip([10, 11] * 3, noise, strict=True)
    ]
    calibration = fit_calibration(ROWS, networks)
    assert abs(calibration.intercept_ns) < 0.1 * 4.4e5


def test_sigma_is_what_left_out_networks_miss() -> None:
    networks = [network(d, 4.4e4 * d * (1 + 0.03 * (-1) ** d)) for d in range(4, 24)]
    assert 0.03 < fit_calibration(ROWS, networks).sigma < 0.04
    assert fit_calibration(ROWS, measured(1.1, 0.0, [3, 5, 8, 12])).sigma > 0.0


def test_failed_networks_and_files_are_left_out() -> None:
    good = measured(1.2, 0.0, [4, 6, 8, 10])
    failed = replace(network(5, 9e9), error="the measuring process ended with code -9")
    empty = replace(network(5, 9e9), processes_ns=())
    file = replace(network(5, 9e9), graph=None)
    assert fit_calibration(ROWS, [*good, failed, empty, file]) == fit_calibration(ROWS, good)
    assert fit_calibration(ROWS, [failed, empty, file]) == Calibration()


def test_held_out_networks_widen_the_interval_and_move_nothing_else() -> None:
    fitted = fit_calibration(ROWS, measured(1.0, 0.0, [3, 5, 8, 12, 16, 20]))
    table = replace(samples.table(*ROWS), calibration=fitted)
    missed = widened(table, measured(1.1, 0.0, [4, 10]))
    assert missed.sigma == pytest.approx(1 - 1 / 1.1, rel=0.1)
    assert replace(missed, sigma=fitted.sigma) == fitted
    assert widened(table, measured(1.0, 0.0, [4, 10])).sigma == fitted.sigma
    assert widened(table, []) == fitted


def test_published_error_counts_what_it_says() -> None:
    table = samples.table(*ROWS)  # predicts 0.04 ms per depth
    networks = [network(10, 4e5 / 1.02), network(11, 4.4e5 / 0.93), network(12, 4.8e5 / 1.2)]
    error = published_error(table, networks)
    assert error is not None
    assert error.networks == 3
    assert error.mape == pytest.approx((0.02 + 0.07 + 0.2) / 3, abs=1e-6)
    assert error.within_5 == pytest.approx(1 / 3)
    assert error.within_10 == pytest.approx(2 / 3)
    assert error.worst == pytest.approx(0.2, abs=1e-6)
    assert error.spearman == pytest.approx(0.5)
    assert published_error(table, []) is None


@given(st.lists(st.integers(-20, 20), min_size=3, max_size=12))
def test_rank_correlation_sees_order_only(values: list[int]) -> None:
    first = np.array(values, dtype=float)
    constant = len(set(values)) == 1
    assert spearman(first, np.exp(first / 5)) == pytest.approx(0.0 if constant else 1.0)
    assert spearman(first, -first) == pytest.approx(0.0 if constant else -1.0)


def test_rank_correlation_against_known_values() -> None:
    assert spearman(np.array([1.0, 2, 3, 4, 5]), np.array([2.0, 1, 4, 3, 5])) == pytest.approx(0.8)
    assert spearman(np.array([1.0, 2]), np.array([1.0, 2])) == 0.0
    tied = np.array([1.0, 1, 1, 2])  # by rounding its correlation with itself is above 1
    assert spearman(tied, tied) == 1.0
