"""Jobs over HTTP, on both databases."""

from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency.messages import VerifyWork
from service.database import Database
from service.devices.work import request_verify
from service.jobs.job_devices import search_devices
from service.jobs.journal import locked_job, move, record
from service.jobs.repository import events_after
from service.jobs.use_cases import get_job
from service.lifecycle import IllegalTransitionError, JobState
from service.tables.job import JobRow
from tests.search.space.tables import some_genotype
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock, RecordingQueue
from tests.service.samples import count_jobs, network

ORDER = {"device": "board", "budget_ms": 0.5, "channels": 4, "cells": 3, "recipe": "tiny"}


def start(admin: TestClient, **changes: object) -> dict[str, Any]:
    """Start a search and return the job."""
    response = admin.post("/v1/searches", json=ORDER | changes)
    assert response.status_code == 201, response.text
    job: dict[str, Any] = response.json()
    return job


def test_a_search_is_stored_and_enqueued_in_one_transaction(
    admin: TestClient, board: Board, job_queue: RecordingQueue
) -> None:
    job = start(admin, name="mine")
    assert job["state"] == "queued"
    assert job["name"] == "mine"
    assert job["device_id"] == board.device_id
    assert job["request"]["dataset"] == "digits"
    assert job_queue.calls == [("enqueue search", job["id"])]
    assert admin.get(f"/v1/jobs/{job['id']}").json() == job
    assert [found["id"] for found in admin.get("/v1/jobs").json()] == [job["id"]]


def test_a_search_is_of_cells_unless_stages_are_asked_for(admin: TestClient, board: Board) -> None:
    assert start(admin)["request"]["space"] == "dass-cells"
    assert start(admin, space="stages")["request"]["space"] == "stages"


def test_who_plans_the_layers_is_left_to_the_table_unless_it_is_said(
    admin: TestClient, board: Board
) -> None:
    assert start(admin)["request"]["densities"] == "auto"
    assert start(admin, densities="budget")["request"]["densities"] == "budget"


def test_controls_are_made_where_they_are_asked_for(admin: TestClient, board: Board) -> None:
    assert start(admin)["request"]["controls"] is False
    request = start(admin, controls=True, seeds=3)["request"]
    assert (request["controls"], request["seeds"]) == (True, 3)


def test_a_search_can_be_for_several_devices(
    app: FastAPI, admin: TestClient, board: Board, database: Database
) -> None:
    assert start(admin)["request"]["also"] == []
    other = enrol(app, admin, name="other")
    job = start(admin, also=[{"device": other.device_id, "budget_ms": 0.25}], controls=True)
    assert job["request"]["controls"] is True
    assert job["device_id"] == board.device_id
    assert job["request"]["also"] == [{"device": "other", "budget_ms": 0.25}]
    with database.reading() as session:
        found = search_devices(session, get_job(session, job["id"]))
    assert [(one.place, one.device.id, one.budget_ms, one.table_id) for one in found] == [
        (1, board.device_id, 0.5, None),
        (2, other.device_id, 0.25, None),
    ]


def test_densities_by_layer_are_for_one_device(
    app: FastAPI, admin: TestClient, board: Board
) -> None:
    enrol(app, admin, name="other")
    also = [{"device": "other", "budget_ms": 0.25}]
    refused = admin.post("/v1/searches", json=ORDER | {"also": also, "densities": "budget"})
    assert refused.status_code == 422
    assert "This is for one device only" in refused.text
    assert "/densities" in refused.text


def test_a_front_is_made_where_it_is_asked_for(admin: TestClient, board: Board) -> None:
    assert start(admin)["request"]["front"] == 0
    assert start(admin, front=12)["request"]["front"] == 12


@pytest.fixture
def found(admin: TestClient, board: Board, database: Database) -> dict[str, Any]:
    """A search with a front of two networks."""
    return start_with_front(admin, database, density=0.5, seed=8)


def start_with_front(admin: TestClient, database: Database, **changes: object) -> dict[str, Any]:
    """Start a search and let it have a front of two networks."""
    job = start(admin, front=2, **changes)
    candidates = [{"index": index, "genotype": some_genotype(index).to_dict()} for index in (0, 1)]
    with database.transaction() as session:
        session.get_one(JobRow, job["id"]).result = {"front": {"candidates": candidates}}
    return job


def test_a_network_of_a_front_is_trained_as_its_search_would_have(
    admin: TestClient, found: dict[str, Any]
) -> None:
    order = {"device": "board", "budget_ms": 0.7, "from_front": f"{found['id']}:1"}
    response = admin.post("/v1/searches", json=order)
    assert response.status_code == 201, response.text
    request = response.json()["request"]
    assert request["genotype"] == some_genotype(1).to_dict()
    assert (request["budget_ms"], request["front"]) == (0.7, 0)
    for name in ("channels", "cells", "recipe", "density", "seed", "dataset", "space", "pattern"):
        assert request[name] == found["request"][name], name


