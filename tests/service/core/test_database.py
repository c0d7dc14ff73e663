"""Transactions on real databases, and the settings of SQLite that keep acknowledged writes."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, func, select, text
from sqlalchemy.exc import DBAPIError, OperationalError, StatementError

from service.database import (
    Database,
    create_engine,
    create_engine_for_dbos,
    insert_if_absent,
    journal_mode,
)
from service.tables.worker_lease import WorkerLeaseRow
from tests.service.fakes import HeldClock


def lease(clock: HeldClock, name: str = "one") -> WorkerLeaseRow:
    return WorkerLeaseRow(executor_id=name, host="", started_at=clock(), expires_at=clock())


def names(database: Database) -> list[str]:
    with database.reading() as session:
        return sorted(session.scalars(select(WorkerLeaseRow.executor_id)))


class TestTransactions:
    def test_committed_at_the_end(self, database: Database, clock: HeldClock) -> None:
        with database.transaction() as session:
            session.add(lease(clock))
        assert names(database) == ["one"]

    def test_dropped_on_an_exception(self, database: Database, clock: HeldClock) -> None:
        def failing() -> None:
            with database.transaction() as session:
                session.add(lease(clock))
                session.flush()
                raise RuntimeError("no")

        with pytest.raises(RuntimeError, match="no"):
            failing()
        assert names(database) == []

    def test_readers_cannot_write(self, database: Database, clock: HeldClock) -> None:
        with database.reading() as session:
            session.add(lease(clock))
            with pytest.raises(DBAPIError, match=r"read-?only"):
                session.flush()
        with database.transaction() as session:
            session.add(lease(clock))
        assert names(database) == ["one"]

    def test_read_then_write_in_many_threads_loses_nothing(
        self, database: Database, clock: HeldClock
    ) -> None:
        with database.transaction() as session:
            session.add(lease(clock, "counter"))

        def add_one(_index: int) -> None:
            with database.transaction() as session:
                statement = select(WorkerLeaseRow).with_for_update()
                row = session.scalars(statement).one()
                row.host = str(int(row.host or 0) + 1)

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(add_one, range(80)))
        with database.reading() as session:
            assert session.scalars(select(WorkerLeaseRow.host)).one() == "80"

    def test_insert_if_absent(self, database: Database, clock: HeldClock) -> None:
        values = {"executor_id": "x", "host": "", "started_at": clock(), "expires_at": clock()}
        with database.transaction() as session:
            for host in ("first", "second"):
                insert_if_absent(session, WorkerLeaseRow, values | {"host": host})
        with database.reading() as session:
            assert session.scalars(select(WorkerLeaseRow.host)).all() == ["first"]

    def test_times_keep_their_zone(self, database: Database, clock: HeldClock) -> None:
        with database.transaction() as session:
            session.add(lease(clock))
        with database.reading() as session:
            found = session.scalars(select(WorkerLeaseRow)).one()
        assert found.started_at == clock()
        assert found.started_at.utcoffset() is not None

    def test_times_without_a_zone_are_refused(self, database: Database, clock: HeldClock) -> None:
        row = lease(clock)
        row.started_at = clock().replace(tzinfo=None)
        with pytest.raises(StatementError, match="time zone"), database.transaction() as session:
            session.add(row)


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ((3, 40, 1), "TRUNCATE"),
        ((3, 44, 5), "TRUNCATE"),
        ((3, 44, 6), "WAL"),
        ((3, 45, 9), "TRUNCATE"),
        ((3, 50, 6), "TRUNCATE"),
        ((3, 50, 7), "WAL"),
        ((3, 51, 2), "TRUNCATE"),
        ((3, 51, 3), "WAL"),
        ((4, 0, 0), "WAL"),
    ],
)
def test_journal_mode(version: tuple[int, int, int], expected: str) -> None:
    assert journal_mode(version) == expected


@pytest.mark.parametrize("factory", [create_engine, create_engine_for_dbos])
def test_every_sqlite_connection_is_safe(factory: object, tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    engine: Engine = factory(f"sqlite:///{path}")  # type: ignore[operator]
    with engine.connect() as first, engine.connect() as second:
        for connection in (first, second):
            found = [pragma(connection, name) for name in ("journal_mode", "synchronous")]
            assert found == [journal_mode(sqlite3.sqlite_version_info).lower(), 2]
            assert pragma(connection, "foreign_keys") == 1
            assert pragma(connection, "busy_timeout") >= 5000
            connection.rollback()
    engine.dispose()


def pragma(connection: Connection, name: str) -> Any:
    return connection.execute(text(f"PRAGMA {name}")).scalar()


def test_writers_begin_immediate(sqlite_database: Database) -> None:
    statements: list[str] = []

    def note(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement)

    event.listen(sqlite_database.engine, "before_cursor_execute", note)
    with sqlite_database.transaction() as session:
        session.execute(select(func.count()).select_from(WorkerLeaseRow))
    with sqlite_database.reading() as session:
        session.execute(select(func.count()).select_from(WorkerLeaseRow))
    begins = [statement for statement in statements if statement.startswith("BEGIN")]
    assert begins == ["BEGIN IMMEDIATE", "BEGIN"]


def test_a_nested_transaction_fails_instead_of_waiting_for_ever(
    sqlite_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.database.BUSY_TIMEOUT_MS", 50)

    def nested() -> None:
        with sqlite_database.transaction(), sqlite_database.transaction():
            pass

    with pytest.raises(OperationalError, match="locked"):
        nested()
    with sqlite_database.transaction() as session:
        assert session.execute(text("SELECT 1")).scalar() == 1


def test_writers_of_two_processes_wait_for_each_other(
    sqlite_database: Database, clock: HeldClock
) -> None:
    other = Database(create_engine(str(sqlite_database.engine.url)))
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with other.transaction() as session:
            session.add(lease(clock, "first"))
            session.flush()
            inside.set()
            leave.wait(5)

    with ThreadPoolExecutor(2) as pool:
        holder = pool.submit(hold)
        assert inside.wait(5)
        assert names(sqlite_database) == []

        def write() -> None:
            with sqlite_database.transaction() as session:
                session.add(lease(clock, "second"))

        writer = pool.submit(write)
        leave.set()
        holder.result(5)
        writer.result(5)
    other.dispose()
    assert names(sqlite_database) == ["first", "second"]


@pytest.fixture
def engine_with_old_wal(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "wal.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t (x)")
    connection.commit()
    connection.close()
    engine = create_engine(f"sqlite:///{path}")
    yield engine
    engine.dispose()


def test_a_file_in_another_journal_mode_is_switched(engine_with_old_wal: Engine) -> None:
    with engine_with_old_wal.connect() as connection:
        expected = journal_mode(sqlite3.sqlite_version_info).lower()
        assert pragma(connection, "journal_mode") == expected


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValueError, match="allowed: sqlite"):
        create_engine("mysql://user@host/name")
