"""Server-sent events of a job, as values; goes on behind the last one when the line breaks."""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from service.client.errors import UnavailableError, UnreachableError
from service.client.transport import Transport
from service.jobs.schemas import END_EVENT

_PAUSE_S = 1.0
_PATIENCE_S = 300.0  # how long a server may be away before the iterator gives up


@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened to a job."""

    number: int
    kind: str
    payload: dict[str, Any]


def job_events(transport: Transport, job_id: str, after: int = 0) -> Iterator[Event]:
    """Yield the events behind number `after`, until the job has ended.

    Raises:
        UnreachableError: the server was away for five minutes.
    """
    silent_since = time.monotonic()
    while True:
        try:
            with transport.stream(
                f"/v1/jobs/{job_id}/events", {"Last-Event-ID": str(after)}
            ) as response:
                for event in parse_events(response.iter_lines()):
                    if event.kind == END_EVENT:
                        return
                    silent_since, after = time.monotonic(), event.number
                    yield event
        except (UnreachableError, UnavailableError):
            if time.monotonic() - silent_since > _PATIENCE_S:
                raise
        time.sleep(_PAUSE_S)


def parse_events(lines: Iterable[str]) -> Iterator[Event]:
    """Yield the events of a stream; a last one that is cut off is left out."""
    fields: dict[str, str] = {}
    for line in lines:
        if line == "":
            if "data" in fields:
                yield Event(
                    number=int(fields.get("id", "0")),
                    kind=fields.get("event", "message"),
                    payload=json.loads(fields["data"]),
                )
            fields = {}
        elif not line.startswith(":"):
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
