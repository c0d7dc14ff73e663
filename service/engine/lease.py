"""The worker's lease: a row that says until when others must believe that it lives.

Times are the database's, so that clocks of different hosts need not agree. What the worker itself
believes is measured by its monotonic clock from before each renewal was sent: it always stops
believing before the database does.
"""

import logging
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from service.database import Database
from service.tables.worker_lease import WorkerLeaseRow

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LeaseTimes:
    """How long a lease lasts and how often it is renewed, in seconds."""

    ttl_s: float = 90.0
    renew_s: float = 15.0

    @property
    def fence_s(self) -> float:
        """A trainer that was not fed for so long ends itself; with the feeding rule: in time."""
        return self.ttl_s * 2 / 3

    @property
    def fresh_s(self) -> float:
        """A trainer is fed only so long after a renewal."""
        return self.ttl_s / 3


class WorkerLease:
    """Keeps one worker's lease row alive from a thread of its own.

    `on_lost` is called from that thread, once, when no renewal succeeded for a whole TTL: other
    workers may have taken over, so the process must end without writing anything more.
    """

    def __init__(
        self,
        database: Database,
        executor_id: str,
        times: LeaseTimes,
        on_lost: Callable[[], None],
    ) -> None:
        self._database = database
        self._executor_id = executor_id
        self._times = times
        self._on_lost = on_lost
        self._stopping = threading.Event()
        self._renewed_at = float("-inf")
        self._thread = threading.Thread(target=self._keep, name="worker-lease", daemon=True)

    def start(self) -> None:
        """Take the lease; raises when the database does not answer."""
        self._renew()
        self._thread.start()

    def is_fresh(self) -> bool:
        """Return whether a trainer may be fed: it will end before this lease can run out."""
        return time.monotonic() - self._renewed_at < self._times.fresh_s

    def release(self) -> None:
        """Stop renewing and remove the row, so that others take over at once."""
        self._stopping.set()
        self._thread.join(timeout=5)
        with self._database.transaction() as session:
            session.execute(
                delete(WorkerLeaseRow).where(WorkerLeaseRow.executor_id == self._executor_id)
            )

    def _keep(self) -> None:
        pause = self._times.renew_s
        while not self._stopping.wait(pause):
            try:
                self._renew()
                pause = self._times.renew_s
            except SQLAlchemyError:
                _log.warning("lease: the database does not answer")
                pause = min(1.0, self._times.renew_s)
            if time.monotonic() - self._renewed_at >= self._times.ttl_s:
                self._on_lost()
                return

    def _renew(self) -> None:
        asked_at = time.monotonic()
        with self._database.transaction() as session:
            now = database_now(session)
            expires_at = now + timedelta(seconds=self._times.ttl_s)
            row = session.get(WorkerLeaseRow, self._executor_id)
            if row is not None:
                row.expires_at = expires_at
            else:
                session.add(
                    WorkerLeaseRow(
                        executor_id=self._executor_id,
                        host=socket.gethostname(),
                        started_at=now,
                        expires_at=expires_at,
                    )
                )
        # The lease counts from when it was asked for: the answer may have been slow.
        self._renewed_at = asked_at


def live_executors(session: Session) -> set[str]:
    """Return the ids of all workers whose lease has not run out."""
    now = database_now(session)
    return set(
        session.scalars(select(WorkerLeaseRow.executor_id).where(WorkerLeaseRow.expires_at > now))
    )


def database_now(session: Session) -> datetime:
    """Return the database's clock as an aware time; SQLite's is this host's."""
    if session.get_bind().dialect.name == "sqlite":
        text = session.scalar(select(func.strftime("%Y-%m-%dT%H:%M:%f", "now")))
        return datetime.fromisoformat(str(text)).replace(tzinfo=UTC)
    now = session.scalar(select(func.clock_timestamp()))
    if not isinstance(now, datetime):
        raise TypeError(f"the database's clock gave {now!r}")
    return now.astimezone(UTC)
