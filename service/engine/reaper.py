"""Reaper: takes over the work of workers that died, since DBOS itself never notices one.

It looks at unfinished work and asks whether its owner lives, never at expired leases: a lease row
may be gone, unfinished work is always there. It acts on a missing lease only after the database
has answered for a whole TTL, since after an outage every lease looks expired at first.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from dbos import DBOS
from sqlalchemy.exc import SQLAlchemyError

from service.database import Database
from service.engine.lease import live_executors
from service.engine.owner import ended_on_this_host, forget, sweep

_log = logging.getLogger(__name__)
_KEEP_LOCKS_S = 3600.0


class Reaper:
    """Looks for work whose owner is gone; one in every worker, and repeats are harmless."""

    def __init__(
        self,
        database: Database,
        executor_id: str,
        lock_folder: Path,
        ttl_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._executor_id = executor_id
        self._lock_folder = lock_folder
        self._ttl_s = ttl_s
        self._monotonic = monotonic
        self._answering_since: float | None = None

    def run_once(self) -> list[str]:
        """Hand the work of dead workers back to the queues; returns the ids of those workers."""
        try:
            with self._database.reading() as session:
                live = live_executors(session)
            owners = self._other_owners()
            dead = [owner for owner in owners if self._is_dead(owner, live)]
            if dead:
                _log.warning("reaper: taking over the work of %s", ", ".join(dead))
                DBOS._recover_pending_workflows(dead)  # noqa: SLF001 - kept by a contract test
        except SQLAlchemyError:
            self._answering_since = None
            _log.warning("reaper: the database does not answer")
            return []
        if self._answering_since is None:
            self._answering_since = self._monotonic()
        for owner in dead:
            forget(self._lock_folder, owner)
        sweep(self._lock_folder, {*owners, self._executor_id}, _KEEP_LOCKS_S)
        return dead

    def _other_owners(self) -> list[str]:
        pending = DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)
        owners = {flow.executor_id for flow in pending if flow.executor_id}
        return sorted(owners - {self._executor_id})

    def _is_dead(self, owner: str, live: set[str]) -> bool:
        if ended_on_this_host(self._lock_folder, owner):
            return True
        since = self._answering_since
        answered_long_enough = since is not None and self._monotonic() - since >= self._ttl_s
        return owner not in live and answered_long_enough
