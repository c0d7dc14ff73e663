"""The clock of the service, as something that tests can hold still."""

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]  # returns an aware time in UTC


def utc_now() -> datetime:
    """Return the current time in UTC; every other module takes a `Clock`."""
    return datetime.now(UTC)  # noqa: TID251 - the one place that reads the clock
