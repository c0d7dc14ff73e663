"""WorkerContext: what the steps of all flows share in one worker process."""

from dataclasses import dataclass
from pathlib import Path

from service.artifacts.store import ArtifactStore
from service.clock import Clock
from service.database import Database
from service.engine.queue import DbosJobQueue
from service.engine.worker_process import WorkerProcess
from service.settings import Settings


@dataclass(frozen=True, kw_only=True)
class WorkerContext:
    """The parts of one worker process."""

    settings: Settings
    database: Database
    clock: Clock
    queue: DbosJobQueue
    process: WorkerProcess
    store: ArtifactStore

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of a job's checkpoints and stage results."""
        return self.settings.work_dir / job_id
