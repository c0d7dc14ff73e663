"""Table files: a latency table with the raw samples that it was made of."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from latency.bounds import NOISE_NS
from latency.exchange.document import from_document, read_file, to_document, write_document
from latency.exchange.profile_file import ProfileFile, check_profile_file, plausible
from latency.exchange.row_checks import row_problems
from latency.exchange.times import MAX_NS, date_problems, refuse
from latency.operator import OperatorSpec
from latency.rows import RawMeasurement, table_rows
from latency.table import Calibration, LatencyTable, PublishedError, TableRow

TABLE = "edgewright-latency-table"


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """A table, and what devices measured for it: rows can be recomputed from `evidence`."""

    table: LatencyTable
    evidence: tuple[ProfileFile, ...] = ()
    withdrawn_at: str | None = (
        None  # ISO 8601: since then the service that made it trusts it no more
    )


def table_document(file: TableFile) -> bytes:
    """Return a table file as bytes; ValueError where a number is NaN or infinite."""
    return to_document(file, TABLE)


def table_of_document(data: bytes) -> TableFile:
    """Return the content of a table file, one of a withdrawn table too.

    Raises:
        ValueError: it is damaged, of another kind, a value is impossible, or rows are not what
            their samples say; says what and where.
    """
    file = from_document(data, TABLE, TableFile)
    check_table(file.table)
    for index, profile in enumerate(file.evidence):
        check_profile_file(profile, f"$.evidence[{index}]")
    refuse("latency table", row_problems(file.table, file.evidence))
    return file


def write_table(path: Path, file: TableFile) -> None:
    """Write a table file, whole or not at all; ValueError where its folder does not exist."""
    write_document(path, file, TABLE)


def read_table(path: Path, *, withdrawn: bool = False) -> TableFile:
    """Return what a table file holds.

    Args:
        path: of the file.
        withdrawn: whether the table may be one that was withdrawn, for looking at it.

    Raises:
        ValueError: there is no such file, or it is refused; names the file and what is wrong.
    """
    file = read_file(path, table_of_document)
    if file.withdrawn_at is not None and not withdrawn:
        raise ValueError(
            f"{path}: this table was withdrawn at {file.withdrawn_at}, because what it rests on "
            "cannot be trusted; take another version"
        )
    return file


def rows_of_profiles(profiles: Iterable[ProfileFile]) -> tuple[TableRow, ...]:
    """Return the rows that devices of one target give together: medians of device medians.

    Raises:
        ValueError: the profiles are of different targets.
    """
    found = list(profiles)
    if len({profile.target for profile in found}) > 1:
        labels = sorted({profile.target.label() for profile in found})
        raise ValueError(f"these profiles are of different targets: {'; '.join(labels)}")
    return table_rows(
        RawMeasurement(
            spec=measured.spec,
            samples=measured.samples,
            measured_at=profile.conditions.started_at,
            unstable=measured.unstable,
        )
        for profile in found
        for measured in plausible(profile).operators
        if measured.samples is not None
    )


def check_table(table: LatencyTable) -> None:
    """Raise ValueError where values are none that a measurement can have, with their paths."""
    refuse("latency table", _problems(table))


def _problems(table: LatencyTable) -> Iterator[str]:
    if table.version < 0:
        yield f"$.version must be at least 0, got {table.version}"
    seen: dict[OperatorSpec, int] = {}
    for index, row in enumerate(table.rows):
        first = seen.setdefault(row.spec, index)
        if first != index:
            yield f"$.rows[{index}] is the operator of $.rows[{first}] again: {row.spec.label()}"
        yield from (f"$.rows[{index}].{text}" for text in _row_problems(row))
    for name in ("calibration", "library"):
        calibration: Calibration | None = getattr(table, name)
        if calibration is not None:
            yield from (f"$.{name}.{text}" for text in _calibration_problems(calibration))
    for name in ("error", "library_error"):
        error: PublishedError | None = getattr(table, name)
        if error is not None:
            yield from (f"$.{name}.{text}" for text in _error_problems(error))


def _row_problems(row: TableRow) -> Iterator[str]:
    label = row.spec.label()
    if not 0 <= row.spread_ns <= MAX_NS:
        yield f"spread_ns of {label} must be from 0 to {MAX_NS:g}, got {row.spread_ns}"
    if not -abs(row.spread_ns) - NOISE_NS <= row.median_ns <= MAX_NS:
        yield f"median_ns of {label} must be a cost, at most {MAX_NS:g}, got {row.median_ns}"
    if row.samples < 1:
        yield f"samples of {label} must be at least 1, got {row.samples}"
    yield from date_problems(f"measured_at of {label}", row.measured_at)


def _calibration_problems(calibration: Calibration) -> Iterator[str]:
    if not 0 < calibration.slope < math.inf:
        yield f"slope must be above 0, got {calibration.slope}"
    if not abs(calibration.intercept_ns) <= MAX_NS:
        yield f"intercept_ns must be within {MAX_NS:g}, got {calibration.intercept_ns}"
    if not 0 <= calibration.sigma < math.inf:
        yield f"sigma must be at least 0, got {calibration.sigma}"
    if calibration.networks < 0:
        yield f"networks must be at least 0, got {calibration.networks}"


def _error_problems(error: PublishedError) -> Iterator[str]:
    if error.networks < 1:
        yield f"networks must be at least 1, got {error.networks}"
    for name, highest in (
        ("mape", math.inf),
        ("worst", math.inf),
        ("within_5", 1),
        ("within_10", 1),
    ):
        value = getattr(error, name)
        if not 0 <= value <= highest:
            yield f"{name} must be from 0 to {highest:g}, got {value}"
    if not -1 <= error.spearman <= 1:
        yield f"spearman must be from -1 to 1, got {error.spearman}"
