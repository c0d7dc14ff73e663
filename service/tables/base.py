"""Base of all rows: naming of constraints, column types, ids."""

import json
import secrets
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from sqlalchemy import BigInteger, DateTime, Dialect, Integer, MetaData, String, Text
from sqlalchemy.orm import DeclarativeBase, mapped_column
from sqlalchemy.types import TypeDecorator

_NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time in UTC; SQLite has no time zones, so it is stored there without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without a zone; it would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a stored time needs a time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the time with its zone."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """A JSON value as text: the same bytes on both databases, and no limits on what is in it."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """None is stored as SQL NULL; NaN and infinities become null, as JSON has none."""
        del dialect
        if value is None:
            return None
        try:
            return msgspec.json.encode(value).decode()
        except UnicodeEncodeError:  # a lone surrogate, as in the name of a file of another system
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            return text.encode("utf-8", "replace").decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read the value back."""
        del dialect
        return None if value is None else msgspec.json.decode(value)


class Row(DeclarativeBase):
    """Base of all rows."""

    metadata = MetaData(naming_convention=_NAMING)


def new_id() -> str:
    """Return a random 128-bit id in hex."""
    return secrets.token_hex(16)


Id = Annotated[str, mapped_column(String(32))]
Digest = Annotated[str, mapped_column(String(64))]  # SHA-256 in hex
Name = Annotated[str, mapped_column(String(200))]
Word = Annotated[str, mapped_column(String(32))]  # an enum value
LongText = Annotated[str, mapped_column(Text)]
Time = Annotated[datetime, mapped_column(UtcDateTime)]
Json = Annotated[Any, mapped_column(JsonText)]
BigId = BigInteger().with_variant(Integer, "sqlite")  # SQLite counts up in INTEGER keys only
