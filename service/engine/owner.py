"""Who a worker is, and how another process on the same host can be sure that it is gone.

Each worker holds a lock on a file of its own, and its trainers inherit the open file. The kernel
frees the lock when the last of them has ended, however it ended; so a free lock proves at once,
without waiting for a lease to run out, that neither the worker nor its trainer runs any more.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_UNKNOWN_BOOT = "unknown"


def new_executor_id() -> str:
    """Return an id that names this boot of this host and is used by no other worker."""
    return f"{_boot_mark()}-{secrets.token_hex(8)}"


class OwnerLock:
    """The lock that a living worker, or a trainer of it, holds on its own file."""

    def __init__(self, folder: Path, executor_id: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = _lock_path(folder, executor_id)
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def release(self) -> None:
        """End the claim to be alive; for an orderly end, when no trainer runs any more."""
        self._path.unlink(missing_ok=True)
        os.close(self.descriptor)


def ended_on_this_host(folder: Path, executor_id: str) -> bool:
    """Return whether the worker certainly ran on this boot of this host and certainly ended.

    False means unknown: another host, another boot, or alive.
    """
    boot = _boot_mark()
    if boot == _UNKNOWN_BOOT or executor_id.partition("-")[0] != boot:
        return False
    path = _lock_path(folder, executor_id)
    if not path.exists():
        return False
    with _probe(path) as free:
        return free


def sweep(folder: Path, in_use: Collection[str], older_than_s: float) -> None:
    """Remove the lock files of workers that ended long ago and have no work left to take over."""
    oldest = time.time() - older_than_s  # noqa: TID251 - compared with times of files
    for path in folder.glob("*.lock"):
        if path.stem in in_use or path.stat().st_mtime > oldest:
            continue
        with _probe(path) as free:
            if free:
                path.unlink(missing_ok=True)


def forget(folder: Path, executor_id: str) -> None:
    """Remove the lock file of a worker that ended."""
    _lock_path(folder, executor_id).unlink(missing_ok=True)


@contextmanager
def _probe(path: Path) -> Iterator[bool]:
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(descriptor)


def _lock_path(folder: Path, executor_id: str) -> Path:
    return folder / f"{executor_id}.lock"


def _boot_mark() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip().replace("-", "")[:12]
    except OSError:
        return _UNKNOWN_BOOT