@pytest.fixture
def found_for_both(
    app: FastAPI, admin: TestClient, board: Board, database: Database
) -> dict[str, Any]:
    """The same for two devices; there is a third."""
    enrol(app, admin, name="other")
    enrol(app, admin, name="third")
    return start_with_front(admin, database, also=[{"device": "other", "budget_ms": 0.25}])


@pytest.mark.parametrize(("first", "second"), [("board", "other"), ("other", "board")])
def test_a_network_that_was_found_for_several_devices_is_trained_for_the_same(
    admin: TestClient,
    found_for_both: dict[str, Any],
    database: Database,
    first: str,
    second: str,
) -> None:
    also = [{"device": second, "budget_ms": 0.9}]
    order = {"device": first, "budget_ms": 0.7, "also": also}
    pick = order | {"from_front": f"{found_for_both['id']}:1"}
    response = admin.post("/v1/searches", json=pick)
    assert response.status_code == 201, response.text
    request = response.json()["request"]
    assert request["genotype"] == some_genotype(1).to_dict()
    assert (request["device"], request["budget_ms"], request["also"]) == (first, 0.7, also)
    with database.reading() as session:
        devices = search_devices(session, get_job(session, response.json()["id"]))
    assert [one.device.name for one in devices] == [first, second]


@pytest.mark.parametrize(
    ("device", "also"),
    [("board", []), ("third", []), ("board", ["third"]), ("board", ["other", "third"])],
)
def test_a_network_that_was_found_for_several_devices_is_for_no_others(
    admin: TestClient, found_for_both: dict[str, Any], device: str, also: list[str]
) -> None:
    order = {
        "device": device,
        "budget_ms": 0.7,
        "also": [{"device": name, "budget_ms": 0.7} for name in also],
        "from_front": f"{found_for_both['id']}:0",
    }
    refused = admin.post("/v1/searches", json=order)
    assert refused.status_code == 422
    assert "/also" in refused.text
    assert "was searched for board, other; name these, each with a budget" in refused.text


def test_a_network_that_was_found_for_one_device_is_not_for_several(
    app: FastAPI, admin: TestClient, found: dict[str, Any]
) -> None:
    enrol(app, admin, name="other")
    also = [{"device": "other", "budget_ms": 0.7}]
    order = {"device": "board", "budget_ms": 0.7, "from_front": f"{found['id']}:0"}
    assert admin.post("/v1/searches", json=order | {"also": also}).status_code == 422
    other = admin.post("/v1/searches", json=order | {"device": "other"})
    assert other.status_code == 201, "one device may be another one"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"from_front": "JOB:2"}, "0 to 1"),
        ({"from_front": "0" * 32 + ":0"}, "No job with this id has a front"),
        ({"from_front": "JOB"}, "from_front"),
        ({"from_front": "JOB:1", "density": 0.25}, "searched with 0.5"),
        ({"from_front": "JOB:1", "front": 3}, "Nothing is searched"),
        ({"front": 1}, "2 to 12"),
        ({"front": 13}, "12"),
    ],
)
def test_a_wrong_pick_is_refused(
    admin: TestClient,
    found: dict[str, Any],
    database: Database,
    changes: dict[str, Any],
    named: str,
) -> None:
    order: dict[str, Any] = {"device": "board", "budget_ms": 0.7} | changes
    if "from_front" in order:
        order["from_front"] = order["from_front"].replace("JOB", found["id"])
    response = admin.post("/v1/searches", json=order)
    assert response.status_code == 422
    assert named in response.text
    assert count_jobs(database) == 1


def test_profile_and_verification_are_jobs_too(
    admin: TestClient, board: Board, job_queue: RecordingQueue
) -> None:
    profile = admin.post("/v1/profiles", json={"device": board.device_id})
    assert profile.status_code == 201
    unknown = {"device": "board", "artifact_sha256": "0" * 64}
    assert admin.post("/v1/verifications", json=unknown).status_code == 404
    assert job_queue.calls == [("enqueue profile", profile.json()["id"])]


@pytest.mark.parametrize(
    ("changes", "status", "named"),
    [
        ({"device": "nowhere"}, 404, "board"),
        ({"dataset": "imagenet"}, 404, "digits"),
        ({"recipe": "slow"}, 422, "quick"),
        ({"space": "trees"}, 422, "stages"),
        ({"pattern": "diagonal"}, 422, "block"),
        ({"densities": "each"}, 422, "budget"),
        ({"budget_ms": 0}, 422, "greater than 0"),
        ({"cells": 2}, 422, "3"),
        ({"density": 1.5}, 422, "1"),
        ({"colour": "red"}, 422, "Unknown"),
        ({"seeds": 3}, 422, "controls"),
        ({"also": [{"device": "board", "budget_ms": 1.0}]}, 422, "/also/0/device"),
        ({"also": [{"device": "nowhere", "budget_ms": 1.0}]}, 404, "board"),
        ({"also": [{"device": "x", "budget_ms": 1.0}], "densities": "budget"}, 422, "/densities"),
        ({"also": [{"device": "x"}]}, 422, "budget_ms"),
        ({"space": "stages", "specialise": True}, 422, "dass-cells only"),
        ({"seeds": 11, "controls": True}, 422, "10"),
    ],
)
def test_a_wrong_value_is_refused_naming_what_is_allowed(
    admin: TestClient,
    board: Board,
    database: Database,
    changes: dict[str, object],
    status: int,
    named: str,
) -> None:
    response = admin.post("/v1/searches", json=ORDER | changes)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    assert named in response.text
    assert count_jobs(database) == 0


