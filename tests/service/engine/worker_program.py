"""A worker with the real seam and a small flow: count in a trainer, then wait for the device."""

import signal
import sys
from pathlib import Path
from typing import Any

from dbos import DBOS

from service.database import Database, create_engine
from service.engine.lease import LeaseTimes
from service.engine.names import DEVICE_TOPIC, SEARCH_FLOW, STAGE_FLOW, TRAINER_QUEUE
from service.engine.trainer import TrainerJob
from service.engine.worker_process import WorkerProcess

_TRAINER = Path(__file__).with_name("trainer_program.py")


def main() -> None:
    """Arguments: database URL, folder, TTL in seconds, epochs, seconds of an epoch."""
    url, folder, ttl_s = sys.argv[1], Path(sys.argv[2]), float(sys.argv[3])
    times = LeaseTimes(ttl_s=ttl_s, renew_s=ttl_s / 6)
    worker = WorkerProcess(Database(create_engine(url)), url, folder / "locks", times)
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    (folder / f"{worker.executor_id}.started").touch()
    worker.run(lambda: _register(worker, folder, sys.argv[4:6]), lambda: None)


def _register(worker: WorkerProcess, folder: Path, schedule: list[str]) -> None:
    async def train(job_folder: str) -> dict[str, Any]:
        home = Path(job_folder)
        job = TrainerJob(
            argv=[sys.executable, str(_TRAINER), str(home), *schedule, str(worker.fence_s)],
            result_file=home / "result.json",
            error_file=home / "error.json",
            log_file=home / "trainer.log",
        )
        end = await worker.trainers.run(job, lambda report: None)
        if end.fenced:
            worker.abandon()
        return {"error": end.error}

    @DBOS.workflow(name=STAGE_FLOW, max_recovery_attempts=20)
    async def stage_flow(job_folder: str) -> dict[str, Any]:
        outcome: dict[str, Any] = await DBOS.run_step_async(
            {"name": "train", "preemptible": True}, train, job_folder
        )
        return outcome

    @DBOS.workflow(name=SEARCH_FLOW, max_recovery_attempts=20)
    async def search_flow(job_id: str, _attempt: int) -> str:
        home = folder / job_id
        home.mkdir(exist_ok=True)
        handle = await DBOS.enqueue_workflow_async(TRAINER_QUEUE, stage_flow, str(home))
        outcome = await handle.get_result()
        unit_id: str | None = await DBOS.recv_async(DEVICE_TOPIC, timeout_seconds=600)
        (home / "done").write_text(f"{outcome['error']} {unit_id}")
        return "done"


if __name__ == "__main__":
    main()
