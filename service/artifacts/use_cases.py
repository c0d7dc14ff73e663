"""Artifacts: recorded once their bytes are durable, listed for a job, read verified."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from sqlalchemy.orm import Session

from service.artifacts import repository
from service.artifacts.store import ArtifactStore, DamagedError, StoredFile
from service.database import insert_if_absent
from service.errors import NotFoundError, UnavailableError
from service.tables.artifact import ArtifactRow, JobArtifactRow

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class JobArtifact:
    """A file of a job."""

    name: str
    sha256: str
    size: int  # bytes
    media_type: str


class ArtifactUnavailableError(UnavailableError):
    """The bytes in the store are not those that were stored; they are never delivered."""

    default_code = "artifact-unavailable"
    retryable = False


def record_artifact(
    session: Session, stored: StoredFile, *, media_type: str, now: datetime
) -> None:
    """Note a file that is in the store already."""
    values = {
        "sha256": stored.sha256,
        "size": stored.size,
        "media_type": media_type,
        "created_at": now,
    }
    insert_if_absent(session, ArtifactRow, values)


def attach_artifact(session: Session, job_id: str, name: str, sha256: str) -> None:
    """Give a job a named file; an earlier file of that name is replaced."""
    link = repository.job_artifact(session, job_id, name)
    if link is None:
        session.add(JobArtifactRow(job_id=job_id, name=name, sha256=sha256))
    else:
        link.sha256 = sha256
    session.flush()


def artifacts_of_job(session: Session, job_id: str) -> Sequence[JobArtifact]:
    """Return the files of a job by name."""
    return [
        JobArtifact(
            name=link.name, sha256=stored.sha256, size=stored.size, media_type=stored.media_type
        )
        for link, stored in repository.job_artifacts(session, job_id)
    ]


def get_artifact(session: Session, sha256: str) -> JobArtifact:
    """Return what is known of an artifact.

    Raises:
        NotFoundError: there is none with this digest.
    """
    row = repository.artifact(session, sha256)
    if row is None:
        raise NotFoundError("There is no artifact with this digest.")
    return JobArtifact(name="", sha256=row.sha256, size=row.size, media_type=row.media_type)


def open_artifact(store: ArtifactStore, sha256: str) -> BinaryIO:
    """Return the verified, open file of an artifact.

    Raises:
        ArtifactUnavailableError: the file is missing or damaged.
    """
    try:
        return store.open_verified(sha256)
    except DamagedError as error:
        _LOG.error("artifact store: %s", error)
        raise ArtifactUnavailableError(
            "This artifact is damaged in the store; restore it from a backup."
        ) from error
