"""Table files: the same table, the same predictions; impossible values are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.estimate.lookup_table import TableEstimator
from latency.exchange.profile_file import ProfileFile
from latency.exchange.table_file import TableFile, read_table, rows_of_profiles, write_table
from latency.measurement import ChainSamples, Conditions, OperatorMeasurement
from latency.table import Calibration, LatencyTable, PublishedError
from tests.latency.samples import one_of_each, row, small_network, table, target

SPECS = tuple(dict.fromkeys((*small_network().operators, *one_of_each())))
GOOD = replace(
    table(
        *(row(spec, 1000.0 / 7 + index, 10.0 / 3) for index, spec in enumerate(SPECS)),
        calibration=Calibration(slope=1.1, intercept_ns=-3.5, sigma=0.02, networks=6),
    ),
    error=PublishedError(
        networks=4, mape=0.02, within_5=0.75, within_10=1.0, spearman=0.9, worst=0.06
    ),
)
ERROR = GOOD.error


def profile(*costs: int, device: str = "") -> ProfileFile:
    """A device that measured the first operators at these costs."""
    return ProfileFile(
        device=device,
        target=target(),
        conditions=Conditions(started_at="2026-11-27T12:00:00+00:00"),
        operators=tuple(
            OperatorMeasurement(
                spec=spec,
                samples=ChainSamples(
                    method="chain",
                    copies=4,
                    short_ns=tuple(50_000 + step for step in range(-3, 4)),
                    long_ns=tuple(50_000 + 4 * ns + 2 * step for step in range(-3, 4)),
                ),
            )
            for spec, ns in zip(SPECS, costs, strict=False)
        ),
        networks=(),
    )


def test_a_table_comes_back_with_equal_predictions(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    file = TableFile(table=GOOD, evidence=(profile(100, 200, device="board"),))
    write_table(path, file)
    found = read_table(path)
    assert found == file
    graph = small_network()
    assert TableEstimator(found.table).predict(graph) == TableEstimator(GOOD).predict(graph)


def changed(**changes: Any) -> LatencyTable:
    return replace(GOOD, rows=(GOOD.rows[0], replace(GOOD.rows[1], **changes)))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (replace(GOOD, version=-1), r"\$\.version"),
        (
            replace(GOOD, rows=(GOOD.rows[0],) * 2),
            r"\$\.rows\[1\] is the operator of \$\.rows\[0\]",
        ),
        (changed(spread_ns=-1.0), r"\$\.rows\[1\]\.spread_ns"),
        (changed(median_ns=-1e6), r"\$\.rows\[1\]\.median_ns"),
        (changed(median_ns=1e20), r"\$\.rows\[1\]\.median_ns"),
        (changed(samples=0), r"\$\.rows\[1\]\.samples"),
        (changed(measured_at="2026-11-27T12:00:00"), r"\$\.rows\[1\]\.measured_at"),
        (changed(measured_at="yesterday"), r"\$\.rows\[1\]\.measured_at"),
        (replace(GOOD, calibration=Calibration(slope=0.0)), r"\$\.calibration\.slope"),
        (replace(GOOD, library=Calibration(sigma=-1.0)), r"\$\.library\.sigma"),
        (replace(GOOD, library=Calibration(intercept_ns=1e20)), r"\$\.library\.intercept_ns"),
        (replace(GOOD, error=replace(ERROR, within_5=1.5)), r"\$\.error\.within_5"),  # type: ignore[type-var]
        (replace(GOOD, error=replace(ERROR, networks=0)), r"\$\.error\.networks"),  # type: ignore[type-var]
        (replace(GOOD, error=replace(ERROR, spearman=2.0)), r"\$\.error\.spearman"),  # type: ignore[type-var]
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, bad: LatencyTable, message: str) -> None:
    path = tmp_path / "table.json"
    write_table(path, TableFile(table=bad))
    with pytest.raises(ValueError, match=rf"table\.json: latency table: {message}"):
        read_table(path)


@given(st.lists(st.integers(1, 100_000), min_size=1, max_size=5))
def test_devices_of_one_target_are_merged_by_the_median_of_their_medians(costs: list[int]) -> None:
    (merged,) = rows_of_profiles(profile(ns) for ns in costs)
    middle = sorted(costs)[(len(costs) - 1) // 2 : len(costs) // 2 + 1]
    assert merged.median_ns == pytest.approx(sum(middle) / len(middle))
    assert merged.samples == 7 * len(costs)


def test_profiles_of_different_targets_are_not_merged() -> None:
    other = replace(profile(100), target=target(threads=2))
    with pytest.raises(ValueError, match=r"different targets: .*1 thread; .*2 threads"):
        rows_of_profiles([profile(100), other])
    failed = OperatorMeasurement(spec=SPECS[0], samples=None, error="crashed")
    assert rows_of_profiles([replace(profile(100), operators=(failed,))]) == ()
