"""Enqueueing, waking and cancelling, as the API does it."""

import json
from pathlib import Path

import pytest
from dbos import DBOS
from sqlalchemy import func, select

from service.clock import utc_now
from service.lifecycle import JobKind, JobState
from service.tables.job import JobRow
from tests.service.engine.conftest import Bench, wait_until


class _ChangedMindError(Exception):
    pass


def test_rollback_leaves_neither_job_nor_flow(bench: Bench) -> None:
    row = JobRow(kind=JobKind.SEARCH, state=JobState.QUEUED, request={}, created_at=utc_now())

    def enqueue_then_fail() -> None:
        with bench.database.transaction() as session:
            session.add(row)
            session.flush()
            bench.queue.enqueue(session, row.id, JobKind.SEARCH, 10)
            raise _ChangedMindError

    with pytest.raises(_ChangedMindError):
        enqueue_then_fail()
    with bench.database.reading() as session:
        assert session.scalar(select(func.count()).select_from(JobRow)) == 0
    assert bench.status(row.id, 0) is None


def test_commit_leaves_both(bench: Bench) -> None:
    job_id = bench.submit()
    assert bench.status(job_id, 0) == "ENQUEUED"


def test_a_second_attempt_is_a_flow_of_its_own(bench: Bench) -> None:
    job_id = bench.submit()
    bench.queue.cancel(job_id, 0)
    with bench.database.transaction() as session:
        row = session.get_one(JobRow, job_id)
        row.attempt = 1
        bench.queue.enqueue(session, job_id, JobKind.SEARCH, 10)
    assert bench.status(job_id, 0) == "CANCELLED"
    assert bench.status(job_id, 1) == "ENQUEUED"


def test_cancel_kills_the_trainer(bench: Bench) -> None:
    bench.start_worker(epochs=1000, pause_s=0.1)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 2)
    bench.queue.cancel(job_id, 0)
    wait_until(lambda: _is_still(bench, job_id))
    assert not (bench.folder / job_id / "done").exists()
    assert bench.status(job_id, 0) == "CANCELLED"


def _is_still(bench: Bench, job_id: str) -> bool:
    pid = int(bench.epoch_log(job_id)[-1][1])
    try:
        state = Path(f"/proc/{pid}/stat").read_text().split()[2]
    except FileNotFoundError:
        return True
    return state == "Z"


def test_a_report_sent_while_no_worker_lives_is_not_lost(bench: Bench) -> None:
    worker = bench.start_worker(epochs=1, pause_s=0.01)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) == 1)
    worker.kill()
    worker.wait()
    bench.report(job_id, "the-unit")
    bench.report(job_id, "the-unit")  # the same report twice is one message
    bench.start_worker(epochs=1, pause_s=0.01)
    assert bench.result(job_id) == "None the-unit"


def test_what_the_engine_stores_is_json(bench: Bench) -> None:
    job_id = bench.submit()
    connection = bench.database.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute(
            "SELECT i.inputs, s.serialization FROM workflow_status s "
            "JOIN workflow_input i ON i.workflow_uuid = s.workflow_uuid"
        )
        inputs, serialization = cursor.fetchone() or ("", "")
        cursor.close()
    finally:
        connection.close()
    assert serialization == "portable_json"
    assert json.loads(inputs)["positionalArgs"] == [job_id, 0]


def test_the_private_call_that_the_reaper_relies_on_exists() -> None:
    assert callable(DBOS._recover_pending_workflows)
