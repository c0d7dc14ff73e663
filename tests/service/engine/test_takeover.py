"""What happens to running work when its worker dies, freezes, is told to end, or is cut off."""

import itertools
import signal
import sqlite3

import pytest

from tests.service.engine.conftest import TTL_S, Bench, wait_until


def _trainers_never_overlapped(log: list[list[str]]) -> bool:
    """Whether the epochs of different trainers lie apart in time."""
    spans: dict[str, tuple[int, int]] = {}
    for moment, pid, *_ in log:
        first, _last = spans.get(pid, (int(moment), 0))
        spans[pid] = (first, int(moment))
    ordered = sorted(spans.values())
    return all(a[1] < b[0] for a, b in itertools.pairwise(ordered))


def test_a_killed_worker_is_replaced_and_its_trainer_resumes_at_the_checkpoint(
    bench: Bench,
) -> None:
    first = bench.start_worker(epochs=12, pause_s=0.2)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 3)
    first.kill()
    first.wait()
    bench.start_worker(epochs=12, pause_s=0.2)
    bench.report(job_id)
    assert bench.result(job_id) == "None unit"
    assert bench.epochs_done(job_id) == list(range(12))  # none twice, none left out
    assert _trainers_never_overlapped(bench.epoch_log(job_id))


def test_a_worker_without_a_lock_file_is_replaced_when_its_lease_has_run_out(
    bench: Bench,
) -> None:
    first = bench.start_worker(epochs=12, pause_s=0.2)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 2)
    for lock in (bench.folder / "locks").iterdir():
        lock.unlink()  # as on another host
    first.kill()
    first.wait()
    bench.start_worker(epochs=12, pause_s=0.2)
    bench.report(job_id)
    assert bench.result(job_id) == "None unit"
    assert bench.epochs_done(job_id) == list(range(12))


@pytest.mark.slow
def test_a_frozen_worker_loses_its_work_and_its_trainer_ends_before_the_next_begins(
    bench: Bench,
) -> None:
    first = bench.start_worker(epochs=30, pause_s=0.2)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 2)
    bench.freeze(first)
    bench.start_worker(epochs=30, pause_s=0.2)
    wait_until(lambda: len({line[1] for line in bench.epoch_log(job_id)}) == 2)
    first.send_signal(signal.SIGCONT)
    bench.report(job_id)
    assert bench.result(job_id) == "None unit"
    assert bench.epochs_done(job_id) == list(range(30))
    assert _trainers_never_overlapped(bench.epoch_log(job_id))
    assert first.wait(30) == 75  # a worker that lost its lease leaves


def test_a_worker_that_is_told_to_end_hands_its_work_over(bench: Bench) -> None:
    first = bench.start_worker(epochs=12, pause_s=0.2)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 3)
    first.terminate()
    assert first.wait(30) == 0
    bench.start_worker(epochs=12, pause_s=0.2)
    bench.report(job_id)
    assert bench.result(job_id) == "None unit"
    assert bench.epochs_done(job_id) == list(range(12))


@pytest.mark.slow
def test_a_database_that_is_away_longer_than_the_lease_costs_time_but_no_job(
    bench: Bench,
) -> None:
    first = bench.start_worker(epochs=40, pause_s=0.2)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 2)
    blocker = sqlite3.connect(bench.url.removeprefix("sqlite:///"), isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    assert first.wait(60) == 75  # fenced or lease lost: it leaves rather than record anything
    blocker.execute("COMMIT")
    blocker.close()
    bench.start_worker(epochs=40, pause_s=0.2)
    bench.report(job_id)
    assert bench.result(job_id) == "None unit"
    assert bench.epochs_done(job_id) == list(range(40))
    assert _trainers_never_overlapped(bench.epoch_log(job_id))


def test_the_reaper_leaves_a_living_owner_alone(bench: Bench) -> None:
    bench.start_worker(epochs=20, pause_s=0.2)
    job_id = bench.submit()
    wait_until(lambda: len(bench.epochs_done(job_id)) >= 1)
    bench.start_worker(epochs=20, pause_s=0.2)  # its reaper runs for longer than a TTL
    wait_until(lambda: len(bench.epochs_done(job_id)) == 20, timeout_s=20 * TTL_S)
    assert len({line[1] for line in bench.epoch_log(job_id)}) == 1
