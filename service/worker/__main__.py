"""Starts a worker process: `edgewright worker`, or `python -m service.worker`."""

import signal
from typing import NoReturn

from service.artifacts.store import ArtifactStore
from service.clock import utc_now
from service.database import Database, create_engine, create_engine_for_dbos
from service.engine.lease import LeaseTimes
from service.engine.queue import DbosJobQueue
from service.engine.setup import open_client
from service.engine.worker_process import WorkerProcess
from service.logs import log_to_stderr
from service.settings import Settings
from service.worker.context import WorkerContext
from service.worker.flows import register_flows
from service.worker.upkeep import keep_up

_CLIENT_CONNECTIONS = 5


def run_worker(settings: Settings) -> NoReturn:
    """Work until SIGTERM or SIGINT; never returns."""
    log_to_stderr()
    settings.prepare_data_dir()
    url = settings.sqlalchemy_url
    database = Database(create_engine(url, max_connections=settings.max_connections))
    client_engine = create_engine_for_dbos(url, max_connections=_CLIENT_CONNECTIONS)
    times = LeaseTimes(
        ttl_s=settings.worker_lease_seconds, renew_s=settings.worker_lease_seconds / 6
    )
    process = WorkerProcess(database, url, settings.data_dir.absolute() / "workers", times)
    context = WorkerContext(
        settings=settings,
        database=database,
        clock=utc_now,
        queue=DbosJobQueue(open_client(client_engine)),
        process=process,
        store=ArtifactStore(settings.artifacts_dir),
    )
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: process.stop())
    process.run(lambda: register_flows(context), lambda: keep_up(context))


if __name__ == "__main__":
    run_worker(Settings())
