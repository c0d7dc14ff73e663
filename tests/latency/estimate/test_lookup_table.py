import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.estimate.estimator import LatencyEstimator, PriceSource
from latency.estimate.lookup_table import TableEstimator
from latency.graph import INPUT, NetworkGraph
from latency.operator import OperatorKind, OperatorSpec, Regime, SparsityPattern
from latency.table import TRANSFERRED, Calibration
from tests.latency import samples
from tests.latency.samples import conv, row

BLOCK, UNSTRUCTURED = SparsityPattern.BLOCK, SparsityPattern.UNSTRUCTURED
DENSE = conv(32, 32)
MEASURED, INTERPOLATED = PriceSource.MEASURED, PriceSource.INTERPOLATED


def sparse(density: float, pattern: SparsityPattern = BLOCK) -> OperatorSpec:
    return replace(DENSE, pattern=pattern, density=density)


def test_a_row_is_the_price() -> None:
    price = TableEstimator(samples.table(row(DENSE, 700.0, 20.0))).price(DENSE)
    assert (price.ns, price.spread_ns, price.source) == (700.0, 20.0, MEASURED)


def test_a_slightly_negative_row_costs_nothing() -> None:
    assert TableEstimator(samples.table(row(DENSE, -3.0))).price(DENSE).ns == 0.0


def test_density_is_interpolated_between_rows_of_the_pattern_and_the_dense_row() -> None:
    rows = (row(DENSE, 1000.0), row(sparse(0.5), 600.0), row(sparse(0.1), 200.0))
    estimator = TableEstimator(samples.table(*rows))
    assert estimator.price(sparse(0.3)).ns == pytest.approx(400.0)
    assert estimator.price(sparse(0.75)).ns == pytest.approx(800.0)
    assert estimator.price(sparse(0.3)).source is INTERPOLATED
    assert estimator.price(sparse(0.02)).ns == 200.0  # never extrapolated downwards


def test_a_pattern_without_rows_is_priced_as_dense() -> None:
    estimator = TableEstimator(samples.table(row(DENSE, 1000.0, 7.0), row(sparse(0.5), 600.0)))
    price = estimator.price(sparse(0.25, UNSTRUCTURED))
    assert (price.ns, price.spread_ns, price.source) == (1000.0, 7.0, MEASURED)


def test_channels_are_interpolated_where_rows_bracket_them() -> None:
    rows = (row(conv(16, 32), 200.0), row(conv(48, 32), 600.0), row(conv(32, 8), 100.0))
    price = TableEstimator(samples.table(*rows)).price(conv(24, 32))
    assert price.ns == pytest.approx(300.0)
    assert price.source is INTERPOLATED


def test_concat_channels_are_interpolated_by_number_of_inputs() -> None:
    def concat(channels: int, inputs: int) -> OperatorSpec:
        return samples.plain(OperatorKind.CONCAT, channels, inputs=inputs)

    rows = (row(concat(16, 4), 100.0), row(concat(48, 4), 300.0), row(concat(48, 2), 7.0))
    estimator = TableEstimator(samples.table(*rows))
    assert estimator.price(concat(32, 4)).ns == pytest.approx(200.0)
    assert estimator.price(concat(32, 2)).source is PriceSource.ASSUMED


def test_what_nothing_brackets_is_estimated_with_a_wide_interval() -> None:
    rows = [row(conv(c, c, size), 100.0 + 3 * c * c) for c in (8, 16, 32) for size in (4, 8)]
    price = TableEstimator(samples.table(*rows)).price(conv(64, 64, 16))
    assert price.source is PriceSource.ESTIMATED
    assert price.ns > 3 * 32 * 32
    assert price.spread_ns > 0.02 * price.ns
    assert price.spread_ns > 0.0


def test_operators_of_a_regime_without_rows_are_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no rows of the stock regime") as refused:
        TableEstimator(samples.table()).predict(samples.small_network())
    assert "conv 3->16 k3 s1 @8x8 relu; conv 16->16 k3 s2 g16 @8x8; " in str(refused.value)
    in_library = replace(DENSE, regime=Regime.LIBRARY)
    with pytest.raises(ValueError, match=r"the library regime.*conv 32->32 .* library"):
        TableEstimator(samples.table(row(DENSE, 1.0))).price(in_library)


def test_a_transferred_row_is_labelled() -> None:
    table = samples.table(replace(row(DENSE, 700.0, 90.0), method=TRANSFERRED))
    price = TableEstimator(table).price(DENSE)
    assert (price.ns, price.spread_ns, price.source) == (700.0, 90.0, PriceSource.TRANSFERRED)
    prediction = TableEstimator(table).predict(chain(DENSE, DENSE))
    assert (prediction.measured, prediction.transferred) == (0, 2)


