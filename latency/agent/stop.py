"""One way to ask for a stop: by a signal of the operating system, or by the end of a lease."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

EXIT_AT_ONCE = 130


class StopSignal:
    """Set once and never cleared. A child is set with its parent, but not the other way round."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._children: list[StopSignal] = []

    def set(self) -> None:
        """Ask for the stop; every waiter and every child hears of it."""
        self._event.set()
        with self._lock:
            children = list(self._children)
        for child in children:
            child.set()

    def is_set(self) -> bool:
        """Return whether the stop was asked for."""
        return self._event.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait at most `seconds`; return at once with True when the stop is asked for."""
        return self._event.wait(seconds)

    @contextmanager
    def child(self) -> Iterator["StopSignal"]:
        """Give a signal that ends with this one, for the length of one lease."""
        child = StopSignal()
        with self._lock:
            self._children.append(child)
        if self.is_set():
            child.set()
        try:
            yield child
        finally:
            with self._lock:
                self._children.remove(child)


def stop_on_signals(stop: StopSignal) -> None:
    """Set `stop` at SIGTERM or SIGINT; a second signal ends the process at once.

    The handler only writes to a pipe and a thread does the rest: `Event.set` in a handler can
    deadlock with the `Event.wait` that it interrupted. Children of this process end by the end of
    their standard input, so that ending at once leaves nothing behind.
    """
    reader, writer = os.pipe()

    def watch() -> None:
        os.read(reader, 1)
        stop.set()
        os.read(reader, 1)
        os._exit(EXIT_AT_ONCE)

    threading.Thread(target=watch, name="signals", daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: _write_byte(writer))


def _write_byte(descriptor: int) -> None:
    os.write(descriptor, b"s")
