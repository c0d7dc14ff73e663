"""Access to the database: engines, and transactions that are committed at the edge only.

SQLite: a write transaction starts with BEGIN IMMEDIATE, because a busy timeout does not help a
read lock that must be upgraded; synchronous=FULL, because an acknowledged write must survive a
power cut; WAL only on a library without the WAL-reset bug.
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sqlalchemy
import sqlalchemy.dialects.postgresql as postgresql
import sqlalchemy.dialects.sqlite as sqlite
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

import service.tables.registry  # noqa: F401 - foreign keys need every row class to be known
from service.tables.base import Row

BUSY_TIMEOUT_MS = 10_000
STATEMENT_TIMEOUT_MS = 30_000
_READ_ONLY = "edgewright_read_only"
_FIRST_SAFE_WAL = (3, 51, 3)
_PATCHED_WAL = {(3, 44): 6, (3, 50): 7}  # release lines with the fix ported back


def journal_mode(sqlite_version: tuple[int, int, int]) -> str:
    """Return WAL for an SQLite library free of the WAL-reset bug, else TRUNCATE."""
    patched = _PATCHED_WAL.get(sqlite_version[:2])
    if sqlite_version >= _FIRST_SAFE_WAL or (patched is not None and sqlite_version[2] >= patched):
        return "WAL"
    return "TRUNCATE"


def create_engine(url: str, *, max_connections: int = 40) -> Engine:
    """Return the engine of our own tables for a `sqlite:///` or `postgresql+psycopg://` URL.

    Raises:
        ValueError: the URL is of another kind of database.
    """
    if _is_sqlite(url):
        engine = _sqlite_engine(url, max_connections)
        event.listen(engine, "connect", _leave_transactions_to_us)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return _postgres_engine(url, max_connections)


def create_engine_for_dbos(url: str, *, max_connections: int = 20) -> Engine:
    """Return an engine for the job engine's own tables in the same database.

    The job engine writes its own BEGIN in its migrations, so here the driver begins transactions:
    before the first change, and IMMEDIATE. The settings of each connection are the same as ours.
    """
    if _is_sqlite(url):
        engine = _sqlite_engine(url, max_connections)
        event.listen(engine, "connect", _begin_immediate_by_driver)
        return engine
    return _postgres_engine(url, max_connections)


class Database:
    """The database of one process. Sessions are never kept longer than one of its blocks."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._reader = engine.execution_options(
            **{_READ_ONLY: True}
            if engine.dialect.name == "sqlite"
            else {"postgresql_readonly": True}
        )
        self._is_sqlite = engine.dialect.name == "sqlite"
        self._write_turn = threading.Lock()

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Give a session whose changes are committed at the end, or all dropped on an exception.

        On SQLite the threads of a process take turns, so that they wait for each other in order
        and not by polling the file lock. Never open one inside another.
        """
        with (
            self._turn(),
            Session(self.engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Give a session that sees one consistent state and cannot change it."""
        with Session(self._reader, expire_on_commit=False, autoflush=False) as session:
            yield session

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._is_sqlite:
            yield
            return
        if not self._write_turn.acquire(timeout=BUSY_TIMEOUT_MS / 1000):
            busy = sqlite3.OperationalError("database is locked by another thread")
            raise OperationalError("BEGIN IMMEDIATE", None, busy)
        try:
            yield
        finally:
            self._write_turn.release()


def insert_if_absent(session: Session, row_class: type[Row], values: Mapping[str, Any]) -> None:
    """Insert a row, or do nothing where one with its key is there already."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    session.execute(dialect.insert(row_class).values(**values).on_conflict_do_nothing())


def _is_sqlite(url: str) -> bool:
    backend = make_url(url).get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise ValueError(
            f"database: {backend!r} is not supported; allowed: sqlite:///FILE and "
            "postgresql+psycopg://USER@HOST/NAME"
        )
    return backend == "sqlite"


def _sqlite_engine(url: str, max_connections: int) -> Engine:
    engine = sqlalchemy.create_engine(
        url,
        pool_size=max_connections,
        max_overflow=0,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        connect_args={"check_same_thread": False},
    )
    event.listen(engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
    cursor.execute(f"PRAGMA journal_mode={journal_mode(sqlite3.sqlite_version_info)}")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _leave_transactions_to_us(connection: Any, _record: object) -> None:
    connection.isolation_level = None


def _begin_immediate_by_driver(connection: Any, _record: object) -> None:
    connection.isolation_level = "IMMEDIATE"


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(_READ_ONLY, False)
    connection.exec_driver_sql(f"PRAGMA query_only={int(read_only)}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _postgres_engine(url: str, max_connections: int) -> Engine:
    options = (
        f"-c statement_timeout={STATEMENT_TIMEOUT_MS} -c lock_timeout={BUSY_TIMEOUT_MS} "
        "-c idle_in_transaction_session_timeout=60000 -c synchronous_commit=on"
    )
    return sqlalchemy.create_engine(
        url,
        pool_size=max_connections // 2,
        max_overflow=max_connections - max_connections // 2,
        pool_timeout=BUSY_TIMEOUT_MS / 1000,
        pool_pre_ping=True,  # a restarted server costs one extra connection, not an error
        connect_args={"options": options, "application_name": "edgewright"},
    )
