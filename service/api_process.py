"""Starts an API process."""

import uvicorn

from service.app import create_app
from service.database import create_engine_for_dbos
from service.engine.queue import DbosJobQueue
from service.engine.setup import open_client
from service.logs import log_to_stderr
from service.settings import Settings

_CLIENT_CONNECTIONS = 5
_KEEP_ALIVE_S = 75  # longer than an agent's pause between polls, so that connections are reused
_GRACE_S = 3  # for open event streams; their clients connect again and miss nothing


def run_api(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; the schema must be up to date."""
    log_to_stderr()
    settings.prepare_data_dir()
    engine = create_engine_for_dbos(settings.sqlalchemy_url, max_connections=_CLIENT_CONNECTIONS)
    queue = DbosJobQueue(open_client(engine))
    try:
        uvicorn.run(
            create_app(settings, queue, queue),
            host=settings.host,
            port=settings.port,
            timeout_keep_alive=_KEEP_ALIVE_S,
            timeout_graceful_shutdown=_GRACE_S,
            access_log=False,
            server_header=False,
            log_level="warning",
        )
    finally:
        queue.close()
        engine.dispose()
