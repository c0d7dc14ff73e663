"""WorkerProcess: what makes a process a worker: lock, lease, DBOS, reaper, and leaving for good."""

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from sqlalchemy.exc import SQLAlchemyError

from service.database import Database
from service.engine.lease import LeaseTimes, WorkerLease
from service.engine.owner import OwnerLock, new_executor_id
from service.engine.reaper import Reaper
from service.engine.setup import configure_worker, launch_worker
from service.engine.trainer import FENCED_EXIT, TrainerRunner

_log = logging.getLogger(__name__)


class WorkerProcess:
    """One worker. It never winds down its flows: it leaves, and the next worker goes on.

    An orderly end inside DBOS would turn interrupted steps into recorded failures.
    """

    def __init__(
        self, database: Database, database_url: str, lock_folder: Path, times: LeaseTimes
    ) -> None:
        self.executor_id = new_executor_id()
        self._database_url = database_url
        self._times = times
        self._lock = OwnerLock(lock_folder, self.executor_id)
        self._lease = WorkerLease(database, self.executor_id, times, self._on_lost)
        self._reaper = Reaper(database, self.executor_id, lock_folder, times.ttl_s)
        self.trainers = TrainerRunner(
            may_feed=self._lease.is_fresh,
            feed_every_s=min(1.0, times.renew_s / 2),
            inherit=(self._lock.descriptor,),
        )
        self._stopping = threading.Event()

    @property
    def fence_s(self) -> float:
        """After how long without food a trainer must end itself, in seconds."""
        return self._times.fence_s

    def run(self, register_flows: Callable[[], None], upkeep: Callable[[], None]) -> NoReturn:
        """Work until `stop`; `upkeep` is called every few seconds from this thread."""
        self._lease.start()
        configure_worker(self._database_url, self.executor_id)
        register_flows()
        launch_worker()
        pause = min(5.0, self._times.renew_s)
        while not self._stopping.wait(pause):
            self._reaper.run_once()
            upkeep()
        self._leave_in_order()

    def stop(self) -> None:
        """End soon; safe to call from a signal handler."""
        self._stopping.set()

    def abandon(self) -> NoReturn:
        """End at once, leaving everything to whoever takes over."""
        self.trainers.leave()
        os._exit(FENCED_EXIT)

    def _leave_in_order(self) -> NoReturn:
        self.trainers.leave()
        try:
            self._lease.release()
        except SQLAlchemyError:
            _log.warning("worker: left without giving back its lease; it will run out")
        os._exit(0)

    def _on_lost(self) -> None:
        _log.error("worker: the lease is lost; leaving")
        self.abandon()
