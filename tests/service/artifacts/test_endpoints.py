"""Artifacts over HTTP and their records."""

import base64
import hashlib

import pytest
from fastapi.testclient import TestClient

from service.artifacts.store import ArtifactStore, StoredFile
from service.artifacts.use_cases import artifacts_of_job, attach_artifact, record_artifact
from service.database import Database
from service.settings import Settings
from tests.service.fakes import HeldClock
from tests.service.samples import add_job

DATA = b"network" * 1000


@pytest.fixture
def stored(settings: Settings, database: Database, clock: HeldClock) -> StoredFile:
    found = ArtifactStore(settings.artifacts_dir).add_bytes(DATA)
    with database.transaction() as session:
        for _ in range(2):
            record_artifact(session, found, media_type="application/octet-stream", now=clock())
    return found


def test_download(admin: TestClient, stored: StoredFile) -> None:
    response = admin.get(f"/v1/artifacts/{stored.sha256}")
    assert response.content == DATA
    digest = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    assert response.headers["content-digest"] == f"sha-256=:{digest}:"
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["x-content-type-options"] == "nosniff"


def test_range_is_ignored(admin: TestClient, stored: StoredFile) -> None:
    headers = {"Range": "bytes=0-1," * 500 + "bytes=0-0"}
    response = admin.get(f"/v1/artifacts/{stored.sha256}", headers=headers)
    assert (response.status_code, response.content) == (200, DATA)


def test_wrong_bytes_are_never_delivered(
    admin: TestClient, stored: StoredFile, settings: Settings
) -> None:
    (path,) = [path for path in settings.artifacts_dir.rglob(stored.sha256) if path.is_file()]
    path.write_bytes(DATA[:-1] + b"X")
    response = admin.get(f"/v1/artifacts/{stored.sha256}")
    assert (response.status_code, response.json()["code"]) == (503, "artifact-unavailable")
    assert response.json()["retryable"] is False


def test_unknown(admin: TestClient) -> None:
    assert admin.get(f"/v1/artifacts/{'0' * 64}").status_code == 404


def test_files_of_a_job(database: Database, clock: HeldClock, settings: Settings) -> None:
    store = ArtifactStore(settings.artifacts_dir)
    first, second = store.add_bytes(b"1"), store.add_bytes(b"22")
    with database.transaction() as session:
        job = add_job(session, clock())
        for file in (first, second):
            record_artifact(session, file, media_type="text/plain", now=clock())
        attach_artifact(session, job, "model.onnx", first.sha256)
        attach_artifact(session, job, "genotype.json", first.sha256)
        attach_artifact(session, job, "model.onnx", second.sha256)
    with database.reading() as session:
        found = [(file.name, file.sha256, file.size) for file in artifacts_of_job(session, job)]
    assert found == [("genotype.json", first.sha256, 1), ("model.onnx", second.sha256, 2)]


def test_a_file_is_stored_under_its_digest(admin: TestClient) -> None:
    for _ in range(2):  # again: no change
        response = admin.post("/v1/artifacts", content=DATA)
        assert response.status_code == 201, response.text
        assert response.json()["sha256"] == hashlib.sha256(DATA).hexdigest()
        assert response.json()["size"] == len(DATA)
    assert admin.get(f"/v1/artifacts/{response.json()['sha256']}").content == DATA


def test_a_file_may_be_larger_than_other_bodies_and_has_a_limit_too(
    admin: TestClient, settings: Settings
) -> None:
    large = b"x" * (settings.max_body_bytes + 1)
    assert admin.post("/v1/artifacts", content=large).status_code == 201
    too_large = b"x" * (settings.max_file_bytes + 1)
    in_parts = (too_large[at : at + 100_000] for at in range(0, len(too_large), 100_000))
    for body in (too_large, in_parts):
        refused = admin.post("/v1/artifacts", content=body)
        assert (refused.status_code, refused.json()["code"]) == (413, "body-too-large")
    stored = list((settings.artifacts_dir / "sha256").glob("*/*"))
    assert len(stored) == 1
