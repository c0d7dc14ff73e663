"""The same seam on PostgreSQL: only the URL changes."""

import pytest

from service.engine.lease import database_now
from tests.service.engine.conftest import Bench, wait_until

pytestmark = pytest.mark.postgres


class _ChangedMindError(Exception):
    pass


def test_a_killed_worker_is_replaced_and_its_trainer_resumes(postgres_bench: Bench) -> None:
    bench = postgres_bench
    first = bench.start_worker(epochs=8, pause_s=0.2)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 2)
    first.kill()
    first.wait()
    bench.start_worker(epochs=8, pause_s=0.2)
    bench.report(job_id)
    assert bench.result(job_id) == "None unit"
    assert bench.epochs_done(job_id) == list(range(8))


def test_rollback_leaves_no_flow(postgres_bench: Bench) -> None:
    job_id = postgres_bench.submit()
    assert postgres_bench.status(job_id) == "ENQUEUED"

    def report_then_fail() -> None:
        with postgres_bench.database.transaction() as session:
            postgres_bench.queue.finished(session, job_id, "unit")
            raise _ChangedMindError

    with pytest.raises(_ChangedMindError):
        report_then_fail()
    postgres_bench.start_worker(epochs=1, pause_s=0.01)
    wait_until(lambda: len(postgres_bench.epochs_done(job_id)) == 1)
    postgres_bench.report(job_id, "the-other")
    assert postgres_bench.result(job_id) == "None the-other"


def test_times_of_leases_come_from_the_database(postgres_bench: Bench) -> None:
    with postgres_bench.database.reading() as session:
        first = database_now(session)
        assert database_now(session) >= first
        assert first.utcoffset() is not None