def test_cancel_stops_the_flow_and_what_the_device_still_has_to_do(
    admin: TestClient,
    board: Board,
    database: Database,
    clock: HeldClock,
    job_queue: RecordingQueue,
) -> None:
    job = start(admin)
    with database.transaction() as session:
        work = VerifyWork(name="x", graph=network())
        request_verify(session, board.device_id, job["id"], work, now=clock())
    cancelled = admin.post(f"/v1/jobs/{job['id']}/cancel").json()
    assert cancelled["state"] == "cancelled"
    assert cancelled["finished_at"] is not None
    assert job_queue.calls[-1] == ("cancel 0", job["id"])
    assert board.claim().lease is None
    assert admin.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200  # again: no change


def test_resume_starts_the_next_attempt(
    admin: TestClient, board: Board, job_queue: RecordingQueue
) -> None:
    job = start(admin)
    assert admin.post(f"/v1/jobs/{job['id']}/resume").json()["code"] == "job-not-resumable"
    admin.post(f"/v1/jobs/{job['id']}/cancel")
    resumed = admin.post(f"/v1/jobs/{job['id']}/resume").json()
    assert (resumed["state"], resumed["attempt"]) == ("queued", 1)
    assert resumed["finished_at"] is None
    assert job_queue.calls[-1] == ("enqueue search", job["id"])


def test_a_finished_job_cannot_be_cancelled(
    admin: TestClient, board: Board, database: Database, clock: HeldClock
) -> None:
    job = start(admin)
    with database.transaction() as session:
        row = locked_job(session, job["id"])
        move(session, row, JobState.RUNNING, clock())
        move(session, row, JobState.SUCCEEDED, clock())
    response = admin.post(f"/v1/jobs/{job['id']}/cancel")
    assert (response.status_code, response.json()["code"]) == (409, "job-ended")


def test_an_illegal_transition_changes_nothing(
    admin: TestClient, board: Board, database: Database, clock: HeldClock
) -> None:
    job = start(admin)

    def succeed_without_running() -> None:
        with database.transaction() as session:
            move(session, locked_job(session, job["id"]), JobState.SUCCEEDED, clock())

    with pytest.raises(IllegalTransitionError):
        succeed_without_running()
    assert admin.get(f"/v1/jobs/{job['id']}").json()["state"] == "queued"


def test_events_are_numbered_without_gaps(
    admin: TestClient, board: Board, database: Database, clock: HeldClock
) -> None:
    job = start(admin)
    with database.transaction() as session:
        row = locked_job(session, job["id"])
        move(session, row, JobState.RUNNING, clock())
        move(session, row, JobState.RUNNING, clock())  # the same state is no event
        record(session, row, "progress", {"epoch": 1}, clock())
    with database.reading() as session:
        found = events_after(session, job["id"], 1)
        assert [event.number for event in found] == [2, 3]


def test_the_stream_of_an_ended_job_ends_with_an_end(admin: TestClient, board: Board) -> None:
    job = start(admin)
    admin.post(f"/v1/jobs/{job['id']}/cancel")
    whole = admin.get(f"/v1/jobs/{job['id']}/events")
    assert whole.headers["content-type"].startswith("text/event-stream")
    assert "id: 1\nevent: state" in whole.text
    assert whole.text.endswith("event: end\ndata: {}\n\n")
    rest = admin.get(f"/v1/jobs/{job['id']}/events", headers={"Last-Event-ID": "1"})
    assert "id: 1\n" not in rest.text
    assert "id: 2\n" in rest.text


def test_a_job_without_result_has_no_candidates(admin: TestClient, board: Board) -> None:
    job = start(admin)
    assert admin.get(f"/v1/jobs/{job['id']}/candidates").json() == []
    assert admin.get(f"/v1/jobs/{job['id']}/artifacts").json() == []


def test_an_unknown_job_is_404_everywhere(admin: TestClient) -> None:
    for path in ("", "/events", "/candidates", "/artifacts"):
        assert admin.get(f"/v1/jobs/{'0' * 32}{path}").status_code == 404
    for path in ("/cancel", "/resume"):
        assert admin.post(f"/v1/jobs/{'0' * 32}{path}").status_code == 404


def test_an_agent_may_not_start_jobs(board: Board) -> None:
    assert board.http.post("/v1/searches", json=ORDER).status_code == 403
