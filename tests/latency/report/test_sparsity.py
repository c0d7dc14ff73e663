"""Does sparsity pay? On a board where we know."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.operator import Activation, Regime
from latency.report.sparsity import compacted, sparsity_report
from tests.latency.report.samples import (
    SHAPES,
    full_table,
    library_ns,
    sparse,
    stock_ns,
)
from tests.latency.samples import conv, depthwise, row, stock_forms, table


def test_gains_are_the_ratios_of_the_rows() -> None:
    report = sparsity_report(TableEstimator(full_table()))
    for shape in SHAPES:
        for density in (0.1, 0.25, 0.5, 1.0):
            spec = sparse(shape, density)
            (found,) = [gain for gain in report.gains if gain.operator == spec.label()]
            assert found.gain == pytest.approx(stock_ns(shape) / library_ns(spec))
            assert found.gain_low < found.gain < found.gain_high
            assert (found.dense_source, found.int8_source) == ("measured", "")
            assert found.int8_gain is None
            assert (found.compact_gain is None) == (density == 1.0)
    (quarter,) = [g for g in report.gains if g.operator == sparse(SHAPES[5], 0.25).label()]
    assert (quarter.compact, quarter.compact_source) == (SHAPES[3].label(), "measured")
    assert quarter.compact_gain == pytest.approx(
        stock_ns(SHAPES[3]) / library_ns(sparse(SHAPES[5], 0.25))
    )
    sparse_gains = [gain for gain in report.gains if gain.pattern != "dense"]
    faster = sum(gain.gain_low > 1 for gain in sparse_gains)
    assert report.verdict.startswith(f"yes: {faster} of {len(sparse_gains)} sparse operators")


def test_int8_is_a_rival_where_a_row_tells_of_it() -> None:
    first, second = SHAPES[0], SHAPES[1]
    int8 = [row(replace(spec, dtype="int8"), stock_ns(spec) / 2, 1.0) for spec in (first,)]
    rows = [row(spec, stock_ns(spec), 1.0) for spec in (first, second)]
    rows += [row(sparse(spec, 0.25), stock_ns(spec) / 4, 1.0) for spec in (first, second)]
    report = sparsity_report(TableEstimator(table(*rows, *int8)))
    gains = {gain.shape: gain for gain in report.gains}
    assert gains[first.label()].int8_gain == pytest.approx(2.0)
    assert gains[first.label()].int8_source == "measured"
    assert gains[second.label()].int8_gain is None  # one row says nothing of another shape
    assert len(report.gains) == 2  # int8 rows are rivals, not sparse operators
    (summary,) = [found for found in report.summaries if found.int8_gain is not None]
    assert summary.int8_gain == pytest.approx(2.0)


def test_a_board_where_zeros_are_worth_nothing() -> None:
    rows = [row(spec, stock_ns(spec), 1.0) for spec in SHAPES]
    assert sparsity_report(TableEstimator(table(*rows))).verdict.startswith("not measured")
    slow = [row(sparse(spec, 0.1), 2 * stock_ns(spec), 1.0) for spec in SHAPES]
    report = sparsity_report(TableEstimator(table(*rows, *slow)))
    assert report.verdict.startswith(f"no: 0 of {len(SHAPES)} sparse operators")
    assert "all together 0.50 times as fast; at best 0.50 times" in report.verdict
    mixed = [row(sparse(SHAPES[0], 0.1), 1.0 + stock_ns(SHAPES[0]) / 9, 1.0), *slow[1:]]
    partly = sparsity_report(TableEstimator(table(*rows, *mixed))).verdict
    assert partly.startswith(f"partly: 1 of {len(SHAPES)}")
    assert {found.faster for found in report.summaries} == {0.0}


def test_stock_forms_are_compared_with_the_uncut_dense_operator() -> None:
    forms = stock_forms()
    uncut = [replace(spec.dense(), cut=(0, 0, 0, 0)) for spec in forms]
    rows = [row(spec, 4000.0) for spec in dict.fromkeys(uncut)]
    rows += [row(spec, 1000.0) for spec in forms]
    report = sparsity_report(TableEstimator(table(*rows)))
    assert len(report.gains) == len(forms)
    assert {round(gain.gain, 6) for gain in report.gains} == {4.0}
    patterns = {(gain.pattern, gain.density) for gain in report.gains}
    assert ("kernel shape", round(4 / 9, 4)) in patterns
    assert ("balanced-block 32", 0.25) in patterns


def test_an_activation_that_costs_nothing_finds_the_row_that_has_it() -> None:
    stock = replace(conv(16, 16, 16), activation=Activation.RELU)
    of_library = replace(conv(16, 16, 16), regime=Regime.LIBRARY, relu_input=True)
    report = sparsity_report(TableEstimator(table(row(stock, 3000.0), row(of_library, 1000.0))))
    assert report.gains[0].dense_source == "measured"
    assert report.gains[0].gain == pytest.approx(3.0)


def test_what_is_within_the_noise_is_not_compared() -> None:
    spec = conv(16, 16, 16)
    for noisy in (row(sparse(spec, 0.1), 20.0), row(sparse(spec, 0.1), 900.0, 1000.0)):
        assert sparsity_report(TableEstimator(table(row(spec, 3000.0), noisy))).gains == ()


@given(st.integers(1, 256), st.integers(1, 256), st.floats(0.01, 0.99))
def test_a_compacted_operator_has_about_as_many_weights(
    before: int, after: int, density: float
) -> None:
    dense = conv(before, after, kernel=3, padding=1)
    narrow = compacted(dense, density)
    assert narrow is not None
    share = density**0.5
    assert abs(narrow.in_channels - before * share) <= 1
    assert abs(narrow.out_channels - after * share) <= 1


def test_what_cannot_be_compacted() -> None:
    assert compacted(conv(16, 16), 1.0) is None
    assert compacted(conv(16, 16, groups=4), 0.5) is None
    assert compacted(depthwise(16), 0.05) is None
    narrow = compacted(depthwise(16), 0.5)
    assert narrow == depthwise(8)