def test_a_prediction_names_table_and_target() -> None:
    table = replace(samples.table(row(DENSE, 1e6)), version=7)
    prediction = TableEstimator(table).predict(chain(DENSE))
    assert prediction.table_version == 7
    assert prediction.target_fingerprint == table.target.fingerprint


def chain(*specs: OperatorSpec) -> NetworkGraph:
    names = [INPUT, *(f"n{index}" for index in range(len(specs)))]
    nodes = tuple(
        samples.node(names[index + 1], spec, names[index]) for index, spec in enumerate(specs)
    )
    return NetworkGraph(input_shape=specs[0].in_shape, nodes=nodes)


def test_a_network_is_the_calibrated_sum_of_what_is_executed() -> None:
    relu = samples.plain(OperatorKind.RELU, 32)
    pool = samples.pool(OperatorKind.MAX_POOL, 32)
    rows = (row(DENSE, 1e6), row(relu, 4e6), row(pool, 2e6))
    calibration = Calibration(slope=1.5, intercept_ns=1e6, sigma=0.01, networks=6)
    estimator = TableEstimator(samples.table(*rows, calibration=calibration))
    prediction = estimator.predict(chain(DENSE, relu, pool, relu))  # the first ReLU is absorbed
    assert prediction.latency_ms == pytest.approx(1.0 + 1.5 * (1.0 + 2.0 + 4.0))
    assert (prediction.measured, prediction.interpolated, prediction.estimated) == (3, 0, 0)


def test_sources_are_counted_per_operator() -> None:
    rows = (row(conv(16, 32), 200.0), row(conv(48, 32), 600.0), row(DENSE, 400.0))
    graph = chain(DENSE, DENSE, conv(32, 40), conv(40, 32))
    prediction = TableEstimator(samples.table(*rows)).predict(graph)
    assert (prediction.measured, prediction.interpolated, prediction.assumed) == (2, 1, 1)


def test_the_interval_widens_with_what_is_not_known() -> None:
    graph = chain(DENSE, DENSE, DENSE, DENSE)

    def half_width(spread_ns: float, calibration: Calibration) -> float:
        table = samples.table(row(DENSE, 1e6, spread_ns), calibration=calibration)
        prediction = TableEstimator(table).predict(graph)
        assert prediction.low_ms <= prediction.latency_ms <= prediction.high_ms
        return prediction.high_ms - prediction.latency_ms

    exact = Calibration(sigma=0.0, networks=6)
    assert half_width(0.0, exact) == 0.0
    assert half_width(1e4, exact) == pytest.approx(0.04)  # one row, four times: errors add up
    assert half_width(0.0, Calibration(sigma=0.02, networks=6)) == pytest.approx(2.015 * 0.08)
    few, none = Calibration(sigma=0.02, networks=2), Calibration()
    assert half_width(0.0, few) > half_width(0.0, Calibration(sigma=0.02, networks=6))
    assert half_width(0.0, none) > 0.1  # without calibration the interval is honest about it


def test_errors_of_different_rows_do_not_add_up() -> None:
    rows = [row(conv(32, 32, size), 1e6, 3e4) for size in (4, 8)]
    rows[1] = replace(rows[1], spread_ns=4e4)
    calibration = Calibration(sigma=0.0, networks=6)
    estimator = TableEstimator(samples.table(*rows, calibration=calibration))
    pool = replace(samples.pool(OperatorKind.MAX_POOL, 32), stride=2)
    free = row(pool, 0.0)
    estimator = TableEstimator(samples.table(*rows, free, calibration=calibration))
    prediction = estimator.predict(chain(DENSE, pool, conv(32, 32, 4)))
    assert prediction.high_ms - prediction.latency_ms == pytest.approx(0.05)


@given(st.floats(0.0, 1e9), st.floats(-1e9, 0.0))
def test_a_latency_is_never_negative(cost: float, intercept: float) -> None:
    calibration = Calibration(intercept_ns=intercept, sigma=0.1, networks=6)
    table = samples.table(row(DENSE, cost), calibration=calibration)
    prediction = TableEstimator(table).predict(chain(DENSE))
    assert prediction.low_ms >= 0.0
    assert math.isfinite(prediction.high_ms)


def test_it_is_a_latency_estimator() -> None:
    table = samples.table(row(DENSE, 1.0))
    estimator: LatencyEstimator = TableEstimator(table)
    assert estimator.table is table
