"""Orders of compressions over HTTP: what is stored, and what is refused before anything is."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency.codec import decode, encode
from latency.graph import NetworkGraph
from search.compress.request import CompressRequest, Distortion, Mapping
from search.space.given_space import GivenSpace
from search.space.networks import network_graph
from search.space.rivals import PARENTS
from search.space.sparsity import MaskRule
from service.artifacts.store import ArtifactStore
from service.database import Database
from service.datasets.inspection import DIGITS_TASK
from service.datasets.use_cases import DIGITS
from service.jobs.given_network import job_space
from service.jobs.search_order import compress_request
from service.settings import Settings
from tests.service.board import Board, enrol
from tests.service.fakes import HeldClock, RecordingQueue
from tests.service.given import EIGHT, given_file, given_graph, unreadable_file
from tests.service.jobs.tables import give_table
from tests.service.samples import count_jobs, target

ORDER = {"device": "board", "budget_ms": 0.5, "network": "resnet-20", "width": 0.5}


def compress(admin: TestClient, **changes: object) -> Any:
    return admin.post("/v1/compressions", json=ORDER | changes)


def upload(admin: TestClient, data: bytes) -> str:
    response = admin.post("/v1/artifacts", content=data)
    assert response.status_code == 201, response.text
    assert response.json()["size"] == len(data)
    sha256: str = response.json()["sha256"]
    assert sha256 == hashlib.sha256(data).hexdigest()
    return sha256


def test_a_compression_is_a_job_with_an_order_that_the_trainer_understands(
    admin: TestClient, board: Board, job_queue: RecordingQueue
) -> None:
    response = compress(
        admin,
        distortion="second-order",
        mapping="evolution",
        mask_rule="admm",
        distillation={"weight": 0.3},
        name="mine",
        seed=4,
    )
    assert response.status_code == 201, response.text
    job = response.json()
    assert (job["kind"], job["state"], job["name"]) == ("compress", "queued", "mine")
    assert job["device_id"] == board.device_id
    assert job_queue.calls == [("enqueue compress", job["id"])]
    asked = compress_request(job["request"], DIGITS, tighten=0.9)
    assert (asked.network, asked.width, asked.seed) == ("resnet-20", 0.5, 4)
    assert (asked.mask_rule, asked.task, asked.device) == (MaskRule.ADMM, DIGITS_TASK, "board")
    assert (asked.distortion, asked.mapping) == (Distortion.SECOND_ORDER, Mapping.EVOLUTION)
    assert asked.distillation is not None
    assert (asked.distillation.weight, asked.distillation.temperature) == (0.3, 4.0)
    assert asked.budget_ms == 0.5
    assert asked.budget.tightened_ms == pytest.approx(0.45)
    assert decode(encode(asked), CompressRequest) == asked


@pytest.fixture
def eight(admin: TestClient, board: Board, tmp_path: Path) -> str:
    """A data set of 8x8 images of three classes."""
    from tests.search.engine.small import write_dataset

    path = write_dataset(tmp_path).path
    body = {"name": "eight", "format": "npz", "path": path}
    assert admin.post("/v1/datasets", json=body).status_code == 201
    return "eight"


def test_a_file_is_read_when_it_is_ordered(
    admin: TestClient, eight: str, settings: Settings
) -> None:
    data = given_file()
    sha256 = upload(admin, data)
    assert upload(admin, data) == sha256  # again: no change
    response = compress(admin, network=sha256, width=1.0, dataset=eight)
    assert response.status_code == 201, response.text
    request = response.json()["request"]
    store = ArtifactStore(settings.artifacts_dir)
    space = job_space(store, request, EIGHT)
    assert isinstance(space, GivenSpace)
    assert space.graph.operators == given_graph().operators
    kept = NetworkGraph.from_dict(json.loads(store.read_bytes(request["graph_sha256"])))
    assert kept == space.graph
    assert admin.get(f"/v1/artifacts/{sha256}").content == data


def test_a_built_in_network_is_a_space_of_its_own(settings: Settings) -> None:
    space = job_space(ArtifactStore(settings.artifacts_dir), ORDER, DIGITS_TASK)
    assert isinstance(space, GivenSpace)
    assert space.graph == network_graph(PARENTS["resnet-20"](0.5), DIGITS_TASK)


@pytest.mark.parametrize(
    ("changes", "status", "named"),
    [
        ({"device": "nowhere"}, 404, "board"),
        ({"dataset": "imagenet"}, 404, "digits"),
        ({"network": "alexnet"}, 422, "mobilenet-v2, resnet-18, resnet-20, or the SHA-256"),
        ({"network": "0" * 64}, 404, "no artifact with this digest"),
        ({"width": 0}, 422, "greater than 0"),
        ({"budget_ms": 0}, 422, "greater than 0"),
        ({"recipe": "slow"}, 422, "quick"),
        ({"mask_rule": "random"}, 422, "admm"),
        ({"distortion": "guess"}, 422, "one-shot"),
        ({"mapping": "guess"}, 422, "uniform"),
        ({"learning_rate": 0}, 422, "greater than 0"),
        ({"distillation": {"weight": 2}}, 422, "/distillation/weight"),
        ({"seed": -1}, 422, "/seed"),
        ({"also": [{"device": "board", "budget_ms": 1.0}]}, 422, "Unknown field"),
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
    response = compress(admin, **changes)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert named in response.text
    assert count_jobs(database) == 0


def test_what_cannot_be_read_of_a_file_is_listed_by_name_and_node(
    admin: TestClient, board: Board, database: Database
) -> None:
    response = compress(admin, network=upload(admin, unreadable_file()), width=1.0)
    assert (response.status_code, response.json()["code"]) == (422, "network-refused")
    detail = response.json()["detail"]
    assert "node 'first' (Tanh), node 'second' (Softplus), node 'third' (Tanh)" in detail
    assert "allowed are" in detail
    assert "GlobalAveragePool" in detail
    assert response.json()["errors"][0]["pointer"] == "/network"
    no_model = compress(admin, network=upload(admin, b"no model"), width=1.0)
    assert no_model.status_code == 422
    assert "this is not an ONNX model" in no_model.json()["detail"]
    assert count_jobs(database) == 0


def test_a_file_that_cannot_be_trained_is_refused_by_node(admin: TestClient, board: Board) -> None:
    from latency.lowering.build import build_model
    from latency.lowering.weights import random_weights

    graph = given_graph()
    nodes = tuple(
        replace(node, spec=replace(node.spec, kernel=2, padding=0, stride=2, height=16, width=16))
        if index == 0
        else node
        for index, node in enumerate(graph.nodes)
    )
    kernel_of_2 = replace(graph, input_shape=(1, 16, 16), nodes=nodes)
    data = build_model(kernel_of_2, random_weights(0)).SerializeToString()
    response = compress(admin, network=upload(admin, data), width=1.0)
    assert response.status_code == 422
    assert f"node '{nodes[0].name}': a kernel of 2 cannot be priced" in response.json()["detail"]


def test_images_or_classes_that_a_file_is_not_for_are_refused(
    admin: TestClient, board: Board, eight: str, database: Database
) -> None:
    sha256 = upload(admin, given_file())
    images = compress(admin, network=sha256, width=1.0, dataset="digits")
    assert images.status_code == 422
    assert "(1, 8, 8) and tells 3 classes apart" in images.json()["detail"]
    assert "images of (1, 16, 16) and 10 classes" in images.json()["detail"]
    seven = upload(admin, given_file(replace(EIGHT, classes=7)))
    classes = compress(admin, network=seven, width=1.0, dataset=eight)
    assert "tells 7 classes apart" in classes.json()["detail"]
    narrow = compress(admin, network=sha256, width=0.5, dataset=eight)
    assert "width is for the built-in networks only" in narrow.json()["detail"]
    assert count_jobs(database) == 0


def test_a_budget_that_the_table_rules_out_is_refused_with_the_nearest_one(
    app: FastAPI, admin: TestClient, database: Database, clock: HeldClock
) -> None:
    board = enrol(app, admin)
    graph = network_graph(PARENTS["resnet-20"](0.5), DIGITS_TASK)
    points = GivenSpace(graph=graph, task=DIGITS_TASK).usage(target()).points
    give_table(database, clock, board, points)
    before = count_jobs(database)
    refused = compress(admin, budget_ms=0.001)
    assert (refused.status_code, refused.json()["code"]) == (422, "budget-infeasible")
    assert "No form of this network runs within 0.001 ms on board" in refused.json()["detail"]
    nearest = refused.json()["smallest_feasible_ms"]
    assert nearest > 0.001
    assert count_jobs(database) == before
    assert compress(admin, budget_ms=nearest * 1.001).status_code == 201


def test_files_are_for_people_who_may_start_jobs(api: TestClient, board: Board) -> None:
    assert api.post("/v1/artifacts", content=b"x").status_code == 401
    assert board.http.post("/v1/artifacts", content=b"x").status_code == 403
    assert board.http.post("/v1/compressions", json=ORDER).status_code == 403
