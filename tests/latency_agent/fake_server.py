"""A server that speaks the agent protocol on a real socket, with faults on demand.

Requests really pass through a socket, so that the agent's HTTP code is tested and not a stand-in.
Leases never expire here unless a test says so.
"""

import base64
import hashlib
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from latency import codec
from latency.measurement import NetworkMeasurement, OperatorMeasurement
from latency.messages import (
    Chunk,
    Claim,
    ClaimAnswer,
    Finish,
    FinishAnswer,
    Heartbeat,
    HeartbeatAnswer,
    Lease,
    ProfileWork,
    Registered,
    Registration,
    VerifyWork,
    WorkKind,
)

ENROL_TOKEN = "ew_enrol_once"  # noqa: S105  opens nothing
AGENT_TOKEN = "ew_agent_secret"  # noqa: S105  opens nothing


class Fault(StrEnum):
    """What happens to one request instead of the right thing."""

    DROP_BEFORE = "drop-before"  # the connection closes and nothing was done
    DROP_AFTER = "drop-after"  # it was done and the answer is lost
    PAGE_200 = "page-200"  # some proxy's page with status 200
    PAGE_502 = "page-502"
    BUSY = "busy"  # 503, retryable
    HALF = "half"  # done, and half of the answer arrives


@dataclass
class Unit:
    """One piece of work, its lease and what came in."""

    lease: Lease
    chunks: dict[int, bytes] = field(default_factory=dict)
    finish: Finish | None = None
    beats: list[Heartbeat] = field(default_factory=list)
    cancelled: bool = False
    superseded: bool = False

    @property
    def operators(self) -> list[OperatorMeasurement]:
        return [row for chunk in self._decoded() for row in chunk.operators]

    @property
    def networks(self) -> list[NetworkMeasurement]:
        return [row for chunk in self._decoded() for row in chunk.networks]

    def _decoded(self) -> list[Chunk]:
        return [codec.decode(self.chunks[index], Chunk) for index in sorted(self.chunks)]


