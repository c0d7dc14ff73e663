"""How a running stage tells where it is: one event per epoch."""

import json
from typing import Any, Protocol, TextIO


class Progress(Protocol):
    """Takes events of plain values, such as epoch, losses and accuracies."""

    def report(self, event: dict[str, Any]) -> None:
        """Take one event."""
        ...


class JsonLines:
    """Writes each event as one line of JSON, at once.

    Args:
        stream: where to; usually standard output.
        stage: added to each event.
    """

    def __init__(self, stream: TextIO, stage: str) -> None:
        self._stream = stream
        self._stage = stage

    def report(self, event: dict[str, Any]) -> None:
        """Write one line."""
        self._stream.write(json.dumps({"stage": self._stage, **event}) + "\n")
        self._stream.flush()
