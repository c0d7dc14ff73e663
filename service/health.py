"""/healthz: the process runs. /readyz: it can serve."""

from importlib.metadata import PackageNotFoundError, version

from fastapi import APIRouter

from service.context import Context
from service.errors import UnavailableError
from service.schema import current_revision, newest_revision
from service.shapes import ReadShape

router = APIRouter(tags=["health"])


class HealthRead(ReadShape):
    """The process runs."""

    status: str
    version: str


@router.get("/healthz")
def read_health() -> HealthRead:
    """Say that the process runs."""
    return HealthRead(status="ok", version=package_version())


@router.get("/readyz")
def read_readiness(context: Context) -> HealthRead:
    """Say that the database answers and its schema is the one that this version needs."""
    with context.database.reading() as session:
        revision = current_revision(session.connection())
    if revision != newest_revision():
        raise UnavailableError(
            "The schema of the database is not up to date; run `edgewright migrate`.",
            code="not-migrated",
            retry_after_s=5,
        )
    return HealthRead(status="ready", version=package_version())


def package_version() -> str:
    """Return the version of this package, or 0 in a source tree that is not installed."""
    try:
        return version("edgewright")
    except PackageNotFoundError:
        return "0"
