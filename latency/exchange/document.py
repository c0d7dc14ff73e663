"""A document: one JSON object that says what it is, in which version, and its own checksum.

    {"format": "edgewright-profile", "version": 1, "sha256": "...", "content": {...}}

The checksum is SHA-256 over the canonical JSON of the content (sorted keys, no spaces), so a
document may be indented or sorted by other tools. Operators leave out fields that have their
default value, which halves a document. Plain JSON only: reading one never runs code.
"""

import hashlib
import re
from collections.abc import Callable
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from latency import codec
from latency.files import write_atomic
from latency.operator import OperatorSpec

T = TypeVar("T")

VERSION = 1
_FAULT_AT = re.compile(r"\(byte (?P<at>\d+)\)")
_PATH = re.compile(r" - at `\$(?P<path>.*)`$")
_STEP = re.compile(r"\.(\w+)|\[(\d+)\]")
_AROUND = 24  # characters shown on either side of a fault


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    format: str
    version: int
    sha256: str
    content: Any


def to_document(value: object, form: str) -> bytes:
    """Return `value` as a document of this format.

    Raises:
        ValueError: a number in it is NaN or infinite; the message gives its path.
    """
    plain = codec.to_plain(value)
    codec.from_plain(plain, type(value))  # JSON has no NaN: it became null, which this finds
    content = _without_defaults(plain)
    envelope = {
        "format": form,
        "version": VERSION,
        "sha256": _checksum(content),
        "content": content,
    }
    return msgspec.json.encode(envelope) + b"\n"


def from_document(data: bytes, form: str, kind: type[T]) -> T:
    """Return the content of a document of this format as an instance of `kind`.

    Raises:
        ValueError: not JSON (a truncated file, a NaN), not this format or version, changed since
            its checksum was made, or a value of the wrong type; the message says where.
    """
    envelope = _envelope(data)
    if envelope.format != form:
        raise ValueError(f"it is a document of format {envelope.format!r}; expected {form!r}")
    if envelope.version != VERSION:
        raise ValueError(
            f"it has version {envelope.version} of {form}; this program reads version {VERSION}"
        )
    found = _checksum(envelope.content)
    if found != envelope.sha256:
        raise ValueError(
            f"its content was changed or damaged: it has SHA-256 {found[:12]}..., "
            f"the document states {envelope.sha256[:12]}..."
        )
    try:
        return codec.from_plain(envelope.content, kind)
    except ValueError as error:
        raise ValueError(f"{error}{_found_at(envelope.content, str(error))}") from error


def write_document(path: Path, value: object, form: str) -> None:
    """Write `value` to `path`, whole or not at all.

    Raises:
        ValueError: a number in it is NaN or infinite, or the folder does not exist.
    """
    if not path.parent.is_dir():
        raise ValueError(f"{path}: the folder does not exist")
    write_atomic(path, to_document(value, form))


def read_file(path: Path, read: Callable[[bytes], T]) -> T:
    """Return what `read` makes of the bytes of a file.

    Raises:
        ValueError: there is no such file, or `read` refuses it; the file is named.
    """
    try:
        return read(path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _envelope(data: bytes) -> _Envelope:
    try:
        return msgspec.json.decode(data, type=_Envelope)
    except RecursionError as error:
        raise ValueError("not a document: it is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"not JSON: it is no text ({error.reason})") from error
    except msgspec.ValidationError as error:
        raise ValueError(f"not a document of Edgewright: {error}") from error
    except msgspec.DecodeError as error:
        raise ValueError(f"not JSON: {error}{_where(data, str(error))}") from error


def _where(data: bytes, message: str) -> str:
    """Return the line and the text around the fault that a message of the decoder names."""
    found = _FAULT_AT.search(message)
    if found is None:
        return "" if "trunc" not in message else f", after {len(data)} bytes"
    at = int(found["at"])
    line = data.count(b"\n", 0, at) + 1
    around = data[max(0, at - _AROUND) : at + _AROUND].decode(errors="replace")
    return f", line {line}, near {' '.join(around.split())!r}"


def _found_at(content: Any, message: str) -> str:
    """Return the value at the path that a message names, and the operator that it belongs to."""
    found = _PATH.search(message)
    label = ""
    for name, index in _STEP.findall(found["path"]) if found is not None else ():
        try:
            content = content[name] if name else content[int(index)]
            label = _label_of(content) or label
        except (LookupError, TypeError, ValueError):
            return ""
    if found is None or isinstance(content, dict | list):
        return ""
    of = f" of {label}" if label else ""
    return f"{of}; got {content!r:.60}"


def _label_of(content: Any) -> str:
    """Return the label of the operator that was measured, where this is a measurement or a row."""
    if not isinstance(content, dict) or "spec" not in content:
        return ""
    try:
        return codec.from_plain(content["spec"], OperatorSpec).label()
    except ValueError:
        return ""


def _checksum(content: Any) -> str:
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()


@cache
def _operator_defaults() -> dict[str, Any]:
    """Return the plain default of every field of an operator that has one."""
    values = {f.name: f.default for f in fields(OperatorSpec) if f.default is not MISSING}
    plain: dict[str, Any] = codec.to_plain(values)
    return plain


def _without_defaults(plain: Any) -> Any:
    """Return plain JSON in which operators lack the fields that have their default."""
    if isinstance(plain, list):
        return [_without_defaults(item) for item in plain]
    if not isinstance(plain, dict):
        return plain
    defaults = _operator_defaults()
    if defaults.keys() <= plain.keys() and "in_channels" in plain:
        return {key: value for key, value in plain.items() if defaults.get(key, ...) != value}
    return {key: _without_defaults(value) for key, value in plain.items()}
