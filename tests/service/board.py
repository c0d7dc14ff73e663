"""Board: a device that speaks the protocol over HTTP, step by step, as a test asks."""

import base64
import hashlib
import uuid
from dataclasses import dataclass, field
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient

from latency import codec
from latency.messages import (
    Chunk,
    Claim,
    ClaimAnswer,
    Finish,
    Heartbeat,
    Lease,
    Outcome,
    Registered,
    Registration,
)
from latency.target import Target
from tests.service.samples import target


def sha256_hex(body: bytes) -> str:
    """Return the digest of a chunk as `finish` joins it."""
    return hashlib.sha256(body).hexdigest()


def content_digest(body: bytes) -> dict[str, str]:
    """Return the header that belongs to a body."""
    value = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return {"Content-Digest": f"sha-256=:{value}:"}


@dataclass
class Board:
    """One enrolled device."""

    http: TestClient
    device_id: str
    target: Target
    digests: list[str] = field(default_factory=list)

    def claim(self, claim_id: str | None = None) -> ClaimAnswer:
        """Ask for work."""
        message = Claim(claim_id=claim_id or str(uuid.uuid4()), target=self.target)
        response = self.http.post("/v1/work/claim", content=codec.encode(message))
        assert response.status_code == 200, response.text
        return codec.decode(response.content, ClaimAnswer)

    def work(self) -> Lease:
        """Ask for work that is known to be there."""
        lease = self.claim().lease
        assert lease is not None
        return lease

    def beat(self, lease: Lease, *, done: int = 0, total: int = 1) -> Any:
        """Send a heartbeat."""
        message = Heartbeat(attempt=lease.attempt, done=done, total=total)
        path = f"/v1/work/leases/{lease.lease_id}/heartbeat"
        return self.http.post(path, content=codec.encode(message))

    def upload(self, lease: Lease, chunk: Chunk, *, index: int = 0) -> Any:
        """Upload a chunk, and remember its digest where it was taken."""
        body = codec.encode(chunk)
        path = f"/v1/work/leases/{lease.lease_id}/chunks/{index}"
        response = self.http.put(path, content=body, headers=content_digest(body))
        if response.status_code == 204 and index == len(self.digests):
            self.digests.append(sha256_hex(body))
        return response

    def finish(self, lease: Lease, *, outcome: Outcome = Outcome.DONE, reason: str = "") -> Any:
        """End the attempt with the chunks that were taken."""
        message = Finish(
            attempt=lease.attempt,
            outcome=outcome,
            chunks=len(self.digests),
            digest=sha256_hex("".join(self.digests).encode()),
            reason=reason,
        )
        path = f"/v1/work/leases/{lease.lease_id}/finish"
        return self.http.post(path, content=codec.encode(message))


def enrol(app: FastAPI, admin: TestClient, *, name: str = "board") -> Board:
    """Enrol a device over HTTP."""
    token = admin.post("/v1/enrolments").json()["token"]
    registration = Registration(name=name, target=target(), agent_version="0.1.0")
    response = TestClient(app).post(
        "/v1/devices",
        content=codec.encode(registration),
        headers={"Authorization": f"Bearer {token}"},
    )
    assert response.status_code == 201, response.text
    registered = codec.decode(response.content, Registered)
    headers = {"Authorization": f"Bearer {registered.token}"}
    http = TestClient(app, headers=headers, raise_server_exceptions=False)
    return Board(http=http, device_id=registered.device_id, target=registration.target)
