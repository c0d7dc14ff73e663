"""Every error is a problem detail, nothing a caller sends is a 5xx, and no value is repeated."""

import json
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.exc import OperationalError

from latency import codec
from latency.messages import Claim
from service.database import Database
from service.errors import BudgetInfeasibleError, UnavailableError, public_message
from service.problems import MEDIA_TYPE
from tests.service.board import Board
from tests.service.samples import target

REJECTED = "r3j3ct3d-value"
MEMBERS = {"type", "title", "status", "detail", "instance", "code", "retryable"}
HOSTILE = [
    "NaN",
    "Infinity",
    "-Infinity",
    "1e400",
    "-1",
    "0",
    "18446744073709551616",
    "9" * 5000,
    "null",
    "true",
    "[]",
    "{}",
    '""',
    '"\\u0000"',
    '"\\ud800"',
    '"%s"' % ("x" * 5000),
    '"../../etc/passwd"',
    "1.5",
    "[" * 2000 + "]" * 2000,
]


def assert_problem(response: Any, status: int, code: str | None = None) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == MEDIA_TYPE
    body: dict[str, Any] = response.json()
    assert body.keys() >= MEMBERS
    assert body["status"] == status
    assert body["type"] == f"/problems/{body['code']}"
    assert body["instance"].startswith("urn:uuid:")
    assert code is None or body["code"] == code
    return body


class TestFramework:
    def test_unknown_address(self, admin: TestClient) -> None:
        assert_problem(admin.get("/v1/nothing"), 404, "not-found")

    def test_wrong_method(self, admin: TestClient) -> None:
        response = admin.delete("/v1/devices")
        assert_problem(response, 405, "method-not-allowed")
        assert response.headers["allow"]

    @pytest.mark.parametrize("body", [b"{", b"", b"\xff\xfe", b"[" * 100_000, b"{'a': 1}"])
    def test_not_json(self, admin: TestClient, body: bytes) -> None:
        headers = {"Content-Type": "application/json"}
        response = admin.post("/v1/datasets", content=body, headers=headers)
        assert response.status_code in (400, 422)
        assert_problem(response, response.status_code)

    def test_unknown_fields_are_refused(self, admin: TestClient) -> None:
        body = {"name": "x", "format": "npz", "path": "/x", "owner_id": REJECTED, REJECTED: 1}
        found = assert_problem(admin.post("/v1/datasets", json=body), 422, "unknown-field")
        assert REJECTED not in json.dumps(found)

    @pytest.mark.parametrize("query", ["limit=-1", "limit=0", "limit=1e20", "offset=-1", "limit=x"])
    def test_paging_is_bounded(self, admin: TestClient, query: str) -> None:
        found = assert_problem(admin.get(f"/v1/devices?{query}"), 422, "invalid-value")
        assert found["errors"][0]["pointer"] in ("limit", "offset")

    @pytest.mark.parametrize(
        "path", ["/v1/devices/{}", "/v1/artifacts/{}", "/v1/tables/{}", "/v1/datasets/{}"]
    )
    def test_strange_ids(self, admin: TestClient, path: str) -> None:
        for part in ("%00", "..%2f..%2fetc", "%ED%A0%80", "x" * 5000, "A" * 64):
            response = admin.get(path.format(part))
            assert response.status_code in (404, 422), part
            assert_problem(response, response.status_code)

    def test_an_unexpected_error_says_nothing(self, app: FastAPI) -> None:
        @app.get("/boom")
        def boom() -> None:
            raise RuntimeError(REJECTED)

        response = TestClient(app, raise_server_exceptions=False).get("/boom")
        assert_problem(response, 500, "internal-error")
        assert REJECTED not in response.text


