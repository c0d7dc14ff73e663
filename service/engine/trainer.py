"""Runs one trainer process: feeds it while the lease is good, relays its progress, ends it.

The trainer ends itself when it is not fed for `fence_s` or its pipe closes, so it is gone before
any other worker may take over. Whatever happens becomes a value: an exception that left a DBOS
step would be recorded as the final outcome of the job.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.processes import die_with_parent, kill_group

FENCED_EXIT = 75  # EX_TEMPFAIL: stopped on purpose, the checkpoint stays
FAILED_EXIT = 1
_LINE_LIMIT = 1 << 20  # bytes of one progress line
# For the allocator of glibc, which reads it when a process starts: large pages, and what a step frees is
# kept for the next, which asks for the same. A step of a search takes 6 to 30 % less processor time and
# computes the same bits; other C libraries do not know the variable.
_ALLOCATOR = {
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.trim_threshold=1073741824:"
    "glibc.malloc.mmap_threshold=33554432"
}


@dataclass(frozen=True, kw_only=True)
class TrainerJob:
    """What to run and where it leaves its results."""

    argv: Sequence[str]
    result_file: Path  # written when the stage is finished
    error_file: Path  # written when it failed: {"code", "message", ...}
    log_file: Path


@dataclass(frozen=True, kw_only=True)
class TrainerEnd:
    """How a trainer ended: `error` is None when the stage is finished."""

    exit_status: int
    error: dict[str, Any] | None = None

    @property
    def fenced(self) -> bool:
        """Whether it stopped because nobody fed it, or because it was told to."""
        return self.exit_status == FENCED_EXIT

    @property
    def crashed(self) -> bool:
        """Whether it ended without a word, as when the kernel kills for memory."""
        return self.error is not None and self.error["code"] == "trainer-crashed"


class TrainerRunner:
    """Runs trainers for one worker. When the worker leaves, no run ends any more."""

    def __init__(
        self, *, may_feed: Callable[[], bool], feed_every_s: float, inherit: tuple[int, ...] = ()
    ) -> None:
        self._may_feed = may_feed
        self._feed_every_s = feed_every_s
        self._inherit = inherit  # descriptors that trainers keep open: the worker's lock
        self._running: set[int] = set()
        self._leaving = False

    async def run(
        self, job: TrainerJob, on_progress: Callable[[dict[str, Any]], None]
    ) -> TrainerEnd:
        """Run a trainer to its end; when this task is cancelled the trainer is killed."""
        job.error_file.unlink(missing_ok=True)
        process = await _start(job, self._inherit)
        self._running.add(process.pid)
        feeder = asyncio.create_task(_feed(process, self._may_feed, self._feed_every_s))
        try:
            await _relay(process, on_progress)
            status = await process.wait()
        finally:
            feeder.cancel()
            kill_group(process.pid)
            await asyncio.shield(process.wait())
            self._running.discard(process.pid)
        if self._leaving:
            await asyncio.Event().wait()  # what the killed trainer left behind is no outcome
        return TrainerEnd(exit_status=status, error=_error_of(job, status))

    def leave(self) -> None:
        """Kill all trainers; the process is about to end, so nothing may be concluded from it."""
        self._leaving = True
        for pid in list(self._running):
            kill_group(pid)


async def _start(job: TrainerJob, inherit: tuple[int, ...]) -> asyncio.subprocess.Process:
    with job.log_file.open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *job.argv,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=_ALLOCATOR | os.environ,
            limit=_LINE_LIMIT,
            pass_fds=inherit,
            start_new_session=True,
            preexec_fn=die_with_parent,
        )


async def _feed(
    process: asyncio.subprocess.Process, may_feed: Callable[[], bool], every_s: float
) -> None:
    pipe = process.stdin
    if pipe is None:
        return
    with contextlib.suppress(ConnectionError):
        while True:
            if may_feed():
                pipe.write(b"\n")
                await pipe.drain()
            await asyncio.sleep(every_s)


async def _relay(
    process: asyncio.subprocess.Process, on_progress: Callable[[dict[str, Any]], None]
) -> None:
    pipe = process.stdout
    if pipe is None:
        return
    while line := await _read_line(pipe):
        try:
            report = json.loads(line)
        except ValueError:
            continue
        if isinstance(report, dict):
            await asyncio.to_thread(on_progress, report)


async def _read_line(pipe: asyncio.StreamReader) -> bytes:
    """Return the next line; empty at the end. A line over the limit is passed over."""
    while True:
        try:
            return await pipe.readline()
        except ValueError:
            continue


def _error_of(job: TrainerJob, status: int) -> dict[str, Any] | None:
    if status == FENCED_EXIT or (status == 0 and job.result_file.exists()):
        return None
    if status == FAILED_EXIT and (error := read_error(job.error_file)) is not None:
        return error
    how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
    return {
        "code": "trainer-crashed",
        "message": f"The trainer ended without a result ({how}); see {job.log_file.name}.",
    }


def read_error(path: Path) -> dict[str, Any] | None:
    """Return what a trainer wrote about its failure, or None where it wrote nothing usable."""
    try:
        error = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(error, dict) or not isinstance(error.get("code"), str):
        return None
    error.setdefault("message", error["code"])
    return error
