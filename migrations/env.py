"""Runs migrations on a connection: the service's own, or one made from EDGEWRIGHT_DATABASE_URL."""

from alembic import context
from sqlalchemy import Connection

from migrations.env_filter import include_object
from service.database import create_engine
from service.settings import Settings
from service.tables.registry import metadata


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