@dataclass(frozen=True)
class Reply:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class FakeServer:
    """The state behind the socket. Give it work, faults and refusals; then look at `units`."""

    def __init__(self) -> None:
        self.units: list[Unit] = []
        self.claims: list[Claim] = []
        self.registrations: list[Registration] = []
        self.requests: list[str] = []  # "METHOD /path", each one that arrived
        self.proxied: list[str] = []  # hosts that it was asked for as a proxy
        self.artifacts: dict[str, bytes] = {}
        self.faults: dict[int, Fault] = {}  # by the number of the request, from 0
        self.fault_of: Callable[[str], Fault | None] = lambda _request: None
        self.refusals: dict[str, Reply] = {}  # by a part of the path
        self.revoked = False
        self.enrol_tokens = {ENROL_TOKEN}
        self.heartbeat_every_s = 0.05
        self.changed = threading.Condition(threading.RLock())
        self.address = ""

    def give(self, work: ProfileWork | VerifyWork, lease_id: str = "") -> Unit:
        """Queue `work`."""
        profile = work if isinstance(work, ProfileWork) else None
        verify = work if isinstance(work, VerifyWork) else None
        lease = Lease(
            lease_id=lease_id or f"lease-{len(self.units)}",
            attempt=1,
            kind=WorkKind.PROFILE if profile else WorkKind.VERIFY,
            expires_in_s=60.0,
            heartbeat_every_s=self.heartbeat_every_s,
            profile=profile,
            verify=verify,
        )
        unit = Unit(lease)
        with self.changed:
            self.units.append(unit)
        return unit

    def store(self, data: bytes) -> str:
        """Keep an artifact; return its SHA-256."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.artifacts[sha256] = data
        return sha256

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 60.0) -> bool:
        """Wait until `condition` holds; it is asked after each request."""
        with self.changed:
            return self.changed.wait_for(condition, timeout_s)

    def answer(self, request: str, headers: dict[str, str], body: bytes) -> Reply:
        """Do what the service would do."""
        method, path = request.split(" ")
        for part, reply in self.refusals.items():
            if part in path:
                return reply
        if path == "/healthz":
            return Reply(200)
        token = headers.get("Authorization", "").removeprefix("Bearer ")
        if path == "/v1/devices":
            return self._register(token, body)
        if token != AGENT_TOKEN or self.revoked:
            return problem(401, "token-revoked", "This token was revoked.")
        return self._work(method, path, headers, body)

    def _register(self, token: str, body: bytes) -> Reply:
        if token not in self.enrol_tokens:
            return problem(409, "enrol-token-used", "This enrolment token was used already.")
        self.registrations.append(codec.decode(body, Registration))
        self.enrol_tokens.remove(token)
        return json_reply(201, Registered(device_id="device-1", token=AGENT_TOKEN))

    def _work(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Reply:
        parts = path.strip("/").split("/")
        if path == "/v1/work/claim":
            return self._claim(codec.decode(body, Claim))
        if parts[1] == "artifacts":
            data = self.artifacts.get(parts[2])
            return problem(404, "not-found", "Not found.") if data is None else Reply(200, data)
        unit = next((unit for unit in self.units if unit.lease.lease_id == parts[3]), None)
        if unit is None:
            return problem(404, "not-found", "Not found.")
        if unit.superseded:
            return problem(409, "lease-superseded", "Attempt 2 replaced attempt 1.", discard=True)
        if parts[4] == "heartbeat":
            return self._heartbeat(unit, codec.decode(body, Heartbeat))
        if parts[4] == "chunks" and method == "PUT":
            return self._chunk(unit, int(parts[5]), headers, body)
        return self._finish(unit, codec.decode(body, Finish))

    def _claim(self, claim: Claim) -> Reply:
        self.claims.append(claim)
        for unit in self.units:
            if unit.finish is None and not unit.cancelled and not unit.superseded:
                return json_reply(200, ClaimAnswer(lease=unit.lease, poll_again_in_s=0.0))
        return json_reply(200, ClaimAnswer(lease=None, poll_again_in_s=0.2))

    def _heartbeat(self, unit: Unit, beat: Heartbeat) -> Reply:
        unit.beats.append(beat)
        answer = HeartbeatAnswer(
            cancelled=unit.cancelled, expires_in_s=60.0, server_time="2026-11-23T12:00:00+00:00"
        )
        return json_reply(200, answer)

    def _chunk(self, unit: Unit, index: int, headers: dict[str, str], body: bytes) -> Reply:
        digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
        if headers.get("Content-Digest") != f"sha-256=:{digest}:":
            return problem(422, "digest-mismatch", "Content-Digest does not fit the body.")
        if codec.decode(body, Chunk).attempt != unit.lease.attempt:
            return problem(409, "lease-superseded", "Another attempt.", discard=True)
        if unit.chunks.setdefault(index, body) != body:
            return problem(422, "chunk-changed", "This chunk came before with other content.")
        return Reply(204)

    def _finish(self, unit: Unit, finish: Finish) -> Reply:
        digests = [hashlib.sha256(body).hexdigest() for _, body in sorted(unit.chunks.items())]
        digest = hashlib.sha256("".join(digests[: finish.chunks]).encode()).hexdigest()
        if digest != finish.digest or sorted(unit.chunks) != list(range(finish.chunks)):
            return problem(422, "chunks-missing", "The digest does not fit the chunks here.")
        unit.finish = finish
        return json_reply(200, FinishAnswer(digest=digest))


def json_reply(status: int, value: object) -> Reply:
    return Reply(status, codec.encode(value), {"Content-Type": "application/json"})


def problem(status: int, code: str, detail: str, **extra: Any) -> Reply:
    """Return a problem detail as the service sends it."""
    headers = {"Content-Type": "application/problem+json"}
    if "retry_after" in extra:
        headers["Retry-After"] = str(extra.pop("retry_after"))
    body = {
        "type": f"/problems/{code}",
        "title": code.replace("-", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": False,
        **extra,
    }
    return Reply(status, codec.encode(body), headers)


def page(status: int) -> Reply:
    """Return what a proxy or a captive portal says."""
    return Reply(status, b"<html><h1>Hotel network</h1></html>", {"Content-Type": "text/html"})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes: else 40 ms a request
    state: FakeServer

    def _serve(self) -> None:
        size = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionAbortedError("the client went away in the middle of its request")
        with self.state.changed:
            fault, reply = self._decide(body)
            self.state.changed.notify_all()
        cannot_halve = fault is Fault.HALF and not reply.body
        if fault in (Fault.DROP_BEFORE, Fault.DROP_AFTER) or cannot_halve:
            self.close_connection = True
            return
        self._write(reply, half=fault is Fault.HALF)

    def _decide(self, body: bytes) -> tuple[Fault | None, Reply]:
        state, asked = self.state, urlsplit(self.path)
        request = f"{self.command} {asked.path}"
        if asked.netloc:  # as a proxy is asked
            state.proxied.append(asked.netloc)
        number = len(state.requests)
        state.requests.append(request)
        fault = state.faults.get(number) or state.fault_of(request)
        instead = {
            Fault.DROP_BEFORE: Reply(0),
            Fault.PAGE_200: page(200),
            Fault.PAGE_502: page(502),
            Fault.BUSY: problem(503, "database-unavailable", "Busy.", retryable=True),
        }
        if fault in instead:
            return fault, instead[fault]
        return fault, state.answer(request, dict(self.headers.items()), body)

    def _write(self, reply: Reply, *, half: bool) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: len(reply.body) // 2] if half else reply.body)
        self.close_connection = self.close_connection or half

    do_GET = do_POST = do_PUT = _serve  # noqa: N815  names that http.server looks for

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Keep the output of the tests clean; `FakeServer.requests` has them all."""


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    crashes: list[BaseException]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what went wrong; a client that went away in mid-answer is part of the tests."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, ConnectionError):
            self.crashes.append(error)


@contextmanager
def serving(state: FakeServer, tls: ssl.SSLContext | None = None) -> Iterator[FakeServer]:
    """Serve `state` on a free port of the loopback interface; `state.address` says where."""
    handler = type("Handler", (_Handler,), {"state": state})
    http = _Http(("127.0.0.1", 0), handler)
    http.crashes = []
    if tls is not None:
        http.socket = tls.wrap_socket(http.socket, server_side=True)
    scheme = "http" if tls is None else "https"
    state.address = f"{scheme}://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
        assert http.crashes == [], [repr(crash) for crash in http.crashes]
