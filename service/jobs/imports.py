"""Imports: files that devices measured without this service become measurements and a table.

Only raw samples are taken in; rows are computed here, as for every other table. Each import is a
job that has ended, so the list of jobs says who measured what of a table.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from latency.exchange.profile_file import ProfileFile
from latency.exchange.table_file import TableFile
from latency.measurement import NetworkMeasurement
from latency.messages import Chunk
from latency.table import TRANSFERRED, TableRow
from service.devices.imported import check_profile, imported_device, store_profile
from service.devices.leasing import Desk
from service.devices.use_cases import Device
from service.devices.work import network_results
from service.errors import ConflictError, InvalidValueError, invalid_field
from service.jobs.intake import intake_of
from service.jobs.journal import STATE_EVENT, record
from service.jobs.schemas import ImportRead
from service.lifecycle import JobKind, JobState
from service.profiling.use_cases import build_table, calibration_problem, load_table, split_networks
from service.tables.base import new_id
from service.tables.job import JobRow
from service.tables.latency_table import LatencyTableRow

_SAME = 1e-9  # relative; the same samples give the same costs but for rounding
_NAMED = 20  # measurements in quarantine that an answer names


@dataclass(frozen=True, kw_only=True)
class CheckedPart:
    """What one device measured, checked, and under which name it is known here."""

    device: str
    profile: ProfileFile
    chunks: tuple[Chunk, ...]


def check_profile_file(profile: ProfileFile, device: str) -> list[CheckedPart]:
    """Return a profile file as an import of one part.

    Raises:
        InvalidValueError: a value that no measurement can have.
    """
    return [CheckedPart(device=device, profile=profile, chunks=check_profile(profile))]


def check_table_file(file: TableFile) -> list[CheckedPart]:
    """Return a table file as an import of its parts, each of a device marked as imported.

    Raises:
        InvalidValueError: it was withdrawn, it has no raw samples or impossible ones, or it has rows
            that were not measured.
    """
    if not file.evidence:
        raise invalid_field("/evidence", "This file has no raw samples, so nothing can be checked")
    if any(row.method == TRANSFERRED for row in file.table.rows):
        raise invalid_field(
            "/table/rows", "Rows of this table were not measured on its target but transferred"
        )
    if file.withdrawn_at is not None:
        raise invalid_field(
            "/withdrawn_at",
            "This table was withdrawn by the service that exported it; export another version",
            code="table-withdrawn",
        )
    return [
        CheckedPart(
            device=f"{profile.device or 'board'} (imported)",
            profile=profile,
            chunks=check_profile(profile),
        )
        for profile in file.evidence
    ]


def import_parts(
    session: Session,
    parts: list[CheckedPart],
    sha256: str,
    expected: tuple[TableRow, ...],
    desk: Desk,
) -> ImportRead:
    """Store what devices measured and make the next version of the table of their target.

    Without whole networks no table is made: the measurements count in the next version. What cannot
    be true, or was withdrawn here before, goes into quarantine and is named.

    Args:
        session: in a transaction.
        parts: checked, all of one target.
        sha256: of the file.
        expected: the rows of the file; how many come out differently here is told.
        desk: of `import_desk`.

    Raises:
        ConflictError: imported already, another target, none of its operators (or, without any, of
            its networks) can be used, or the measurements make no table.
    """
    devices = [imported_device(session, part.device, part.profile, desk.now) for part in parts]
    job = _ended_job(session, devices, sha256, desk)
    stored = [
        store_profile(session, device.id, job.id, f"{sha256}:{index}", part.chunks, desk)
        for index, (device, part) in enumerate(zip(devices, parts, strict=True))
    ]
    intake = intake_of([device.name for device in devices], stored)
    if not intake.is_useful:
        raise ConflictError(intake.refusal(), code="nothing-taken")
    networks = [result for one in stored for result in network_results(session, one.unit_id)]
    timing = (device for device, part in zip(devices, parts, strict=True) if part.profile.networks)
    table = _table(session, next(timing, devices[0]), networks, desk)
    differing = None
    if table is not None:
        job.table_id = table.id
        job.result = {
            "table_id": table.id,
            "version": table.version,
            "operators": table.operators,
            "published_error": table.error,
        }
        differing = _differing(load_table(session, table.id).rows, expected)
    payload: dict[str, Any] = {"state": JobState.SUCCEEDED.value}
    record(session, job, STATE_EVENT, payload, desk.now)
    return ImportRead(
        job_id=job.id,
        devices=list(dict.fromkeys(device.name for device in devices)),
        operators=intake.operators,
        operators_taken=intake.operators_taken,
        networks=intake.networks,
        networks_taken=intake.networks_taken,
        quarantined=len(intake.quarantined),
        reasons=list(intake.quarantined[:_NAMED]),
        table_id=None if table is None else table.id,
        table_version=None if table is None else table.version,
        rows_differing=differing if expected else None,
    )


def _ended_job(session: Session, devices: list[Device], sha256: str, desk: Desk) -> JobRow:
    job = JobRow(
        id=new_id(),
        name="import",
        kind=JobKind.PROFILE,
        state=JobState.SUCCEEDED,
        request={"imported": sha256, "device": devices[0].name},
        device_id=devices[0].id,
        created_at=desk.now,
        started_at=desk.now,
        finished_at=desk.now,
    )
    session.add(job)
    session.flush()
    return job


def _table(
    session: Session, device: Device, networks: list[NetworkMeasurement], desk: Desk
) -> LatencyTableRow | None:
    calibration, held_out = split_networks(networks)
    if not calibration:
        return None
    try:
        table = build_table(
            session,
            device.target_fingerprint,
            calibration,
            held_out,
            now=desk.now,
            timed_by=device.id,
        )
    except ValueError as error:
        raise InvalidValueError("The file has networks and no operators.") from error
    problem = calibration_problem(load_table(session, table.id))
    if problem:
        raise ConflictError(
            f"The measurements make no table: {problem}.", code="measurements-unusable"
        )
    return table


def _differing(rows: tuple[TableRow, ...], expected: tuple[TableRow, ...]) -> int:
    """Return how many of the expected rows are another cost here, or missing."""
    found = {row.spec: row.median_ns for row in rows}
    return sum(
        row.spec not in found or abs(found[row.spec] - row.median_ns) > _SAME * abs(row.median_ns)
        for row in expected
    )
