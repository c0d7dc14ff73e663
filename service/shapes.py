"""Bases of all JSON shapes, and the types of values that callers choose. Pydantic only."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"  # no NUL, which PostgreSQL cannot store; no line breaks in logs
ID_PATTERN = r"^[0-9a-f]{32}$"
SHA256_PATTERN = r"^[0-9a-f]{64}$"

Identifier = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
ShortName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=PRINTABLE)]
Limit = Annotated[int, Field(ge=1, le=200)]
Offset = Annotated[int, Field(ge=0, le=1_000_000)]


class RequestShape(BaseModel):
    """What a caller sends: unknown fields, NaN and infinities are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, frozen=True)


class ReadShape(BaseModel):
    """What the service answers; a client ignores fields that it does not know."""

    model_config = ConfigDict(from_attributes=True, frozen=True)
