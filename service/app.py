"""create_app: the composition root. It joins the parts and does nothing else."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts

from service.access.endpoints import router as enrolments
from service.access.policy import Policy
from service.artifacts.endpoints import UPLOADS
from service.artifacts.endpoints import router as artifacts
from service.artifacts.store import ArtifactStore
from service.body_limit import BodyLimit
from service.clock import Clock, utc_now
from service.context import AppContext
from service.database import Database, create_engine
from service.datasets.endpoints import router as datasets
from service.devices.endpoints import router as devices
from service.devices.work_endpoints import router as work
from service.health import router as health
from service.jobs.endpoints import router as jobs
from service.jobs.import_endpoints import router as imports
from service.ports import JobQueue, WorkListener
from service.problems import install_error_handlers
from service.profiling.endpoints import router as profiling
from service.profiling.report_endpoints import router as reports
from service.settings import Settings

ROUTERS = (
    health,
    enrolments,
    devices,
    work,
    artifacts,
    datasets,
    profiling,
    reports,
    imports,
    jobs,
)
PUBLIC_PATHS = frozenset({"/healthz", "/readyz", "/docs", "/docs/oauth2-redirect", "/openapi.json"})


def create_app(
    settings: Settings,
    listener: WorkListener,
    job_queue: JobQueue,
    *,
    database: Database | None = None,
    clock: Clock = utc_now,
) -> FastAPI:
    """Return the API on a database whose schema is up to date already.

    Args:
        settings: of this process.
        listener: is told when device work has ended.
        job_queue: starts, cancels and resumes the flows of jobs.
        database: the database; by default the one that the settings name.
        clock: the time.

    Raises:
        ValueError: a route has no policy.
    """
    settings.prepare_data_dir()
    own = database or Database(
        create_engine(settings.sqlalchemy_url, max_connections=settings.max_connections)
    )
    ArtifactStore(settings.artifacts_dir).remove_stale()

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        own.dispose()

    app = FastAPI(title="Edgewright", lifespan=lifespan, redoc_url=None)
    app.state.context = AppContext(
        settings=settings, database=own, clock=clock, listener=listener, job_queue=job_queue
    )
    for router in ROUTERS:
        app.include_router(router)
    install_error_handlers(app)
    check_policies(app)
    app.add_middleware(
        BodyLimit,
        max_bytes=settings.max_body_bytes,
        timeout_s=settings.body_timeout_seconds,
        files={UPLOADS: settings.max_file_bytes},
    )
    return app


def check_policies(app: FastAPI) -> None:
    """Raise ValueError for the first route that declares no policy and is not public."""
    for path, dependant in routes(app):
        declared = [] if dependant is None else list(policies(dependant))
        if path not in PUBLIC_PATHS and not declared:
            raise ValueError(f"route {path} declares no policy; see service.access.policy")


def routes(app: FastAPI) -> Iterator[tuple[str | None, Dependant | None]]:
    """Yield (path, dependencies) of every route, those of included routers too."""
    for route in iter_route_contexts(app.routes):
        yield route.path, getattr(route, "dependant", None)


def policies(dependant: Dependant) -> Iterator[Policy]:
    """Yield the policies among the dependencies of a route."""
    if isinstance(dependant.call, Policy):
        yield dependant.call
    for dependency in dependant.dependencies:
        yield from policies(dependency)
