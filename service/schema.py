"""The schema of the database: brought up to date by the migrations, and checked."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, text

import migrations

_MIGRATION_LOCK = 0x656467657772  # any constant that only migrations use


def alembic_config(connection: Connection | None = None) -> Config:
    """Return the configuration of Alembic; its scripts are in the package `migrations`."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Bring the schema up to `revision`; several processes may do so at once."""
    with engine.begin() as connection:
        _take_turn(connection)
        command.upgrade(alembic_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Bring the schema back to `revision`; `base` removes every table of ours."""
    with engine.begin() as connection:
        _take_turn(connection)
        command.downgrade(alembic_config(connection), revision)


def current_revision(connection: Connection) -> str | None:
    """Return the revision of the schema, or None for an empty database."""
    return MigrationContext.configure(connection).get_current_revision()


@cache
def newest_revision() -> str:
    """Return the revision that this version of the service needs."""
    head = ScriptDirectory.from_config(alembic_config()).get_current_head()
    if head is None:
        raise ValueError("migrations: there is no migration")
    return head


def _take_turn(connection: Connection) -> None:
    """On SQLite BEGIN IMMEDIATE is the turn already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
