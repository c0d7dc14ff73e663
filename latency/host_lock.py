"""One machine, two uses: a measurement gets it alone; training steps wait at their boundary.

Two files are locked with flock: a turnstile that everybody passes, and the machine itself, held
exclusively by a measurement and shared by training steps. A measurement that waits for running
steps stands in the turnstile, so no new step starts before it: it cannot starve. Locks belong to
open files, so the kernel releases them when a process dies, however it dies.

The files lie in a folder of the user: measuring and training must run under the same account.
"""

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TURNSTILE = "turnstile.lock"
_MACHINE = "machine.lock"


@contextmanager
def measuring(folder: Path | None = None) -> Iterator[None]:
    """Hold the machine alone: no training step and no other measurement runs meanwhile.

    Args:
        folder: where the lock files are; by default the user's runtime folder.
    """
    with _holding(fcntl.LOCK_EX, folder):
        yield


@contextmanager
def training_step(folder: Path | None = None) -> Iterator[None]:
    """Hold the machine together with other training steps, but with no measurement.

    Args:
        folder: where the lock files are; by default the user's runtime folder.
    """
    with _holding(fcntl.LOCK_SH, folder):
        yield


def lock_folder() -> Path:
    """Return the user's folder for lock files, made on first use and closed to others.

    Raises:
        PermissionError: the folder is a link or belongs to somebody else.
    """
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and os.access(runtime, os.W_OK):
        folder = Path(runtime) / "edgewright"
    else:
        folder = Path(tempfile.gettempdir()) / f"edgewright-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    owner = folder.lstat().st_uid
    if folder.is_symlink() or owner != os.getuid():
        raise PermissionError(f"{folder} is a link or belongs to user {owner}; remove it")
    return folder


@contextmanager
def _holding(how: int, folder: Path | None) -> Iterator[None]:
    folder = folder or lock_folder()
    machine = _open(folder / _MACHINE)
    try:
        with _locked(folder / _TURNSTILE):
            fcntl.flock(machine, how)
        yield
    finally:
        os.close(machine)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    handle = _open(path)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
