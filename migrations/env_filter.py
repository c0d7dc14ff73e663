"""Which tables are ours: on SQLite those of the job engine are in the same file."""

from sqlalchemy.schema import SchemaItem

from service.tables.registry import metadata

OUR_TABLES = frozenset(metadata.tables)


def include_object(
    item: SchemaItem, name: str | None, kind: str, reflected: object, _other: SchemaItem | None
) -> bool:
    """Leave out tables that are in the database and not among ours."""
    del item
    return not (kind == "table" and reflected and name not in OUR_TABLES)
