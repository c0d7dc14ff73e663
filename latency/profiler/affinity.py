"""Which cores a measurement runs on: a part of the target, held by the measuring process itself."""

import os

from latency.target import Target


def usable_cores() -> tuple[int, ...]:
    """Return the cores that this process may use, in order; empty where there is no telling."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return ()


def check_affinity(affinity: tuple[int, ...], threads: int) -> None:
    """Raise ValueError unless `threads` threads can be pinned to these cores; none means no pinning."""
    if not affinity:
        return
    usable = usable_cores()
    if not usable:
        raise ValueError("affinity: this system cannot pin a process to cores; leave it out")
    missing = [core for core in affinity if core not in usable]
    if missing:
        raise ValueError(
            f"affinity: there is no core {missing[0]}; this process may use {_listed(usable)}"
        )
    if len(set(affinity)) != len(affinity):
        raise ValueError(f"affinity: a core is listed twice in {_listed(affinity)}")
    if threads > len(affinity):
        raise ValueError(f"affinity: {threads} threads need {threads} cores, got {len(affinity)}")


def pin(target: Target) -> None:
    """Let this process, and threads that it starts from now on, run on the target's cores only.

    Raises:
        ValueError: it may not use them.
    """
    if target.affinity:
        check_affinity(target.affinity, target.threads)
        os.sched_setaffinity(0, target.affinity)


def _listed(cores: tuple[int, ...]) -> str:
    return ",".join(map(str, cores))
