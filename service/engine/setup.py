"""DBOS as we run it: in the service's own database, JSON only, one fixed application version."""

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import Engine

from service.database import create_engine_for_dbos
from service.engine.names import APPLICATION, APPLICATION_VERSION, FLOW_QUEUE, TRAINER_QUEUE

_POLL_S = 0.5  # polls of an empty queue only read
_MAX_THREADS = 64  # DBOS keeps every thread of a burst; waiting flows hold none


def migrate_engine(database_url: str) -> None:
    """Create or upgrade the engine's own tables; a client never does."""
    DBOS.migrate(database_url)


def open_client(engine: Engine) -> DBOSClient:
    """Return a client that enqueues, sends, cancels; raises when the database does not answer."""
    return DBOSClient(
        system_database_engine=engine,
        serializer=DBOSPortableJSONSerializer(),
        application_name=APPLICATION,
    )


def configure_worker(database_url: str, executor_id: str) -> Engine:
    """Make this process a DBOS worker; register flows, then call `launch_worker`.

    Returns the engine that DBOS uses; the caller disposes of it after `DBOS.destroy`.
    """
    engine = create_engine_for_dbos(database_url)
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_engine": engine,
        "executor_id": executor_id,
        "application_version": APPLICATION_VERSION,
        "serializer": DBOSPortableJSONSerializer(),
        "run_migrations": False,
        "max_executor_threads": _MAX_THREADS,
        "log_level": "WARNING",
    }
    DBOS(config=config)
    return engine


def launch_worker() -> None:
    """Start to take work from the queues: any number of flows, one training stage at a time."""
    DBOS.listen_queues([FLOW_QUEUE, TRAINER_QUEUE])
    DBOS.launch()
    DBOS.register_queue(FLOW_QUEUE, polling_interval_sec=_POLL_S)
    DBOS.register_queue(TRAINER_QUEUE, worker_concurrency=1, polling_interval_sec=_POLL_S)
