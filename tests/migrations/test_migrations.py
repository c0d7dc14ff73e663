"""Migrations give exactly the tables that the code declares, on both databases."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, Engine, inspect, text

from migrations.env_filter import OUR_TABLES, include_object
from service.database import create_engine
from service.engine.setup import migrate_engine
from service.schema import (
    alembic_config,
    current_revision,
    downgrade,
    newest_revision,
    upgrade,
)
from service.tables.registry import ROW_CLASSES, metadata

ENGINES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """An empty database."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'x.db'}")
        yield engine
        engine.dispose()
        return
    url: str = request.getfixturevalue("postgres_server_url")
    autocommit(url, "DROP DATABASE IF EXISTS edgewright_migrations")
    autocommit(url, "CREATE DATABASE edgewright_migrations")
    engine = create_engine(url.replace("/postgres?", "/edgewright_migrations?"))
    yield engine
    engine.dispose()


def autocommit(url: str, statement: str) -> None:
    server = create_engine(url)
    with server.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(statement))
    server.dispose()


def differences(connection: Connection) -> list[object]:
    options = {"compare_type": True, "include_object": include_object}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


def tables(engine: Engine) -> set[str]:
    return set(inspect(engine).get_table_names())


def test_the_newest_schema_is_the_declared_one(engine: Engine) -> None:
    upgrade(engine)
    with engine.connect() as connection:
        assert current_revision(connection) == newest_revision()
        assert differences(connection) == []
    assert tables(engine) == OUR_TABLES | {"alembic_version"}


def test_a_missing_table_would_be_noticed(engine: Engine) -> None:
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE worker_leases"))
        assert differences(connection) != []
        connection.execute(text("CREATE TABLE worker_leases (executor_id VARCHAR(5))"))
        assert differences(connection) != []


def test_up_down_up(engine: Engine) -> None:
    upgrade(engine)
    upgrade(engine)
    downgrade(engine, "base")
    assert tables(engine) <= {"alembic_version"}
    upgrade(engine)
    assert tables(engine) >= OUR_TABLES


def test_a_failed_migration_leaves_nothing(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def upgrade_and_fail(*arguments: object, **options: object) -> None:
        original(*arguments, **options)  # type: ignore[arg-type]
        raise RuntimeError("power cut")

    original = command.upgrade
    monkeypatch.setattr(command, "upgrade", upgrade_and_fail)
    with pytest.raises(RuntimeError, match="power cut"):
        upgrade(engine)
    assert tables(engine) == set()


def test_tables_of_the_job_engine_are_left_alone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'shared.db'}"
    ours = create_engine(url)
    upgrade(ours)
    migrate_engine(url)
    assert len(tables(ours) - OUR_TABLES) > 5
    with ours.connect() as connection:
        assert differences(connection) == []
    downgrade(ours, "base")
    left = tables(ours)
    assert not left & OUR_TABLES
    assert "workflow_status" in left
    ours.dispose()


def test_files_are_named_by_date_and_slug() -> None:
    versions = Path(alembic_config().get_main_option("script_location") or "") / "versions"
    names = [path.stem for path in versions.glob("*.py") if path.stem != "__init__"]
    assert names
    assert all(name[:10].replace("_", "").isdigit() and name[11:] for name in names)


def test_the_registry_knows_every_row_class() -> None:
    assert {row.__tablename__ for row in ROW_CLASSES} == set(metadata.tables)
