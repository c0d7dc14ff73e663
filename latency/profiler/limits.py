"""What a measuring child may take, so that a model that wants too much ends nothing but its child."""

import os
import resource
from contextlib import suppress
from pathlib import Path

_SHARE = 0.75  # of the machine's memory
_LEAST_BYTES = 1 << 30  # the runtime itself reserves some hundred MiB
_FIRST_TO_GO = "1000"  # the kernel ends this process before the agent, or anything else


def limit_this_process() -> None:
    """Bound the memory of this process, write no core dumps, and be the first to go.

    Of memory only what can be written to counts: files that are mapped, such as weights, do not.
    Where a limit cannot be set, as under emulation, the others still hold.
    """
    _limit(resource.RLIMIT_DATA, _memory_limit())
    _limit(resource.RLIMIT_CORE, 0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO, encoding="ascii")


def _memory_limit() -> int:
    """Return a limit in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(_LEAST_BYTES, int(total * _SHARE))


def _limit(what: int, amount: int) -> None:
    """Set a limit; one that is lower already stays."""
    _, hard = resource.getrlimit(what)
    if hard != resource.RLIM_INFINITY:
        amount = min(amount, hard)
    with suppress(OSError, ValueError):
        resource.setrlimit(what, (amount, hard))
