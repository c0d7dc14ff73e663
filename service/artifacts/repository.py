"""Queries on artifacts."""

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from service.tables.artifact import ArtifactRow, JobArtifactRow


def artifact(session: Session, sha256: str) -> ArtifactRow | None:
    """Return the artifact with this digest."""
    return session.get(ArtifactRow, sha256)


def job_artifact(session: Session, job_id: str, name: str) -> JobArtifactRow | None:
    """Return the file of a job with this name."""
    return session.get(JobArtifactRow, (job_id, name))


def job_artifacts(session: Session, job_id: str) -> Sequence[tuple[JobArtifactRow, ArtifactRow]]:
    """Return the files of a job by name."""
    statement = (
        select(JobArtifactRow, ArtifactRow)
        .join(ArtifactRow, ArtifactRow.sha256 == JobArtifactRow.sha256)
        .where(JobArtifactRow.job_id == job_id)
        .order_by(JobArtifactRow.name)
    )
    return [(link, stored) for link, stored in session.execute(statement)]
