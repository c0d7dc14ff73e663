"""Table files: a latency table with the raw samples that it was made of."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from latency.exchange.document import from_document, read_document, to_document, write_document
from latency.exchange.profile_file import ProfileFile, plausible
from latency.operator import OperatorSpec
from latency.rows import RawMeasurement, table_rows
from latency.table import Calibration, LatencyTable, PublishedError, TableRow

TABLE = "edgewright-latency-table"
MAX_NS = 1e13  # nearly three hours
_NOISE_NS = 1_000.0  # how far below zero a marginal cost within the noise may come out


@dataclass(frozen=True, kw_only=True)
class TableFile:
    """A table, and what devices measured for it: rows can be recomputed from `evidence`."""

    table: LatencyTable
    evidence: tuple[ProfileFile, ...] = ()


def table_document(file: TableFile) -> bytes:
    """Return a table file as bytes; ValueError where a number is NaN or infinite."""
    return to_document(file, TABLE)


def table_of_document(data: bytes) -> TableFile:
    """Return the content of a table file.

    Raises:
        ValueError: it is damaged, of another kind, or a value is impossible; says what and where.
    """
    file = from_document(data, TABLE, TableFile)
    check_table(file.table)
    return file


def write_table(path: Path, file: TableFile) -> None:
    """Write a table file, whole or not at all; ValueError where its folder does not exist."""
    write_document(path, file, TABLE)


def read_table(path: Path) -> TableFile:
    """Return what a table file holds; ValueError names the file and what is wrong with it."""
    file = read_document(path, TABLE, TableFile)
    try:
        check_table(file.table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
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
    """Raise ValueError for the first value that no measurement can have, with its path."""
    problem = next(_problems(table), None)
    if problem is not None:
        raise ValueError(f"latency table: {problem}")


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
    if not 0 <= row.spread_ns <= MAX_NS:
        yield f"spread_ns must be from 0 to {MAX_NS:g}, got {row.spread_ns}"
    if not -row.spread_ns - _NOISE_NS <= row.median_ns <= MAX_NS:
        yield f"median_ns must be a cost, at most {MAX_NS:g}, got {row.median_ns}"
    if row.samples < 1:
        yield f"samples must be at least 1, got {row.samples}"
    try:
        is_complete = datetime.fromisoformat(row.measured_at).tzinfo is not None
    except ValueError:
        is_complete = False
    if not is_complete:
        yield f"measured_at must be an ISO 8601 time with an offset, got {row.measured_at[:40]!r}"


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
