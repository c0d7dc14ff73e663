"""Child processes that never outlive their parent, however it ended."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

_PR_SET_PDEATHSIG = 1
# Of numpy's OpenBLAS. Our matrices have some hundred rows, and threads that wait for each other by
# spinning took twenty times the processor time of one where cores are shared.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1"}
# Loaded once, before any fork: between fork and exec nothing may be loaded.
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def die_with_parent() -> None:
    """Ask the kernel to kill this process when its parent ends; between fork and exec, on Linux.

    Elsewhere children notice by their own means: a closed pipe, or a server that is gone.
    """
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def spawn(
    argv: Sequence[str],
    *,
    env: dict[str, str] | None = None,
    log: Path | None = None,
    stdin: int = subprocess.DEVNULL,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Start a program in a session of its own, so that Ctrl-C reaches only its parent.

    With `log`, both of its output streams are appended to that file.
    """
    output = log.open("ab") if log is not None else None
    try:
        return subprocess.Popen(
            list(argv),
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            env=_ONE_THREAD | (dict(os.environ) if env is None else env),
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            preexec_fn=die_with_parent,  # noqa: PLW1509 - it only makes one system call
        )
    finally:
        if output is not None:
            output.close()


def stop(child: "subprocess.Popen[bytes]", *, grace_s: float = 10.0) -> int:
    """End a child and everything in its session: politely, then by force. Returns its status."""
    if child.poll() is None:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace_s)
    kill_group(child.pid)
    return child.wait()


def kill_group(pid: int) -> None:
    """Kill every process of the session that `pid` leads; no error when none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
