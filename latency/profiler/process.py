"""A measuring child as seen from the agent: started, asked, ended; it may die at any time."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import latency
from latency.codec import decode, encode
from latency.profiler.child_messages import ChildAnswer, ChildRequest

_POLL_S = 0.2  # how often a stop is noticed while the child measures
_END_S = 2.0
_READ_BYTES = 1 << 16

ShouldStop = Callable[[], bool]


class StoppedError(Exception):
    """The caller asked to stop while the child was measuring."""


class ChildDiedError(Exception):
    """The child ended or hung; the message says how."""


class ChildProcess:
    """One child process. Use as a context manager: it is ended on the way out."""

    def __init__(self, deadline_s: float = 120.0) -> None:
        self._deadline_s = deadline_s
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "ChildProcess":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def ask(self, request: ChildRequest, should_stop: ShouldStop) -> ChildAnswer:
        """Return the child's answer; a child is started where none runs.

        Raises:
            StoppedError: `should_stop` became true; the child is ended.
            ChildDiedError: the child ended without an answer or passed the deadline.
        """
        process = self._process or self._start()
        assert process.stdin is not None  # noqa: S101 - opened as a pipe
        try:
            process.stdin.write(encode(request) + b"\n")
            process.stdin.flush()
        except BrokenPipeError as error:
            raise ChildDiedError(self._how_it_ended()) from error
        return decode(self._read_line(process, should_stop), ChildAnswer)

    def end(self) -> None:
        """End the child, gently and then not."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()

    def _start(self) -> subprocess.Popen[bytes]:
        root = str(Path(latency.__path__[0]).parent)
        search_path = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "latency.profiler.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": search_path},
        )
        return self._process

    def _read_line(self, process: subprocess.Popen[bytes], should_stop: ShouldStop) -> bytes:
        assert process.stdout is not None  # noqa: S101 - opened as a pipe
        deadline = time.monotonic() + self._deadline_s
        received = b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while not received.endswith(b"\n"):
                if should_stop():
                    self.end()
                    raise StoppedError
                if time.monotonic() > deadline:
                    self.end()
                    raise ChildDiedError(f"no answer in {self._deadline_s:.0f} s")
                if not selector.select(_POLL_S):
                    continue
                part = os.read(process.stdout.fileno(), _READ_BYTES)
                if not part:
                    raise ChildDiedError(self._how_it_ended())
                received += part
        return received

    def _how_it_ended(self) -> str:
        process = self._process
        if process is None:
            return "the measuring process had ended"
        try:
            code = process.wait(_END_S)
        except subprocess.TimeoutExpired:
            code = None
        self.end()
        name = f" ({signal.Signals(-code).name})" if code is not None and code < 0 else ""
        return f"the measuring process ended with code {code}{name}"
