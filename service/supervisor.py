"""Supervisor of the embedded form: one API process and one worker, kept alive, ended together.

It imports nothing heavy: everything that needs the database is done by its children.
"""

import fcntl
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service.processes import spawn, stop

_POLL_S = 0.25
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 30.0
_HEALTHY_S = 30.0  # a child that ran so long died of something new
_MOST_QUICK_ENDS = 8  # in a row: then nothing will help
_GRACE_S = 10.0


class CannotServeError(Exception):
    """The server cannot be started, or not be kept alive; the message says why."""


@dataclass(frozen=True, kw_only=True)
class ServeOptions:
    """Where to serve and where to keep everything."""

    data_dir: Path
    host: str
    port: int
    environment: dict[str, str]  # of the children; settings travel in it


class _Child:
    """One program that is started again whenever it ends."""

    def __init__(self, name: str, argv: list[str], environment: dict[str, str]) -> None:
        self.name = name
        self._argv = argv
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._start_after = 0.0
        self._quick_ends = 0

    def tend(self, now: float, say: Callable[[str], None]) -> None:
        """Start the program if it does not run and its pause is over.

        Raises:
            CannotServeError: it ended at once too many times in a row.
        """
        if self._process is not None:
            status = self._process.poll()
            if status is None:
                return
            self._note_end(now, status, say)
        if now >= self._start_after:
            self._process = spawn(self._argv, env=self._environment)
            self._started_at = now

    def end(self) -> None:
        """Stop the program, politely first."""
        if self._process is not None:
            stop(self._process, grace_s=_GRACE_S)
            self._process = None

    def ask_to_end(self) -> None:
        """Send SIGTERM without waiting."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def _note_end(self, now: float, status: int, say: Callable[[str], None]) -> None:
        if self._process is not None:
            stop(self._process, grace_s=0)  # what it may have left behind in its session
        self._process = None
        self._quick_ends = 0 if now - self._started_at >= _HEALTHY_S else self._quick_ends + 1
        if self._quick_ends > _MOST_QUICK_ENDS:
            raise CannotServeError(f"the {self.name} ends again and again; see its log")
        pause_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2**self._quick_ends)
        self._start_after = now + pause_s
        say(f"the {self.name} ended ({status}); starting it again in {pause_s:g} s")


def serve(options: ServeOptions, say: Callable[[str], None]) -> None:
    """Migrate, then run API and worker until SIGTERM or SIGINT; leaves nothing running.

    Raises:
        CannotServeError: the folder or the port is in use, or the migration failed.
    """
    options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_server_of(options.data_dir):
        _check_port(options.host, options.port)
        program = [sys.executable, "-m", "service"]
        if subprocess.run([*program, "migrate"], env=options.environment, check=False).returncode:
            raise CannotServeError("the database could not be brought up to date; see above")
        url = f"http://{options.host}:{options.port}"
        (options.data_dir / "url").write_text(url + "\n", encoding="utf-8")
        say(f"serving at {url} (documentation: {url}/docs)")
        _keep_alive(
            [
                _Child("API", [*program, "api"], options.environment),
                _Child("worker", [*program, "worker"], options.environment),
            ],
            say,
        )


def _keep_alive(children: list[_Child], say: Callable[[str], None]) -> None:
    stopping = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(name, lambda *_: stopping.set())
    try:
        while not stopping.is_set():
            for child in children:
                child.tend(time.monotonic(), say)
            stopping.wait(_POLL_S)
    finally:
        for child in children:
            child.ask_to_end()
        for child in children:
            child.end()


@contextmanager
def _only_server_of(folder: Path) -> Iterator[None]:
    """Hold the data folder: two servers on one would fight over its files."""
    with (folder / "serve.lock").open("a", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotServeError(f"a server already runs on the data folder {folder}") from None
        yield


def _check_port(host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CannotServeError(
                f"port {port} on {host} cannot be used ({error.strerror}); give another with --port"
            ) from error
