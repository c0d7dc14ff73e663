"""Fence: a trainer ends itself when nobody vouches for it any more.

A worker that loses its lease stops feeding the trainer's standard input, or dies, which closes it.
Then another worker may start the same training, so this one must be gone: it leaves at once, not
at the end of a step. Checkpoints are written atomically, so nothing is lost.
"""

import ctypes
import os
import select
import signal
import sys
import threading
from collections.abc import Callable

FENCED_EXIT = 75  # EX_TEMPFAIL: stopped on purpose, start again from the checkpoint

_PR_SET_PDEATHSIG = 1


def leave() -> None:
    """End the process at once, without clean-up."""
    os._exit(FENCED_EXIT)


def start_fence(descriptor: int, seconds: float, on_lost: Callable[[], None] = leave) -> None:
    """Watch a feed from now on, in a thread; bytes on it mean that all is well.

    Args:
        descriptor: of the feed, such as standard input.
        seconds: without a byte after which the feed counts as lost.
        on_lost: called once when that happens or the feed is closed.

    Raises:
        ValueError: seconds is not above 0.
    """
    if seconds <= 0:
        raise ValueError(f"fence: seconds must be above 0, got {seconds}")
    thread = threading.Thread(
        target=_watch, args=(descriptor, seconds, on_lost), name="fence", daemon=True
    )
    thread.start()


def _watch(descriptor: int, seconds: float, on_lost: Callable[[], None]) -> None:
    while True:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        if not ready or not os.read(descriptor, 4096):
            on_lost()
            return


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; elsewhere the closed feed does it."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
