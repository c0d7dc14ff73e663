"""Is the operator library of a device the one that a file was priced and measured with?"""

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from latency import codec
from latency.target import Target
from service.devices.use_cases import Device
from service.errors import ConflictError
from service.tables.artifact import JobArtifactRow
from service.tables.job import JobDeviceRow, JobRow
from service.tables.latency_table import LatencyTableRow
from service.tables.target import TargetRow


def check_library(session: Session, artifact_sha256: str, device: Device) -> None:
    """Refuse to verify a file of a job with another operator library than that of the job's tables.

    A device without a library runs the file by standard operators, and a file that no job has made
    rests on no table: both are allowed.

    Raises:
        ConflictError: names both versions.
    """
    here = device.target
    priced = {
        target.operator_library
        for target in _targets_of(session, artifact_sha256)
        if target.has_library
    }
    if here.has_library and priced and here.operator_library not in priced:
        raise ConflictError(
            f"The device has operator library {here.operator_library}, and the table that this file "
            f"rests on was measured with {', '.join(sorted(priced))}. Install that version on the "
            "device, or search again with a table of what the device is now.",
            code="library-differs",
        )


def _targets_of(session: Session, artifact_sha256: str) -> list[Target]:
    """Return the targets of the tables of all jobs that have made a file."""
    jobs = select(JobArtifactRow.job_id).where(JobArtifactRow.sha256 == artifact_sha256)
    own = select(JobRow.table_id).where(JobRow.id.in_(jobs))
    further = select(JobDeviceRow.table_id).where(JobDeviceRow.job_id.in_(jobs))
    statement = (
        select(TargetRow.target)
        .join(LatencyTableRow, LatencyTableRow.target_fingerprint == TargetRow.fingerprint)
        .where(or_(LatencyTableRow.id.in_(own), LatencyTableRow.id.in_(further)))
    )
    return [codec.from_plain(plain, Target) for plain in session.scalars(statement)]
