"""Repeating what may be repeated: full jitter, so that a fleet does not march in step."""

import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from latency.agent.errors import StoppedError, UnreachableError
from latency.agent.stop import StopSignal

log = logging.getLogger(__name__)
T = TypeVar("T")

MAX_RETRY_AFTER_S = 300.0  # a longer wish of a proxy would look like a dead agent

_random = secrets.SystemRandom()


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long one request may be repeated, and what ends the waiting early."""

    stop: StopSignal
    give_up_after_s: float  # 0: one try
    first_s: float  # longest wait before the second try; doubles with each further one
    longest_s: float


def repeat(attempt: Callable[[], T], patience: Patience, what: str) -> T:
    """Return what `attempt` returns, calling it again while it raises UnreachableError.

    Raises:
        UnreachableError: patience ran out.
        StoppedError: the stop was asked for, before or between the tries.
    """
    deadline = time.monotonic() + patience.give_up_after_s
    tries = 0
    while not patience.stop.is_set():
        tries += 1
        try:
            return attempt()
        except UnreachableError as error:
            wait = backoff_s(tries, patience, error.retry_after_s)
            if time.monotonic() + wait > deadline:
                raise
            log.warning("%s: %s; next try in %.1f s", what, error, wait)
        patience.stop.wait(wait)
    raise StoppedError(f"{what}: stopped")


def backoff_s(tries: int, patience: Patience, retry_after_s: float = 0.0) -> float:
    """Return a random wait after `tries` tries: uniform up to min(longest, first * 2**(tries - 1)).

    What the server asked for comes on top.
    """
    ceiling = min(patience.longest_s, patience.first_s * 2.0 ** min(tries - 1, 30))
    return min(retry_after_s, MAX_RETRY_AFTER_S) + _random.uniform(0.0, ceiling)


def jittered(seconds: float) -> float:
    """Return `seconds` changed by up to a fifth."""
    return seconds * _random.uniform(0.8, 1.2)


def parse_retry_after(text: str | None) -> float:
    """Return the seconds of a Retry-After header; 0 where absent or a date.

    A date would have to be compared with the wall clock of a board that may have none.
    """
    if text is None or not (text.isascii() and text.strip().isdigit()):
        return 0.0
    return float(text.strip()[:9])
