"""Table files: the same table, the same predictions; impossible values are refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latency.codec import to_plain
from latency.estimate.lookup_table import TableEstimator
from latency.exchange.document import to_document
from latency.exchange.profile_file import (
    PROFILE,
    ProfileFile,
    profile_of_document,
    read_profile,
    write_profile,
)
from latency.exchange.table_file import TableFile, read_table, rows_of_profiles, write_table
from latency.measurement import (
    ChainSamples,
    Conditions,
    NetworkMeasurement,
    OperatorMeasurement,
)
from latency.table import TRANSFERRED, Calibration, LatencyTable, PublishedError, TableRow
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
COSTS = tuple(round(row.median_ns) for row in GOOD.rows)


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


EVERYTHING = profile(*COSTS)


def test_a_table_comes_back_with_equal_predictions(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    file = TableFile(table=GOOD, evidence=(profile(*COSTS, device="board"),))
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


class TestRowsAndTheirSamples:
    """A file whose checksum is right, and whose rows are not what its samples say."""

    @pytest.mark.parametrize("cost", [-5.0, 0.0, 143_000.0])
    def test_a_cost_that_no_sample_shows_is_refused(self, tmp_path: Path, cost: float) -> None:
        rows = (replace(GOOD.rows[0], median_ns=cost), *GOOD.rows[1:])
        message = self.refused(tmp_path, rows)
        assert "table.json: latency table: $.rows[0].median_ns of " in message
        assert SPECS[0].label() in message
        assert f"must be from 142.25 to 143.75, as its samples say, got {cost:.6g}" in message

    def test_all_of_them_are_listed_up_to_a_sensible_number(self, tmp_path: Path) -> None:
        doubled = tuple(replace(row, median_ns=2 * row.median_ns) for row in GOOD.rows)
        two = self.refused(tmp_path, (*doubled[:2], *GOOD.rows[2:]))
        assert (two.count("as its samples say"), "more like these" in two) == (2, False)
        every = self.refused(tmp_path, doubled)
        assert every.count("as its samples say") == 10
        assert every.endswith(f"; and {len(SPECS) - 10} more like these")

    def test_rows_without_samples_of_their_own(self, tmp_path: Path) -> None:
        assert "is of no samples" in self.refused(tmp_path, GOOD.rows, profile(*COSTS[:-1]))
        still = profile(*COSTS[:-1], 0)
        assert "because of its samples: " in self.refused(
            tmp_path,
            GOOD.rows,
            replace(
                still,
                operators=(*still.operators[:-1], changed_times(still.operators[-1], (7,) * 7)),
            ),
        )
        moved = replace(GOOD.rows[-1], method=TRANSFERRED, median_ns=200.0)
        path = tmp_path / "table.json"
        file = TableFile(
            table=replace(GOOD, rows=(*GOOD.rows[:-1], moved)), evidence=(profile(*COSTS[:-1]),)
        )
        write_table(path, file)
        assert read_table(path) == file

    def test_without_any_samples_only_what_no_device_can_do_is_refused(
        self, tmp_path: Path
    ) -> None:
        slow = replace(GOOD.rows[0], median_ns=1e11)
        message = self.refused(tmp_path, (slow, *GOOD.rows[1:]), None)
        assert "on this target, got 1e+11" in message

    def test_samples_of_another_target_are_refused(self, tmp_path: Path) -> None:
        other = replace(profile(*COSTS), target=target(threads=2))
        message = self.refused(tmp_path, GOOD.rows, other)
        assert "$.evidence[0] was measured on " in message

    def refused(
        self, folder: Path, rows: tuple[TableRow, ...], measured: ProfileFile | None = EVERYTHING
    ) -> str:
        path = folder / "table.json"
        evidence = () if measured is None else (measured,)
        write_table(path, TableFile(table=replace(GOOD, rows=rows), evidence=evidence))
        with pytest.raises(ValueError, match=r"table\.json: ") as caught:
            read_table(path)
        return str(caught.value)


@pytest.mark.parametrize("value", [-5, 0, 10**15])
def test_samples_that_are_no_times_are_named(tmp_path: Path, value: int) -> None:
    good = profile(*COSTS)
    wrong = changed_times(good.operators[2], (7, value, 8, value, 9, 9, 9))
    bad = replace(good, operators=(*good.operators[:2], wrong, *good.operators[3:]))
    path = tmp_path / "profile.json"
    with pytest.raises(ValueError, match="no clock gives") as caught:
        read_profile_with(path, bad)
    place = "profile.json: samples that no clock gives: $.operators[2].samples.short_ns[1] of "
    assert f"{place}{SPECS[2].label()} must be from 1 to" in str(caught.value)
    assert f"got {value} and 1 more" in str(caught.value)
    table_path = tmp_path / "table.json"
    write_table(table_path, TableFile(table=GOOD, evidence=(bad,)))
    with pytest.raises(ValueError, match=r"\$\.evidence\[0\]\.operators\[2\]\.samples"):
        read_table(table_path)


def test_networks_with_samples_that_are_no_times_are_named(tmp_path: Path) -> None:
    slow = NetworkMeasurement(name="held-out-3", processes_ns=((5, 6), (7, -1)))
    with pytest.raises(
        ValueError, match=r"\$\.networks\[0\]\.processes_ns\[1\]\[1\] of 'held-out-3'"
    ):
        read_profile_with(tmp_path / "profile.json", replace(profile(), networks=(slow,)))


@pytest.mark.parametrize(("value", "shown"), [(1e30, "1e+30"), (0.5, "0.5"), ("x", "'x'")])
def test_a_sample_of_the_wrong_type_is_named(value: object, shown: str) -> None:
    plain = to_plain(profile(*COSTS))
    plain["operators"][2]["samples"]["short_ns"][1] = value
    document = to_document(plain, PROFILE)
    with pytest.raises(ValueError, match="Expected `int`") as caught:
        profile_of_document(document)
    assert "`$.operators[2].samples.short_ns[1]`" in str(caught.value)
    assert str(caught.value).endswith(f" of {SPECS[2].label()}; got {shown}")


def test_a_date_that_is_none_is_named(tmp_path: Path) -> None:
    undated = replace(profile(*COSTS), conditions=Conditions(started_at="noon"))
    message = r"\$\.conditions\.started_at must be an ISO 8601 time with an offset, got 'noon'"
    with pytest.raises(ValueError, match=message):
        read_profile_with(tmp_path / "profile.json", undated)


def test_a_withdrawn_table_is_for_looking_at_only(tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    file = TableFile(table=GOOD, withdrawn_at="2026-11-28T09:00:00+00:00")
    write_table(path, file)
    with pytest.raises(ValueError, match=r"table\.json: this table was withdrawn at 2026-11-28T09"):
        read_table(path)
    assert read_table(path, withdrawn=True) == file


def read_profile_with(path: Path, measured: ProfileFile) -> ProfileFile:
    write_profile(path, measured)
    return read_profile(path)


def changed_times(measured: OperatorMeasurement, times: tuple[int, ...]) -> OperatorMeasurement:
    assert measured.samples is not None
    return replace(measured, samples=replace(measured.samples, short_ns=times))


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
