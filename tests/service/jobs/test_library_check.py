"""A file is not verified with another operator library than its table was measured with."""

from dataclasses import replace

import pytest
from fastapi.testclient import TestClient

from service.artifacts.store import ArtifactStore
from service.artifacts.use_cases import attach_artifact, record_artifact
from service.database import Database
from service.devices.use_cases import store_target
from service.settings import Settings
from service.tables.job import JobRow
from service.tables.latency_table import LatencyTableRow
from tests.service.board import Board
from tests.service.fakes import HeldClock
from tests.service.samples import add_job, target


@pytest.fixture
def artifact(database: Database, clock: HeldClock, settings: Settings, board: Board) -> str:
    """The file of a search whose table was measured with library 1-old."""
    stored = ArtifactStore(settings.artifacts_dir).add_bytes(b"not really a network")
    priced = replace(target(), operator_library="1-old")
    with database.transaction() as session:
        store_target(session, priced, clock())
        record_artifact(session, stored, media_type="application/onnx", now=clock())
        table = LatencyTableRow(
            target_fingerprint=priced.fingerprint,
            version=1,
            operators=0,
            calibration={},
            networks={},
            created_at=clock(),
        )
        session.add(table)
        session.flush()
        job = add_job(session, clock(), board.device_id)
        session.get_one(JobRow, job).table_id = table.id
        attach_artifact(session, job, "model.onnx", stored.sha256)
    return stored.sha256


@pytest.mark.parametrize(("library", "status"), [("1-old", 201), ("none", 201), ("1-new", 409)])
def test_both_versions_are_named(
    admin: TestClient, board: Board, artifact: str, library: str, status: int
) -> None:
    board.target = replace(board.target, operator_library=library)
    board.claim()
    answer = admin.post(
        "/v1/verifications", json={"device": "board", "artifact_sha256": artifact, "processes": 1}
    )
    assert answer.status_code == status, answer.text
    if status == 409:
        found = answer.json()
        assert found["code"] == "library-differs"
        assert "1-new" in found["detail"]
        assert "1-old" in found["detail"]
