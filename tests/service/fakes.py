"""The other side of the ports, recording what it is told, and a clock that stands still."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from service.lifecycle import JobKind


@dataclass
class HeldClock:
    """A clock that moves only when it is told to."""

    now: datetime = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)


@dataclass
class RecordingListener:
    """Notes which units have ended."""

    units: list[tuple[str, str]] = field(default_factory=list)

    def finished(self, session: Session, job_id: str, unit_id: str) -> None:
        """Note it, with the session in the middle of its transaction."""
        assert session.in_transaction()
        self.units.append((job_id, unit_id))


@dataclass
class RecordingQueue:
    """Notes what was asked of the job engine."""

    calls: list[tuple[str, str]] = field(default_factory=list)

    def enqueue(self, session: Session, job_id: str, kind: JobKind, priority: int) -> None:
        """Note it."""
        assert session.in_transaction()
        assert priority >= 1
        self.calls.append((f"enqueue {kind.value}", job_id))

    def cancel(self, job_id: str, attempt: int) -> None:
        """Note it."""
        self.calls.append((f"cancel {attempt}", job_id))
