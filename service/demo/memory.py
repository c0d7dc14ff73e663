"""Peak of the summed resident memory of this process and all its descendants, from /proc."""

import os
import threading
from pathlib import Path

_PROC = Path("/proc")
_EVERY_S = 0.5


class PeakMemory:
    """Watches from a thread of its own; use as a context."""

    def __init__(self) -> None:
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="peak-memory", daemon=True)

    @property
    def peak_bytes(self) -> int | None:
        """The largest sum that was seen; None where the system has no /proc."""
        return self._peak or None

    def __enter__(self) -> "PeakMemory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(_EVERY_S):
            self._peak = max(self._peak, tree_bytes(os.getpid()))


def tree_bytes(root: int) -> int:
    """Return the summed resident memory of a process and its descendants; 0 where unknown."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for folder in _PROC.glob("[0-9]*"):
        try:
            pid = int(folder.name)
            # The name, in brackets, may hold anything; the fields behind it are fixed.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            parents[pid] = int(fields[1])
            resident[pid] = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, ValueError, IndexError):
            continue
    return sum(size for pid, size in resident.items() if _descends(pid, root, parents))


def _descends(pid: int, root: int, parents: dict[int, int]) -> bool:
    while pid not in (0, root):
        pid = parents.get(pid, 0)
    return pid == root
