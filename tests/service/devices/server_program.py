"""The API as a process of its own: `python -m tests.service.devices.server_program DATA PORT`."""

import sys
from pathlib import Path

import uvicorn

from service.access.admin_token import ensure_admin_token
from service.app import create_app
from service.clock import utc_now
from service.database import Database, create_engine
from service.schema import upgrade
from service.settings import Settings
from tests.service.fakes import RecordingListener, RecordingQueue


def main(data_dir: str, port: int) -> None:
    """Serve until killed."""
    settings = Settings(data_dir=Path(data_dir), lease_seconds=600)
    settings.prepare_data_dir()
    database = Database(create_engine(settings.sqlalchemy_url))
    upgrade(database.engine)
    ensure_admin_token(database, settings.admin_token_file, utc_now)
    app = create_app(settings, RecordingListener(), RecordingQueue(), database=database)
    uvicorn.run(app, port=port, log_level="warning", timeout_keep_alive=75)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
