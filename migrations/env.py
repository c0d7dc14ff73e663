"""Runs migrations on a connection: the service's own, or one made from EDGEWRIGHT_DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.schema import SchemaItem

from service.database import create_engine
from service.settings import Settings
from service.tables.registry import metadata

OUR_TABLES = frozenset(metadata.tables)


def include_object(
    item: SchemaItem, name: str | None, kind: str, reflected: object, _other: SchemaItem | None
) -> bool:
    """Leave out what is not ours: on SQLite the job engine's tables are in the same file."""
    del item
    return not (kind == "table" and reflected and name not in OUR_TABLES)


def run(connection: Connection) -> None:
    """Run the migrations that the command asked for, in the caller's transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_object=include_object,
        compare_type=True,
        render_as_batch=connection.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Use the caller's connection where there is one."""
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
        return
    engine = create_engine(Settings().sqlalchemy_url)
    with engine.begin() as own_connection:
        run(own_connection)


main()
