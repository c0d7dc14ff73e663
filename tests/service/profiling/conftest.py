"""A table, and a server that has none."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.access.tokens import TokenKind
from service.access.use_cases import create_token
from service.app import create_app
from service.database import Database, create_engine
from service.settings import Settings
from tests.service.board import Board
from tests.service.fakes import HeldClock, RecordingListener, RecordingQueue
from tests.service.profiling.reported import profile


@pytest.fixture
def table_id(database: Database, clock: HeldClock, board: Board) -> str:
    return profile(database, clock, board, 1000, 1.0)


@pytest.fixture
def elsewhere(
    sqlite_template: Path, tmp_path: Path, settings: Settings, clock: HeldClock
) -> Iterator[tuple[TestClient, Database]]:
    """Another server, with nothing in it, and its administrator."""
    path = tmp_path / "elsewhere.db"
    shutil.copy(sqlite_template, path)
    database = Database(create_engine(f"sqlite:///{path}"))
    app = create_app(
        settings, RecordingListener(), RecordingQueue(), database=database, clock=clock
    )
    with database.transaction() as session:
        token = create_token(session, TokenKind.ADMIN, name="other", now=clock()).token
    headers = {"Authorization": f"Bearer {token}"}
    yield TestClient(app, headers=headers, raise_server_exceptions=False), database
    database.dispose()
