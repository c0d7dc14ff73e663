"""Tables and reports of boards that no server has seen."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from latency.estimate.lookup_table import TableEstimator
from latency.exchange.profile_file import ProfileFile
from latency.measurement import ChainSamples, Conditions, NetworkMeasurement, OperatorMeasurement
from latency.report.from_files import graphs_of_file, report_of_file, table_of_profiles
from tests.latency.report.samples import full_table, networks, stock_ns
from tests.latency.samples import conv, target

NOW = datetime(2026, 11, 28, tzinfo=UTC)
TABLE = full_table()
ESTIMATOR = TableEstimator(TABLE)
STOCK = [graph for graph in networks() if graph.regime == "stock"]


def near(ns: int) -> tuple[int, ...]:
    """Five times whose median is `ns`: samples that are all alike are a clock that stands still."""
    return tuple(range(ns - 2, ns + 3))


AROUND = near(100_000)


def profile(device: str, factor: float) -> ProfileFile:
    """A board on which everything takes `factor` times as long."""
    costs = {spec: round(factor * stock_ns(spec)) for graph in STOCK for spec in graph.operators}
    totals = [sum(costs[spec] for spec in graph.operators) for graph in STOCK]
    return ProfileFile(
        device=device,
        target=target(),
        conditions=Conditions(started_at="2026-11-27T12:00:00+00:00"),
        operators=tuple(
            OperatorMeasurement(
                spec=spec,
                samples=ChainSamples(
                    method="chain", copies=1, short_ns=AROUND, long_ns=tuple(ns + n for n in AROUND)
                ),
            )
            for spec, ns in costs.items()
        ),
        networks=tuple(
            NetworkMeasurement(name=f"{kind}-{index}", graph=graph, processes_ns=(near(ns),) * 3)
            for index, (graph, ns) in enumerate(zip(STOCK, totals, strict=True))
            for kind in (("calibration",) if index % 2 else ("held-out",))
        ),
    )


def test_boards_of_one_target_make_one_table_and_its_report() -> None:
    boards = [profile("a", 0.98), profile("b", 1.0), profile("c", 1.5)]
    file = table_of_profiles(boards)
    costs = {row.spec: row.median_ns for row in file.table.rows}
    assert costs == {spec: round(stock_ns(spec)) for spec in costs}  # the middle board decides
    assert file.table.calibration.networks == 6  # two of each board
    assert graphs_of_file(file) == STOCK[::2]
    report = report_of_file(file, now=NOW)
    (stock,) = report.accuracy
    assert stock.error is not None
    assert stock.error.networks == 3
    assert stock.host is not None
    assert stock.host.networks == 3  # measured by other boards too
    assert report.coverage.gaps == ()


def test_what_failed_everywhere_is_named() -> None:
    failed = OperatorMeasurement(spec=conv(40, 40), samples=None, error="crashed")
    twice = OperatorMeasurement(spec=STOCK[0].operators[0], samples=None, error="crashed")
    good = profile("a", 1.0)
    bad = replace(good, operators=(failed, twice), networks=())
    report = report_of_file(table_of_profiles([good, bad]), now=NOW)
    assert [remark.operator for remark in report.quarantined] == [conv(40, 40).label()]


def test_what_cannot_be_true_is_in_no_row_and_is_named() -> None:
    good = profile("a", 1.0)
    first, *others = good.operators
    assert first.samples is not None
    still = replace(first, samples=replace(first.samples, short_ns=(1,) * 5, long_ns=(1,) * 5))
    file = table_of_profiles([replace(good, operators=(still, *others))])
    assert first.spec not in {row.spec for row in file.table.rows}
    (remark,) = report_of_file(file, now=NOW).quarantined
    assert remark.operator == first.spec.label()
    assert "the clock stands still" in remark.reason


def test_what_makes_no_table() -> None:
    with pytest.raises(ValueError, match="no measured operators"):
        table_of_profiles([replace(profile("a", 1.0), operators=())])
    with pytest.raises(ValueError, match="different targets"):
        table_of_profiles([profile("a", 1.0), replace(profile("b", 1.0), target=target(2))])
