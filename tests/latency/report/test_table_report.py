"""The whole report: coverage, ages, JSON, text, pictures."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from latency import codec
from latency.estimate.lookup_table import TableEstimator
from latency.operator import OperatorKind
from latency.report.difference import difference
from latency.report.plots import plot_report
from latency.report.table_report import Evidence, table_report
from latency.report.text import difference_lines, report_lines
from latency.report.values import TableDifference, TableReport
from latency.table import LatencyTable, TableRow
from tests.latency.report.samples import SHAPES, full_table, measured, networks, sparse
from tests.latency.samples import conv, plain, row, table

NOW = datetime(2026, 1, 11, tzinfo=UTC)  # ten days behind the rows
TABLE = full_table()
ESTIMATOR = TableEstimator(TABLE)
HELD_OUT = tuple(
    measured(ESTIMATOR, graph, f"net{index}", 1.0 + 0.01 * index)
    for index, graph in enumerate(networks())
)


def drifted(found: TableRow) -> TableRow:
    return replace(found, unstable="drifted") if found.spec == SHAPES[0] else found


BETWEEN = sparse(SHAPES[5], 0.3)  # rows are at 0.25 and at 0.5
REPORT = table_report(
    replace(TABLE, rows=tuple(drifted(found) for found in TABLE.rows)),
    Evidence(
        held_out=HELD_OUT,
        needed=(SHAPES[0], BETWEEN, BETWEEN, conv(7, 5, 9)),
        quarantined={SHAPES[1]: "x1000"},
        imported=3,
    ),
    now=NOW,
)


def test_coverage_names_what_is_needed_and_not_measured() -> None:
    found = REPORT.coverage
    assert (found.needed, found.measured) == (3, 1)
    assert {(gap.operator, gap.source) for gap in found.gaps} == {
        (BETWEEN.label(), "interpolated"),
        (conv(7, 5, 9).label(), "estimated"),
    }
    assert sum(count.rows for count in found.rows) == len(TABLE.rows) == REPORT.rows
    # What is needed is what the held-out networks execute, where no space says otherwise.
    assert table_report(TABLE, Evidence(held_out=HELD_OUT), now=NOW).coverage.gaps == ()


def test_rows_have_an_age() -> None:
    age = REPORT.age
    assert age is not None
    assert (age.median_days, age.oldest_days) == (10.0, 10.0)
    undated = [replace(found, measured_at="") for found in TABLE.rows]
    assert table_report(replace(TABLE, rows=tuple(undated)), Evidence(), now=NOW).age is None


def test_a_withdrawn_table_is_called_so() -> None:
    found = table_report(TABLE, Evidence(withdrawn_at="2026-11-28T09:00:00+00:00"), now=NOW)
    assert b'"withdrawn_at":"2026-11-28T09:00:00+00:00"' in codec.encode(found)
    assert "WITHDRAWN at 2026-11-28T09:00:00+00:00" in "\n".join(report_lines(found))
    assert REPORT.withdrawn_at is None
    assert "WITHDRAWN" not in "\n".join(report_lines(REPORT))


def test_json_comes_back() -> None:
    assert codec.decode(codec.encode(REPORT), TableReport) == REPORT
    changed = difference(TABLE, full_table(slower=1.1), networks())
    assert codec.decode(codec.encode(changed), TableDifference) == changed


def test_text_says_what_a_reader_needs() -> None:
    text = "\n".join(report_lines(REPORT))
    for piece in (
        "regime library: calibrated on 6 networks",
        "net9",
        "no network was measured twice",
        "Does sparsity pay on this board? yes",
        "interpolated",
        "drifted",
        "x1000",
        "3 rows rest on imported files",
        "median age 10.0 days",
    ):
        assert piece in text
    lines = list(difference_lines(difference(TABLE, full_table(slower=1.1), networks())))
    assert f"{len(TABLE.rows)} of {len(TABLE.rows)} operators changed significantly" in lines
    assert any("10 stock" in line or "5 stock networks: 1.0" in line for line in lines)


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_pictures(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"report{suffix}"
    plot_report(REPORT, path)
    assert path.stat().st_size > 10_000
    with pytest.raises(ValueError, match=r"one of \.svg"):
        plot_report(REPORT, tmp_path / "report.docx")
    with pytest.raises(ValueError, match="folder does not exist"):
        plot_report(REPORT, tmp_path / "none" / "report.svg")


def test_a_poor_table_has_a_report_too(tmp_path: Path) -> None:
    poor = table(row(plain(OperatorKind.RELU, 8), 100.0))
    report = table_report(poor, Evidence(needed=(SHAPES[0],)), now=NOW)
    assert "not judged" in "\n".join(report_lines(report))
    plot_report(report, tmp_path / "poor.svg")
    empty: LatencyTable = replace(poor, rows=())
    with pytest.raises(ValueError, match="no rows"):
        table_report(empty, Evidence(), now=NOW)
