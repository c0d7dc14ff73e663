"""A real server on a real socket, in a thread."""

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from fastapi import FastAPI

from service.access.tokens import TokenKind
from service.access.use_cases import create_token
from service.app import create_app
from service.client import Client
from service.database import Database
from service.settings import Settings
from tests.service.client.commands import Run
from tests.service.fakes import HeldClock, RecordingListener, RecordingQueue


@pytest.fixture
def app(settings: Settings, sqlite_database: Database, clock: HeldClock) -> FastAPI:
    """The application on SQLite; the client does not see which database it is."""
    return create_app(
        settings, RecordingListener(), RecordingQueue(), database=sqlite_database, clock=clock
    )


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    return sqlite_database


@pytest.fixture
def server_url(app: FastAPI) -> Iterator[str]:
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error", lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(timeout=20)


@pytest.fixture
def client(server_url: str, database: Database, clock: HeldClock) -> Iterator[Client]:
    with database.transaction() as session:
        token = create_token(session, TokenKind.USER, name="test", now=clock()).token
    with Client(server_url, token) as found:
        yield found


@pytest.fixture
def run(
    server_url: str, database: Database, clock: HeldClock, monkeypatch: pytest.MonkeyPatch
) -> Run:
    """The command line as an administrator."""
    with database.transaction() as session:
        token = create_token(session, TokenKind.ADMIN, name="run", now=clock()).token
    monkeypatch.setenv("EDGEWRIGHT_URL", server_url)
    monkeypatch.setenv("EDGEWRIGHT_TOKEN", token)
    return Run()
