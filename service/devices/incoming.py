"""Reads what agents send: decoded, digest checked, every value bounded, or refused as a whole."""

import base64
import binascii
import hashlib
import math
import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeVar

import msgspec

from latency import codec
from latency.measurement import (
    ChainSamples,
    Conditions,
    NetworkMeasurement,
    OperatorMeasurement,
)
from latency.messages import (
    MAX_CHUNK_ROWS,
    PROTOCOL_VERSION,
    Chunk,
    Claim,
    Finish,
    Heartbeat,
    Registration,
)
from latency.target import Target
from service.errors import InvalidRequestError, invalid_field, public_message

T = TypeVar("T")

MAX_CHUNKS = 10_000  # of one lease
MAX_NS = 10**13  # nearly three hours; longer than any lease
MAX_SAMPLES = 10_000  # of one list
MAX_COUNT = 10**9
MAX_TARGET_BYTES = 16_384
MAX_CORES = 65_536
_MAX_TEXT = 2_000
_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]*")
_JSON_PATH = re.compile(r" - at `(?P<path>.*)`$")
_DIGEST_HEADER = re.compile(r"sha-256=:(?P<value>[A-Za-z0-9+/=]{44}):")


def decode_message(body: bytes, kind: type[T]) -> T:
    """Return the body as `kind`.

    Raises:
        InvalidRequestError: not JSON.
        InvalidValueError: JSON of another shape; the pointer says where.
    """
    try:
        return codec.decode(body, kind)
    except RecursionError as error:
        raise InvalidRequestError(
            "The body is nested too deeply.", code="malformed-json"
        ) from error
    except ValueError as error:
        if not isinstance(error.__cause__, msgspec.ValidationError):
            raise InvalidRequestError("The body is not JSON.", code="malformed-json") from error
        message = str(error.__cause__)
        found = _JSON_PATH.search(message)
        pointer = _pointer(found["path"]) if found else "/"
        text = _JSON_PATH.sub("", message)
        raise invalid_field(pointer, _without_enum_value(text)) from error


def check_digest(header: str | None, body: bytes) -> str:
    """Return the SHA-256 of the body in hex, after comparing it with its Content-Digest header.

    Raises:
        InvalidRequestError: no such header, or the body was changed on its way (retryable).
    """
    found = _DIGEST_HEADER.fullmatch(header or "")
    if found is None:
        raise InvalidRequestError("Send `Content-Digest: sha-256=:<base64>:`.", code="no-digest")
    try:
        stated = base64.b64decode(found["value"], validate=True)
    except binascii.Error as error:
        raise InvalidRequestError("Content-Digest is not base 64.", code="no-digest") from error
    actual = hashlib.sha256(body)
    if stated != actual.digest():
        raise DigestMismatchError("The body is not the one that Content-Digest was made of.")
    return actual.hexdigest()


class DigestMismatchError(InvalidRequestError):
    """The body was damaged on its way."""

    default_code = "digest-mismatch"
    retryable = True


def digest_of_chunks(digests: Sequence[str]) -> str:
    """Return the digest of a finished attempt: SHA-256 of the chunks' hex digests, joined."""
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def check_registration(message: Registration) -> None:
    """Raise InvalidValueError for a registration that cannot be accepted."""
    if message.protocol != PROTOCOL_VERSION:
        raise invalid_field(
            "/protocol",
            f"This service speaks version {PROTOCOL_VERSION} of the protocol; "
            "install an agent of the same version.",
            code="protocol-unsupported",
        )
    _check_name("/name", message.name)
    _check_name("/agent_version", message.agent_version)
    check_target(message.target)


def check_claim(message: Claim) -> None:
    """Raise InvalidValueError for a claim that cannot be accepted."""
    _check_name("/claim_id", message.claim_id)
    check_target(message.target)


def check_target(target: Target) -> None:
    """Raise InvalidValueError for a target with values out of range."""
    if len(codec.encode(target)) > MAX_TARGET_BYTES:
        raise invalid_field("/target", f"A target has at most {MAX_TARGET_BYTES} bytes")
    _check_range("/target/threads", target.threads, 1, 4096)
    _check_range("/target/facts/cores", target.facts.cores, 1, MAX_CORES)
    _check_range("/target/facts/memory_bytes", target.facts.memory_bytes, 0, 2**62)
    for index, core in enumerate(target.affinity):
        _check_range(f"/target/affinity/{index}", core, 0, 65_535)


def check_heartbeat(message: Heartbeat) -> None:
    """Raise InvalidValueError for numbers out of range."""
    _check_range("/attempt", message.attempt, 1, MAX_COUNT)
    _check_range("/done", message.done, 0, MAX_COUNT)
    _check_range("/total", message.total, 0, MAX_COUNT)


def check_finish(message: Finish) -> None:
    """Raise InvalidValueError for values out of range."""
    _check_range("/attempt", message.attempt, 1, MAX_COUNT)
    _check_range("/chunks", message.chunks, 0, MAX_CHUNKS)
    if not re.fullmatch(r"[0-9a-f]{64}", message.digest):
        raise invalid_field("/digest", "A digest has 64 hexadecimal digits")
    if len(message.reason) > _MAX_TEXT:
        raise invalid_field("/reason", f"A reason has at most {_MAX_TEXT} characters")