class TestHostileValues:
    @pytest.mark.parametrize(
        ("path", "template"),
        [
            ("/v1/datasets", '{"name": %s, "format": "npz", "path": "/x"}'),
            ("/v1/datasets", '{"name": "x", "format": "npz", "path": %s}'),
            ("/v1/datasets", '{"name": "x", "format": %s, "path": "/x"}'),
            ("/v1/datasets", '{"name":"x","format":"npz","path":"/x","image_size": %s}'),
            ("/v1/plans", '{"device": %s}'),
            ("/v1/plans", '{"device": "x", "channels": %s}'),
            ("/v1/predictions", '{"device": "x", "genotype": %s}'),
            ("/v1/predictions", '{"device": "x", "genotype": {"normal": %s}}'),
        ],
    )
    def test_people(self, admin: TestClient, path: str, template: str) -> None:
        headers = {"Content-Type": "application/json"}
        for value in HOSTILE:
            response = admin.post(path, content=template % value, headers=headers)
            assert 400 <= response.status_code < 500, value
            assert_problem(response, response.status_code)
            assert len(response.content) < 4000

    @pytest.mark.parametrize("field", ["claim_id", "threads", "facts", "memory_bytes", "affinity"])
    def test_agents(self, board: Board, field: str) -> None:
        message = codec.to_plain(Claim(claim_id="x", target=target()))
        where = {"claim_id": message, "memory_bytes": message["target"]["facts"]}
        where.get(field, message["target"])[field] = "@"
        for value in HOSTILE:
            body = json.dumps(message).replace('"@"', value)
            response = board.http.post("/v1/work/claim", content=body)
            assert response.status_code < 500, value
            if response.status_code != 200:
                assert_problem(response, response.status_code)
                assert "passwd" not in response.text


class TestFuzz:
    @settings(
        max_examples=150,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(data=st.data())
    def test_mutated_messages_are_never_a_fault(self, board: Board, data: st.DataObject) -> None:
        body = bytearray(codec.encode(Claim(claim_id="x", target=target())))
        for _ in range(data.draw(st.integers(1, 4))):
            position = data.draw(st.integers(0, len(body) - 1))
            body[position] = data.draw(st.integers(0, 255))
        response = board.http.post("/v1/work/claim", content=bytes(body))
        assert response.status_code in (200, 400, 422), response.text

    @settings(
        max_examples=100,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(
        value=st.recursive(
            st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=8,
        ),
        path=st.sampled_from(["/v1/datasets", "/v1/plans", "/v1/predictions"]),
    )
    def test_any_json_is_never_a_fault(self, admin: TestClient, value: object, path: str) -> None:
        headers = {"Content-Type": "application/json"}
        response = admin.post(path, content=json.dumps(value), headers=headers)
        assert 400 <= response.status_code < 500, response.text


def test_database_that_is_away(app: FastAPI, admin: TestClient, database: Database) -> None:
    @app.get("/away")
    def away() -> None:
        with database.transaction() as session:
            session.connection().exec_driver_sql("SELECT 1")
            raise_operational()

    response = admin.get("/away")
    body = assert_problem(response, 503, "database-unavailable")
    assert body["retryable"] is True
    assert response.headers["retry-after"] == "1"
    assert "locked" not in response.text


def raise_operational() -> None:
    raise OperationalError("SELECT 1", None, Exception("database is locked"))


def test_budget_error_names_the_nearest_budget(app: FastAPI) -> None:
    @app.get("/infeasible")
    def infeasible() -> None:
        raise BudgetInfeasibleError(
            budget_ms=1.0, smallest_feasible_ms=2.5, device="pi", table_version=3
        )

    body = assert_problem(TestClient(app).get("/infeasible"), 422, "budget-infeasible")
    assert (body["smallest_feasible_ms"], body["table_version"]) == (2.5, 3)
    assert "2.5" in body["detail"]


def test_retry_after(app: FastAPI) -> None:
    @app.get("/busy")
    def busy() -> None:
        raise UnavailableError("Busy.", retry_after_s=7)

    response = TestClient(app).get("/busy")
    body = assert_problem(response, 503, "unavailable")
    assert (response.headers["retry-after"], body["retry_after_s"]) == ("7", 7)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "operator: dtype must be one of ('float32', 'int8'), got 'evil'",
            "operator: dtype must be one of ('float32', 'int8')",
        ),
        ("operator: height must be from 1 to 9, got 99", "operator: height must be from 1 to 9"),
        ("genotype: unknown operation 'evil'; allowed: ['a']", None),
    ],
)
def test_public_message(message: str, expected: str | None) -> None:
    found = public_message(ValueError(message))
    assert "evil" not in found
    assert "99" not in found
    assert expected is None or found == expected
