"""What changed between two tables: what was put in comes out."""

from dataclasses import replace

import numpy as np
import pytest

from latency.report.difference import difference, withdrawn_tables
from latency.report.text import difference_lines
from latency.table import LatencyTable
from tests.latency.report.samples import full_table, networks
from tests.latency.samples import conv, row

BEFORE = full_table()
RNG = np.random.default_rng(0)


def measured_again(table: LatencyTable, sigma: float) -> LatencyTable:
    """The same board in another session, which is off by about `sigma`."""
    rows = [
        replace(found, median_ns=found.median_ns * float(np.exp(RNG.normal(0, sigma))))
        for found in table.rows
    ]
    return replace(table, rows=tuple(rows), version=2)


def test_a_board_that_did_not_change() -> None:
    found = difference(BEFORE, measured_again(BEFORE, 0.012))
    assert len(found.changes) == len(BEFORE.rows)
    assert sum(change.is_significant for change in found.changes) <= 1
    assert all(family.low < 1 < family.high for family in found.families)
    assert (found.settings, found.only_before, found.only_after) == ((), (), ())


def test_a_disturbed_session_does_not_pass_for_change() -> None:
    found = difference(BEFORE, measured_again(BEFORE, 0.1))
    # Rows say 1 % and sessions 1.5 %, of two tables: what is put in is 4.5 times as much.
    assert found.unrest == pytest.approx(4.5, rel=0.25)
    assert sum(change.is_significant for change in found.changes) <= len(found.changes) * 0.04
    moved = measured_again(full_table(slower=2.0), 0.1)
    assert all(family.low > 1 for family in difference(BEFORE, moved).families)


def test_one_family_became_slower_with_the_new_runtime() -> None:
    slower = [
        replace(found, median_ns=1.2 * found.median_ns)
        if found.spec.kernel == 3 and found.spec.regime == "stock"
        else found
        for found in BEFORE.rows
    ]
    target = replace(BEFORE.target, runtime_version="1.33.0", threads=2)
    found = difference(BEFORE, replace(BEFORE, target=target, rows=tuple(slower)), networks())
    assert found.settings == ("runtime_version: 1.32.0 -> 1.33.0", "threads: 1 -> 2")
    changed = {family.family for family in found.families if family.low > 1}
    assert changed == {"conv", "conv depthwise", "max-pool"}
    for family in found.families:
        if family.family in changed:
            assert (family.slower, family.faster) == (family.operators, 0)
            assert family.ratio == pytest.approx(1.2)
        else:
            assert (family.slower, family.faster) == (0, 0)
            assert family.ratio == pytest.approx(1.0)
    assert found.changes[0].ratio == pytest.approx(1.2)
    stock, library = found.networks
    assert 1.0 < stock.smallest <= stock.ratio <= stock.largest < 1.2
    assert library.ratio == 1.0


def test_rows_of_one_table_only_and_noise_are_named_and_not_compared() -> None:
    quiet, noise, extra = conv(3, 4), conv(3, 8), conv(3, 12)
    rows = (row(quiet, 1000.0), row(noise, 20.0))
    before = replace(BEFORE, rows=rows)
    found = difference(before, replace(BEFORE, rows=(row(noise, 900.0, 950.0), row(extra, 1000.0))))
    assert found.changes == ()
    assert (found.only_before, found.only_after) == ((quiet.label(),), (extra.label(),))
    (left_out,) = found.not_compared
    assert left_out.operator == noise.label()
    assert left_out.reason == (
        "within the noise: before 20 +- 0 ns, and more than 50 are needed, "
        "after 900 +- 950 ns, and more than 950 are needed"
    )
    assert f"  {noise.label()}: {left_out.reason}" in list(difference_lines(found))


def test_every_operator_is_compared_or_named() -> None:
    noisy = replace(BEFORE.rows[3], spread_ns=2 * BEFORE.rows[3].median_ns)
    after = replace(BEFORE, rows=(*BEFORE.rows[:3], noisy, *BEFORE.rows[4:]))
    found = difference(BEFORE, after)
    assert len(found.changes) + len(found.not_compared) == len(BEFORE.rows)
    assert [left.operator for left in found.not_compared] == [noisy.spec.label()]


def test_networks_of_a_regime_that_one_table_is_not_calibrated_for_are_counted() -> None:
    found = difference(BEFORE, replace(BEFORE, library=None), networks())
    assert [change.regime for change in found.networks] == ["stock"]
    (left_out,) = found.networks_not_compared
    assert left_out == "5 library networks: the table after was not calibrated for that regime"
    assert f"not compared: {left_out}" in list(difference_lines(found))


def test_a_withdrawn_table_is_called_so() -> None:
    assert withdrawn_tables(None, None) == ()
    found = replace(difference(BEFORE, BEFORE), withdrawn=withdrawn_tables("noon", None))
    assert "WITHDRAWN: the table before was withdrawn at noon" in list(difference_lines(found))


def test_sessions_differ_by_more_than_a_row_can_know() -> None:
    exact = replace(BEFORE, rows=tuple(replace(found, spread_ns=0.0) for found in BEFORE.rows))
    off = tuple(replace(found, median_ns=1.03 * found.median_ns) for found in exact.rows)
    found = difference(exact, replace(exact, rows=off))
    assert not any(change.is_significant for change in found.changes)
