"""A table judged on networks whose errors are known."""

from dataclasses import replace

import pytest

from latency.estimate.calibrate import published_error
from latency.estimate.lookup_table import TableEstimator
from latency.operator import Regime
from latency.report.accuracy import accuracy
from tests.latency.report.samples import full_table, measured, networks

TABLE = full_table()
ESTIMATOR = TableEstimator(TABLE)
FACTORS = (1.0, 1 / 1.02, 1 / 0.96, 1 / 1.08, 1 / 1.5)  # so errors are 0, 2, -4, 8 and 50 %
HELD_OUT = [
    measured(ESTIMATOR, graph, f"net{index}", FACTORS[index % 5])
    for index, graph in enumerate(networks())
]


def test_every_figure_is_that_of_the_known_errors() -> None:
    stock, library = accuracy(ESTIMATOR, HELD_OUT)
    for found, regime in ((stock, Regime.STOCK), (library, Regime.LIBRARY)):
        assert found.regime is regime
        assert found.error is not None
        assert found.error == published_error(TABLE, HELD_OUT, regime)
        assert found.error.mape == pytest.approx((0 + 2 + 4 + 8 + 50) / 500, abs=1e-4)
        assert found.median_error == pytest.approx(0.04, abs=1e-4)
        assert found.bias == pytest.approx((0 + 2 - 4 + 8 + 50) / 500, abs=1e-4)
        assert (found.error.within_5, found.error.within_10) == (0.6, 0.8)
        assert found.processes_apart == pytest.approx(1.01 / 0.99 - 1, abs=1e-3)
        assert found.host is None
        # sigma 0.03 with 5 degrees of freedom: an interval of 6 % and a little for the rows.
        assert found.inside_interval == 0.6
    assert [network.name for network in library.networks[:2]] == ["net9", "net8"]
    assert library.networks[0].error == pytest.approx(0.5, abs=1e-3)
    assert not library.networks[0].is_inside


def test_the_host_is_compared_with_itself_network_by_network() -> None:
    factors = (1.0, 1.03, 0.93, 1.2)
    again = [
        measured(ESTIMATOR, graph, f"other name {index}", FACTORS[index] * factor)
        for index, (graph, factor) in enumerate(zip(networks(), factors, strict=False))
    ]
    strangers = [replace(HELD_OUT[5], graph=None), replace(again[0], error="crashed")]
    stock, library = accuracy(ESTIMATOR, HELD_OUT, [*again, *strangers])
    assert library.host is None
    assert stock.host is not None
    assert stock.host.networks == 4
    assert stock.host.mape == pytest.approx((0 + 3 + 7 + 20) / 400, abs=1e-3)
    assert (stock.host.within_5, stock.host.within_10) == (0.5, 0.75)


def test_where_most_of_a_machine_is_disturbed_the_undisturbed_networks_count_apart() -> None:
    assert all(found.undisturbed is None for found in accuracy(ESTIMATOR, HELD_OUT))
    torn = [
        replace(found, processes_ns=(*found.processes_ns[:2], (2 * found.processes_ns[2][0],)))
        for found in HELD_OUT
    ]
    both = [torn[index] if index % 5 > 2 else found for index, found in enumerate(HELD_OUT)]
    for found in accuracy(ESTIMATOR, both):
        assert found.error is not None
        assert found.undisturbed is not None
        assert (found.error.networks, found.undisturbed.networks, found.disturbed) == (5, 3, 0)
        assert found.undisturbed.mape == pytest.approx((0 + 2 + 4) / 300, abs=1e-4)
    for found in accuracy(ESTIMATOR, torn):
        assert found.undisturbed is None
        assert found.error is not None


def test_without_held_out_networks_nothing_is_claimed() -> None:
    unusable = [replace(HELD_OUT[0], error="crashed"), replace(HELD_OUT[1], graph=None)]
    stock = accuracy(ESTIMATOR, unusable)[0]
    assert (stock.error, stock.bias, stock.networks) == (None, None, ())
    only_stock = TableEstimator(replace(TABLE, library=None))
    assert [found.regime for found in accuracy(only_stock, HELD_OUT)] == [Regime.STOCK]