def check_chunk(message: Chunk) -> None:
    """Raise InvalidValueError for the first measurement that cannot be one."""
    _check_range("/attempt", message.attempt, 1, MAX_COUNT)
    count = len(message.operators) + len(message.networks)
    if not 1 <= count <= MAX_CHUNK_ROWS:
        raise invalid_field("/operators", f"A chunk has from 1 to {MAX_CHUNK_ROWS} measurements")
    _check_conditions("/conditions", message.conditions)
    if message.conditions_after is not None:
        _check_conditions("/conditions_after", message.conditions_after)
    for index, operator in enumerate(message.operators):
        _check_operator(f"/operators/{index}", operator)
    for index, network in enumerate(message.networks):
        _check_network(f"/networks/{index}", network)


def clean_text(text: str) -> str:
    """Return a text of the device without control characters, not too long for a log line."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:_MAX_TEXT]


def _check_conditions(pointer: str, conditions: Conditions) -> None:
    try:
        started = datetime.fromisoformat(conditions.started_at)
    except ValueError as error:
        raise invalid_field(f"{pointer}/started_at", "Not an ISO 8601 time") from error
    if started.tzinfo is None or len(conditions.started_at) > 40:
        raise invalid_field(f"{pointer}/started_at", "The time needs an offset, such as +00:00")
    for field in ("frequency_khz", "throttled", "threads"):
        _check_range(f"{pointer}/{field}", getattr(conditions, field) or 0, 0, MAX_COUNT)
    if len(conditions.affinity) > MAX_CORES:
        raise invalid_field(f"{pointer}/affinity", f"At most {MAX_CORES} cores")
    for index, core in enumerate(conditions.affinity):
        _check_range(f"{pointer}/affinity/{index}", core, 0, MAX_CORES)
    if len(conditions.governor or "") > 100:
        raise invalid_field(f"{pointer}/governor", "A governor has at most 100 characters")


def _check_operator(pointer: str, measured: OperatorMeasurement) -> None:
    if (measured.samples is None) != bool(measured.error):
        raise invalid_field(pointer, "A measurement has either samples or an error")
    if len(measured.error) > _MAX_TEXT:
        raise invalid_field(f"{pointer}/error", f"An error has at most {_MAX_TEXT} characters")
    if len(measured.unstable) > _MAX_TEXT:
        raise invalid_field(f"{pointer}/unstable", f"A reason has at most {_MAX_TEXT} characters")
    if measured.samples is not None:
        _check_samples(f"{pointer}/samples", measured.samples)


def _check_samples(pointer: str, samples: ChainSamples) -> None:
    _check_name(f"{pointer}/method", samples.method)
    _check_range(f"{pointer}/copies", samples.copies, 1, 10_000)
    if len(samples.short_ns) != len(samples.long_ns):
        raise invalid_field(f"{pointer}/long_ns", "short_ns and long_ns are of one length")
    if not (math.isfinite(samples.baseline_ns) and abs(samples.baseline_ns) <= MAX_NS):
        raise invalid_field(f"{pointer}/baseline_ns", f"A time is at most {MAX_NS} ns")
    _check_times(f"{pointer}/short_ns", samples.short_ns)
    _check_times(f"{pointer}/long_ns", samples.long_ns)
    for field in ("short_runs", "long_runs", "fastest_reference_ns"):
        _check_range(f"{pointer}/{field}", getattr(samples, field), 0, MAX_COUNT)
    for field in ("warmup_ns", "reference_ns"):
        if getattr(samples, field):
            _check_times(f"{pointer}/{field}", getattr(samples, field))


def _check_network(pointer: str, measured: NetworkMeasurement) -> None:
    _check_name(f"{pointer}/name", measured.name)
    if bool(measured.processes_ns) == bool(measured.error):
        raise invalid_field(pointer, "A measurement has either samples or an error")
    if len(measured.error) > _MAX_TEXT:
        raise invalid_field(f"{pointer}/error", f"An error has at most {_MAX_TEXT} characters")
    for field in ("processes_ns", "reference_ns", "dense_parent_ns", "without_library_ns"):
        processes = getattr(measured, field)
        if len(processes) > 1000:
            raise invalid_field(f"{pointer}/{field}", "At most 1000 processes")
        for index, samples in enumerate(processes):
            _check_times(f"{pointer}/{field}/{index}", samples)


def _check_times(pointer: str, samples: Iterable[int]) -> None:
    values = tuple(samples)
    if not 1 <= len(values) <= MAX_SAMPLES:
        raise invalid_field(pointer, f"From 1 to {MAX_SAMPLES} samples")
    if not (min(values) >= 1 and max(values) <= MAX_NS):
        raise invalid_field(pointer, f"Each sample is from 1 to {MAX_NS} ns")


def _check_range(pointer: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise invalid_field(pointer, f"From {lowest} to {highest}")


def _check_name(pointer: str, text: str) -> None:
    if not (1 <= len(text) <= 100 and _PRINTABLE.fullmatch(text)):
        raise invalid_field(pointer, "From 1 to 100 printable characters")


def _pointer(path: str) -> str:
    """Return a JSON pointer for a path such as $.operators[3].spec.kind."""
    parts = re.findall(r"[^.\[\]$]+", path)
    return "/" + "/".join(part for part in parts if part != "...")


def _without_enum_value(message: str) -> str:
    if message.startswith("Invalid enum value"):
        return "Not one of the allowed values"
    known = message.startswith(("Expected", "Object", "Integer", "Number", "Invalid"))
    return message if known else public_message(ValueError(message))
