"""A board that was only probed gets a table from one that is known; a changed board is found out."""

from dataclasses import replace

import pytest

from latency.estimate.lookup_table import TableEstimator
from latency.exchange.profile_file import ProfileFile
from latency.exchange.table_file import TableFile
from latency.messages import ProfileWork
from latency.report.from_files import report_of_file, table_of_profiles
from latency.report.new_board import drift, probe_plan, table_of_probes
from latency.report.text import drift_lines
from latency.table import TRANSFERRED
from tests.latency.report.samples import stock_ns
from tests.latency.report.test_from_files import NOW, STOCK, profile
from tests.latency.samples import conv, target

KNOWN = table_of_profiles([profile("known", 1.0)])
OTHER = target(threads=2)


def probed(plan: ProfileWork, factor: float, *, networks: bool = True) -> ProfileFile:
    """What another board measures of a plan: everything takes `factor` times as long there."""
    whole = profile("new", factor)
    names = {network.name for network in plan.networks} if networks else set()
    return replace(
        whole,
        target=OTHER,
        operators=tuple(found for found in whole.operators if found.spec in plan.operators),
        networks=tuple(found for found in whole.networks if found.name in names),
    )


def test_a_plan_has_the_probes_and_the_networks_of_the_known_table() -> None:
    plan = probe_plan(KNOWN, 6)
    assert len(set(plan.operators)) == 6
    assert set(plan.operators) <= {row.spec for row in KNOWN.table.rows}
    assert {network.graph for network in plan.networks} == set(STOCK)
    with pytest.raises(ValueError, match="count must be from 1 to"):
        probe_plan(KNOWN, 1000)


def test_a_board_twice_as_slow_is_priced_from_six_probes_and_judged_on_its_own_networks() -> None:
    plan = probe_plan(KNOWN, 6)
    file = table_of_probes(KNOWN, [probed(plan, 2.0)])
    assert file.table.target == OTHER
    rows = {row.spec: row for row in file.table.rows}
    assert set(rows) == {row.spec for row in KNOWN.table.rows}
    for spec, row in rows.items():
        assert row.median_ns == pytest.approx(2 * stock_ns(spec), rel=0.1)
        assert (row.method == TRANSFERRED) == (spec not in plan.operators)
    assert file.table.calibration.networks == 2
    assert file.table.error is not None
    assert file.table.error.worst < 0.1
    (stock,) = report_of_file(file, now=NOW).accuracy
    assert stock.error == file.table.error
    found = TableEstimator(file.table).predict_form(STOCK[-1])
    assert found.transferred > 0
    assert found.low_ms < found.latency_ms < found.high_ms


def test_without_networks_nothing_is_claimed_of_the_error() -> None:
    file = table_of_probes(KNOWN, [probed(probe_plan(KNOWN, 6), 2.0, networks=False)])
    assert file.table.error is None
    assert file.table.calibration.slope == KNOWN.table.calibration.slope


def test_drift_names_the_families_that_changed() -> None:
    plan = probe_plan(KNOWN, 6)
    same = drift(KNOWN, [probed(plan, 1.0)])
    assert not any(found.drifted for found in same)
    assert list(drift_lines(same))[-1] == "no family has surely changed by over 5 %"
    slower = drift(KNOWN, [probed(plan, 1.5)])
    assert all(found.drifted for found in slower)
    assert list(drift_lines(slower))[-1].startswith("changed: ")


def test_probes_that_cannot_be_true_are_named() -> None:
    found = probed(probe_plan(KNOWN, 6), 2.0)
    still = tuple(
        replace(one, samples=replace(one.samples, short_ns=(7,) * len(one.samples.short_ns)))
        for one in found.operators
        if one.samples is not None
    )
    with pytest.raises(ValueError, match=r"no operator that .*; not used, .*clock stands still"):
        drift(KNOWN, [replace(found, operators=still)])


def test_nothing_is_transferred_from_a_withdrawn_table() -> None:
    withdrawn = replace(KNOWN, withdrawn_at="2026-11-28T09:00:00+00:00")
    with pytest.raises(ValueError, match="known table was withdrawn at 2026-11-28T09"):
        table_of_probes(withdrawn, [probed(probe_plan(KNOWN, 6), 2.0)])


def test_profiles_of_other_operators_are_refused() -> None:
    stranger = replace(profile("new", 1.0).operators[0], spec=conv(7, 7))
    other = replace(profile("new", 1.0), operators=(stranger,))
    empty = TableFile(table=KNOWN.table)
    for known in (KNOWN, empty):
        with pytest.raises(ValueError, match="measured no operator that the table has a row of"):
            table_of_probes(known, [other])
        with pytest.raises(ValueError, match="measured no operator"):
            drift(known, [other])
