"""The client against a real server."""

import hashlib
import threading
from pathlib import Path

import pytest

from service.artifacts.store import ArtifactStore
from service.artifacts.use_cases import attach_artifact, record_artifact
from service.client import Client
from service.client.connection import find_connection
from service.client.errors import (
    ConflictError,
    InvalidError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
    UnreachableError,
)
from service.database import Database
from service.jobs.journal import locked_job, move, record
from service.lifecycle import JobState
from service.settings import Settings
from tests.service.board import Board
from tests.service.fakes import HeldClock


def test_devices_and_jobs(client: Client, board: Board) -> None:
    assert client.is_ready()
    assert [device.name for device in client.devices()] == ["board"]
    assert client.datasets()[0].name == "digits"
    assert client.plan("board", channels=4, cells=3).known == 0
    job = client.search("board", 0.5, channels=4, cells=3)
    assert client.job(job.id) == job
    assert client.jobs(JobState.QUEUED) == [job]
    assert client.cancel(job.id).state is JobState.CANCELLED
    assert client.wait(job.id).state is JobState.CANCELLED
    assert client.candidates(job.id) == []
    assert client.resume(job.id).attempt == 1


def test_refusals_are_typed_and_say_why(client: Client, board: Board, server_url: str) -> None:
    with pytest.raises(NotFoundError, match="board"):
        client.search("nowhere", 1.0)
    with pytest.raises(InvalidError, match="recipe"):
        client.search("board", 1.0, recipe="slow")
    job = client.search("board", 1.0)
    with pytest.raises(ConflictError) as refused:
        client.resume(job.id)
    assert refused.value.code == "job-not-resumable"
    with Client(server_url, "ew_user_wrong") as stranger, pytest.raises(UnauthenticatedError):
        stranger.devices()
    with Client("http://127.0.0.1:9", "x", attempts=1) as lost, pytest.raises(UnreachableError):
        lost.devices()


def test_events_arrive_while_the_job_runs_and_end_with_it(
    client: Client, board: Board, database: Database, clock: HeldClock
) -> None:
    job = client.search("board", 1.0)

    def run() -> None:
        for state in (JobState.RUNNING, JobState.SUCCEEDED):
            with database.transaction() as session:
                move(session, locked_job(session, job.id), state, clock())

    worker = threading.Timer(0.3, run)
    worker.start()
    states = [event.payload["state"] for event in client.events(job.id)]
    worker.join()
    assert states == ["queued", "running", "succeeded"]
    assert [event.number for event in client.events(job.id, after=1)] == [2, 3]


def test_a_resumed_job_keeps_its_stream_open_past_the_first_end(
    client: Client, board: Board, database: Database, clock: HeldClock
) -> None:
    job = client.search("board", 1.0)
    client.cancel(job.id)
    client.resume(job.id)
    with database.transaction() as session:
        row = locked_job(session, job.id)
        record(session, row, "note", {"message": "again"}, clock())
        move(session, row, JobState.FAILED, clock())
    states = [event.payload.get("state") for event in client.events(job.id)]
    assert states == ["queued", "cancelled", "queued", None, "failed"]


def test_pull_stores_whole_verified_files(
    client: Client,
    board: Board,
    database: Database,
    settings: Settings,
    clock: HeldClock,
    tmp_path: Path,
) -> None:
    job = client.search("board", 1.0)
    data = b"model" * 1000
    store = ArtifactStore(settings.artifacts_dir)
    stored = store.add_bytes(data)
    with database.transaction() as session:
        record_artifact(session, stored, media_type="application/octet-stream", now=clock())
        attach_artifact(session, job.id, "model.onnx", stored.sha256)
    paths = client.pull(job.id, tmp_path / "out")
    assert paths["model.onnx"].read_bytes() == data
    assert hashlib.sha256(data).hexdigest() == stored.sha256
    damaged = settings.artifacts_dir / "sha256" / stored.sha256[:2] / stored.sha256
    damaged.write_bytes(b"other")
    with pytest.raises(UnavailableError):
        client.download(stored.sha256, tmp_path / "again.onnx")
    assert [path.name for path in tmp_path.glob("*again*")] == []


def test_the_connection_is_found_in_the_data_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("EDGEWRIGHT_URL", "EDGEWRIGHT_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("EDGEWRIGHT_DATA_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="EDGEWRIGHT_TOKEN"):
        find_connection()
    (tmp_path / "admin-token").write_text("secret\n")
    (tmp_path / "url").write_text("http://127.0.0.1:1234\n")
    assert find_connection().url == "http://127.0.0.1:1234"
    monkeypatch.setenv("EDGEWRIGHT_URL", "http://elsewhere/")
    assert (find_connection().url, find_connection().token) == ("http://elsewhere", "secret")
    assert find_connection(None, "given").token == "given"  # noqa: S105
