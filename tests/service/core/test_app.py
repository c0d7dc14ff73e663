"""The application as a whole: policies, health, limits of bodies, what it imports."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.testclient import TestClient
from starlette.types import Message

from service.access.policy import Operator
from service.app import PUBLIC_PATHS, check_policies, policies, routes
from service.body_limit import BodyLimit
from service.database import Database
from service.schema import downgrade, upgrade
from service.settings import Settings


def test_every_route_declares_who_may_use_it(app: FastAPI) -> None:
    found = list(routes(app))
    assert len(found) > 20
    for path, dependant in found:
        declared = [] if dependant is None else list(policies(dependant))
        assert path in PUBLIC_PATHS or len(declared) == 1, path
    check_policies(app)


def test_a_route_without_a_policy_does_not_start(app: FastAPI) -> None:
    router = APIRouter(prefix="/v1/inner")

    @router.get("/secret")
    def secret() -> str:
        return "secret"

    app.include_router(router)
    with pytest.raises(ValueError, match="/v1/inner/secret declares no policy"):
        check_policies(app)


def test_a_policy_below_another_dependency_counts() -> None:
    app = FastAPI(openapi_url=None)

    @app.get("/deep")
    def deep(_principal: Operator) -> None:
        return None

    check_policies(app)


def test_every_route_refuses_a_caller_without_a_token(app: FastAPI, api: TestClient) -> None:
    operations = api.get("/openapi.json").json()["paths"]
    checked = 0
    for path, methods in operations.items():
        for method in methods:
            if path in PUBLIC_PATHS:
                continue
            filled = path.replace("{sha256}", "0" * 64).replace("{index}", "0")
            filled = filled.replace("{lease_id}", "0" * 32).replace("{device_id}", "0" * 32)
            filled = filled.replace("{table_id}", "0" * 32).replace("{job_id}", "0" * 32)
            response = api.request(method, filled, content=b"{}")
            assert response.status_code == 401, (method, path, response.text)
            assert response.headers["www-authenticate"] == "Bearer"
            checked += 1
    assert checked >= 20


def test_health(api: TestClient) -> None:
    assert api.get("/healthz").json()["status"] == "ok"
    assert api.get("/readyz").json()["status"] == "ready"


def test_not_ready_before_the_migrations(api: TestClient, database: Database) -> None:
    downgrade(database.engine, "base")
    try:
        response = api.get("/readyz")
    finally:
        upgrade(database.engine)
    assert (response.status_code, response.json()["code"]) == (503, "not-migrated")
    assert api.get("/healthz").status_code == 200


class TestBodies:
    def test_too_large(self, admin: TestClient, settings: Settings) -> None:
        body = b" " * (settings.max_body_bytes + 1)
        response = admin.post("/v1/datasets", content=body)
        assert (response.status_code, response.json()["code"]) == (413, "body-too-large")

    def test_too_large_without_a_length(self, admin: TestClient, settings: Settings) -> None:
        parts = (b" " * 100_000 for _ in range(settings.max_body_bytes // 100_000 + 2))
        response = admin.post("/v1/datasets", content=parts)
        assert (response.status_code, response.json()["code"]) == (413, "body-too-large")

    def test_compressed(self, admin: TestClient) -> None:
        headers = {"Content-Encoding": "gzip"}
        response = admin.post("/v1/datasets", content=b"x", headers=headers)
        assert (response.status_code, response.json()["code"]) == (415, "unsupported-media-type")

    def test_too_slow(self) -> None:
        sent = asyncio.run(self._trickle())
        assert sent[0]["status"] == 408

    async def _trickle(self) -> list[Message]:
        sent: list[Message] = []

        async def receive() -> Message:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b" ", "more_body": True}

        async def send(message: Message) -> None:
            sent.append(message)

        async def never(*_arguments: Any) -> None:
            raise AssertionError("the application saw an unfinished body")

        scope = {"type": "http", "headers": [(b"transfer-encoding", b"chunked")]}
        limit = BodyLimit(never, max_bytes=1000, timeout_s=0.1)
        await limit(scope, receive, send)
        return sent


def test_the_api_does_not_load_heavy_packages() -> None:
    heavy = ["torch", "onnx", "onnxruntime", "sklearn", "PIL"]
    program = f"import sys, service.app; print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
