"""JSON for the dataclasses of this package, strict on types, by msgspec."""

from typing import Any, TypeVar

import msgspec

T = TypeVar("T")


def encode(value: object) -> bytes:
    """Return JSON. Floats must be finite: NaN and infinity are written as null by JSON rules."""
    return msgspec.json.encode(value)


def decode(data: bytes | str, kind: type[T]) -> T:
    """Return `data` as an instance of `kind`; unknown keys are ignored.

    Raises:
        ValueError: not JSON, or a value of the wrong type; the message gives the JSON path.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ValueError(f"{kind.__name__}: {error}") from error


def to_plain(value: object) -> Any:
    """Return `value` as dicts, lists, strings and numbers."""
    return msgspec.json.decode(msgspec.json.encode(value))  # to_builtins would keep tuples


def from_plain(value: Any, kind: type[T]) -> T:
    """Build `kind` from dicts, lists, strings and numbers; ValueError gives the path."""
    try:
        return msgspec.convert(value, type=kind)
    except msgspec.ValidationError as error:
        raise ValueError(f"{kind.__name__}: {error}") from error
