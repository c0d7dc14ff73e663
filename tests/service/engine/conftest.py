"""A database with both schemas, and worker processes that are surely gone afterwards."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from sqlalchemy import Engine

from service import schema
from service.clock import utc_now
from service.database import Database, create_engine, create_engine_for_dbos
from service.engine.queue import DbosJobQueue
from service.engine.setup import migrate_engine, open_client
from service.lifecycle import JobKind, JobState
from service.processes import spawn
from service.tables.job import JobRow
from tests.python_path import python_path

TTL_S = 2.4
_PROGRAM = Path(__file__).with_name("worker_program.py")


@dataclass
class Bench:
    """A database, the API's side of the engine, and any number of workers."""

    folder: Path
    url: str
    database: Database
    queue: DbosJobQueue
    workers: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def start_worker(self, epochs: int = 8, pause_s: float = 0.1) -> "subprocess.Popen[bytes]":
        """Start a worker and wait until it has made its first steps."""
        before = len(list(self.folder.glob("*.started")))
        argv = [sys.executable, str(_PROGRAM), self.url, str(self.folder), str(TTL_S)]
        environment = os.environ | {"PYTHONPATH": python_path()}
        worker = spawn(
            [*argv, str(epochs), str(pause_s)],
            env=environment,
            log=self.folder / f"worker-{before}.log",
        )
        self.workers.append(worker)
        wait_until(lambda: len(list(self.folder.glob("*.started"))) > before)
        return worker

    def freeze(self, worker: "subprocess.Popen[bytes]") -> None:
        """Stop a worker at a moment in which it holds no lock of the database file."""
        probe = sqlite3.connect(self.url.removeprefix("sqlite:///"), timeout=0.2)
        for _ in range(50):
            worker.send_signal(signal.SIGSTOP)
            try:
                probe.execute("BEGIN EXCLUSIVE")
            except sqlite3.OperationalError:
                worker.send_signal(signal.SIGCONT)
                time.sleep(0.05)
            else:
                break
        probe.close()

    def submit(self) -> str:
        """Store a job and enqueue its flow; returns the job's id."""
        with self.database.transaction() as session:
            row = JobRow(
                kind=JobKind.SEARCH, state=JobState.QUEUED, request={}, created_at=utc_now()
            )
            session.add(row)
            session.flush()
            self.queue.enqueue(session, row.id, JobKind.SEARCH, 10)
            return row.id

    def report(self, job_id: str, unit_id: str = "unit") -> None:
        """Tell the flow that its device work has ended."""
        with self.database.transaction() as session:
            self.queue.finished(session, job_id, unit_id)

    def status(self, job_id: str, attempt: int = 0) -> str | None:
        """Return the engine's word for the state of a flow."""
        return self.queue.statuses([(job_id, attempt)]).get((job_id, attempt))

    def epoch_log(self, job_id: str) -> list[list[str]]:
        """Return the lines of the trainers: time, pid, begin or end, epoch."""
        path = self.folder / job_id / "epochs.log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def epochs_done(self, job_id: str) -> list[int]:
        """Return the epochs that ended, in order."""
        return [int(line[3]) for line in self.epoch_log(job_id) if line[2] == "end"]

    def result(self, job_id: str) -> str:
        """Wait for the end of the flow and return what it wrote."""
        path = self.folder / job_id / "done"
        wait_until(lambda: path.exists() and path.read_text() != "")
        return path.read_text()


def wait_until(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    """Return when the condition holds; fail the test when it never does."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail("waited in vain")
        time.sleep(0.05)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench on an embedded database."""
    url = f"sqlite:///{tmp_path / 'edgewright.db'}"
    engine = create_engine(url)
    schema.upgrade(engine)
    migrate_engine(url)
    yield from _bench_on(tmp_path, url, engine)


@pytest.fixture
def postgres_bench(postgres_database: Database, tmp_path: Path) -> Iterator[Bench]:
    """A bench on PostgreSQL."""
    url = postgres_database.engine.url.render_as_string(hide_password=False)
    migrate_engine(url)
    migrate_engine(url)  # again: no change
    yield from _bench_on(tmp_path, url, create_engine(url))


def _bench_on(folder: Path, url: str, engine: Engine) -> Iterator[Bench]:
    dbos_engine = create_engine_for_dbos(url)
    queue = DbosJobQueue(open_client(dbos_engine))
    bench = Bench(folder=folder, url=url, database=Database(engine), queue=queue)
    try:
        yield bench
    finally:
        for worker in bench.workers:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()
        queue.close()
        dbos_engine.dispose()
        engine.dispose()
